//go:build unix

package intake

import (
	"errors"
	"syscall"
)

// newSocket finds the descriptor of what has one.
func newSocket(w *watched) *socket {
	s := &socket{watched: w, fd: -1}
	if c, ok := w.Conn.(syscall.Conn); ok {
		s.raw, _ = c.SyscallConn()
	}
	return s
}

// readNow reads what there is, and waits for nothing.
func readNow(fd int, p []byte) (int, error) {
	for {
		n, err := syscall.Read(fd, p)
		switch {
		case err == nil:
			return n, nil
		case errors.Is(err, syscall.EAGAIN):
			return 0, errDrained
		case !errors.Is(err, syscall.EINTR):
			return 0, err
		}
	}
}
