package intake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"
)

const (
	// An ALB passes request headers of up to 64 KiB in all (AWS: Application Load Balancer quotas, HTTP headers).
	maxRequestHead = 64 << 10
	// Whoever takes longer than this for a request's head is cut off: nobody's browser does, slowloris must.
	headTimeout = 10 * time.Second
	// How long one write of an answer may take.
	writeTimeout = 60 * time.Second
	// ALB's idle timeout is 60 s and nginx keeps upstream connections for as long: whoever sends has to be the first to
	// close, or its next request meets a closed connection.
	idleTimeout = 75 * time.Second
)

// server is what the API and the proxy share: a fasthttp.Server with everything that is wrong for a proxy in its defaults
// set right, that can be drained and shut down.
type server struct {
	name     string // "api" or "proxy": a metric label
	http     fasthttp.Server
	head     time.Duration // headTimeout
	idle     time.Duration
	dog      *watchdog
	log      *slog.Logger
	panics   counter
	bad      counter
	throttle throttle
	draining atomic.Bool

	mu      sync.Mutex
	stopped bool
	ln      net.Listener
}

// prepare makes s ready to serve handle, which may panic: the request is then answered by broken.
func (s *server) prepare(name string, maxConnections int, idle time.Duration, handle, broken fasthttp.RequestHandler,
	reg prometheus.Registerer, log *slog.Logger,
) {
	s.name, s.log, s.head, s.idle = name, log, headTimeout, idle
	s.dog = newWatchdog(min(headTimeout, writeTimeout, idle))
	s.http = fasthttp.Server{
		Handler: func(ctx *fasthttp.RequestCtx) {
			defer s.recover(ctx, broken)
			handle(ctx)
			if s.draining.Load() {
				ctx.SetConnectionClose()
			}
			s.answering(ctx)
		},
		ErrorHandler: s.badRequest,
		ConnState:    s.connState,
		Logger:       quiet{log},

		Concurrency:    maxConnections,
		ReadBufferSize: maxRequestHead,
		// Without ReadTimeout, WriteTimeout and IdleTimeout: the watchdog has them.

		// A body is read by whoever wants it, after the head was judged. In this mode MaxRequestBodySize is no limit but
		// how much of the body is waited for before the handler runs: nothing, as near as fasthttp has it.
		StreamRequestBody:            true,
		MaxRequestBodySize:           1,
		DisablePreParseMultipartForm: true,

		NoDefaultServerHeader: true,
		NoDefaultDate:         true,
		NoDefaultContentType:  true,
		CloseOnShutdown:       true,
		SecureErrorLogMessage: true, // requests stay out of the log
	}
	labels := prometheus.Labels{"listener": name}
	reg.MustRegister(
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "referee_handler_panics_total", ConstLabels: labels,
			Help: "Panics recovered at the edge of a listener; the connection went on.",
		}, func() float64 { return float64(s.panics.Load()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "referee_bad_requests_total", ConstLabels: labels,
			Help: "Requests refused because they are no proper HTTP/1.1, too large or too slow.",
		}, func() float64 { return float64(s.bad.Load()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "referee_rejected_connections_total", ConstLabels: labels,
			Help: "Connections refused because max-connections were open.",
		}, func() float64 { return float64(s.http.GetRejectedConnectionsCount()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "referee_open_connections", ConstLabels: labels,
			Help: "Client connections open now.",
		}, func() float64 { return float64(s.dog.len()) }),
	)
}

// Serve accepts connections from ln until Shutdown, and closes it. It returns nil after a Shutdown.
func (s *server) Serve(ln net.Listener) error {
	s.mu.Lock()
	if s.stopped {
		s.mu.Unlock()
		return ln.Close()
	}
	s.ln = ln
	s.mu.Unlock()
	if err := s.http.Serve(watchedListener{ln, s.dog, s.head}); err != nil {
		return fmt.Errorf("%s: serving %s: %w", s.name, ln.Addr(), err)
	}
	return nil
}

// Drain asks clients to leave: from now on every answer carries Connection: close, so that a load balancer's kept
// connections empty themselves before Shutdown closes them. New connections are still served.
func (s *server) Drain() { s.draining.Store(true) }

// Shutdown stops accepting, lets requests in flight finish with Connection: close, and closes idle connections. When ctx
// ends before they have finished, the rest is cut off and an error says how many.
func (s *server) Shutdown(ctx context.Context) error {
	s.Drain()
	s.mu.Lock()
	s.stopped = true
	ln := s.ln
	s.mu.Unlock()
	defer s.dog.lookNow()
	err := s.http.ShutdownWithContext(ctx)
	if ln != nil {
		ln.Close() // fasthttp does not know it yet where Serve has only just begun
	}
	if err == nil || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return fmt.Errorf("%s: %d connections cut off that had not finished: %w", s.name, s.dog.closeAll(), err)
}

// connState sets the limit of what a client does next.
func (s *server) connState(c net.Conn, state fasthttp.ConnState) {
	switch w := c.(*watched); state {
	case fasthttp.StateActive: // the first byte of a request is here
		w.readWithin(s.head)
	case fasthttp.StateIdle:
		w.writeWithin(0)
		w.readWithin(s.idle)
	}
}

// answering sets the limits of writing an answer, and of reading what is left of the request before the next one. A
// streamed answer sets its own.
func (s *server) answering(ctx *fasthttp.RequestCtx) {
	if w, ok := ctx.Conn().(*watched); ok && !ctx.Hijacked() {
		w.writeWithin(writeTimeout)
		if !ctx.Response.IsBodyStream() {
			w.readWithin(s.head)
		}
	}
}

// recover is deferred around every handler: fasthttp has no such thing, and a panic would end the process.
func (s *server) recover(ctx *fasthttp.RequestCtx, broken fasthttp.RequestHandler) {
	p := recover()
	if p == nil {
		return
	}
	s.panics.Add(1)
	if s.throttle.allows(time.Now()) {
		s.log.Error("recovered from a panic in a handler", "listener", s.name, "panic", p, "stack", string(debug.Stack()))
	}
	broken(ctx)
	s.answering(ctx)
}

// badRequest answers what could not be read as a request; fasthttp closes the connection after it.
func (s *server) badRequest(ctx *fasthttp.RequestCtx, err error) {
	s.bad.Add(1)
	s.answering(ctx)
	var tooLarge *fasthttp.ErrSmallBuffer
	var timeout net.Error
	switch {
	case errors.As(err, &tooLarge):
		refuse(ctx, fasthttp.StatusRequestHeaderFieldsTooLarge, "the request's header is over 64 KiB")
	case errors.As(err, &timeout) && timeout.Timeout():
		refuse(ctx, fasthttp.StatusRequestTimeout, "the request took too long to arrive")
	default:
		refuse(ctx, fasthttp.StatusBadRequest, "this is not a well-formed HTTP/1.1 request")
	}
}

// refuse answers with a status and one line of our own: nothing that the client sent.
func refuse(ctx *fasthttp.RequestCtx, status int, why string) {
	ctx.Response.Reset()
	ctx.Response.Header.SetNoDefaultContentType(true)
	ctx.SetStatusCode(status)
	ctx.SetContentType("text/plain; charset=utf-8")
	ctx.SetBodyString(why)
	ctx.Response.AppendBodyString("\n")
}

// quiet is fasthttp's log: trouble of single connections, which is the clients' own.
type quiet struct{ log *slog.Logger }

func (q quiet) Printf(format string, args ...any) {
	if q.log.Enabled(context.Background(), slog.LevelDebug) {
		q.log.Debug("fasthttp", "message", fmt.Sprintf(format, args...))
	}
}
