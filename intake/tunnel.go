package intake

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// tunnels are the exchanges whose client connection was taken from fasthttp: those that speak another protocol since a
// 101, and answers to HTTP/1.0 clients that end with the connection. fasthttp no longer counts these as its own, so they
// are bounded and ended here.
type tunnels struct {
	limit int

	mu     sync.Mutex
	open   map[*tunnel]struct{}
	closed bool
	ended  chan struct{} // closed when the last one is gone, after closed was set
}

type tunnel struct {
	up     *upstreamConn
	client net.Conn // from when it runs
}

// A tunnel's other direction may say its last words for so long after one side has ended.
const lingering = 5 * time.Second

var errTunnels = errors.New("it switched protocols, but max-connections upgraded connections are open, or the proxy is shutting down")

// take has fasthttp hand x's client connection to run, which owns it together with the connection to the application.
func (t *tunnels) take(x *exchange, run func(client net.Conn)) error {
	tn := &tunnel{up: x.conn}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || len(t.open) >= t.limit {
		return errTunnels
	}
	if t.open == nil {
		t.open = map[*tunnel]struct{}{}
	}
	t.open[tn] = struct{}{}
	p := x.proxy
	x.ctx.HijackSetNoResponse(true) // without it fasthttp forgets the hijack where it closes connections
	x.ctx.Hijack(func(client net.Conn) {
		defer t.remove(tn)
		defer func() {
			if broken := recover(); broken != nil {
				p.panics.Add(1)
				p.log.Error("recovered from a panic in a tunnel", "panic", broken)
			}
		}()
		t.mu.Lock()
		tn.client = unwrapped(client) // fasthttp's own does not close before run returns
		t.mu.Unlock()
		run(client)
	})
	return nil
}

func (t *tunnels) remove(tn *tunnel) {
	tn.up.end()
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, tn)
	if t.closed && len(t.open) == 0 {
		close(t.ended)
	}
}

func (t *tunnels) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.open)
}

// shutdown waits until all have ended, and ends them when ctx does.
func (t *tunnels) shutdown(ctx context.Context) {
	t.mu.Lock()
	if t.closed || len(t.open) == 0 {
		t.closed = true
		t.mu.Unlock()
		return
	}
	t.closed, t.ended = true, make(chan struct{})
	t.mu.Unlock()
	select {
	case <-t.ended:
		return
	case <-ctx.Done():
	}
	t.mu.Lock()
	for tn := range t.open {
		tn.up.end()
		if tn.client != nil {
			tn.client.Close()
		}
	}
	t.mu.Unlock()
	<-t.ended
}

// switchProtocols passes on a 101 whose head is the next n bytes, and from then on whatever either side says.
func (x *exchange) switchProtocols(reason []byte, n int) (failure, error) {
	x.writeAnswer(101, reason, []byte("upgrade"))
	if _, err := x.conn.br.Discard(n); err != nil {
		return badAnswer, err
	}
	up, head := x.conn, bytes.Clone(x.out)
	if err := x.proxy.tunnels.take(x, func(client net.Conn) {
		up.readWithin(0)
		up.writeWithin(0)
		if _, err := client.Write(head); err == nil {
			joined(client, up)
		}
	}); err != nil {
		return badAnswer, err
	}
	x.conn = nil
	return none, nil
}

// joined copies both ways until both sides have ended.
func joined(client net.Conn, up *upstreamConn) {
	ended := make(chan struct{}, 2)
	pipe := func(to net.Conn, from io.Reader) {
		_, _ = io.Copy(to, from)
		if c, ok := to.(interface{ CloseWrite() error }); ok {
			_ = c.CloseWrite()
		}
		ended <- struct{}{}
	}
	go pipe(up.Conn, client)
	go pipe(unwrapped(client), up.br)
	<-ended
	end := time.Now().Add(lingering)
	_ = client.SetDeadline(end)
	_ = up.SetDeadline(end)
	<-ended
}

// unwrapped is the connection inside of fasthttp's, which hides CloseWrite and does not close.
func unwrapped(c net.Conn) net.Conn {
	if u, ok := c.(interface{ UnsafeConn() net.Conn }); ok {
		return u.UnsafeConn()
	}
	return c
}

// answerUntilClose answers an HTTP/1.0 client with a body of unknown length, which fasthttp would send in chunks that such
// a client cannot read: the end of the connection is the end of the body. The head is the next n bytes.
func (x *exchange) answerUntilClose(status int, reason []byte, length, n int) (failure, error) {
	x.writeAnswer(status, reason, []byte("close"))
	if _, err := x.conn.br.Discard(n); err != nil {
		return badAnswer, err
	}
	x.decode(length)
	x.keep = false // the tunnel closes the connection
	if err := x.proxy.tunnels.take(x, func(client net.Conn) {
		defer func() { _ = x.CloseWithError(nil) }()
		if _, err := client.Write(x.out); err == nil {
			_, _ = io.Copy(client, struct{ io.Reader }{x})
		}
	}); err != nil {
		x.streaming = false
		return badAnswer, err
	}
	return none, nil
}
