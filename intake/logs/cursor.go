package logs

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// cursor reads JSON (RFC 8259) in one pass without a tree. It takes what encoding/json takes, to the same values, and some
// more: raw control characters and the \xHH that nginx writes without escape=json, since a log is read as it is.
// Strings with escapes are decoded into buf, all others are views.
type cursor struct {
	b   []byte
	i   int
	buf []byte
}

func (c *cursor) space() {
	for c.i < len(c.b) {
		switch c.b[c.i] {
		case ' ', '\t', '\n', '\r':
			c.i++
		default:
			return
		}
	}
}

// next skips spaces and reports whether want follows, which is then behind it.
func (c *cursor) next(want byte) bool {
	c.space()
	if c.i < len(c.b) && c.b[c.i] == want {
		c.i++
		return true
	}
	return false
}

// peek is the next byte that is no space, or 0.
func (c *cursor) peek() byte {
	c.space()
	if c.i < len(c.b) {
		return c.b[c.i]
	}
	return 0
}

// key reads the next key of an object and its colon. first says that no comma comes before it. more is false at the end.
func (c *cursor) key(first bool) (key []byte, more, ok bool) {
	if c.next('}') {
		return nil, false, true
	}
	if !first && !c.next(',') {
		return nil, false, false
	}
	if key, ok = c.string(); !ok || !c.next(':') {
		return nil, false, false
	}
	return key, true, true
}

// element goes to the next element of an array, as key does.
func (c *cursor) element(first bool) (more, ok bool) {
	if c.next(']') {
		return false, true
	}
	return true, first || c.next(',')
}

// string reads a string.
func (c *cursor) string() (s []byte, ok bool) {
	if !c.next('"') {
		return nil, false
	}
	start := c.i
	end := closing(c.b, start)
	if end < 0 {
		return nil, false
	}
	c.i = end + 1
	raw := c.b[start:end]
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw, true
	}
	return c.decode(raw)
}

func (c *cursor) decode(raw []byte) ([]byte, bool) {
	start := len(c.buf)
	for {
		slash := bytes.IndexByte(raw, '\\')
		if slash < 0 {
			c.buf = append(c.buf, raw...)
			return c.buf[start:], true
		}
		c.buf = append(c.buf, raw[:slash]...)
		raw = raw[slash+1:] // never empty: the string ends at a quote without a backslash
		at, n := raw[0], 1
		switch at {
		case '"', '\\', '/':
		case 'b', 'f', 'n', 'r', 't':
			at = control(at)
		case 'x':
			if len(raw) < 3 || !isHex(raw[1]) || !isHex(raw[2]) {
				return nil, false
			}
			at, n = unhex(raw[1])<<4|unhex(raw[2]), 3
		case 'u':
			r, width := escaped(raw)
			if width == 0 {
				return nil, false
			}
			c.buf = utf8.AppendRune(c.buf, r)
			raw = raw[width:]
			continue
		default:
			return nil, false
		}
		c.buf = append(c.buf, at)
		raw = raw[n:]
	}
}

// escaped reads what follows the backslash of a u-escape, with the second half of a surrogate pair. A lone half is U+FFFD.
func escaped(b []byte) (r rune, width int) {
	r = hex4(b)
	if r < 0 {
		return 0, 0
	}
	if !utf16.IsSurrogate(r) {
		return r, 5
	}
	if len(b) > 6 && b[5] == '\\' && b[6] == 'u' {
		if pair := utf16.DecodeRune(r, hex4(b[6:])); pair != utf8.RuneError {
			return pair, 11
		}
	}
	return utf8.RuneError, 5
}

// hex4 is the number in uXXXX, or -1.
func hex4(b []byte) (r rune) {
	if len(b) < 5 {
		return -1
	}
	for _, c := range b[1:5] {
		if !isHex(c) {
			return -1
		}
		r = r<<4 | rune(unhex(c))
	}
	return r
}

// scalar reads a string, or a number as it stands. null, true and false are nil; so are objects and arrays, which are
// skipped.
func (c *cursor) scalar() (v []byte, ok bool) {
	switch b := c.peek(); {
	case b == '"':
		return c.string()
	case b == '-', b >= '0' && b <= '9':
		start := c.i
		c.literal()
		return c.b[start:c.i], true
	}
	return nil, c.skip()
}

// skip passes over any value. It counts brackets and does not match them.
func (c *cursor) skip() bool {
	depth := 0
	for {
		switch c.peek() {
		case 0:
			return false
		case '"':
			end := closing(c.b, c.i+1)
			if end < 0 {
				return false
			}
			c.i = end + 1
		case '{', '[':
			depth++
			c.i++
		case '}', ']':
			depth--
			c.i++
		case ',', ':':
			if depth == 0 {
				return false
			}
			c.i++
			continue
		default:
			c.literal()
		}
		if depth <= 0 {
			return depth == 0
		}
	}
}

// literal passes over a number, true, false or null.
func (c *cursor) literal() {
	for c.i < len(c.b) {
		switch c.b[c.i] {
		case ',', '}', ']', ' ', '\t', '\n', '\r', '"', '{', '[', ':':
			return
		}
		c.i++
	}
}
