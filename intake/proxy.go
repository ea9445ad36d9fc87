package intake

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Proxy stands in front of an application and forwards every request to it, byte for byte but for what a proxy must
// change: fields meant for one hop are removed both ways, and the peer is appended to X-Forwarded-For. It judges each
// request by the way, and refuses one only where it is a current hit and the Snapshot says to block those.
//
// It tells a client that expects it to continue (Expect: 100-continue) itself, once the application has accepted the
// connection; all other interim answers are the application's.
type Proxy struct {
	server
	cfg       ProxyConfig
	judge     *Judge
	upstream  *upstream
	exchanges sync.Pool // of *exchange
	failures  [numFailures]counter
	retries   counter
	tunnels   atomic.Int64
	trouble   throttle
}

// NewProxy makes a Proxy. It neither listens nor connects: Serve and the first request do. It fails where the file of
// proxy.upstream-ca cannot be used.
func NewProxy(cfg ProxyConfig, j *Judge, reg prometheus.Registerer, log *slog.Logger) (*Proxy, error) {
	up, err := newUpstream(cfg)
	if err != nil {
		return nil, err
	}
	p := &Proxy{cfg: cfg, judge: j, upstream: up}
	p.exchanges.New = func() any { return &exchange{proxy: p} }
	p.cut = up.cut
	p.prepare("proxy", cfg.MaxConnections, cfg.IdleTimeout, p.forward, p.refuseFault, reg, log)
	for f := none + 1; f < numFailures; f++ {
		reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "referee_proxy_failures_total", ConstLabels: prometheus.Labels{"reason": f.reason()},
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
		}, func() float64 { return float64(p.tunnels.Load()) }),
	)
	return p, nil
}

// Shutdown is server.Shutdown, and closes the connections to the application: where ctx ends first, those too that an answer
// is waited for on.
func (p *Proxy) Shutdown(ctx context.Context) error {
	err := p.server.Shutdown(ctx)
	p.upstream.close()
	return err
}

// refuseFault answers what is no proper request, or what the proxy panicked over.
func (p *Proxy) refuseFault(r *request, f *fault) {
	if f == &errPanic {
		r.keep = false
		r.say("502 Bad Gateway", "the proxy failed")
		return
	}
	r.say(statusLine(f.status), f.err.Error())
}

// refuses has the request judged. Whatever panics on the way is counted, and the request goes on.
func (p *Proxy) refuses(r *request) (refuse bool) {
	defer func() {
		if broken := recover(); broken != nil {
			p.panicked(broken)
			refuse = false
		}
	}()
	q := r.asked(p.judge, r.conn.peer)
	q.Path = r.target
	return p.judge.Judge(ViaProxy, q).Block
}

// forward forwards one request.
func (p *Proxy) forward(r *request) {
	if p.refuses(r) {
		r.say("403 Forbidden", "refused")
		return
	}
	if string(r.method) == "CONNECT" {
		r.say("405 Method Not Allowed", "this is no forward proxy")
		return
	}
	x := p.exchanges.Get().(*exchange)
	x.request = r
	done := false
	defer func() {
		if !done && x.up != nil { // a panic: x is lost to the pool, the connection must not be lost to everybody
			x.up.end()
		}
	}()
	p.exchange(x)
	done = true
	x.done()
}

func (p *Proxy) exchange(x *exchange) {
	if p.cfg.MaxBody > 0 && x.body.length > p.cfg.MaxBody {
		p.fail(x, bodyTooLarge, nil)
		return
	}
	x.prepare()
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
		x.up = conn
		f, err := x.roundTrip()
		if f == none {
			return
		}
		conn.end()
		x.up = nil
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
	clientLeft           // the client does not take an interim answer
	badBody              // the client's body is not well-formed
	bodyTooLarge
	numFailures
)

func (f failure) reason() string {
	return [numFailures]string{
		"none", "connect", "no-answer", "timeout", "bad-answer", "client-gone", "client-left", "bad-body", "body-too-large",
	}[f]
}

// fail answers in place of the application.
func (p *Proxy) fail(x *exchange, f failure, err error) {
	p.failures[f].Add(1)
	switch f {
	case clientGone, clientLeft, badBody, bodyTooLarge:
		x.keep = false
	}
	switch f {
	case tooSlow:
		x.say("504 Gateway Timeout", "the application did not answer in time")
	case clientLeft:
		x.cut = true
		return
	case clientGone:
		x.say("408 Request Timeout", "the request's body did not arrive")
		return
	case badBody:
		x.say("400 Bad Request", "the request's body is not well-formed")
		return
	case bodyTooLarge:
		x.say("413 Content Too Large", "the request's body is too large")
		return
	case noConnection:
		x.say("502 Bad Gateway", "the application does not accept connections")
	default:
		x.say("502 Bad Gateway", "the application gave no proper answer")
	}
	if p.upstream.ctx.Err() == nil && p.trouble.allows(time.Now()) {
		p.log.Warn("the application behind the proxy is in trouble", "upstream", p.cfg.Upstream, "failure", f.reason(), "error", err)
	}
}
