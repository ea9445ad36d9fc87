package intake

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"referee/policy"
)

// API serves /v1/check, /v1/observe and /v1/score, or takes all that comes for a mirror's copy. Serve, Drain and Shutdown
// are those of its edge; fasthttp reads the requests and writes the answers.
type API struct {
	edge
	http     fasthttp.Server
	mirror   bool // whatever comes is to be observed
	judge    *Judge
	verdicts [policy.NumVerdicts][]byte
	requests sync.Pool // of *request, for plain
}

// NewAPI makes an API. It does not listen: Serve does.
func NewAPI(cfg Config, j *Judge, reg prometheus.Registerer, log *slog.Logger) *API {
	return newAPI("api", cfg.MaxConnections, false, j, reg, log)
}

// NewObserve makes an API for mirrors: whatever arrives is a copy of a request, at the path that it was sent to. Envoy marks
// its copies by -shadow at the end of the Host; nothing here reads the Host, so that nothing is to be taken off it.
func NewObserve(cfg ObserveConfig, j *Judge, reg prometheus.Registerer, log *slog.Logger) *API {
	return newAPI("observe", cfg.MaxConnections, true, j, reg, log)
}

func newAPI(name string, maxConnections int, mirror bool, j *Judge, reg prometheus.Registerer, log *slog.Logger) *API {
	a := &API{judge: j, mirror: mirror}
	a.requests.New = func() any { return new(request) }
	for v := range a.verdicts {
		a.verdicts[v] = []byte(policy.Verdict(v).String())
	}
	a.http = fasthttp.Server{
		Handler:        a.answer,
		HeaderReceived: a.announced,
		ErrorHandler:   a.unreadable,
		ConnState:      a.turn,

		Concurrency:    maxConnections + 1, // which are the edge's to bound
		ReadBufferSize: maxRequestHead,
		// Without ReadTimeout, WriteTimeout and IdleTimeout: the watchdog has them.

		// A body is read by whoever wants it. In this mode MaxRequestBodySize is no limit but how much of a body is waited for
		// before the handler runs: nothing, as near as fasthttp has it.
		StreamRequestBody:            true,
		MaxRequestBodySize:           1,
		DisablePreParseMultipartForm: true,

		NoDefaultServerHeader: true,
		NoDefaultDate:         true,
		NoDefaultContentType:  true,
		SecureErrorLogMessage: true, // requests stay out of the log
	}
	a.prepare(name, maxConnections, idleTimeout, a.talk, reg, log)
	return a
}

// talk answers the requests on a connection until one side wants no more.
func (a *API) talk(w *watched) {
	c := newCaller(w)
	within := a.head // a client that has just connected has something to say
	for a.await(w, c.br, within) && a.next(c) {
		within = a.idle
	}
}

// next answers a request whose beginning is there, and reports whether another may follow.
func (a *API) next(c *caller) bool {
	if a.plain(c) {
		return a.row(c)
	}
	if c.answer(&a.http); !c.kept && c.unread {
		linger(c.watched, c.br)
	}
	return c.kept
}

const (
	checkPath   = "/v1/check"
	observePath = "/v1/observe"
	scorePath   = "/v1/score"
)

// judges reports whether a request with this target is to be judged, and the part of it that stands for the original one's.
func (a *API) judges(target []byte) (via Via, path []byte, ok bool) {
	switch {
	case a.mirror:
		return ViaObserve, target, true
	case under(target, checkPath):
		return ViaCheck, target[len(checkPath):], true
	case under(target, observePath):
		return ViaObserve, target[len(observePath):], true
	}
	return 0, nil, false
}

// announced is called with a head before its body is read, and has none waited for that nobody reads. The connection is kept
// where fasthttp can tell the end of such a body, and the client sends it without being asked to.
func (a *API) announced(h *fasthttp.RequestHeader) (unwaited fasthttp.RequestConfig) {
	if !hasBody(h) {
		return unwaited
	}
	if _, _, ok := a.judges(pathOf(h.RequestURI())); ok {
		if h.ContentLength() < 0 || len(h.PeekCanonical(expectKey)) > 0 {
			h.DelBytes(expectKey)
			h.SetConnectionClose()
		}
		unwaited.ReadTimeout = 1
	}
	return unwaited
}

func hasBody(h *fasthttp.RequestHeader) bool {
	return h.ContentLength() > 0 || h.ContentLength() == chunked
}

// answer is the handler. fasthttp does not recover what panics in it.
func (a *API) answer(ctx *fasthttp.RequestCtx) {
	c := ctx.Conn().(*caller)
	h := &ctx.Request.Header
	c.advance, c.unread = false, hasBody(h) // whose first byte may have been there
	defer func() {
		if p := recover(); p != nil {
			a.panicked(p)
			a.refuse(ctx, pathOf(h.RequestURI()), 500, "this failed inside of Referee")
		}
		if a.draining.Load() {
			ctx.SetConnectionClose()
		}
		c.readWithin(a.head) // what is left of the body
	}()
	// The target as it was sent: what stands behind the prefix is the path of the original request, in whatever form.
	target := pathOf(h.RequestURI())
	if err := unambiguous(h); err != nil {
		a.bad.Add(1)
		a.refuse(ctx, target, 400, err.Error())
		ctx.SetConnectionClose()
		return
	}
	via, original, ok := a.judges(target)
	path, _, _ := bytes.Cut(target, []byte("?"))
	switch {
	case ok:
		a.check(ctx, c.peer, via, original)
	case string(path) == scorePath:
		a.score(ctx, c)
	default:
		say(ctx, 404, "there is /v1/check, /v1/observe and /v1/score here")
	}
}

// unambiguous refuses heads that whoever passed the request on may have read in another way than fasthttp does, so that nobody
// is judged by what only one of the two has seen.
func unambiguous(h *fasthttp.RequestHeader) error {
	raw := h.RawHeaders()
	for at := 0; ; {
		end := bytes.IndexByte(raw[at:], '\n')
		if end < 0 {
			break
		}
		if at += end + 1; at < 2 || raw[at-2] != '\r' {
			return errLineEnd
		}
		if at < len(raw) && (raw[at] == ' ' || raw[at] == '\t') {
			return errFolded
		}
	}
	if h.ContentLength() == chunked {
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

// unreadable answers what fasthttp could not read as a request; the connection is closed after it.
func (a *API) unreadable(ctx *fasthttp.RequestCtx, err error) {
	a.bad.Add(1)
	c := ctx.Conn().(*caller)
	c.unread = true
	var tooLarge *fasthttp.ErrSmallBuffer
	var timeout net.Error
	switch {
	case errors.As(err, &tooLarge):
		a.refuse(ctx, c.target(), 431, "the request's header is over 64 KiB")
	case errors.As(err, &timeout) && timeout.Timeout():
		// Where the head had not even arrived after its time nobody waits for leave any more.
		say(ctx, 408, "the request took too long to arrive")
	default:
		a.refuse(ctx, c.target(), 400, "this is not a well-formed HTTP/1.1 request")
	}
}

// refuse answers what is no proper request, or what could not be answered. Whoever asks for leave gets it whatever is wrong with
// the request: 200 is the one status that all of them take as that, and some take 400 for a refusal. So does a head that
// cannot be read so far as to tell what it asks for.
func (a *API) refuse(ctx *fasthttp.RequestCtx, target []byte, status int, why string) {
	ctx.Response.ResetBody()
	if _, _, judged := a.judges(target); judged || len(target) == 0 {
		ctx.SetStatusCode(fasthttp.StatusOK)
		ctx.Response.Header.SetCanonical(verdictKey, a.verdicts[policy.Invalid])
		return
	}
	say(ctx, status, why)
}

// say answers with a status and one line of our own: nothing that the client sent.
func say(ctx *fasthttp.RequestCtx, status int, why string) {
	ctx.SetStatusCode(status)
	ctx.SetContentType("text/plain; charset=utf-8")
	ctx.SetBodyString(why)
	ctx.Response.AppendBodyString("\n")
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
