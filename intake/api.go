package intake

import (
	"bytes"
	"log/slog"
	"math"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"referee/policy"
)

// API serves /v1/check, /v1/observe and /v1/score. Serve, Drain and Shutdown are those of its server.
type API struct {
	server
	judge    *Judge
	verdicts [policy.NumVerdicts][]byte
}

// NewAPI makes an API. It does not listen: Serve does.
func NewAPI(cfg Config, j *Judge, reg prometheus.Registerer, log *slog.Logger) *API {
	a := &API{judge: j}
	for v := range a.verdicts {
		a.verdicts[v] = []byte(policy.Verdict(v).String())
	}
	a.prepare("api", cfg.MaxConnections, idleTimeout, a.handle, a.broken, reg, log)
	return a
}

// broken answers after a panic. Whoever asks for leave gets it: 200 is the one status that all of them take as that.
func (a *API) broken(ctx *fasthttp.RequestCtx) {
	refuse(ctx, fasthttp.StatusInternalServerError, "Referee failed")
	if target := ctx.Request.Header.RequestURI(); under(target, "/v1/check") || under(target, "/v1/observe") {
		ctx.SetStatusCode(fasthttp.StatusOK)
	}
}

func (a *API) handle(ctx *fasthttp.RequestCtx) {
	if err := unambiguous(&ctx.Request.Header); err != nil {
		a.bad.Add(1)
		refuse(ctx, fasthttp.StatusBadRequest, err.Error())
		ctx.SetConnectionClose()
		return
	}
	// The target as it was sent: what stands behind the prefix is the path of the original request, in whatever form.
	target := ctx.Request.Header.RequestURI()
	if len(target) > 0 && target[0] != '/' {
		target = ctx.Path() // absolute-form
	}
	switch {
	case under(target, "/v1/check"):
		a.check(ctx, ViaCheck, target[len("/v1/check"):])
	case under(target, "/v1/observe"):
		a.check(ctx, ViaObserve, target[len("/v1/observe"):])
	case path(target) == "/v1/score":
		a.score(ctx)
	default:
		refuse(ctx, fasthttp.StatusNotFound, "there is /v1/check, /v1/observe and /v1/score here")
	}
}

// unambiguous refuses heads that whoever passed the request on may have read in another way than fasthttp does. The
// proxy looks closer; here no request goes on.
func unambiguous(h *fasthttp.RequestHeader) error {
	raw := h.RawHeaders()
	for rest := raw; ; {
		end := bytes.IndexByte(rest, '\n')
		if end < 0 || end+1 == len(rest) {
			break
		}
		if rest = rest[end+1:]; rest[0] == ' ' || rest[0] == '\t' {
			return errFolded
		}
	}
	if h.ContentLength() == -1 { // chunked
		var lines head
		if err := lines.parse(raw); err != nil {
			return err
		}
		if _, n := lines.first(contentLength); n > 0 {
			return errFraming
		}
	}
	return nil
}

// check judges a request by its head alone; the body, if somebody sends one along, is dropped unread. fasthttp has taken
// the first of several Referer lines, and joined a folded one.
func (a *API) check(ctx *fasthttp.RequestCtx, via Via, target []byte) {
	head := &ctx.Request.Header
	peer := peerAddr(ctx.RemoteAddr())
	r := Request{
		Referer: head.PeekCanonical(refererKey),
		Client:  a.judge.Client(peer, head.PeekAll("X-Forwarded-For")),
		Agent:   head.UserAgent(),
		Path:    original(head, target),
	}
	if marker := a.judge.sessionHeader(peer); marker != nil {
		r.Session = isSession(head.PeekCanonical(marker))
	}
	v := a.judge.Judge(via, r)
	if via == ViaObserve {
		return // nobody reads the answer to a mirrored request
	}
	out := &ctx.Response.Header
	out.SetCanonical(verdictKey, a.verdicts[v.Verdict])
	if v.Result.Domain != "" {
		var buf [32]byte
		out.SetCanonical(scoreKey, appendFigure(buf[:0], v.Result.Score))
		out.SetCanonical(tailKey, appendFigure(buf[:0], v.Result.Tail))
		// A Name holds a-z, 0-9, hyphens, underscores and dots only (features.Parser).
		out.SetCanonical(nameKey, append(buf[:0], v.Result.Domain...))
	}
	if v.Block {
		ctx.SetStatusCode(fasthttp.StatusForbidden)
	}
}

// original is the target of the request that is asked about: what stands behind the prefix, as Envoy and mirrors send it, or
// what those send along that ask at one fixed path: nginx by custom, Traefik and Caddy by default.
func original(head *fasthttp.RequestHeader, target []byte) []byte {
	if len(target) > 0 && target[0] == '/' {
		return target
	}
	for _, key := range [...][]byte{originalURIKey, forwardedURIKey} {
		if uri := head.PeekCanonical(key); len(uri) > 0 {
			return uri
		}
	}
	return nil
}

// What fasthttp is given as the canonical form of a name it neither changes nor keeps.
var (
	refererKey      = []byte("Referer")
	originalURIKey  = []byte("X-Original-Uri")
	forwardedURIKey = []byte("X-Forwarded-Uri")
	verdictKey      = []byte("X-Referee-Verdict")
	scoreKey        = []byte("X-Referee-Score")
	tailKey         = []byte("X-Referee-Tail")
	nameKey         = []byte("X-Referee-Name")
)

// appendFigure appends f with 6 significant digits, as every output of Referee shows scores and tails.
func appendFigure(dst []byte, f float32) []byte {
	if math.IsNaN(float64(f)) || math.IsInf(float64(f), 0) {
		return append(dst, '0') // no model scores so, but JSON and header readers must never see it
	}
	return strconv.AppendFloat(dst, float64(f), 'g', 6, 32)
}

// under reports whether a request target is prefix or below it.
func under(target []byte, prefix string) bool {
	if len(target) < len(prefix) || string(target[:len(prefix)]) != prefix {
		return false
	}
	return len(target) == len(prefix) || target[len(prefix)] == '/' || target[len(prefix)] == '?'
}

// path is a request target without its query.
func path(target []byte) string {
	p, _, _ := bytes.Cut(target, []byte("?"))
	return string(p)
}
