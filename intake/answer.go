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
)

// receive reads heads until one is of a final answer, and passes all of them on without the lines meant for this hop.
func (x *exchange) receive() (failure, error) {
	x.answerWithin(x.proxy.cfg.ResponseTimeout)
	for interim := 0; ; interim++ {
		block, err := readHead(x.up.br)
		if err != nil {
			return readFailure(err, interim), err
		}
		status, reason, http10, err := x.readAnswer(block)
		if err != nil {
			return badAnswer, err
		}
		if status >= 200 {
			return x.finalAnswer(status, reason, http10, len(block))
		}
		if status == 101 {
			if !x.upgrades {
				return badAnswer, errors.New("it switched protocols, which nobody asked for")
			}
			if f, err := x.awaitRest(); f != none { // what comes before the tunnel
				return f, err
			}
			x.writeAnswer(status, reason)
			_, _ = x.up.br.Discard(len(block))
			x.tunnel()
			return none, nil
		}
		if interim == 100 {
			return badAnswer, errors.New("it sent a hundred interim answers and no final one")
		}
		// RFC 9110 section 15.2: not to an HTTP/1.0 client; and the proxy has said 100 itself where the client waited for it.
		if x.http11 && !(status == 100 && x.continued) {
			x.writeAnswer(status, reason)
			x.out = append(x.out, "\r\n"...)
			if err := x.conn.write(x.out); err != nil {
				return clientLeft, err
			}
		}
		_, _ = x.up.br.Discard(len(block))
	}
}

var errHeadTooLong = errors.New("its header is too large")

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
		if bareLineFeed(b, searched) {
			return nil, errLineEnd // it would be waited for in vain
		}
		searched = max(0, len(b)-3)
		need = len(b) + 1
	}
}

func bareLineFeed(b []byte, from int) bool {
	for i := from; ; i++ {
		next := bytes.IndexByte(b[i:], '\n')
		if next < 0 {
			return false
		}
		if i += next; i == 0 || b[i-1] != '\r' {
			return true
		}
	}
}

// readTrailer reads what follows the last chunk.
func readTrailer(br *bufio.Reader, trailer *head) error {
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
	if err := trailer.parse(block); err != nil {
		return err
	}
	_, err = br.Discard(len(block)) // its bytes stay until more is read
	return err
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
	for _, c := range first[9:12] {
		if c < '0' || c > '9' {
			return 0, nil, false, errors.New("its status is no number of three digits")
		}
		status = status*10 + int(c-'0')
	}
	if status < 100 || (len(first) > 12 && first[12] != ' ') || bytes.IndexByte(first, '\r') >= 0 || bytes.IndexByte(first, 0) >= 0 {
		return 0, nil, false, errors.New("its status is no number of three digits with a reason")
	}
	return status, first[12:], first[7] == '0', x.answer.parse(block[end+1:])
}

// finalAnswer passes on an answer whose head is the next n bytes.
func (x *exchange) finalAnswer(status int, reason []byte, http10 bool, n int) (failure, error) {
	length, err := x.bodyLength(status, http10)
	if err != nil {
		return badAnswer, err
	}
	x.length = length
	sent, f := x.sent()
	x.bodyCut = x.bodyCut || f != none
	x.reusable = !x.bodyCut && length != untilClose && !x.answer.has("close") && (!http10 || x.answer.has("keep-alive"))
	x.keep = x.keep && !x.bodyCut && (!x.rest.running || x.rest.short.Load()) && !(length < 0 && !x.http11)
	x.writeAnswer(status, reason)
	if length == untilClose && x.http11 {
		x.out = append(x.out, "Transfer-Encoding: chunked\r\n"...)
	}
	x.closing()
	x.out = append(x.out, "\r\n"...)
	_, _ = x.up.br.Discard(n)
	x.answered = true
	if length >= 0 && length <= x.up.br.Buffered() { // it is here already
		body, _ := x.up.br.Peek(length)
		x.out = append(x.out, body...)
		_, _ = x.up.br.Discard(length)
		x.whole = true
		if x.reusable && sent { // free for others at once, and not only when this client has read its answer
			x.proxy.upstream.put(x.up)
			x.up = nil
		}
		if x.conn.write(x.out) != nil {
			x.keep, x.cut = false, true
		}
		return none, nil
	}
	if !x.pass() {
		x.keep, x.cut = false, true
	}
	return none, nil
}

// bodyLength is RFC 9112 section 6.3, without the cases that it allows to be refused.
func (x *exchange) bodyLength(status int, http10 bool) (int, error) {
	encoding, encodings := x.answer.first(transferEncoding)
	length, lengths := x.answer.first(contentLength)
	switch {
	case encodings > 0 && (lengths > 0 || http10):
		return 0, errors.New("it has a Transfer-Encoding beside a Content-Length, or in HTTP/1.0")
	case encodings > 1 || encodings == 1 && !equalFold(encoding, "chunked"):
		return 0, errors.New("its Transfer-Encoding is not chunked")
	case lengths > 1:
		return 0, errors.New("it has several Content-Lengths")
	}
	n := int64(untilClose)
	if lengths == 1 {
		var ok bool
		if n, ok = parseLength(length); !ok {
			return 0, errors.New("its Content-Length is no number")
		}
	}
	switch {
	case x.isHead, status == 204, status == 304:
		return 0, nil
	case encodings == 1:
		return chunked, nil
	}
	return int(n), nil
}

// writeAnswer puts the head together as it goes on to the client, but for its end.
func (x *exchange) writeAnswer(status int, reason []byte) {
	out := append(x.out[:0], "HTTP/1.1 "...)
	out = strconv.AppendInt(out, int64(status), 10)
	out = append(out, reason...)
	out = append(out, "\r\n"...)
	for i := range x.answer.lines {
		l := &x.answer.lines[i]
		if x.answer.forwards(l) && (x.http11 || l.kind != transferEncoding) || status == 101 && l.kind == upgrade {
			out = append(out, l.raw...)
		}
	}
	x.out = out
}

// pass streams the answer's body, with x.out before it. It reports whether all of it got through.
func (x *exchange) pass() bool {
	// A chunked body that breaks off between two chunks is not whole.
	switch x.length {
	case chunked:
		x.stream = httputil.NewChunkedReader(x.up.br)
	case untilClose:
		x.stream = x.up.br
	default:
		x.counted = io.LimitedReader{R: x.up.br, N: int64(x.length)}
		x.stream = &x.counted
	}
	if x.piece == nil {
		x.piece = make([]byte, bodyPiece)
	}
	if x.up.br.Buffered() == 0 { // the client gets the head when the application sent it, unless a piece follows at once
		if x.conn.write(x.out) != nil {
			return false
		}
		x.out = x.out[:0]
	}
	for {
		x.conn.writeWithin(0)
		x.answerWithin(x.proxy.cfg.StreamTimeout)
		n, err := x.stream.Read(x.piece)
		ended := errors.Is(err, io.EOF)
		if ended && x.length == chunked {
			err = readTrailer(x.up.br, &x.trailer)
			ended = err == nil
		}
		if ended && x.length >= 0 && x.counted.N > 0 || err != nil && !ended {
			x.out = x.framed(n)
			_ = x.conn.write(x.out) // what there is; that it is not whole is said by closing the connection
			return false
		}
		x.out = x.framed(n)
		x.whole = ended || x.length >= 0 && x.counted.N == 0
		if x.whole && x.length < 0 && x.http11 {
			x.lastChunk()
		}
		if x.conn.write(x.out) != nil {
			return false
		}
		if x.out = x.out[:0]; x.whole {
			return true
		}
	}
}

// framed is x.out with the first n bytes of x.piece behind it, as they go on to the client.
func (x *exchange) framed(n int) []byte {
	if x.length < 0 && x.http11 {
		return appendChunk(x.out, x.piece[:n])
	}
	return append(x.out, x.piece[:n]...)
}

// lastChunk appends the end of a chunked body, with what may stand in a trailer of that which the application put there.
func (x *exchange) lastChunk() {
	x.out = append(x.out, "0\r\n"...)
	if x.length == chunked {
		for i := range x.trailer.lines {
			if l := &x.trailer.lines[i]; l.kind == endToEnd {
				x.out = append(x.out, l.raw...)
			}
		}
	}
	x.out = append(x.out, "\r\n"...)
}
