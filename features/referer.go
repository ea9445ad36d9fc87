package features

import (
	"strings"
	"unsafe"
)

// Limits of what a parser reads. Anything longer is Malformed.
const (
	maxReferer = 64 << 10 // bytes; an ALB passes no longer request header (AWS: ALB quotas, "Entire request header")
	maxHost    = 253      // bytes, without the trailing dot (RFC 1035 section 2.3.4, less the root's length byte)
	maxLabel   = 63       // bytes (RFC 1035 section 2.3.4)
)

// Parser turns Referer values into Names. Its zero value is ready. It holds a buffer that the Names it returns may
// view, so each goroutine has its own, and a Name lives until the next call or until the caller's bytes change.
//
// Hosts are read as browsers read them (the WHATWG URL Standard for http and https), and then held to what a public
// host name can be: labels of a-z, 0-9, hyphen and underscore, none empty, none over 63 bytes, 253 in all. So a Name
// never holds any other byte.
type Parser struct {
	buf [maxHost]byte
}

// Referer reads the value of a Referer header (RFC 9110 section 10.1.3) and returns the Name in it, with the Reason
// Named; or no Name, and why. It allocates nothing for plain ASCII URLs, and its work is bounded for all others.
func (p *Parser) Referer(raw []byte) (Name, Reason) {
	if len(raw) > maxReferer {
		return Name{}, Malformed
	}
	if start := plainScheme(raw); start > 0 {
		if host, ok := p.plainHost(raw[start:]); ok {
			return read(host)
		}
	}
	host, reason := urlHost(raw)
	if reason != Named {
		return Name{}, reason
	}
	return read(host)
}

// Bare reads a host name as people write it in lists and on command lines (kq3v9z.com, Example.com:8080,
// пример.рф/path), or whatever Referer reads.
func (p *Parser) Bare(raw []byte) (Name, Reason) {
	if len(raw) > maxReferer || plainScheme(raw) > 0 || string(raw) == "-" {
		return p.Referer(raw)
	}
	if host, ok := p.plainHost(raw); ok {
		return read(host)
	}
	host, reason := bareHost(raw)
	if reason != Named {
		return Name{}, reason
	}
	return read(host)
}

// read tells addresses from names. The host is lower-case, without a trailing dot.
func read(host string) (Name, Reason) {
	tld := strings.LastIndexByte(host, '.') + 1
	if isNumber(host[tld:]) {
		return Name{}, address(host)
	}
	return split(host, tld)
}

// plainScheme returns where the authority of a lower-case http or https URL starts, or 0.
func plainScheme(raw []byte) int {
	switch {
	case len(raw) >= 8 && string(raw[:8]) == "https://":
		return 8
	case len(raw) >= 7 && string(raw[:7]) == "http://":
		return 7
	}
	return 0
}

// plainHost is the fast path: it reads a host of plain ASCII labels, and a port, up to the end of an authority. It
// returns false for all that needs thought (userinfo, percent signs, Unicode, xn-- labels, brackets, odd ports) and for
// all that is wrong, which is then judged by urlHost. The host is a view of raw, or of p where it had upper-case
// letters.
func (p *Parser) plainHost(raw []byte) (string, bool) {
	raw = raw[:min(len(raw), maxHost+8)] // with a dot, a colon, a port and what ends it
	label := 0                           // where the label that is read starts
	upper := false
	i := 0
scan:
	for ; i < len(raw); i++ {
		switch c := raw[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '_':
		case c == '-':
			if i == label+3 && raw[label+2] == '-' {
				return "", false // xn--, and the reserved labels like it (RFC 5890 section 2.3.1)
			}
		case c == '.':
			if i == label || i-label > maxLabel {
				return "", false
			}
			label = i + 1
		case c >= 'A' && c <= 'Z':
			upper = true
		case c == '/', c == '?', c == '#', c == '\\':
			break scan
		case c == ':':
			if !plainPort(raw[i+1:]) {
				return "", false
			}
			break scan
		default:
			return "", false
		}
	}
	host := raw[:i]
	if i > 0 && label == i { // one trailing dot: the root
		host = host[:i-1]
		for label = i - 1; label > 0 && host[label-1] != '.'; label-- {
		}
	}
	if len(host) == 0 || len(host) > maxHost || len(host)-label > maxLabel {
		return "", false
	}
	if upper {
		lower := p.buf[:len(host)]
		for j, c := range host {
			if c >= 'A' && c <= 'Z' {
				c |= 0x20
			}
			lower[j] = c
		}
		host = lower
	}
	return unsafe.String(unsafe.SliceData(host), len(host)), true
}

// plainPort reports whether rest is a port of one to four digits, up to the end of the authority.
func plainPort(rest []byte) bool {
	for i, c := range rest {
		if isDigit(c) && i < 4 {
			continue
		}
		return i > 0 && (c == '/' || c == '?' || c == '#' || c == '\\')
	}
	return len(rest) > 0
}
