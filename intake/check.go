package intake

import (
	"math"
	"net/netip"
	"strconv"

	"github.com/valyala/fasthttp"
)

// check judges a request by its head alone; the body, if somebody sends one along, is dropped. fasthttp takes the first of several
// Referers, and the last of several User-Agents.
func (a *API) check(ctx *fasthttp.RequestCtx, peer netip.Addr, via Via, path []byte) {
	v := a.judge.Judge(via, a.asked(&ctx.Request.Header, peer, path))
	if via == ViaObserve {
		return // nobody reads the answer to a mirrored request
	}
	out := &ctx.Response.Header
	out.SetCanonical(verdictKey, a.verdicts[v.Verdict])
	if v.Result.Domain != "" {
		var buf [256]byte // a name is 253 bytes at most
		out.SetCanonical(scoreKey, appendFigure(buf[:0], v.Result.Score))
		out.SetCanonical(tailKey, appendFigure(buf[:0], v.Result.Tail))
		// A Name holds a-z, 0-9, hyphens, underscores and dots only (features.Parser).
		out.SetCanonical(nameKey, append(buf[:0], v.Result.Domain...))
	}
	if v.Block {
		ctx.SetStatusCode(fasthttp.StatusForbidden)
	}
}

// asked is what a request is judged by.
func (a *API) asked(h *fasthttp.RequestHeader, peer netip.Addr, path []byte) Request {
	q := Request{
		Referer: h.PeekCanonical(refererKey),
		Client:  a.judge.Client(peer, h.PeekAll("X-Forwarded-For")),
		Agent:   h.UserAgent(),
		Path:    original(path, h.PeekCanonical),
	}
	if marker := a.judge.sessionHeader(peer); marker != nil {
		q.Session = isSession(h.PeekCanonical(marker))
	}
	return q
}

// original is the target of the request that is asked about: what stands behind the prefix, as Envoy and mirrors send it, or
// what those send along that ask at one fixed path: nginx by custom, Traefik and Caddy by default.
func original(path []byte, field func(name []byte) []byte) []byte {
	if len(path) > 0 && path[0] == '/' {
		return path
	}
	for _, key := range [...][]byte{originalURIKey, forwardedURIKey} {
		if uri := field(key); len(uri) > 0 {
			return uri
		}
	}
	return nil
}

// What fasthttp is given as the canonical form of a name it neither changes nor keeps.
var (
	refererKey      = []byte("Referer")
	expectKey       = []byte("Expect")
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
