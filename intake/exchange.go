package intake

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"
)

// exchange is one request on its way to the application and its answer on the way back. It is reused; it may not be used
// after done.
type exchange struct {
	proxy     *Proxy
	ctx       *fasthttp.RequestCtx
	conn      *upstreamConn
	head      head     // of the request, then of the answer
	forwarded [][]byte // its X-Forwarded-For values
	out       []byte   // the head as it goes on

	upgrade    []byte // the raw Upgrade line of a request that asks to switch protocols
	replayable bool   // sending it twice does no harm, and nothing of it is gone
	bodyCut    bool   // the application answered before it had read the whole request

	body bodyWriter

	answerBytes bytes.Reader
	answer      *bufio.Reader

	// The body of the answer, decoded by a fasthttp.Response that serves for nothing else.
	decoder   fasthttp.Response
	stream    io.Reader
	client    net.Conn
	streaming bool // fasthttp reads the body from x, and calls done through Close
	whole     bool // the body was read to its end
	keep      bool // the application keeps the connection after this answer
}

func newExchange(p *Proxy) *exchange {
	x := &exchange{proxy: p}
	x.answer = bufio.NewReaderSize(&x.answerBytes, 4096)
	return x
}

// done gives x back. A connection that it still holds goes back too where the answer was read to its end.
func (x *exchange) done() {
	if x.conn != nil {
		if x.whole && x.keep {
			x.proxy.upstream.put(x.conn)
		} else {
			x.conn.Close()
		}
	}
	if cap(x.head.lines) > 256 || cap(x.out) > 32<<10 {
		x.head, x.out = head{}, nil // one huge request must not keep its size for ever
	}
	x.ctx, x.conn, x.upgrade, x.stream, x.client = nil, nil, nil, nil, nil
	x.replayable, x.bodyCut, x.streaming, x.whole, x.keep = false, false, false, false, false
	x.proxy.exchanges.Put(x)
}

// readRequest reads the request's head from the lines that fasthttp has accepted, and refuses what an application might
// read in another way than this proxy does.
func (x *exchange) readRequest() error {
	request := &x.ctx.Request
	block := request.Header.RawHeaders()
	if len(block) == 0 {
		block = []byte("\r\n") // an HTTP/1.0 request may have no header at all
	}
	if err := x.head.parse(block); err != nil {
		return err
	}
	x.forwarded = x.forwarded[:0]
	for i := range x.head.lines {
		l := &x.head.lines[i]
		switch l.kind {
		case forwardedFor:
			x.forwarded = append(x.forwarded, l.value)
		case upgrade:
			x.upgrade = l.raw
		}
	}
	encoding, encodings := x.head.first(transferEncoding)
	_, lengths := x.head.first(contentLength)
	switch {
	case encodings > 0 && lengths > 0:
		return errFraming
	case encodings > 1 || encodings == 1 && !equalFold(encoding, "chunked"):
		return errors.New("a request's Transfer-Encoding is chunked or none")
	}
	if !request.Header.IsHTTP11() || !x.head.has("upgrade") {
		x.upgrade = nil
	}
	x.replayable = !x.hasBody() && isIdempotent(request.Header.Method())
	return nil
}

// isIdempotent is RFC 9110 section 9.2.2.
func isIdempotent(method []byte) bool {
	switch string(method) {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE":
		return true
	}
	return false
}

// hasBody reports whether the request has one: -1 is chunked, -2 none.
func (x *exchange) hasBody() bool {
	n := x.ctx.Request.Header.ContentLength()
	return n > 0 || n == -1
}

// writeRequest puts the head together as it goes on to the application.
func (x *exchange) writeRequest(peer netip.Addr) {
	request := &x.ctx.Request.Header
	if _, ok := x.ctx.RemoteAddr().(*net.TCPAddr); !ok {
		peer = netip.Addr{} // a Unix socket: whoever is behind it has no address to append
	}
	out := append(x.out[:0], request.Method()...)
	out = append(out, ' ')
	out = append(out, request.RequestURI()...)
	out = append(out, " HTTP/1.1\r\n"...)
	hasHost, left := false, len(x.forwarded)
	for i := range x.head.lines {
		l := &x.head.lines[i]
		if !x.head.forwards(l) {
			continue
		}
		switch l.kind {
		case host:
			hasHost = true
		case forwardedFor:
			if left--; left == 0 && peer.IsValid() {
				out = append(out, l.name...)
				out = append(out, ": "...)
				if len(l.value) > 0 {
					out = append(out, l.value...)
					out = append(out, ", "...)
				}
				out = append(peer.AppendTo(out), "\r\n"...)
				continue
			}
		}
		out = append(out, l.raw...)
	}
	if len(x.forwarded) == 0 && peer.IsValid() {
		out = append(out, "X-Forwarded-For: "...)
		out = append(peer.AppendTo(out), "\r\n"...)
	}
	if !hasHost { // HTTP/1.0
		out = append(out, "Host: "...)
		if x.proxy.upstream.network == "tcp" {
			out = append(out, x.proxy.upstream.addr...)
		}
		out = append(out, "\r\n"...)
	}
	if x.upgrade != nil {
		out = append(out, "Connection: upgrade\r\n"...)
		out = append(out, x.upgrade...)
	}
	x.out = append(out, "\r\n"...)
}

// roundTrip sends the request over x.conn and reads the head of the answer into the response. When it returns none, the
// response is ready.
func (x *exchange) roundTrip() (failure, error) {
	f, sendErr := x.send()
	if f == clientGone || f == badBody || f == bodyTooLarge {
		return f, sendErr
	}
	// An application that has seen enough of a request answers and closes; its answer is then there to be read although
	// the rest of the request could not be sent.
	x.bodyCut = f != none
	f, err := x.receive()
	if f != none && sendErr != nil {
		err = sendErr
	}
	return f, err
}

func (x *exchange) send() (failure, error) {
	if err := x.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return noAnswer, err
	}
	if !x.hasBody() {
		if _, err := x.conn.Write(x.out); err != nil {
			return noAnswer, err
		}
		return none, nil
	}
	return x.body.copy(x)
}

// receive reads heads until one is of a final answer, and hands that to fasthttp without the lines meant for this hop.
func (x *exchange) receive() (failure, error) {
	if err := x.conn.SetReadDeadline(time.Now().Add(x.proxy.cfg.ResponseTimeout)); err != nil {
		return noAnswer, err
	}
	for interim := 0; ; interim++ {
		block, err := readHead(x.conn.br)
		if err != nil {
			return readFailure(err), err
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

// readFailure says what a failed read of an answer's head means.
func readFailure(err error) failure {
	var timeout net.Error
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return tooSlow
	case errors.Is(err, errNothing):
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
	if length == 0 {
		x.whole = true
		return none, nil
	}
	if err := x.decode(length); err != nil {
		return badAnswer, err
	}
	x.ctx.Response.ImmediateHeaderFlush = x.conn.br.Buffered() == 0 // let the client know at once, as the application did
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

// writeAnswer puts the head together as it goes on to the client.
// Connection options of our own stand in own, and then nothing is said about chunks: they are for clients that close.
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

// decode makes x.stream the body of the answer.
func (x *exchange) decode(length int) error {
	x.decoder.Reset()
	x.decoder.StreamBody = true
	x.decoder.Header.SetContentLength(length)
	if err := x.decoder.ReadBody(x.conn.br, 0); err != nil {
		return err
	}
	x.stream, x.client, x.streaming = x.decoder.BodyStream(), x.ctx.Conn(), true
	return nil
}

// Read is the body of the answer, as fasthttp writes it to the client. A pause is allowed for as long as stream-timeout,
// and each piece gets its own time to be written in, so that a long stream is cut by neither.
func (x *exchange) Read(p []byte) (int, error) {
	waits := x.conn.br.Buffered() == 0
	if waits {
		if err := x.conn.SetReadDeadline(time.Now().Add(x.proxy.cfg.StreamTimeout)); err != nil {
			return 0, err
		}
	}
	n, err := x.stream.Read(p)
	if waits && n > 0 {
		if err := x.client.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
			return 0, err
		}
	}
	if errors.Is(err, io.EOF) && !x.whole {
		x.whole = true
		x.trailers()
	}
	return n, err
}

// trailers passes on what followed a chunked body.
func (x *exchange) trailers() {
	block := x.decoder.Header.TrailerHeader()
	if len(block) <= 2 || x.head.parse(block) != nil {
		return
	}
	out := &x.ctx.Response.Header
	for i := range x.head.lines {
		l := &x.head.lines[i]
		if out.AddTrailerBytes(l.name) == nil {
			out.AddBytesKV(l.name, l.value)
		}
	}
}

// CloseWithError ends the answer's body; fasthttp calls it when the response is written, or cannot be.
func (x *exchange) CloseWithError(error) error {
	if !x.streaming {
		return nil
	}
	x.stream = nil
	err := x.decoder.CloseBodyStream()
	x.done()
	return err
}
