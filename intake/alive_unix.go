//go:build unix

package intake

import (
	"crypto/tls"
	"syscall"
)

// alive reports whether a connection that was idle can still be written to. A peer that closed it has sent an end of file,
// which one read without waiting finds (as database drivers do: go-sql-driver/mysql, connCheck). It costs a system call,
// so it is asked only before a request that must not be sent twice.
func (c *upstreamConn) alive() bool {
	if c.br.Buffered() > 0 {
		return false
	}
	conn := c.Conn
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn() // whatever it says now, be it an alert, makes the connection one that is not kept
	}
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	waiting := false
	if err := raw.Read(func(fd uintptr) bool {
		var b [1]byte
		_, err := syscall.Read(int(fd), b[:])
		waiting = err == syscall.EAGAIN
		return true
	}); err != nil {
		return false
	}
	return waiting
}
