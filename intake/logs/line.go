// Package logs reads requests out of logs: lines of nginx, Apache, HAProxy, Caddy, Traefik, CloudFront and AWS WAF, from
// syslog, from files that are followed, from S3 and from Firehose. It is the intake that no request waits for.
//
// What stands in a log was written by clients: every length is bounded, and nothing is kept that was not copied.
package logs

import (
	"bytes"
	"errors"
	"net/netip"
)

// Line is what one line says of one request. Its slices view the line or the Parser's buffer: they live until either
// changes.
type Line struct {
	Time      int64      // Unix nanoseconds; 0 where the line gives none
	Client    netip.Addr // the other end of the connection, as it was logged; the zero Addr where it was not
	Forwarded [][]byte   // the values of its X-Forwarded-For lines
	Referer   []byte     // as it was sent, the log's escapes undone; nil where there is none
	Host      []byte     // whom the request was for
	Path      []byte     // with its query; of combined logs and CloudFront's with the log's escapes
	Agent     []byte     // User-Agent, likewise
	Ended     bool       // AWS WAF answered it: it never reached the application
	Ours      bool       // one of Referee's own WAF rules matched it: it bears the rule's label
}

// Format is a format of lines.
type Format string

const (
	Combined   Format = "combined"   // nginx and Apache "combined", with what people add before and behind it
	JSON       Format = "json"       // one object a line, in the fields that Fields names
	CloudFront Format = "cloudfront" // CloudFront standard logs: tabs, percent-encoded, the columns named by #Fields
	WAF        Format = "waf"        // AWS WAF logs
	List       Format = "list"       // one Referer a line, and nothing else
)

// MaxLine is the longest line that is read, in bytes. An ALB passes 64 KiB of headers and AWS WAF logs them all, escaped:
// in the worst case sixfold.
const MaxLine = 1 << 20

// Why a line is not read. Each is one of these, so that refusing costs no memory.
var (
	errNotCombined   = errors.New("not in combined format: client - user [time] \"request\" status bytes \"Referer\" \"User-Agent\"")
	errCommon        = errors.New("no Referer: this is the common format; log in combined format")
	errNotJSON       = errors.New("not a JSON object")
	errNoFields      = errors.New("no field of it is known; name the fields that hold the Referer, the client and the time")
	errNotWAF        = errors.New("not a line of AWS WAF: no httpRequest in it")
	errRedacted      = errors.New("the Referer is redacted: take it out of the redacted fields of the web ACL's logging configuration")
	errNoLayout      = errors.New("no #Fields line came before it")
	errShort         = errors.New("fewer columns than #Fields names")
	errNoRefererHere = errors.New("#Fields names no cs(Referer)")
	errTooLong       = errors.New("longer than 1 MiB")
	errBadTime       = errors.New("its time cannot be read")
)

// Parser reads lines of one format. It holds the buffers that a Line views, so each goroutine has its own. Parse allocates
// nothing once the buffers have grown to the longest line.
type Parser struct {
	format Format
	fields *Names
	layout Layout
	cursor cursor
	clock  clock
	ranks  [numFields]uint8

	forwarded [maxForwarded][]byte
}

// maxForwarded is how many X-Forwarded-For lines of one request are read, from the first.
const maxForwarded = 8

// NewParser returns a Parser of a format. The names are those of JSON's fields: nil stands for DefaultNames.
func NewParser(f Format, names *Names) *Parser {
	if names == nil && f == JSON {
		names = NewNames(DefaultFields())
	}
	return &Parser{format: f, fields: names}
}

// SetLayout tells the columns of CloudFront's lines, where the line with #Fields was read by another Parser.
func (p *Parser) SetLayout(l Layout) { p.layout = l }

// Parse reads one line, without its newline, into out. False with a nil error is a line that holds no request: an empty
// one, or a comment of CloudFront's.
func (p *Parser) Parse(line []byte, out *Line) (bool, error) {
	*out = Line{}
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	if len(line) == 0 {
		return false, nil
	}
	if len(line) > MaxLine {
		return false, errTooLong
	}
	p.cursor.buf = p.cursor.buf[:0]
	switch p.format {
	case Combined:
		return done(p.combined(unwrapped(line), out))
	case JSON:
		return done(p.json(unwrapped(line), out))
	case WAF:
		return done(p.waf(line, out))
	case CloudFront:
		if line[0] == '#' {
			if l, ok := ReadLayout(line); ok {
				p.layout = l
			}
			return false, nil
		}
		return done(p.cloudFront(line, out))
	}
	if string(line) != "-" { // an empty one, as logs write it
		out.Referer = line
	}
	return true, nil
}

// unwrapped is what a container wrote, where the kubelet keeps it behind a time, the stream and the tag F: the format of the
// Container Runtime Interface (kubernetes/design-proposals-archive, node/kubelet-cri-logging.md). A line of more than 16 KiB
// comes in parts, tagged P: each stays as it is, and is no line.
func unwrapped(line []byte) []byte {
	if len(line) < 20 || line[4] != '-' || line[10] != 'T' {
		return line
	}
	_, rest, _ := bytes.Cut(line[:min(len(line), 64)], space)
	for _, stream := range []string{"stdout F ", "stderr F "} {
		if bytes.HasPrefix(rest, []byte(stream)) {
			return line[bytes.IndexByte(line, ' ')+1+len(stream):]
		}
	}
	return line
}

func done(err error) (bool, error) { return err == nil, err }

// value is a field as logs write it: a lone hyphen stands for none.
func value(b []byte) []byte {
	if len(b) == 0 || len(b) == 1 && b[0] == '-' {
		return nil
	}
	return b
}

// forward adds one X-Forwarded-For line.
func (p *Parser) forward(out *Line, v []byte) {
	if v = value(v); v == nil || len(out.Forwarded) == maxForwarded {
		return
	}
	out.Forwarded = append(p.forwarded[:len(out.Forwarded)], v)
}
