package intake

import (
	"bytes"
	"errors"
)

// head is a block of header lines as it stood on the wire, each with what it means to a proxy. A proxy that reads a message in
// another way than the application behind it is how requests are smuggled (RFC 9112 section 11.2): so lines are forwarded as
// they came, and what cannot be read in one way only is refused.
//
// It views the bytes it was parsed from, and is reused.
type head struct {
	lines   []line
	options [][]byte // of the Connection header
}

type line struct {
	raw        []byte // with its CRLF
	colon      uint32
	begin, end uint32 // of the value, without the space around it
	kind       kind
}

func (l *line) name() []byte  { return l.raw[:l.colon] }
func (l *line) value() []byte { return l.raw[l.begin:l.end] }

// kind is what a proxy does with a header line.
type kind uint8

const (
	endToEnd kind = iota // forwarded, unless Connection names it
	pinned               // forwarded, whatever Connection names
	hopByHop             // meant for this proxy alone
	connection
	upgrade
	host
	contentLength
	transferEncoding
	expect
	forwardedFor
	referer
	userAgent
)

var (
	errLineEnd    = errors.New("a line of the header does not end in CRLF")
	errFolded     = errors.New("a header line is folded")
	errFieldName  = errors.New("a header name is no token")
	errControl    = errors.New("the header holds a NUL or a bare CR")
	errOptions    = errors.New("there are too many Connection options")
	errFraming    = errors.New("a request has a Content-Length or a Transfer-Encoding, not both")
	errUnfinished = errors.New("the header does not end")
)

// maxOptions bounds the names that each line is compared with.
const maxOptions = 16

// parse reads a block up to and with the empty line that ends it.
func (h *head) parse(block []byte) error {
	h.lines, h.options = h.lines[:0], h.options[:0]
	all := block
	for {
		feed := bytes.IndexByte(block, '\n')
		switch {
		case feed < 0:
			return errUnfinished
		case feed == 0 || block[feed-1] != '\r':
			return errLineEnd
		case feed == 1:
			all = all[:len(all)-len(block)]
			if bytes.IndexByte(all, 0) >= 0 || bytes.Count(all, []byte("\r")) != len(h.lines) {
				return errControl
			}
			return nil
		case block[0] == ' ' || block[0] == '\t':
			return errFolded
		}
		raw := block[:feed+1]
		block = block[feed+1:]
		colon := 0
		for tokenBytes[raw[colon]] {
			colon++
		}
		if colon == 0 || raw[colon] != ':' {
			return errFieldName
		}
		begin, end := colon+1, len(raw)-2
		for begin < end && (raw[begin] == ' ' || raw[begin] == '\t') {
			begin++
		}
		for begin < end && (raw[end-1] == ' ' || raw[end-1] == '\t') {
			end--
		}
		k := kindOf(raw[:colon])
		if k == connection {
			for option := range bytes.SplitSeq(raw[begin:end], []byte(",")) {
				if option = trimSpace(option); len(option) == 0 {
					continue
				}
				if len(h.options) == maxOptions {
					return errOptions
				}
				h.options = append(h.options, option)
			}
		}
		h.lines = append(h.lines, line{raw, uint32(colon), uint32(begin), uint32(end), k})
	}
}

// first returns the value of the first line of a kind, and how many there are.
func (h *head) first(k kind) (value []byte, n int) {
	for i := range h.lines {
		if h.lines[i].kind == k {
			if n == 0 {
				value = h.lines[i].value()
			}
			n++
		}
	}
	return value, n
}

// value returns that of the first line with a name.
func (h *head) value(name []byte) []byte {
	for i := range h.lines {
		if bytes.EqualFold(h.lines[i].name(), name) {
			return h.lines[i].value()
		}
	}
	return nil
}

// has reports whether the Connection header has an option (in lower case).
func (h *head) has(option string) bool {
	for _, o := range h.options {
		if equalFold(o, option) {
			return true
		}
	}
	return false
}

// forwards reports whether a line goes on to the other side. Connection may name fields that were meant for this hop
// (RFC 9110 section 7.6.1); it is not obeyed where that would take away what the load balancer vouches for, or the framing
// (as Apache httpd did until CVE-2022-31813).
func (h *head) forwards(l *line) bool {
	switch l.kind {
	case pinned, host, contentLength, transferEncoding, forwardedFor:
		return true
	case endToEnd, referer, userAgent:
		for _, o := range h.options {
			if len(o) == int(l.colon) && bytes.EqualFold(o, l.name()) {
				return false
			}
		}
		return true
	}
	return false
}

// kindOf classifies a field name. The hop-by-hop ones are those of RFC 9110 section 7.6.1 and of RFC 2616 section 13.5.1,
// but for Trailer, which goes with the body.
func kindOf(name []byte) kind {
	is := func(s string) bool { return equalFold(name, s) }
	switch len(name) {
	case 2:
		if is("te") {
			return hopByHop
		}
	case 4:
		if is("host") {
			return host
		}
	case 6:
		if is("expect") {
			return expect
		}
	case 7:
		switch {
		case is("referer"):
			return referer
		case is("upgrade"):
			return upgrade
		}
	case 9:
		if is("forwarded") {
			return pinned
		}
	case 10:
		switch {
		case is("connection"):
			return connection
		case is("keep-alive"):
			return hopByHop
		case is("user-agent"):
			return userAgent
		}
	case 14:
		if is("content-length") {
			return contentLength
		}
	case 15:
		if is("x-forwarded-for") {
			return forwardedFor
		}
	case 16:
		if is("proxy-connection") {
			return hopByHop
		}
	case 17:
		if is("transfer-encoding") {
			return transferEncoding
		}
	case 18:
		if is("proxy-authenticate") {
			return hopByHop
		}
	case 19:
		if is("proxy-authorization") {
			return hopByHop
		}
	}
	if name[0]|0x20 == 'x' {
		for _, prefix := range [...]string{"x-forwarded-", "x-amzn-"} {
			if len(name) > len(prefix) && equalFold(name[:len(prefix)], prefix) {
				return pinned
			}
		}
	}
	return endToEnd
}

// equalFold compares with a token in lower case.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// tokenBytes are the bytes of a field name (RFC 9110 section 5.6.2).
var tokenBytes = func() (t [256]bool) {
	for _, c := range []byte("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		t[c] = true
	}
	return t
}()
