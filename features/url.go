package features

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// The slow path: it reads a URL as the URL Standard's basic URL parser does without a base
// (https://url.spec.whatwg.org/#url-parsing), as far as the host of an http or https URL needs it. It may allocate.

// maxEncodedHost bounds a host before it is decoded and maxDecodedHost after. Every letter of a host ends as at least one
// of its 253 bytes and starts as at most 4 bytes of UTF-8, each at most 3 when percent-encoded. (Characters that UTS 46
// ignores can pad a host beyond that: then it is Malformed, which no browser says.)
const (
	maxDecodedHost = 4 * maxHost
	maxEncodedHost = 3 * maxDecodedHost
)

// url returns the host of an http or https URL: lower-case A-labels without a trailing dot.
func url(raw []byte) (host string, reason Reason) {
	rest, reason := tidy(raw)
	if reason != Named {
		return "", reason
	}
	scheme, rest, ok := cutScheme(rest)
	switch {
	case !ok:
		return "", Relative
	case !isHTTP(scheme):
		return "", Scheme
	}
	return authority(bytes.TrimLeft(rest, `/\`))
}

// bare returns the host of a name without a scheme, or of a URL.
func bare(raw []byte) (host string, reason Reason) {
	rest, reason := tidy(raw)
	if reason != Named {
		return "", reason
	}
	switch scheme, afterScheme, ok := cutScheme(rest); {
	case ok && startsWithPort(afterScheme): // example.com:8080
	case ok && isHTTP(scheme):
		return authority(bytes.TrimLeft(afterScheme, `/\`))
	case ok:
		return "", Scheme
	case rest[0] == '/' || rest[0] == '\\' || rest[0] == '?' || rest[0] == '#':
		return "", Relative
	}
	return authority(rest)
}

// tidy removes what URL parsers remove before they start: control characters and spaces at both ends, tabs and newlines
// everywhere. A lone hyphen, which access logs write for no header, is Empty too.
func tidy(raw []byte) (rest []byte, reason Reason) {
	if len(raw) > maxReferer {
		return nil, Malformed
	}
	rest = bytes.TrimFunc(raw, func(r rune) bool { return r <= ' ' })
	if bytes.ContainsAny(rest, "\t\n\r") {
		rest = slices.DeleteFunc(bytes.Clone(rest), func(c byte) bool { return c == '\t' || c == '\n' || c == '\r' })
	}
	if len(rest) == 0 || string(rest) == "-" {
		return nil, Empty
	}
	return rest, Named
}

// cutScheme cuts a URL after the colon of its scheme (RFC 3986 section 3.1).
func cutScheme(url []byte) (scheme, rest []byte, ok bool) {
	for i, c := range url {
		switch {
		case isLetter(c):
		case i > 0 && (isDigit(c) || c == '+' || c == '-' || c == '.'):
		case i > 0 && c == ':':
			return url[:i], url[i+1:], true
		default:
			return nil, url, false
		}
	}
	return nil, url, false
}

func isHTTP(scheme []byte) bool {
	return bytes.EqualFold(scheme, []byte("https")) || bytes.EqualFold(scheme, []byte("http"))
}

// startsWithPort tells example.com:8080 from mailto:somebody.
func startsWithPort(rest []byte) bool {
	return len(rest) > 0 && isDigit(rest[0])
}

// authority returns the host of what follows a URL's slashes.
func authority(rest []byte) (host string, reason Reason) {
	if end := bytes.IndexAny(rest, `/\?#`); end >= 0 {
		rest = rest[:end]
	}
	rest = rest[bytes.LastIndexByte(rest, '@')+1:]
	hostPart, port := rest, []byte(nil)
	// A colon inside brackets belongs to an IPv6 address.
	if colon := bytes.IndexByte(rest[bytes.LastIndexByte(rest, ']')+1:], ':'); colon >= 0 {
		colon += bytes.LastIndexByte(rest, ']') + 1
		hostPart, port = rest[:colon], rest[colon+1:]
	}
	if len(hostPart) == 0 || len(hostPart) > maxEncodedHost || !isPort(port) {
		return "", Malformed
	}
	if hostPart[0] == '[' {
		return "", bracketed(hostPart)
	}
	return domain(hostPart)
}

// isPort reports whether a URL may have this port: digits up to 65535, however many zeros before them, or none.
func isPort(port []byte) bool {
	n := 0
	for _, c := range port {
		if !isDigit(c) {
			return false
		}
		if n = n*10 + int(c-'0'); n > 65535 {
			return false
		}
	}
	return true
}

// bracketed judges [2001:db8::1].
func bracketed(host []byte) Reason {
	if host[len(host)-1] != ']' || bytes.IndexByte(host, '%') >= 0 { // a zone is no part of a URL's host
		return Malformed
	}
	if addr, err := netip.ParseAddr(string(host[1 : len(host)-1])); err != nil || !addr.Is6() {
		return Malformed
	}
	return Address
}

// domain turns the host of a URL into lower-case A-labels.
func domain(encoded []byte) (host string, reason Reason) {
	decoded := percentDecoded(encoded)
	if len(decoded) > maxDecodedHost || !utf8.ValidString(decoded) {
		return "", Malformed
	}
	if host, reason = asciiLabels(decoded); reason != Named {
		return "", reason
	}
	host = strings.TrimSuffix(host, ".")
	if endsInNumber(host) {
		return "", address(host)
	}
	if !isHostName(host) {
		return "", Malformed
	}
	return host, Named
}

// asciiLabels maps and validates labels as UTS 46 says, with the URL Standard's settings ("domain to ASCII", beStrict false).
// Plain ASCII, which that does not change but for its case, does not go through the tables.
func asciiLabels(host string) (string, Reason) {
	host = strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r | 0x20
		}
		return r
	}, host)
	if isASCII(host) && !strings.HasPrefix(host, "xn--") && !strings.Contains(host, ".xn--") {
		return host, Named
	}
	profile := idna.New(idna.MapForLookup(), idna.BidiRule(), idna.CheckJoiners(true), idna.CheckHyphens(false),
		idna.StrictDomainName(false), idna.Transitional(false))
	ascii, err := profile.ToASCII(host)
	if err != nil {
		return "", Malformed
	}
	return ascii, Named
}

// isHostName reports whether a lower-case host has only bytes and lengths that a name in the DNS can have.
func isHostName(host string) bool {
	if len(host) > maxHost {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if len(label) == 0 || len(label) > maxLabel {
			return false
		}
		for i := range len(label) {
			if c := label[i]; !(c >= 'a' && c <= 'z' || isDigit(c) || c == '-' || c == '_') {
				return false
			}
		}
	}
	return true
}

// percentDecoded decodes %41 and leaves a percent sign without two hex digits as it is (no host may hold one).
func percentDecoded(encoded []byte) string {
	var b strings.Builder
	b.Grow(len(encoded))
	for i := 0; i < len(encoded); i++ {
		if encoded[i] == '%' && i+2 < len(encoded) {
			if high, low := hexValue(encoded[i+1]), hexValue(encoded[i+2]); high >= 0 && low >= 0 {
				b.WriteByte(byte(high<<4 | low))
				i += 2
				continue
			}
		}
		b.WriteByte(encoded[i])
	}
	return b.String()
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }

func hexValue(c byte) int {
	switch {
	case isDigit(c):
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}
