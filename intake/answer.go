package intake

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"strconv"

	"github.com/valyala/fasthttp"
)

// receive reads heads until one is of a final answer, and hands that to fasthttp without the lines meant for this hop.
func (x *exchange) receive() (failure, error) {
	x.conn.readWithin(x.proxy.cfg.ResponseTimeout)
	for interim := 0; ; interim++ {
		block, err := readHead(x.conn.br)
		if err != nil {
			return readFailure(err, interim), err
		}
		status, reason, http10, err := x.readAnswer(block)
		if err != nil {
			return badAnswer, err
		}
		switch {
		case status == fasthttp.StatusSwitchingProtocols && x.upgrade != nil:
			return x.switchProtocols(reason, len(block))
		case status == fasthttp.StatusSwitchingProtocols:
			return badAnswer, errors.New("it switched protocols, which nobody asked for")
		case status < 200:
			if interim == 100 {
				return badAnswer, errors.New("it sent a hundred interim answers and no final one")
			}
			if _, err := x.conn.br.Discard(len(block)); err != nil {
				return badAnswer, err
			}
			continue
		}
		return x.finish(status, reason, http10, len(block))
	}
}

var errHeadTooLong = errors.New("its header is over 32 KiB")

// readHead returns the next head, still buffered, up to and with the empty line.
func readHead(br *bufio.Reader) ([]byte, error) {
	searched := 0
	for need := 1; ; {
		if _, err := br.Peek(need); err != nil {
			if errors.Is(err, bufio.ErrBufferFull) {
				return nil, errHeadTooLong
			}
			if br.Buffered() == 0 && need == 1 {
				return nil, fmt.Errorf("%w: %w", errNothing, err)
			}
			return nil, err
		}
		b, _ := br.Peek(br.Buffered())
		if i := bytes.Index(b[searched:], []byte("\r\n\r\n")); i >= 0 {
			return b[:searched+i+4], nil
		}
		searched = max(0, len(b)-3)
		need = len(b) + 1
	}
}

var errNothing = errors.New("it closed the connection without an answer")

// readFailure says what a failed read of a head means, after so many interim ones.
func readFailure(err error, interim int) failure {
	var timeout net.Error
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return tooSlow
	case errors.Is(err, errNothing) && interim == 0:
		return noAnswer
	}
	return badAnswer
}

// readAnswer reads the head of an answer.
func (x *exchange) readAnswer(block []byte) (status int, reason []byte, http10 bool, err error) {
	end := bytes.IndexByte(block, '\n')
	first := bytes.TrimSuffix(block[:end], []byte("\r"))
	// HTTP/1.1 200 OK
	if len(first) < 12 || string(first[:7]) != "HTTP/1." || first[8] != ' ' || (first[7] != '0' && first[7] != '1') {
		return 0, nil, false, errors.New("it is no HTTP/1.x")
	}
	status, err = strconv.Atoi(string(first[9:12]))
	if err != nil || status < 100 || (len(first) > 12 && first[12] != ' ') {
		return 0, nil, false, errors.New("its status is no number of three digits")
	}
	if len(first) > 13 {
		reason = first[13:]
	}
	return status, reason, first[7] == '0', x.head.parse(block[end+1:])
}

// finish makes the response of a final answer whose head is the next n bytes.
func (x *exchange) finish(status int, reason []byte, http10 bool, n int) (failure, error) {
	length, err := x.bodyLength(status, http10)
	if err != nil {
		return badAnswer, err
	}
	x.keep = !x.bodyCut && length != untilClose && !x.head.has("close") && (!http10 || x.head.has("keep-alive"))
	if length < 0 && !x.ctx.Request.Header.IsHTTP11() {
		return x.answerUntilClose(status, reason, length, n)
	}
	x.writeAnswer(status, reason, nil)
	if _, err := x.conn.br.Discard(n); err != nil {
		return badAnswer, err
	}
	if err := x.respond(); err != nil {
		return badAnswer, err
	}
	if x.bodyCut {
		x.ctx.SetConnectionClose() // the rest of the request is still to come
	}
	if length >= 0 && length <= x.conn.br.Buffered() {
		// It is here already: fasthttp takes a copy, and the connection is free for others at once.
		body, _ := x.conn.br.Peek(length)
		if length > 0 {
			x.ctx.Response.SetBody(body)
		}
		_, _ = x.conn.br.Discard(length)
		x.whole = true
		return none, nil
	}
	x.decode(length)
	// The client gets the head when the application sent it, unless a first chunk follows at once.
	x.ctx.Response.ImmediateHeaderFlush = length >= 0 || x.conn.br.Buffered() == 0
	x.ctx.Response.SetBodyStream(x, max(length, -1))
	return none, nil
}

// What fasthttp calls the lengths of bodies that are not known beforehand.
const (
	chunked    = -1
	untilClose = -2
)

// bodyLength is RFC 9112 section 6.3, without the cases that it allows to be refused.
func (x *exchange) bodyLength(status int, http10 bool) (int, error) {
	encoding, encodings := x.head.first(transferEncoding)
	length, lengths := x.head.first(contentLength)
	switch {
	case encodings > 0 && (lengths > 0 || http10):
		return 0, errors.New("it has a Transfer-Encoding beside a Content-Length, or in HTTP/1.0")
	case encodings > 1 || encodings == 1 && !equalFold(encoding, "chunked"):
		return 0, errors.New("its Transfer-Encoding is not chunked")
	case lengths > 1:
		return 0, errors.New("it has several Content-Lengths")
	}
	n := untilClose
	if lengths == 1 {
		for _, c := range length {
			if c < '0' || c > '9' {
				return 0, errors.New("its Content-Length is no number")
			}
		}
		var err error
		if n, err = strconv.Atoi(string(length)); err != nil {
			return 0, errors.New("its Content-Length is no number")
		}
	}
	switch {
	case x.ctx.IsHead(), status == fasthttp.StatusNoContent, status == fasthttp.StatusNotModified:
		return 0, nil
	case encodings == 1:
		return chunked, nil
	}
	return n, nil
}

// writeAnswer puts the head together as it goes on to the client. With a Connection option of our own (upgrade, close) the
// connection is taken from fasthttp: then the head is for the wire, and whatever follows it is not in chunks.
func (x *exchange) writeAnswer(status int, reason, own []byte) {
	out := append(x.out[:0], "HTTP/1.1 "...)
	out = strconv.AppendInt(out, int64(status), 10)
	out = append(out, ' ')
	out = append(out, reason...)
	out = append(out, "\r\n"...)
	for i := range x.head.lines {
		l := &x.head.lines[i]
		if x.head.forwards(l) && (own == nil || l.kind != transferEncoding) || own != nil && l.kind == upgrade {
			out = append(out, l.raw...)
		}
	}
	if own != nil {
		out = append(out, "Connection: "...)
		out = append(out, own...)
		out = append(out, "\r\n"...)
	}
	x.out = append(out, "\r\n"...)
}

// respond makes x.out the head of the response.
func (x *exchange) respond() error {
	x.answerBytes.Reset(x.out)
	br := x.answer
	if len(x.out) > br.Size() {
		br = bufio.NewReaderSize(&x.answerBytes, len(x.out))
	} else {
		br.Reset(&x.answerBytes)
	}
	h := &x.ctx.Response.Header
	h.DisableNormalizing()
	if err := h.Read(br); err != nil {
		return err
	}
	h.ResetConnectionClose() // fasthttp's own conclusion from a body without a length; it is sent chunked
	return nil
}

// decode makes x.stream the body of the answer. fasthttp's own decoder takes a chunked body that breaks off between two
// chunks for a whole one.
func (x *exchange) decode(length int) {
	switch length {
	case chunked:
		x.stream = httputil.NewChunkedReader(x.conn.br)
	case untilClose:
		x.stream = x.conn.br
	default:
		x.counted = io.LimitedReader{R: x.conn.br, N: int64(length)}
		x.stream = &x.counted
	}
	x.length, x.streaming = length, true
}

// Read is the body of the answer, as fasthttp writes it to the client. A pause is allowed for as long as stream-timeout,
// and each piece gets its own time to be written in, so that a long stream is cut by neither.
func (x *exchange) Read(p []byte) (int, error) {
	if x.whole {
		return 0, io.EOF
	}
	x.client.writeWithin(0)
	x.conn.readWithin(x.proxy.cfg.StreamTimeout)
	n, err := x.stream.Read(p)
	x.client.writeWithin(writeTimeout)
	if errors.Is(err, io.EOF) {
		err = x.end()
	}
	return n, err
}

// end is reached where nothing more of the body can be read; it returns io.EOF where the body is whole.
func (x *exchange) end() error {
	switch {
	case x.length == chunked:
		if err := x.trailers(); err != nil {
			return err
		}
	case x.length >= 0 && x.counted.N > 0:
		return io.ErrUnexpectedEOF
	}
	x.whole = true
	return io.EOF
}

// trailers passes on what follows the last chunk.
func (x *exchange) trailers() error {
	br := x.conn.br
	block, err := br.Peek(2)
	if err == nil && string(block) != "\r\n" {
		block, err = readHead(br)
	}
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	if err := x.head.parse(block); err != nil {
		return err
	}
	out := &x.ctx.Response.Header
	for i := range x.head.lines {
		l := &x.head.lines[i]
		if out.AddTrailerBytes(l.name) == nil { // it refuses what may not stand in a trailer: that is left out
			out.AddBytesKV(l.name, l.value)
		}
	}
	_, err = br.Discard(len(block))
	return err
}

// CloseWithError ends the answer's body; fasthttp calls it when the response is written, or cannot be.
func (x *exchange) CloseWithError(error) error {
	if x.streaming {
		x.done()
	}
	return nil
}
