package intake

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/valyala/fasthttp"

	"referee/features"
	"referee/policy"
)

const (
	maxScoreBody    = 1 << 20
	maxScoreDiscard = 8 << 20
	// At some microseconds each, what one request may ask for takes some ten milliseconds.
	maxScoreReferers = 10_000
)

// scored is the answer of /v1/score: one Verdict for each Referer, in order.
type scored struct {
	Model     string      `json:"model"`
	Policy    string      `json:"policy"`
	Threshold figure      `json:"threshold"` // the benign tail at and below which a name is flagged
	Verdicts  []scoredOne `json:"verdicts"`
}

type scoredOne struct {
	Name      string  `json:"name,omitempty"`
	Score     *figure `json:"score,omitempty"`
	Tail      *figure `json:"tail,omitempty"`
	Verdict   string  `json:"verdict"`
	Exemption string  `json:"exemption,omitempty"`
	Reason    string  `json:"reason,omitempty"` // why there is no name
}

type figure float32

func (f figure) MarshalJSON() ([]byte, error) { return appendFigure(nil, float32(f)), nil }

// score judges a list of Referers for whoever asks. It is no traffic: nothing is counted, cached or taken as evidence.
func (a *API) score(ctx *fasthttp.RequestCtx, c *caller) {
	if !ctx.IsPost() {
		ctx.Response.Header.Set("Allow", "POST")
		refuseJSON(ctx, http.StatusMethodNotAllowed, "POST a list of Referers here")
		return
	}
	s := a.judge.snapshot.Load()
	if s == nil {
		refuseJSON(ctx, http.StatusServiceUnavailable, "no model is loaded yet")
		return
	}
	c.readWithin(a.body)
	referers, status, err := readReferers(ctx)
	if err != nil {
		refuseJSON(ctx, status, err.Error())
		if status == http.StatusRequestEntityTooLarge {
			ctx.SetConnectionClose() // the rest of the body is not read
		}
		return
	}
	c.unread = false
	model := s.Cache.Model()
	out := scored{
		Model: model.ID(), Policy: s.Policy.ID(), Threshold: figure(s.Policy.Threshold()),
		Verdicts: make([]scoredOne, 0, len(referers)),
	}
	var parser features.Parser
	for _, value := range referers {
		name, reason := parser.Referer([]byte(value))
		if reason != features.Named {
			out.Verdicts = append(out.Verdicts, scoredOne{Verdict: policy.Invalid.String(), Reason: reason.String()})
			continue
		}
		result := model.Judge(name)
		verdict, exemption := s.Policy.Judge(name, result)
		one := scoredOne{
			Name: result.Domain, Score: (*figure)(&result.Score), Tail: (*figure)(&result.Tail), Verdict: verdict.String(),
		}
		if exemption != policy.NotExempt {
			one.Exemption = exemption.String()
		}
		out.Verdicts = append(out.Verdicts, one)
	}
	answerJSON(ctx, http.StatusOK, out)
}

// readReferers reads the list from a request, or says with which status to refuse it.
func readReferers(ctx *fasthttp.RequestCtx) (referers []string, status int, err error) {
	kind, _, _ := strings.Cut(string(ctx.Request.Header.ContentType()), ";")
	kind = strings.ToLower(strings.TrimSpace(kind))
	if kind != "application/json" && kind != "text/plain" {
		return nil, http.StatusUnsupportedMediaType,
			errors.New(`send application/json, {"referers": ["https://…"]}, or text/plain, one Referer a line`)
	}
	var body []byte
	if stream := ctx.RequestBodyStream(); stream != nil {
		body, err = io.ReadAll(io.LimitReader(stream, maxScoreBody+1))
		if err != nil {
			return nil, http.StatusBadRequest, errors.New("the body ended before it was complete")
		}
		if len(body) > maxScoreBody {
			// To close a connection on a client that is still sending resets it, and the answer is lost.
			_, _ = io.CopyN(io.Discard, stream, maxScoreDiscard)
			return nil, http.StatusRequestEntityTooLarge, fmt.Errorf("the body is over %d bytes: send it in parts", maxScoreBody)
		}
	}
	if kind == "text/plain" {
		text := strings.TrimSuffix(string(body), "\n")
		if text != "" {
			referers = strings.Split(text, "\n")
		}
		for i, r := range referers {
			referers[i] = strings.TrimSuffix(r, "\r")
		}
	} else if referers, err = parseReferers(body); err != nil {
		return nil, http.StatusBadRequest, err
	}
	if n := len(referers); n > maxScoreReferers {
		return nil, http.StatusRequestEntityTooLarge,
			fmt.Errorf("%d Referers are more than %d: send them in parts", n, maxScoreReferers)
	}
	return referers, 0, nil
}

func parseReferers(body []byte) ([]string, error) {
	var in struct {
		Referers []string `json:"referers"`
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, errors.New("the JSON ends before it is complete")
		}
		return nil, fmt.Errorf(`not {"referers": ["https://…"]}: %w, near byte %d`, err, dec.InputOffset())
	}
	if in.Referers == nil {
		return nil, errors.New(`"referers" is missing: {"referers": ["https://…"]}`)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("more follows the JSON, near byte %d", dec.InputOffset())
	}
	return in.Referers, nil
}

func refuseJSON(ctx *fasthttp.RequestCtx, status int, why string) {
	answerJSON(ctx, status, struct {
		Error string `json:"error"`
	}{why})
}

func answerJSON(ctx *fasthttp.RequestCtx, status int, v any) {
	ctx.SetStatusCode(status)
	ctx.SetContentType("application/json")
	_ = json.NewEncoder(ctx).Encode(v) // it cannot fail: what is encoded is ours, and it is written to memory
}
