package intake

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
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

// edge is what a listener of the API and one of the proxy have in common, whoever reads their requests: it accepts a bounded
// number of connections, watches their time, counts what goes wrong, drains and shuts down.
type edge struct {
	name  string // "api", "observe" or "proxy": a metric label
	max   int    // connections at a time
	head  time.Duration
	body  time.Duration // bodyTimeout
	idle  time.Duration
	dog   *watchdog
	log   *slog.Logger
	serve func(*watched) // answers requests until one side wants no more
	cut   func()         // ends what serve waits for besides its connection; nil where that is nothing

	panics   counter
	bad      counter
	rejected counter
	throttle throttle
	draining atomic.Bool
	stopping atomic.Bool

	conns sync.WaitGroup
	mu    sync.Mutex
	ln    net.Listener
}

// prepare makes e ready to serve. Where serve panics its connection is lost, and no other.
func (e *edge) prepare(name string, maxConnections int, idle time.Duration, serve func(*watched), reg prometheus.Registerer, log *slog.Logger) {
	e.name, e.max, e.log, e.head, e.body, e.idle, e.serve = name, maxConnections, log, headTimeout, bodyTimeout, idle, serve
	e.dog = newWatchdog(min(headTimeout, writeTimeout, idle))
	labels := prometheus.Labels{"listener": name}
	counted := func(name, help string, c *counter) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels},
			func() float64 { return float64(c.Load()) })
	}
	reg.MustRegister(
		counted("referee_handler_panics_total", "Panics recovered at the edge of a listener; the process went on.", &e.panics),
		counted("referee_bad_requests_total", "Requests that are no proper HTTP/1.1, too large or too slow.", &e.bad),
		counted("referee_rejected_connections_total", "Connections refused because max-connections were open.", &e.rejected),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "referee_open_connections", ConstLabels: labels,
			Help: "Client connections open now.",
		}, func() float64 { return float64(e.dog.len()) }),
	)
}

// Serve accepts connections from ln until Shutdown, and closes it. It returns nil after a Shutdown.
func (e *edge) Serve(ln net.Listener) error {
	e.mu.Lock()
	if e.stopping.Load() {
		e.mu.Unlock()
		return ln.Close()
	}
	e.ln = ln
	e.conns.Add(1) // so that Shutdown waits for whom this accepts
	e.mu.Unlock()
	defer e.conns.Done()
	defer ln.Close()
	pause := time.Duration(0)
	for {
		c, err := ln.Accept()
		switch {
		case err == nil:
			pause = 0
			e.accept(c)
		case e.stopping.Load():
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("%s: serving %s: %w", e.name, ln.Addr(), err)
		default: // out of file descriptors, or a client that left already: it passes
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			if e.throttle.allows(time.Now()) {
				e.log.Error("cannot accept connections now", "listener", e.name, "error", err)
			}
			<-time.After(pause)
		}
	}
}

func (e *edge) accept(c net.Conn) {
	if e.dog.len() >= e.max {
		e.rejected.Add(1)
		// It fits into the socket's buffer, so that nobody waits for it.
		_, _ = c.Write([]byte("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
		c.Close()
		return
	}
	w := e.dog.watch(c)
	e.conns.Go(func() {
		defer func() {
			if p := recover(); p != nil { // outside of any handler: the connection is lost, the process is not
				e.panicked(p)
			}
			w.end()
		}()
		e.serve(w)
	})
}

// await waits for the first byte of a request on w, which br reads. A connection may be closed without a word as long as there
// is none.
func (e *edge) await(w *watched, br *bufio.Reader, within time.Duration) bool {
	if br.Buffered() == 0 {
		w.writeWithin(0)
		w.readWithin(within)
		w.idle.Store(true)
		if e.stopping.Load() {
			return false
		}
		_, err := br.Peek(1)
		w.idle.Store(false)
		if err != nil {
			return false
		}
		if e.stopping.Load() { // it may have been called idle a moment ago
			w.resume()
		}
	}
	w.readWithin(e.head)
	return true
}

const (
	// To close on a client that is still sending resets the connection, and it may lose the answer: so it is listened to
	// for as long, and as much.
	lingerFor  = time.Second
	lingerOver = 1 << 20
)

// linger says that nothing more will be sent over w, and hears for a while what br, which reads it, has still to say.
func linger(w *watched, br *bufio.Reader) {
	if w.CloseWrite() != nil {
		return
	}
	w.readWithin(lingerFor)
	_, _ = io.CopyN(io.Discard, br, lingerOver)
}

// Drain asks clients to leave: from now on every answer carries Connection: close, so that a load balancer's kept
// connections empty themselves before Shutdown closes them. New connections are still served.
func (e *edge) Drain() { e.draining.Store(true) }

// Shutdown stops accepting, lets requests in flight finish with Connection: close, and closes idle connections. When ctx
// ends before they have finished, the rest is cut off and an error says how many.
func (e *edge) Shutdown(ctx context.Context) error {
	e.Drain()
	e.mu.Lock()
	e.stopping.Store(true)
	if e.ln != nil {
		e.ln.Close()
	}
	e.mu.Unlock()
	e.dog.endIdle()
	defer e.dog.lookNow()
	ended := make(chan struct{})
	go func() { e.conns.Wait(); close(ended) }()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
	}
	n := e.dog.closeAll()
	if e.cut != nil {
		e.cut()
	}
	<-ended // which is soon, as nobody can read or write any more
	if n == 0 {
		return nil
	}
	return fmt.Errorf("%s: %d connections cut off that had not finished: %w", e.name, n, ctx.Err())
}

// panicked counts a panic, and says so now and then: whoever found out how to cause one must not fill the disk too.
func (e *edge) panicked(p any) {
	e.panics.Add(1)
	if e.throttle.allows(time.Now()) {
		e.log.Error("recovered from a panic in a handler", "listener", e.name, "panic", p, "stack", string(debug.Stack()))
	}
}
