package intake

import (
	"bufio"
	"context"
	"net"
	"strings"
	"sync"
	"time"
)

// An ALB passes response headers of up to 32 KiB in all (AWS: Application Load Balancer quotas, HTTP headers).
const maxResponseHead = 32 << 10

// upstream keeps connections to the application. The one used last is taken first, so that a quiet hour closes the rest.
//
// It is not fasthttp.HostClient, which rewrites heads, gives up on an answer when the application stops reading the
// request, sends again what may have arrived, has one time limit for an answer however long its stream, and whose
// connections cannot be kept by others (their type has no name).
type upstream struct {
	network, addr string
	dialer        net.Dialer
	dog           *watchdog
	keep          time.Duration // how long an idle connection is kept

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

func newUpstream(cfg ProxyConfig) *upstream {
	u := &upstream{
		network: "tcp", addr: cfg.Upstream, dialer: net.Dialer{Timeout: cfg.ConnectTimeout}, keep: cfg.UpstreamIdle,
		dog: newWatchdog(min(cfg.ResponseTimeout, cfg.StreamTimeout)),
	}
	if path, isUnix := strings.CutPrefix(cfg.Upstream, "unix:"); isUnix {
		u.network, u.addr = "unix", path
	}
	return u
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
	conn, err := u.dialer.DialContext(context.Background(), u.network, u.addr)
	if err != nil {
		return nil, err
	}
	w := u.dog.watch(conn)
	return &upstreamConn{watched: w, br: bufio.NewReaderSize(w, maxResponseHead)}, nil
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

// close closes the idle connections, and those in use when they come back.
func (u *upstream) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = true
	u.closeIdle(len(u.idle))
	if u.reaper != nil {
		u.reaper.Stop()
		u.reaper = nil
	}
	u.dog.lookNow()
}
