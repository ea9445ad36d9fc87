package intake

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/netip"
	"time"
)

// conn is a client's connection.
type conn struct {
	*watched
	server *server
	br     *bufio.Reader
	usual  *bufio.Reader // br, but for a connection whose last head was larger than usual
	ahead  ahead         // what br reads from then
	peer   netip.Addr
	local  bool // it came over a Unix socket: whoever is behind that has no address
}

func newConn(s *server, w *watched) *conn {
	c := &conn{watched: w, server: s, usual: bufio.NewReaderSize(w, usualHead), peer: peerAddr(w.RemoteAddr())}
	c.br = c.usual
	_, c.local = w.RemoteAddr().(*net.UnixAddr)
	return c
}

// serve answers requests until one side wants no more.
func (c *conn) serve() {
	defer c.shrink()
	within := c.server.head // a client that has just connected has something to say
	for c.await(within) {
		r := c.server.requests.Get().(*request)
		keep := c.next(r)
		r.reset(nil)
		c.server.requests.Put(r)
		if !keep {
			return
		}
		within = c.server.idle
	}
}

// await waits for the next request, with as little in hand as that takes.
func (c *conn) await(within time.Duration) bool {
	if c.br.Buffered() == 0 {
		c.shrink()
	}
	return c.server.await(c.watched, c.br, within)
}

// shrink gives back what a large head was read with.
func (c *conn) shrink() {
	if c.br == c.usual {
		return
	}
	c.br.Reset(nil)
	c.server.large.Put(c.br)
	c.usual.Reset(c.watched)
	c.br, c.ahead = c.usual, ahead{}
}

// next reads one request, has it answered, and reports whether another may follow on the connection.
func (c *conn) next(r *request) bool {
	r.reset(c)
	f := c.read(r)
	if f == nil {
		f = c.handle(r)
	} else {
		c.server.bad.Add(1)
	}
	switch {
	case f == nil:
	case r.answered: // it panicked in the middle of its answer
		r.keep, r.cut = false, true
	default:
		r.keep = r.keep && f == &errPanic // a well-formed request, behind which the next one is found
		c.server.refuse(r, f)
	}
	if !r.keep {
		if r.answered && !r.cut && (f != nil || !r.body.ended) {
			linger(c.watched, c.br)
		}
		return false
	}
	return r.body.discard()
}

// handle calls the handler, and returns what there is to say in its place where it panicked.
func (c *conn) handle(r *request) (f *fault) {
	defer func() {
		if p := recover(); p != nil {
			c.server.panicked(p)
			f = &errPanic
		}
	}()
	c.readWithin(0) // a body has limits of its own, and who waits for an application reads nothing
	c.server.handle(r)
	return nil
}

// read reads a request's head.
func (c *conn) read(r *request) *fault {
	// RFC 9112 section 2.2: an empty line before a request, which some clients send after a body.
	if b, err := c.br.Peek(2); err == nil && b[0] == '\r' && b[1] == '\n' {
		_, _ = c.br.Discard(2)
	}
	block, err := readHead(c.br)
	if errors.Is(err, errHeadTooLong) && c.br == c.usual {
		c.enlarge()
		block, err = readHead(c.br)
	}
	switch {
	case errors.Is(err, errHeadTooLong):
		_ = r.readLine(firstLine(c.br))
		return &errLargeHead
	case errors.Is(err, errLineEnd):
		_ = r.readLine(firstLine(c.br))
		return &fault{400, errLineEnd}
	case err != nil:
		_ = r.readLine(firstLine(c.br))
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			return &errSlowHead
		}
		r.answered = true // by nothing: the client has left in the middle of a head
		return &fault{400, err}
	}
	err = r.parse(block)
	_, _ = c.br.Discard(len(block)) // its bytes stay where they are until more is read
	if err != nil {
		return &fault{400, err}
	}
	return nil
}

// enlarge moves to a reader that holds the largest of heads, for as long as there is something in it.
func (c *conn) enlarge() {
	begun, _ := c.usual.Peek(c.usual.Buffered())
	c.ahead = ahead{begun, c.watched}
	c.br = c.server.large.Get().(*bufio.Reader)
	c.br.Reset(&c.ahead)
}

// ahead is a connection, some of which was read already.
type ahead struct {
	bytes []byte
	rest  io.Reader
}

func (a *ahead) Read(p []byte) (int, error) {
	if len(a.bytes) > 0 {
		n := copy(p, a.bytes)
		a.bytes = a.bytes[n:]
		return n, nil
	}
	return a.rest.Read(p)
}

// write sends all of b.
func (c *conn) write(b []byte) error {
	c.writeWithin(writeTimeout)
	_, err := c.Write(b)
	return err
}
