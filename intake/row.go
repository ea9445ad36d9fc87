package intake

import (
	"errors"
	"io"
	"os"
	"syscall"
	"time"
)

// socket is what a caller's buffer is filled from: its connection, or within a row the descriptor itself.
type socket struct {
	*watched
	raw  syscall.RawConn // nil where nothing is known of the descriptor
	fd   int             // within a row; else -1
	more bool            // there may be more to read now
}

func newSocket(w *watched) *socket { return &socket{watched: w, raw: rawOf(w.Conn), fd: -1} }

func (s *socket) Read(p []byte) (int, error) {
	if s.fd < 0 {
		return s.watched.Read(p)
	}
	n, err := readNow(s.fd, p)
	switch {
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	}
	s.more = n == len(p)
	return n, nil
}

// errDrained is what readNow returns of a socket that holds nothing.
var errDrained = errors.New("there is nothing to read now")

// rowPause is how long after one another the requests of a row may come, and two ticks of the watchdog more.
const rowPause = time.Second

// row answers the plain requests that follow soon after one which did, and reports whether the connection goes on.
//
// A client that waits for its answer before it asks again has sent nothing yet when it was answered. The net package, which reads before
// it waits, makes a system call then that finds nothing, the third beside a read and a write. Within one call of RawConn.Read there is no
// need to: what arrives between two waits is kept in mind (docs/performance.md has what that saves). But a client that ends its
// side together with its last request does so once: after a pause the connection waits in the usual way again, which finds that out.
func (a *API) row(c *caller) bool {
	s, now, soon := c.socket, a.dog.now.Load(), c.soon
	if c.soon = now + int64(rowPause); s.raw == nil || now > soon {
		return true
	}
	ended := false
	err := s.raw.Read(func(fd uintptr) (leave bool) {
		s.fd, s.more = int(fd), true
		defer func() { s.fd = -1 }()
		s.idle.Store(false)
		s.readWithin(a.head)
		for c.br.Buffered() > 0 || s.more {
			_, err := c.br.Peek(1)
			if errors.Is(err, errDrained) {
				break
			}
			if ended = err != nil; ended || !a.plain(c) {
				return true
			}
		}
		s.writeWithin(0)
		s.readWithin(rowPause)
		s.idle.Store(true)
		return a.stopping.Load()
	})
	if a.stopping.Load() || s.read.Load() == passed {
		s.renew() // a request that was left may go on
		return !ended && (err == nil || errors.Is(err, os.ErrDeadlineExceeded))
	}
	return !ended && err == nil
}
