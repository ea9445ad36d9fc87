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

// maxEncodedHost bounds a host before it is decoded: 253 letters of at most 4 bytes of UTF-8, each at most 3 as %F0.
const maxEncodedHost = maxHost * utf8.UTFMax * len("%F0")

// urlHost returns the host of an http or https URL: a name as isHostName wants it, or what ends in a number.
func urlHost(raw []byte) (host string, reason Reason) {
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

// bareHost returns the host of a name without a scheme, or of a URL.
func bareHost(raw []byte) (host string, reason Reason) {
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
	rest = raw
	for len(rest) > 0 && rest[0] <= ' ' {
		rest = rest[1:]
	}
	for len(rest) > 0 && rest[len(rest)-1] <= ' ' {
		rest = rest[:len(rest)-1]
	}
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

// startsWithPort tells example.com:8080/path from mailto:somebody and http:1and1.com.
func startsWithPort(rest []byte) bool {
	port := rest[:endOfAuthority(rest)]
	return len(port) > 0 && isPort(port)
}

// endOfAuthority returns where the path, query or fragment starts.
func endOfAuthority(rest []byte) int {
	if end := bytes.IndexAny(rest, `/\?#`); end >= 0 {
		return end
	}
	return len(rest)
}

// authority returns the host of what follows a URL's slashes.
func authority(rest []byte) (host string, reason Reason) {
	rest = rest[:endOfAuthority(rest)]
	rest = rest[bytes.LastIndexByte(rest, '@')+1:]
	encoded, port := rest, []byte(nil)
	bracket := bytes.LastIndexByte(rest, ']') + 1 // colons inside brackets belong to an IPv6 address
	if colon := bytes.IndexByte(rest[bracket:], ':'); colon >= 0 {
		encoded, port = rest[:bracket+colon], rest[bracket+colon+1:]
	}
	switch {
	case len(encoded) == 0 || len(encoded) > maxEncodedHost || !isPort(port):
		return "", Malformed
	case encoded[0] == '[':
		return "", bracketed(encoded)
	}
	return domain(encoded)
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
	if !utf8.ValidString(decoded) {
		return "", Malformed
	}
	host, reason = asciiLabels(decoded)
	if reason == Named && !isHostName(host) && address(host) != Address { // 000…0127.1 is too long for a name
		return "", Malformed
	}
	return host, reason
}

// uts46 holds the settings of the URL Standard's "domain to ASCII" (beStrict false), but for two. DNS lengths are
// verified: no name has an empty label, and without that x/net lets xn-- vanish. And xn-- labels that are no A-labels
// are refused also in an ASCII host, which the standard has let pass since 2025.
var uts46 = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.BidiRule(), idna.CheckJoiners(true),
	idna.CheckHyphens(false), idna.StrictDomainName(false), idna.VerifyDNSLength(true))

// asciiLabels turns a host into lower-case A-labels without a trailing dot. Plain ASCII, of which UTS 46 would change
// no more than the case, does not go through its tables.
func asciiLabels(host string) (string, Reason) {
	host = strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r | 0x20
		case r == '\u3002' || r == '\uff0e' || r == '\uff61': // the other dots (UTS 46 section 2.3)
			return '.'
		}
		return r
	}, host)
	host = strings.TrimSuffix(host, ".")
	if isASCII(host) && !strings.HasPrefix(host, "xn--") && !strings.Contains(host, ".xn--") {
		return host, Named
	}
	if !mayEncode(host) {
		return "", Malformed
	}
	host, err := uts46.ToASCII(host)
	if err != nil {
		return "", Malformed
	}
	return host, Named
}

// mayEncode reports whether the labels of a host are short enough to be worth encoding: Punycode takes a letter to a
// byte or more, in time that grows with the square of their number. (Letters that are sent decomposed, or padded with
// what UTS 46 drops, can be more than the bytes that they end as. Browsers send A-labels; we call it Malformed.)
func mayEncode(host string) bool {
	if utf8.RuneCountInString(host) > maxHost {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if utf8.RuneCountInString(label) > maxLabel {
			return false
		}
	}
	return true
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
