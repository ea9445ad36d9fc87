package intake

import (
	"errors"
	"io"
	"math"
	"net/http/httputil"
	"time"
)

const (
	// How long a request's body may pause, as nginx has it (client_body_timeout). From then on it has to have come at
	// bodyRate on average, as Apache's mod_reqtimeout has it: a byte now and then would hold a connection for ever.
	bodyTimeout = 60 * time.Second
	bodyRate    = 100 // bytes a second
	// What is left of a body is read and dropped up to this size, so that the connection can be kept.
	maxDiscard = 256 << 10

	chunked    = -1
	untilClose = -2 // of answers
)

// body is a request's, in what framing it comes. It is read by whoever wants it, and not before.
type body struct {
	conn     *conn
	length   int64 // or chunked
	left     int64
	since    time.Time // it is read
	read     int64
	chunks   io.Reader
	trailer  head
	expected bool // the client waits to be told to send it
	begun    bool
	ended    bool
}

var errTrailer = errors.New("what may not stand in a trailer does")

func (b *body) reset(c *conn) {
	b.conn, b.length, b.left, b.read, b.chunks = c, 0, 0, 0, nil
	b.trailer.lines = b.trailer.lines[:0]
	b.expected, b.begun, b.ended = false, false, true
}

func (b *body) begin(length int64) {
	b.length, b.left, b.ended = length, length, length == 0
	if length == chunked {
		b.left = math.MaxInt64
	}
}

// Read reads the body. It ends with io.EOF where the body does; b.trailer is there then.
func (b *body) Read(p []byte) (int, error) {
	if b.ended {
		return 0, io.EOF
	}
	c := b.conn
	if b.expected && !b.begun && c.br.Buffered() == 0 {
		if err := c.write([]byte("HTTP/1.1 100 Continue\r\n\r\n")); err != nil {
			return 0, err
		}
	}
	if !b.begun {
		b.begun, b.since = true, time.Now()
	}
	earned := time.Duration(min(b.read, 1<<39)) * (time.Second / bodyRate) // 174 years at most, which do not overflow
	allowed := c.server.body + earned - time.Since(b.since)
	c.readWithin(min(max(allowed, 1), c.server.body))
	if b.length != chunked {
		n, err := c.br.Read(p[:min(int64(len(p)), b.left)])
		b.read += int64(n)
		if b.left -= int64(n); b.left == 0 {
			b.ended = true
			return n, io.EOF
		}
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return n, err
	}
	if b.chunks == nil {
		b.chunks = httputil.NewChunkedReader(c.br)
	}
	n, err := b.chunks.Read(p)
	b.read += int64(n)
	if errors.Is(err, io.EOF) {
		if err = readTrailer(c.br, &b.trailer); err == nil {
			b.ended, err = true, io.EOF
			for i := range b.trailer.lines {
				if k := b.trailer.lines[i].kind; k != endToEnd { // RFC 9110 section 6.5.1
					return n, errTrailer
				}
			}
		}
	}
	return n, err
}

// short reports whether what is left of the body is little enough to be read for the sake of the connection.
func (b *body) short() bool {
	return b.ended || b.length != chunked && b.left <= maxDiscard && (b.begun || !b.expected)
}

// discard reads what is left of a short body.
func (b *body) discard() bool {
	if b.ended {
		return true
	}
	b.conn.readWithin(b.conn.server.head)
	n, err := b.conn.br.Discard(int(b.left))
	b.left -= int64(n)
	return err == nil
}
