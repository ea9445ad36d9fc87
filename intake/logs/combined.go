package logs

import "bytes"

// combined reads
//
//	203.0.113.7 - alice [23/Nov/2026:03:12:41 +0000] "GET /a?b HTTP/1.1" 200 5 "https://example.com/" "Mozilla/5.0"
//
// and, behind it, the X-Forwarded-For of nginx's "main" format; before it, the virtual host of Apache's "vhost_combined".
// The user's name is the client's own choice and may hold spaces and brackets, but no server writes a quote into it as it
// is: so the time is what stands in brackets right before a quote.
func (p *Parser) combined(line []byte, out *Line) error {
	at := bytes.IndexByte(line, '[')
	for ; ; at++ {
		if at < 0 || len(line) < at+clockLen+4 {
			return errNotCombined
		}
		if end := at + 1 + clockLen; line[at] == '[' && string(line[end:end+3]) == "] \"" {
			break
		}
		next := bytes.IndexByte(line[at+1:], '[')
		if next < 0 {
			return errNotCombined
		}
		at += next
	}
	var err error
	if out.Time, err = p.clock.read(line[at+1 : at+1+clockLen]); err != nil {
		return err
	}
	p.sender(line[:at], out)

	request, rest, ok := quoted(line[at+clockLen+3:])
	if !ok {
		return errNotCombined
	}
	out.Path = target(request)
	if len(rest) < 4 || rest[0] != ' ' || rest[1] != '-' && (rest[1] < '1' || rest[1] > '9') {
		return errNotCombined // no status
	}
	quote := bytes.IndexByte(rest, '"')
	if quote < 0 {
		return errCommon
	}
	referer, rest, ok := quoted(rest[quote:])
	if !ok {
		return errNotCombined
	}
	if referer = value(referer); referer != nil {
		out.Referer = p.unescape(referer)
	}
	if agent, rest, ok := nextQuoted(rest); ok {
		out.Agent = value(agent)
		if forwarded, _, ok := nextQuoted(rest); ok && isForwarded(forwarded) {
			p.forward(out, forwarded)
		}
	}
	return nil
}

// sender reads what stands before the time: the client and, where the first word is none, the client behind it. A list of
// addresses in its place is an X-Forwarded-For whose last one is the nearest.
func (p *Parser) sender(before []byte, out *Line) {
	word, rest, _ := bytes.Cut(before, space)
	if out.Client = address(word); out.Client.IsValid() {
		return
	}
	if len(word) > 0 && word[len(word)-1] == ',' {
		listed := len(word)
		for len(word) > 0 && word[len(word)-1] == ',' {
			word, rest, _ = bytes.Cut(rest, space)
			listed += 1 + len(word)
		}
		list := before[:min(listed, len(before))]
		out.Client = address(word)
		p.forward(out, bytes.TrimRight(list[:len(list)-len(word)], ", "))
		return
	}
	out.Host = value(word)
	word, _, _ = bytes.Cut(rest, space)
	out.Client = address(word)
}

var space = []byte(" ")

// isForwarded tells a list of addresses from whatever else stands in quotes at the end of a line.
func isForwarded(b []byte) bool {
	first, _, _ := bytes.Cut(b, []byte(","))
	return address(bytes.TrimSpace(first)).IsValid()
}

// target is the second word of a request line.
func target(request []byte) []byte {
	start := bytes.IndexByte(request, ' ') + 1
	if start == 0 {
		return nil
	}
	if end := bytes.LastIndexByte(request[start:], ' '); end >= 0 {
		return request[start : start+end]
	}
	return request[start:]
}

func nextQuoted(b []byte) (content, rest []byte, ok bool) {
	if len(b) < 3 || b[0] != ' ' || b[1] != '"' {
		return nil, b, false
	}
	return quoted(b[1:])
}

// quoted reads what stands between the quote that b begins with and the next one without a backslash before it. The
// backslashes stay.
func quoted(b []byte) (content, rest []byte, ok bool) {
	end := closing(b, 1)
	if end < 0 {
		return nil, nil, false
	}
	return b[1:end], b[end+1:], true
}

// closing is where the next quote from i on is that an odd number of backslashes does not escape, or -1.
func closing(b []byte, i int) int {
	for from := i; ; {
		j := bytes.IndexByte(b[i:], '"')
		if j < 0 {
			return -1
		}
		i += j
		slashes := 0
		for k := i - 1; k >= from && b[k] == '\\'; k-- {
			slashes++
		}
		if slashes%2 == 0 {
			return i
		}
		i++
		from = i // what is before was looked at: a run of backslashes is counted once
	}
}

// unescape undoes the escapes of nginx (\xHH) and Apache (\xhh, \", \\, \n and its like).
func (p *Parser) unescape(b []byte) []byte {
	slash := bytes.IndexByte(b, '\\')
	if slash < 0 {
		return b
	}
	start := len(p.cursor.buf)
	for slash >= 0 {
		p.cursor.buf = append(p.cursor.buf, b[:slash]...)
		if b = b[slash+1:]; len(b) == 0 {
			p.cursor.buf = append(p.cursor.buf, '\\')
			break
		}
		c, n := b[0], 1
		switch c {
		case 'x':
			if len(b) >= 3 && isHex(b[1]) && isHex(b[2]) {
				c, n = unhex(b[1])<<4|unhex(b[2]), 3
			}
		case 'n', 'r', 't', 'b', 'f', 'v':
			c = control(c)
		}
		p.cursor.buf = append(p.cursor.buf, c)
		b = b[n:]
		slash = bytes.IndexByte(b, '\\')
	}
	p.cursor.buf = append(p.cursor.buf, b...)
	return p.cursor.buf[start:]
}

func control(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	}
	return '\v'
}

func isHex(c byte) bool { return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f' }

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}
