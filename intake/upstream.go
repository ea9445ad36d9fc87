package intake

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

// An ALB passes response headers of up to 32 KiB in all (AWS: Application Load Balancer quotas, HTTP headers).
const maxResponseHead = 32 << 10

// upstream keeps connections to the application. The one used last is taken first, so that a quiet hour closes the rest.
//
// It is no library's client: those rewrite heads, give up on an answer when the application stops reading the request, send
// again what may have arrived, or have one time limit for an answer however long its stream (docs/adr/0008).
type upstream struct {
	network, addr string
	dialer        net.Dialer
	tls           *tls.Config // nil: none
	dog           *watchdog
	keep          time.Duration // how long an idle connection is kept
	ctx           context.Context
	cancel        context.CancelFunc // when nobody may wait for the application any more

	mu     sync.Mutex
	idle   []*upstreamConn // by the time they came back
	reaper *time.Timer     // runs while there are idle connections
	closed bool
}

type upstreamConn struct {
	*watched
	br     *bufio.Reader
	since  time.Time // idle since then
	reused bool
}

func newUpstream(cfg ProxyConfig) (*upstream, error) {
	u := &upstream{
		network: "tcp", addr: cfg.Upstream, dialer: net.Dialer{Timeout: cfg.ConnectTimeout}, keep: cfg.UpstreamIdle,
		dog: newWatchdog(min(cfg.ResponseTimeout, cfg.StreamTimeout)),
	}
	u.ctx, u.cancel = context.WithCancel(context.Background())
	if path, isUnix := strings.CutPrefix(cfg.Upstream, "unix:"); isUnix {
		u.network, u.addr = "unix", path
	} else if addr, isTLS := strings.CutPrefix(cfg.Upstream, "https://"); isTLS {
		hostname, _, _ := net.SplitHostPort(addr)
		u.addr = addr
		u.tls = &tls.Config{
			MinVersion: tls.VersionTLS12, ServerName: cmp.Or(cfg.UpstreamName, hostname),
			NextProtos: []string{"http/1.1"},
		}
		if cfg.UpstreamCA != "" {
			pem, err := os.ReadFile(cfg.UpstreamCA)
			if err != nil {
				return nil, fmt.Errorf("proxy.upstream-ca: %w", err)
			}
			if u.tls.RootCAs = x509.NewCertPool(); !u.tls.RootCAs.AppendCertsFromPEM(pem) {
				return nil, fmt.Errorf("proxy.upstream-ca: %s holds no certificate in PEM", cfg.UpstreamCA)
			}
		}
	}
	return u, nil
}

// dial makes a connection, TLS and all, within connect-timeout.
func (u *upstream) dial() (net.Conn, error) {
	ctx, cancel := context.WithTimeout(u.ctx, u.dialer.Timeout)
	defer cancel()
	conn, err := u.dialer.DialContext(ctx, u.network, u.addr)
	if err != nil || u.tls == nil {
		return conn, err
	}
	secured := tls.Client(conn, u.tls)
	if err := secured.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("TLS with %s: %w", u.addr, err)
	}
	return secured, nil
}

// get returns an idle connection, or a new one where there is none. Fresh: a new one in any case, and the idle ones are
// closed, because one of them turned out to be dead and the others are as old.
func (u *upstream) get(fresh bool) (*upstreamConn, error) {
	u.mu.Lock()
	if fresh {
		u.closeIdle(len(u.idle))
	}
	for n := len(u.idle); n > 0; n-- {
		c := u.idle[n-1]
		u.idle[n-1] = nil
		u.idle = u.idle[:n-1]
		if time.Since(c.since) < u.keep {
			u.mu.Unlock()
			c.reused = true
			return c, nil
		}
		c.end()
	}
	u.mu.Unlock()
	conn, err := u.dial()
	if err != nil {
		return nil, err
	}
	w := u.dog.watch(conn)
	if err := u.ctx.Err(); err != nil { // cut may have come before it was watched
		w.end()
		return nil, err
	}
	return &upstreamConn{watched: w, br: bufio.NewReaderSize(w, maxResponseHead)}, nil
}

// alive reports whether a connection that was idle can still be written to, as far as that can be known. A peer that closed it has sent an
// end of file, which one read without waiting finds (as database drivers do: go-sql-driver/mysql, connCheck). It costs a system
// call, so it is asked only before a request that must not be sent twice.
func (c *upstreamConn) alive() bool {
	if c.br.Buffered() > 0 {
		return false
	}
	conn := c.Conn
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn() // whatever it says now, be it an alert, makes the connection one that is not kept
	}
	raw := rawOf(conn)
	if raw == nil {
		return true
	}
	waiting := false
	err := raw.Read(func(fd uintptr) bool {
		var b [1]byte
		_, err := readNow(int(fd), b[:])
		waiting = errors.Is(err, errDrained)
		return true
	})
	return waiting && err == nil
}

// put takes a connection back whose last answer was read to its end.
func (u *upstream) put(c *upstreamConn) {
	c.readWithin(0)
	c.writeWithin(0)
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed || c.spent() || c.br.Buffered() > 0 { // an answer that nobody asked for
		c.end()
		return
	}
	c.since = time.Now()
	u.idle = append(u.idle, c)
	if u.reaper == nil {
		u.reaper = time.AfterFunc(u.keep, u.reap)
	}
}

// reap closes what has been idle for too long.
func (u *upstream) reap() {
	u.mu.Lock()
	defer u.mu.Unlock()
	old := 0
	for old < len(u.idle) && time.Since(u.idle[old].since) >= u.keep {
		old++
	}
	u.closeIdle(old)
	if len(u.idle) == 0 {
		u.reaper = nil
		return
	}
	u.reaper.Reset(u.keep - time.Since(u.idle[0].since))
}

// closeIdle closes the n connections that have been idle longest. u.mu is held.
func (u *upstream) closeIdle(n int) {
	for _, c := range u.idle[:n] {
		c.end()
	}
	rest := copy(u.idle, u.idle[n:])
	clear(u.idle[rest:])
	u.idle = u.idle[:rest]
}

// cut ends all that waits for the application, and has nothing wait for it from now on.
func (u *upstream) cut() {
	u.cancel()
	u.dog.closeAll()
}

// close closes the idle connections, and those in use when they come back.
func (u *upstream) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = true
	u.cancel()
	u.closeIdle(len(u.idle))
	if u.reaper != nil {
		u.reaper.Stop()
		u.reaper = nil
	}
	u.dog.lookNow()
}
