//go:build unix

package intake

import (
	"errors"
	"net"
	"syscall"
)

// rawOf finds the descriptor of what has one; else it is nil.
func rawOf(conn net.Conn) (raw syscall.RawConn) {
	if c, ok := conn.(syscall.Conn); ok {
		raw, _ = c.SyscallConn()
	}
	return raw
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
