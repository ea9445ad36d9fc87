package features

import (
	"strconv"
	"strings"
)

// endsInNumber reports whether URL parsers take a host for an IPv4 address, valid or not: its last label is a number
// (https://url.spec.whatwg.org/#ends-in-a-number-checker). The host is lower-case, without a trailing dot.
func endsInNumber(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	if last == "" {
		return false
	}
	if strings.Trim(last, "0123456789") == "" {
		return true
	}
	hex, isHex := strings.CutPrefix(last, "0x")
	return isHex && strings.Trim(hex, "0123456789abcdef") == ""
}

// address judges a host that ends in a number: 127.0.0.1, 0x7f.1, 017700000001 and 2130706433 are one Address, 1.2.3.4.5 and
// foo.1 are Malformed (https://url.spec.whatwg.org/#concept-ipv4-parser).
func address(host string) Reason {
	parts := strings.SplitN(host, ".", 5)
	if len(parts) > 4 {
		return Malformed
	}
	for i, part := range parts {
		max := uint64(255)
		if i == len(parts)-1 { // the last number fills the bytes that the others leave
			max = 1<<(8*(5-len(parts))) - 1
		}
		if n, ok := ipv4Number(part); !ok || n > max {
			return Malformed
		}
	}
	return Address
}

// ipv4Number reads a decimal, octal (0...) or hexadecimal (0x...) number; 0x alone is zero.
func ipv4Number(s string) (n uint64, ok bool) {
	base := 10
	switch {
	case strings.HasPrefix(s, "0x"):
		s, base = s[2:], 16
		if s == "" {
			return 0, true
		}
	case len(s) > 1 && s[0] == '0':
		s, base = s[1:], 8
	}
	n, err := strconv.ParseUint(s, base, 64)
	return n, err == nil
}
