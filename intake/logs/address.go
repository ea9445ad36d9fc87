package logs

import (
	"bytes"
	"net/netip"
	"unsafe"
)

// address reads an address as logs write it: bare, in brackets, or with a port. The zero Addr for all else, names among it.
// It does not allocate.
func address(b []byte) netip.Addr {
	if a, ok := dotted(b); ok {
		return a
	}
	if len(b) < 2 || len(b) > 53 { // "[" + the longest IPv6 text with an IPv4 tail (RFC 4291) + "]:65535"
		return netip.Addr{}
	}
	if b[0] == '[' {
		end := bytes.IndexByte(b, ']')
		if end < 0 {
			return netip.Addr{}
		}
		b = b[1:end]
	} else if colon := bytes.IndexByte(b, ':'); colon >= 0 && bytes.IndexByte(b[colon+1:], ':') < 0 {
		b = b[:colon] // an IPv4 address with a port
	}
	if bytes.IndexByte(b, '%') >= 0 {
		return netip.Addr{} // a zone is known to one machine alone, and parsing it would keep it
	}
	a, err := netip.ParseAddr(unsafe.String(unsafe.SliceData(b), len(b))) // it keeps the text in its error alone
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap()
}

// dotted reads a plain IPv4 address, which most lines begin with, in a third of netip.ParseAddr's time.
func dotted(b []byte) (netip.Addr, bool) {
	if len(b) < 7 || len(b) > 15 {
		return netip.Addr{}, false
	}
	var four [4]byte
	part, digits, n := 0, 0, uint(0)
	for _, c := range b {
		switch d := uint(c - '0'); {
		case d <= 9:
			if digits > 0 && n == 0 { // 010 is read as 8 by some and as 10 by others
				return netip.Addr{}, false
			}
			if n, digits = n*10+d, digits+1; n > 255 {
				return netip.Addr{}, false
			}
		case c == '.' && digits > 0 && part < 3:
			four[part] = byte(n)
			part, digits, n = part+1, 0, 0
		default:
			return netip.Addr{}, false
		}
	}
	if part != 3 || digits == 0 {
		return netip.Addr{}, false
	}
	four[3] = byte(n)
	return netip.AddrFrom4(four), true
}
