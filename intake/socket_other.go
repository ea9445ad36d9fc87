//go:build !unix

package intake

import (
	"net"
	"syscall"
)

// rawOf finds no descriptor that could be read from without waiting.
func rawOf(net.Conn) syscall.RawConn { return nil }

func readNow(int, []byte) (int, error) { return 0, errDrained }
