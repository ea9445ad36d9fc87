package intake

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"
)

// How long a request's body may pause, as nginx has it (client_body_timeout).
const bodyTimeout = 60 * time.Second

// Proxy stands in front of an application and forwards every request to it, byte for byte but for what a proxy must
// change: fields meant for one hop are removed both ways, and the peer is appended to X-Forwarded-For. It judges each
// request by the way, and refuses one only where it is a current hit and the Snapshot says to block those.
//
// Of an answer, fasthttp writes the names of the few fields that it knows itself in their usual case (Server,
// Content-Type, Content-Encoding, Content-Length, Set-Cookie, Transfer-Encoding), and Set-Cookie behind the others. Interim
// answers (1xx) end here: the proxy itself asks clients to continue.
type Proxy struct {
	server
	cfg       ProxyConfig
	judge     *Judge
	upstream  *upstream
	exchanges sync.Pool // of *exchange
	failures  [numFailures]counter
	retries   counter
	tunnels   tunnels
	trouble   throttle
}

// NewProxy makes a Proxy. It neither listens nor connects: Serve and the first request do.
func NewProxy(cfg ProxyConfig, j *Judge, reg prometheus.Registerer, log *slog.Logger) *Proxy {
	p := &Proxy{cfg: cfg, judge: j, upstream: newUpstream(cfg)}
	p.exchanges.New = func() any { return newExchange(p) }
	p.tunnels.limit = cfg.MaxConnections
	p.prepare("proxy", cfg.MaxConnections, cfg.IdleTimeout, p.handle, p.broken, reg, log)
	for f := range p.failures {
		reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "referee_proxy_failures_total", ConstLabels: prometheus.Labels{"reason": failure(f).reason()},
			Help: "Requests that the proxy could not forward.",
		}, func() float64 { return float64(p.failures[f].Load()) }))
	}
	reg.MustRegister(
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "referee_proxy_retries_total",
			Help: "Requests sent once more, because the application had closed the kept connection that they were sent on.",
		}, func() float64 { return float64(p.retries.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "referee_proxy_tunnels",
			Help: "Upgraded connections open now (WebSocket).",
		}, func() float64 { return float64(p.tunnels.len()) }),
	)
	return p
}

// Shutdown is server.Shutdown; upgraded connections are given until ctx ends too.
func (p *Proxy) Shutdown(ctx context.Context) error {
	err := p.server.Shutdown(ctx)
	p.tunnels.shutdown(ctx)
	p.upstream.close()
	return err
}

// handle forwards one request.
func (p *Proxy) handle(ctx *fasthttp.RequestCtx) {
	x := p.exchanges.Get().(*exchange)
	x.ctx = ctx
	x.client, _ = ctx.Conn().(*watched)
	x.client.readWithin(0) // the body has limits of its own
	done := false
	defer func() {
		if !done && x.conn != nil { // a panic: x is lost to the pool, the connection must not be lost to everybody
			x.conn.end()
		}
	}()
	p.forward(x)
	done = true
	if !x.streaming {
		x.done()
	}
}

// broken answers after a panic.
func (p *Proxy) broken(ctx *fasthttp.RequestCtx) {
	refuse(ctx, fasthttp.StatusBadGateway, "the proxy failed")
	ctx.SetConnectionClose()
}

func (p *Proxy) forward(x *exchange) {
	ctx := x.ctx
	peer := peerAddr(ctx.RemoteAddr())
	if err := x.readRequest(); err != nil {
		p.bad.Add(1)
		refuse(ctx, fasthttp.StatusBadRequest, err.Error())
		ctx.SetConnectionClose()
		return
	}
	r := Request{Client: p.judge.Client(peer, x.forwarded), Path: ctx.Request.Header.RequestURI()}
	r.Referer, _ = x.head.first(referer)
	r.Agent, _ = x.head.first(userAgent)
	if marker := p.judge.sessionHeader(peer); marker != nil {
		r.Session = isSession(x.head.value(marker))
	}
	if p.judge.Judge(ViaProxy, r).Block {
		refuse(ctx, fasthttp.StatusForbidden, "refused")
		return
	}
	if ctx.IsConnect() {
		refuse(ctx, fasthttp.StatusMethodNotAllowed, "this is no forward proxy")
		return
	}
	if p.cfg.MaxBody > 0 && int64(ctx.Request.Header.ContentLength()) > p.cfg.MaxBody {
		p.fail(x, bodyTooLarge, nil)
		return
	}
	x.writeRequest(peer)

	for fresh := false; ; fresh = true {
		conn, err := p.upstream.get(fresh)
		if err != nil {
			p.fail(x, noConnection, err)
			return
		}
		if conn.reused && !x.replayable && !conn.alive() {
			conn.end()
			continue
		}
		x.conn = conn
		f, err := x.roundTrip()
		if f == none {
			return
		}
		conn.end()
		x.conn = nil
		// On a kept connection no answer at all means that the application closed it before the request reached it; or else
		// that it died of the request, which is sent once more at most.
		if f == noAnswer && conn.reused && x.replayable {
			p.retries.Add(1)
			continue
		}
		p.fail(x, f, err)
		return
	}
}

// failure is why a request could not be forwarded.
type failure uint8

const (
	none         failure = iota
	noConnection         // the application does not accept connections
	noAnswer             // it closed the connection without one
	tooSlow              // it did not begin one in time
	badAnswer            // what it sent is no HTTP/1.x, or in a framing that can be read in two ways
	clientGone           // the client's body ended early, or paused for too long
	badBody              // the client's body is not well-formed
	bodyTooLarge
	numFailures
)

func (f failure) reason() string {
	return [numFailures]string{"none", "connect", "no-answer", "timeout", "bad-answer", "client-gone", "bad-body", "body-too-large"}[f]
}

// fail answers in place of the application.
func (p *Proxy) fail(x *exchange, f failure, err error) {
	p.failures[f].Add(1)
	ctx := x.ctx
	switch f {
	case tooSlow:
		refuse(ctx, fasthttp.StatusGatewayTimeout, "the application did not answer in time")
	case clientGone:
		refuse(ctx, fasthttp.StatusRequestTimeout, "the request's body did not arrive")
		ctx.SetConnectionClose()
		return
	case badBody:
		refuse(ctx, fasthttp.StatusBadRequest, "the request's body is not well-formed")
		ctx.SetConnectionClose()
		return
	case bodyTooLarge:
		refuse(ctx, fasthttp.StatusRequestEntityTooLarge, "the request's body is too large")
		ctx.SetConnectionClose()
		return
	case noConnection:
		refuse(ctx, fasthttp.StatusBadGateway, "the application does not accept connections")
	default:
		refuse(ctx, fasthttp.StatusBadGateway, "the application gave no proper answer")
	}
	if p.trouble.allows(time.Now()) {
		p.log.Warn("the application behind the proxy is in trouble", "upstream", p.cfg.Upstream, "failure", f.reason(), "error", err)
	}
}
