package intake

import (
	"bytes"
	"log/slog"
	"math"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"referee/policy"
)

// API serves /v1/check, /v1/observe and /v1/score, or takes all that comes for a mirror's copy. Serve, Drain and Shutdown
// are those of its server.
type API struct {
	server
	judge    *Judge
	verdicts [policy.NumVerdicts][]byte
}

// NewAPI makes an API. It does not listen: Serve does.
func NewAPI(cfg Config, j *Judge, reg prometheus.Registerer, log *slog.Logger) *API {
	a := &API{judge: j}
	for v := range a.verdicts {
		a.verdicts[v] = []byte("X-Referee-Verdict: " + policy.Verdict(v).String() + "\r\n")
	}
	a.prepare("api", cfg.MaxConnections, idleTimeout, a.answer, a.refuseFault, reg, log)
	return a
}

// NewObserve makes an API for mirrors: whatever arrives is a copy of a request, at the path that it was sent to. Envoy marks
// its copies by -shadow at the end of the Host; nothing here reads the Host, so that nothing is to be taken off it.
func NewObserve(cfg ObserveConfig, j *Judge, reg prometheus.Registerer, log *slog.Logger) *API {
	a := &API{judge: j}
	observe := func(r *request) { a.check(r, ViaObserve, r.target) }
	a.prepare("observe", cfg.MaxConnections, idleTimeout, observe, a.allow, reg, log)
	return a
}

func (a *API) answer(r *request) {
	// The target as it was sent: what stands behind the prefix is the path of the original request, in whatever form.
	target := pathOf(r.target)
	path, _, _ := bytes.Cut(target, []byte("?"))
	switch {
	case under(target, checkPath):
		a.check(r, ViaCheck, target[len(checkPath):])
	case under(target, observePath):
		a.check(r, ViaObserve, target[len(observePath):])
	case string(path) == scorePath:
		a.score(r)
	default:
		r.say("404 Not Found", "there is /v1/check, /v1/observe and /v1/score here")
	}
}

const (
	checkPath   = "/v1/check"
	observePath = "/v1/observe"
	scorePath   = "/v1/score"
)

// refuseFault answers what is no proper request, or what could not be answered. Whoever asks for leave gets it whatever is
// wrong with the request: 200 is the one status that all of them take as that, and some take 400 for a refusal. So does a head
// that cannot be read so far as to tell what it asks for.
func (a *API) refuseFault(r *request, f *fault) {
	target := pathOf(r.target)
	if f.status != 408 && (len(target) == 0 || under(target, checkPath) || under(target, observePath)) {
		a.allow(r, f)
		return
	}
	r.say(statusLine(f.status), f.err.Error())
}

// allow lets pass what cannot be judged. Where the head had not even arrived after its time nobody waits for leave any more.
func (a *API) allow(r *request, f *fault) {
	if f.status == 408 {
		r.say(statusLine(f.status), f.err.Error())
		return
	}
	r.begin("200 OK")
	r.out = append(r.out, a.verdicts[policy.Invalid]...)
	r.finish(nil)
}

// check judges a request by its head alone; the body, if somebody sends one along, is dropped.
func (a *API) check(r *request, via Via, target []byte) {
	q := r.asked(a.judge)
	q.Path = original(&r.head, target)
	v := a.judge.Judge(via, q)
	if v.Block && via == ViaCheck {
		r.begin("403 Forbidden")
	} else {
		r.begin("200 OK")
	}
	if via == ViaCheck { // nobody reads the answer to a mirrored request
		out := append(r.out, a.verdicts[v.Verdict]...)
		if v.Result.Domain != "" {
			out = appendFigure(append(out, "X-Referee-Score: "...), v.Result.Score)
			out = appendFigure(append(out, "\r\nX-Referee-Tail: "...), v.Result.Tail)
			out = append(out, "\r\nX-Referee-Name: "...)
			// A Name holds a-z, 0-9, hyphens, underscores and dots only (features.Parser).
			out = append(append(out, v.Result.Domain...), "\r\n"...)
		}
		r.out = out
	}
	r.finish(nil)
}

// original is the target of the request that is asked about: what stands behind the prefix, as Envoy and mirrors send it, or
// what those send along that ask at one fixed path: nginx by custom, Traefik and Caddy by default.
func original(h *head, target []byte) []byte {
	if len(target) > 0 && target[0] == '/' {
		return target
	}
	for _, name := range [...]string{"x-original-uri", "x-forwarded-uri"} {
		for i := range h.lines {
			if l := &h.lines[i]; equalFold(l.name, name) && len(l.value) > 0 {
				return l.value
			}
		}
	}
	return nil
}

// appendFigure appends f with 6 significant digits, as every output of Referee shows scores and tails.
func appendFigure(dst []byte, f float32) []byte {
	if math.IsNaN(float64(f)) || math.IsInf(float64(f), 0) {
		return append(dst, '0') // no model scores so, but JSON and header readers must never see it
	}
	return strconv.AppendFloat(dst, float64(f), 'g', 6, 32)
}

// pathOf is a request target in origin-form: an absolute one without its scheme and host.
func pathOf(target []byte) []byte {
	if !isAbsolute(target) {
		return target
	}
	_, rest, _ := bytes.Cut(target, []byte("://"))
	slash := bytes.IndexByte(rest, '/')
	if slash < 0 {
		return nil
	}
	return rest[slash:]
}

// under reports whether a request target is prefix or below it.
func under(target []byte, prefix string) bool {
	if len(target) < len(prefix) || string(target[:len(prefix)]) != prefix {
		return false
	}
	return len(target) == len(prefix) || target[len(prefix)] == '/' || target[len(prefix)] == '?'
}
