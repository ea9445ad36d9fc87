package intake

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/valyala/fasthttp"
)

// caller is a connection to the API as fasthttp gets it: lent for the requests that are there. Where fasthttp would wait for the
// next one it is told that the connection has ended, so that it gives its buffers back: 64 KiB, which the largest of heads
// take. The connection goes on to wait with its own 4 KiB.
type caller struct {
	*socket
	br   *bufio.Reader
	peer netip.Addr

	soon int64 // up to when a request follows soon after the last one, on the watchdog's clock

	between bool // fasthttp waits for the first byte of a request
	kept    bool // fasthttp gave the connection back, good for another request
	unread  bool // when it ends the client may still be sending

	advance bool // the next byte to be read is one that nobody sent
	owed    bool // one was: the client's first is dropped in its place

	// What the request that is being read begins with: fasthttp forgets all of a head in which something is wrong.
	begins [64]byte
	begun  int
}

func newCaller(w *watched) *caller {
	s := newSocket(w)
	return &caller{socket: s, br: bufio.NewReaderSize(s, usualHead), peer: peerAddr(w.RemoteAddr())}
}

// answer has the requests answered that are there, and those whose beginning is.
func (c *caller) answer(s *fasthttp.Server) {
	c.between, c.kept, c.begun = true, false, 0
	_ = s.ServeConn(c) // it has answered what is an error here
}

// turn is told by fasthttp what it does next with a connection.
func (a *API) turn(conn net.Conn, state fasthttp.ConnState) {
	c := conn.(*caller)
	switch state {
	case fasthttp.StateActive: // the first byte of a request is here
		c.between = false
		c.readWithin(a.head)
	case fasthttp.StateIdle:
		c.between, c.begun = true, 0
	}
}

func (c *caller) Read(p []byte) (int, error) {
	switch {
	case c.advance:
		c.advance, c.owed = false, true
		p[0] = 0
		return 1, nil
	case c.between && c.br.Buffered() == 0:
		c.kept = true
		return 0, io.EOF
	case c.between:
		b, _ := c.br.Peek(min(c.br.Buffered(), len(c.begins)))
		c.begun = copy(c.begins[:], b)
	}
	if c.owed {
		if _, err := c.br.Discard(1); err != nil {
			return 0, err
		}
		c.owed = false
	}
	return c.br.Read(p)
}

func (c *caller) Write(p []byte) (int, error) {
	c.writeWithin(writeTimeout)
	return c.watched.Write(p)
}

// SetReadDeadline is how fasthttp says that the next bytes are those of a body that API.announced does not want to wait for. It
// waits for the first of them nonetheless before it calls the handler, and so it gets one.
func (c *caller) SetReadDeadline(time.Time) error {
	c.advance = true
	return nil
}

// Close does nothing: the connection may outlive a ServeConn, and whoever accepted it closes it.
func (c *caller) Close() error { return nil }

// target is that of the request which is being read, or its beginning; empty where it cannot be told.
func (c *caller) target() []byte {
	_, rest, _ := bytes.Cut(c.begins[:c.begun], []byte(" "))
	target, _, _ := bytes.Cut(rest, []byte(" "))
	if target = pathOf(target); len(target) == 0 || target[0] != '/' {
		return nil
	}
	return target
}
