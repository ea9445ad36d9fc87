package features

import (
	"strconv"
	"strings"
)

// isNumber reports whether the last label of a host makes URL parsers take it for an IPv4 address, valid or not
// (https://url.spec.whatwg.org/#ends-in-a-number-checker). The label is lower-case.
func isNumber(last string) bool {
	if last == "" || !isDigit(last[0]) {
		return false
	}
	if strings.Trim(last, "0123456789") == "" {
		return true
	}
	hex, ok := strings.CutPrefix(last, "0x")
	return ok && strings.Trim(hex, "0123456789abcdef") == ""
}

// address judges a host that ends in a number: 127.0.0.1, 0x7f.1, 017700000001 and 2130706433 are one Address,
// 1.2.3.4.5 and foo.1 are Malformed (https://url.spec.whatwg.org/#concept-ipv4-parser).
func address(host string) Reason {
	for left := 4; left > 0; left-- { // bytes that are not yet filled
		part, rest, more := strings.Cut(host, ".")
		bits := 8
		if !more { // the last number fills all of them
			bits = 8 * left
		}
		if n, ok := ipv4Number(part); !ok || n>>bits != 0 {
			return Malformed
		}
		if !more {
			return Address
		}
		host = rest
	}
	return Malformed
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
	n, err := strconv.ParseUint(s, base, 64) // base is given: no underscores, no signs
	return n, err == nil
}
