package logs

import "bytes"

// waf reads a line of AWS WAF's logs
// (docs.aws.amazon.com/waf/latest/developerguide/logging-fields.html). The header names come in the client's own case, and
// of two Referers the first counts, as for applications.
func (p *Parser) waf(line []byte, out *Line) error {
	c := &p.cursor
	c.b, c.i = line, 0
	if !c.next('{') {
		return errNotWAF
	}
	requests, redacted := 0, false
	for first := true; ; first = false {
		key, more, ok := c.key(first)
		if !ok {
			return errNotWAF
		}
		if !more {
			break
		}
		switch string(key) {
		case "timestamp":
			var v []byte
			if v, ok = c.scalar(); ok {
				out.Time, ok = unixTime(v)
			}
		case "action":
			var v []byte
			if v, ok = c.scalar(); ok {
				out.Ended = ends(v)
			}
		case "httpRequest":
			requests++
			redacted, ok = p.wafRequest(out)
		case "labels":
			out.Ours, ok = p.wafLabels()
		default:
			ok = c.skip()
		}
		if !ok {
			return errNotWAF
		}
	}
	switch {
	case requests != 1 || c.peek() != 0 || c.i < len(line):
		return errNotWAF
	case redacted:
		return errRedacted
	}
	return nil
}

// ends reports whether an action is the answer: with BLOCK, and with CAPTCHA and CHALLENGE where the token is missing, the
// request goes no further.
func ends(action []byte) bool {
	switch string(action) {
	case "BLOCK", "CAPTCHA", "CHALLENGE":
		return true
	}
	return false
}

func (p *Parser) wafRequest(out *Line) (redacted, ok bool) {
	c := &p.cursor
	if !c.next('{') {
		return false, false
	}
	for first := true; ; first = false {
		key, more, ok := c.key(first)
		if !more || !ok {
			return redacted, ok
		}
		var v []byte
		switch string(key) {
		case "clientIp":
			if v, ok = c.scalar(); ok {
				out.Client = address(v)
			}
		case "uri":
			out.Path, ok = c.scalar()
		case "headers":
			redacted, ok = p.wafHeaders(out)
		default:
			ok = c.skip()
		}
		if !ok {
			return false, false
		}
	}
}

func (p *Parser) wafHeaders(out *Line) (redacted, ok bool) {
	c := &p.cursor
	if !c.next('[') {
		return false, c.skip() // null
	}
	referers := 0
	for first := true; ; first = false {
		more, ok := c.element(first)
		if !more || !ok {
			return redacted, ok
		}
		name, v, ok := p.wafPair()
		if !ok {
			return false, false
		}
		switch {
		case is(name, "referer"):
			if referers++; referers == 1 {
				out.Referer, redacted = v, string(v) == "REDACTED"
			}
		case is(name, "x-forwarded-for"):
			p.forward(out, v)
		case is(name, "host"):
			out.Host = v
		case is(name, "user-agent"):
			out.Agent = v
		}
	}
}

// wafPair reads {"name": …, "value": …}.
func (p *Parser) wafPair() (name, v []byte, ok bool) {
	c := &p.cursor
	if !c.next('{') {
		return nil, nil, false
	}
	for first := true; ; first = false {
		key, more, ok := c.key(first)
		if !more || !ok {
			return name, v, ok
		}
		switch string(key) {
		case "name":
			name, ok = c.scalar()
		case "value":
			v, ok = c.scalar()
		default:
			ok = c.skip()
		}
		if !ok {
			return nil, nil, false
		}
	}
}

// wafLabels looks for the labels of the rules that `referee waf init` prints. AWS writes the owner of the web ACL or rule
// group before them: awswaf:111122223333:webacl:site:referee:client.
func (p *Parser) wafLabels() (ours, ok bool) {
	c := &p.cursor
	if !c.next('[') {
		return false, c.skip()
	}
	for first := true; ; first = false {
		more, ok := c.element(first)
		if !more || !ok {
			return ours, ok
		}
		name, _, ok := p.wafPair()
		if !ok {
			return false, false
		}
		ours = ours || bytes.HasPrefix(name, []byte("awswaf:")) &&
			(bytes.HasSuffix(name, []byte(":referee:client")) || bytes.HasSuffix(name, []byte(":referee:name")))
	}
}

func is(name []byte, lower string) bool {
	if len(name) != len(lower) {
		return false
	}
	for i := range lower {
		if c := name[i]; c != lower[i] && (c < 'A' || c > 'Z' || c|0x20 != lower[i]) {
			return false
		}
	}
	return true
}
