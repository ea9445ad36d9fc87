package logs

import (
	"bytes"
	"time"
)

// Layout says in which column of CloudFront's lines a field stands. It is a value.
type Layout struct {
	columns [maxColumns]column
	n       int // columns up to the last that is read
	referer bool
}

type column uint8

const (
	skipColumn column = iota
	columnDate
	columnTime
	columnReferer
	columnClient
	columnForwarded
	columnHost
	columnDistribution
	columnPath
	columnAgent
)

const maxColumns = 128

// columnNames are those of CloudFront's standard logs.
func columnOf(name []byte) column {
	switch string(name) {
	case "date":
		return columnDate
	case "time":
		return columnTime
	case "cs(Referer)":
		return columnReferer
	case "c-ip":
		return columnClient
	case "x-forwarded-for":
		return columnForwarded
	case "x-host-header":
		return columnHost
	case "cs(Host)":
		return columnDistribution
	case "cs-uri-stem":
		return columnPath
	case "cs(User-Agent)":
		return columnAgent
	}
	return skipColumn
}

// ReadLayout reads a line that begins with #Fields:; false for others.
func ReadLayout(line []byte) (l Layout, ok bool) {
	names, ok := bytes.CutPrefix(line, []byte("#Fields:"))
	if !ok {
		return l, false
	}
	i := 0
	for name := range bytes.FieldsSeq(names) {
		if i == maxColumns {
			break
		}
		if l.columns[i] = columnOf(name); l.columns[i] != skipColumn {
			l.n = i + 1
		}
		l.referer = l.referer || l.columns[i] == columnReferer
		i++
	}
	return l, true
}

// cloudFront reads a line of tabs. A field that is not there is a hyphen; a byte that is not plain is %HH, a percent sign
// itself among them.
func (p *Parser) cloudFront(line []byte, out *Line) error {
	switch {
	case p.layout.n == 0:
		return errNoLayout
	case !p.layout.referer:
		return errNoRefererHere
	}
	var date, clock, distribution []byte
	rest := line
	for i := range p.layout.n {
		if rest == nil {
			return errShort
		}
		var v []byte
		if tab := bytes.IndexByte(rest, '\t'); tab >= 0 {
			v, rest = rest[:tab], rest[tab+1:]
		} else {
			v, rest = rest, nil
		}
		switch p.layout.columns[i] {
		case columnDate:
			date = v
		case columnTime:
			clock = v
		case columnReferer:
			out.Referer = p.percent(value(v))
		case columnClient:
			out.Client = address(v)
		case columnForwarded:
			p.forward(out, p.percent(v))
		case columnHost:
			out.Host = value(v)
		case columnDistribution:
			distribution = value(v)
		case columnPath:
			out.Path = value(v)
		case columnAgent:
			out.Agent = value(v)
		}
	}
	if out.Host == nil {
		out.Host = distribution
	}
	if len(date) == 10 && len(clock) == 8 && date[4] == '-' && date[7] == '-' {
		seconds, ok := moment(number(date[0:4]), number(date[5:7]), number(date[8:10]), clock)
		if ok {
			out.Time = seconds * int64(time.Second)
			return nil
		}
	}
	if date != nil || clock != nil {
		return errBadTime
	}
	return nil
}

// percent undoes %HH once. What is no escape stays.
func (p *Parser) percent(b []byte) []byte {
	sign := bytes.IndexByte(b, '%')
	if sign < 0 {
		return b
	}
	start := len(p.cursor.buf)
	for sign >= 0 {
		p.cursor.buf = append(p.cursor.buf, b[:sign]...)
		if len(b) > sign+2 && isHex(b[sign+1]) && isHex(b[sign+2]) {
			p.cursor.buf = append(p.cursor.buf, unhex(b[sign+1])<<4|unhex(b[sign+2]))
			b = b[sign+3:]
		} else {
			p.cursor.buf = append(p.cursor.buf, '%')
			b = b[sign+1:]
		}
		sign = bytes.IndexByte(b, '%')
	}
	p.cursor.buf = append(p.cursor.buf, b...)
	return p.cursor.buf[start:]
}
