package intake

import (
	"bufio"
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
)

const (
	// An ALB passes request headers of up to 64 KiB in all (AWS: Application Load Balancer quotas, HTTP headers).
	maxRequestHead = 64 << 10
	// What most heads fit into; a connection holds as much while it is idle.
	usualHead = 4 << 10
	// Whoever takes longer than this for a request's head is cut off: nobody's browser does, slowloris must.
	headTimeout = 10 * time.Second
	// How long one write of an answer may take.
	writeTimeout = 60 * time.Second
	// ALB's idle timeout is 60 s and nginx keeps upstream connections for as long: whoever sends has to be the first to
	// close, or its next request meets a closed connection.
	idleTimeout = 75 * time.Second
)

// server serves HTTP/1.1 on a listener, for the API and for the proxy. It has what a library's server could not give: it
// hands on heads byte for byte, refuses what can be read in two ways, waits for no body that nobody asked for, and holds 4 KiB
// for an idle connection (docs/adr/0012).
type server struct {
	name string // "api", "observe" or "proxy": a metric label
	max  int    // connections at a time
	head time.Duration
	body time.Duration // bodyTimeout
	idle time.Duration
	dog  *watchdog
	log  *slog.Logger

	handle func(*request)             // answers a request
	refuse func(r *request, e *fault) // answers what is no proper request, or what handle panicked over

	panics   counter
	bad      counter
	rejected counter
	throttle throttle
	draining atomic.Bool
	stopping atomic.Bool

	requests sync.Pool // of *request
	large    sync.Pool // of *bufio.Reader for heads beyond the usual

	conns sync.WaitGroup
	mu    sync.Mutex
	ln    net.Listener
}

// prepare makes s ready to serve. handle may panic: then the request is answered by refuse.
func (s *server) prepare(name string, maxConnections int, idle time.Duration, handle func(*request), refuse func(*request, *fault),
	reg prometheus.Registerer, log *slog.Logger,
) {
	s.name, s.max, s.log, s.head, s.body, s.idle = name, maxConnections, log, headTimeout, bodyTimeout, idle
	s.handle, s.refuse = handle, refuse
	s.dog = newWatchdog(min(headTimeout, writeTimeout, idle))
	s.requests.New = func() any { return new(request) }
	s.large.New = func() any { return bufio.NewReaderSize(nil, maxRequestHead) }
	labels := prometheus.Labels{"listener": name}
	counted := func(name, help string, c *counter) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels},
			func() float64 { return float64(c.Load()) })
	}
	reg.MustRegister(
		counted("referee_handler_panics_total", "Panics recovered at the edge of a listener; the process went on.", &s.panics),
		counted("referee_bad_requests_total", "Requests that are no proper HTTP/1.1, too large or too slow.", &s.bad),
		counted("referee_rejected_connections_total", "Connections refused because max-connections were open.", &s.rejected),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "referee_open_connections", ConstLabels: labels,
			Help: "Client connections open now.",
		}, func() float64 { return float64(s.dog.len()) }),
	)
}

// Serve accepts connections from ln until Shutdown, and closes it. It returns nil after a Shutdown.
func (s *server) Serve(ln net.Listener) error {
	s.mu.Lock()
	if s.stopping.Load() {
		s.mu.Unlock()
		return ln.Close()
	}
	s.ln = ln
	s.conns.Add(1) // so that Shutdown waits for whom this accepts
	s.mu.Unlock()
	defer s.conns.Done()
	defer ln.Close()
	pause := time.Duration(0)
	for {
		c, err := ln.Accept()
		switch {
		case err == nil:
			pause = 0
			s.accept(c)
		case s.stopping.Load():
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("%s: serving %s: %w", s.name, ln.Addr(), err)
		default: // out of file descriptors, or a client that left already: it passes
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			if s.throttle.allows(time.Now()) {
				s.log.Error("cannot accept connections now", "listener", s.name, "error", err)
			}
			<-time.After(pause)
		}
	}
}

func (s *server) accept(c net.Conn) {
	if s.dog.len() >= s.max {
		s.rejected.Add(1)
		// It fits into the socket's buffer, so that nobody waits for it.
		_, _ = c.Write([]byte("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
		c.Close()
		return
	}
	conn := newConn(s, s.dog.watch(c))
	s.conns.Go(conn.serve)
}

// Drain asks clients to leave: from now on every answer carries Connection: close, so that a load balancer's kept
// connections empty themselves before Shutdown closes them. New connections are still served.
func (s *server) Drain() { s.draining.Store(true) }

// Shutdown stops accepting, lets requests in flight finish with Connection: close, and closes idle connections. When ctx
// ends before they have finished, the rest is cut off and an error says how many.
func (s *server) Shutdown(ctx context.Context) error {
	s.Drain()
	s.mu.Lock()
	s.stopping.Store(true)
	if s.ln != nil {
		s.ln.Close()
	}
	s.mu.Unlock()
	s.dog.endIdle()
	defer s.dog.lookNow()
	ended := make(chan struct{})
	go func() { s.conns.Wait(); close(ended) }()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
	}
	n := s.dog.closeAll()
	<-ended // which is soon, as nobody can read or write any more
	if n == 0 {
		return nil
	}
	return fmt.Errorf("%s: %d connections cut off that had not finished: %w", s.name, n, ctx.Err())
}

// panicked counts a panic, and says so now and then: whoever found out how to cause one must not fill the disk too.
func (s *server) panicked(p any) {
	s.panics.Add(1)
	if s.throttle.allows(time.Now()) {
		s.log.Error("recovered from a panic in a handler", "listener", s.name, "panic", p, "stack", string(debug.Stack()))
	}
}
