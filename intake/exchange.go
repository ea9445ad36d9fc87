package intake

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"

	"github.com/valyala/fasthttp"
)

// exchange is one request on its way to the application and its answer on the way back. It is reused; it may not be used
// after done.
type exchange struct {
	proxy     *Proxy
	ctx       *fasthttp.RequestCtx
	client    *watched
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

	stream    io.Reader // the body of the answer
	counted   io.LimitedReader
	length    int
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
			x.conn.end()
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
	// Not HTTP/2: whatever came through such a tunnel would be requests that nobody judges.
	if !request.Header.IsHTTP11() || !x.head.has("upgrade") || bytes.Contains(bytes.ToLower(x.upgrade), []byte("h2c")) {
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
	x.conn.writeWithin(writeTimeout)
	if !x.hasBody() {
		if _, err := x.conn.Write(x.out); err != nil {
			return noAnswer, err
		}
		return none, nil
	}
	return x.body.copy(x)
}
