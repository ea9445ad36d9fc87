package intake

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
)

// exchange is one request on its way to the application and its answer on the way back. It is reused; it may not be used
// after done.
type exchange struct {
	*request
	proxy  *Proxy
	up     *upstreamConn
	answer head

	upgrades   bool // the client asks to switch protocols
	replayable bool // sending the request twice does no harm, and nothing of it is gone
	bodyCut    bool // the application takes no more of the request

	length    int       // of the answer's body, or chunked, or untilClose
	stream    io.Reader // the answer's body
	counted   io.LimitedReader
	whole     bool // it was read to its end
	reusable  bool // the application keeps the connection after this answer
	trailer   head // of the answer
	piece     []byte
	continued bool // the client has been told to go on

	rest rest // of the request's body, while the answer is received
}

// done gives x back. A connection that it still holds goes back too where the answer was read to its end.
func (x *exchange) done() {
	if x.up != nil {
		if x.whole && x.reusable {
			x.proxy.upstream.put(x.up)
		} else {
			x.up.end()
		}
	}
	if cap(x.answer.lines) > 256 {
		x.answer = head{}
	}
	x.request, x.up, x.stream, x.counted.R = nil, nil, nil, nil
	x.upgrades, x.replayable, x.bodyCut, x.whole, x.reusable, x.continued = false, false, false, false, false, false
	x.proxy.exchanges.Put(x)
}

// isIdempotent is RFC 9110 section 9.2.2.
func isIdempotent(method []byte) bool {
	switch string(method) {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE":
		return true
	}
	return false
}

// prepare puts the request's head together as it goes on to the application.
func (x *exchange) prepare() {
	r := x.request
	x.replayable = r.body.ended && isIdempotent(r.method)
	x.continued = r.body.expected
	peer := r.conn.peer
	if r.conn.local {
		peer = netip.Addr{} // there is nothing to append
	}
	out := append(r.out[:0], r.method...)
	out = append(out, ' ')
	out = append(out, r.target...)
	out = append(out, " HTTP/1.1\r\n"...)
	hasHost, left := false, len(r.forwarded)
	var asks []byte
	for i := range r.head.lines {
		l := &r.head.lines[i]
		if l.kind == upgrade {
			asks = l.raw
		}
		if !r.head.forwards(l) {
			continue
		}
		switch l.kind {
		case host:
			hasHost = true
		case forwardedFor:
			if left--; left == 0 && peer.IsValid() {
				out = append(out, l.name()...)
				out = append(out, ": "...)
				if len(l.value()) > 0 {
					out = append(out, l.value()...)
					out = append(out, ", "...)
				}
				out = append(peer.AppendTo(out), "\r\n"...)
				continue
			}
		}
		out = append(out, l.raw...)
	}
	if len(r.forwarded) == 0 && peer.IsValid() {
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
	// Not HTTP/2: whatever came through such a tunnel would be requests that nobody judges.
	if asks != nil && r.http11 && r.head.has("upgrade") && !bytes.Contains(bytes.ToLower(asks), []byte("h2c")) {
		x.upgrades = true
		out = append(out, "Connection: upgrade\r\n"...)
		out = append(out, asks...)
	}
	r.out = append(out, "\r\n"...)
}

// roundTrip sends the request over x.up and passes the answer on to the client. Where it returns none, the client has it.
func (x *exchange) roundTrip() (failure, error) {
	f, sendErr := x.send()
	switch {
	case isClients(f):
		return f, sendErr
	case f == none && !x.body.ended:
		return x.receiveBeside()
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

// send sends the request; of a body that does not fit into one piece, or is in chunks, at least the first piece, together
// with the head.
func (x *exchange) send() (failure, error) {
	if x.body.ended {
		x.up.writeWithin(writeTimeout)
		if _, err := x.up.Write(x.out); err != nil {
			return noAnswer, err
		}
		return none, nil
	}
	if x.piece == nil {
		x.piece = make([]byte, bodyPiece)
	}
	for {
		f, err := x.sendPiece(&x.out, x.piece)
		if f != none || x.body.ended || x.body.length == chunked || x.body.length > bodyPiece {
			return f, err
		}
	}
}

// sendPiece sends the next piece of the body when it arrives, behind what out holds.
func (x *exchange) sendPiece(out *[]byte, piece []byte) (failure, error) {
	n, err := x.body.Read(piece)
	if limit := x.proxy.cfg.MaxBody; limit > 0 && x.body.read > limit {
		return bodyTooLarge, nil
	}
	ended := errors.Is(err, io.EOF)
	if err != nil && !ended {
		return bodyFailure(err), err
	}
	b := *out
	if x.body.length != chunked {
		b = append(b, piece[:n]...)
	} else {
		b = appendChunk(b, piece[:n])
		if ended {
			b = append(b, "0\r\n"...)
			for i := range x.body.trailer.lines {
				b = append(b, x.body.trailer.lines[i].raw...)
			}
			b = append(b, "\r\n"...)
		}
	}
	*out = b[:0]
	x.rest.short.Store(x.body.short()) // before the application can know, who may answer at once
	x.up.writeWithin(writeTimeout)
	if _, err = x.up.Write(b); err != nil {
		return noAnswer, err
	}
	if ended {
		x.conn.readWithin(0)
	}
	return none, nil
}

const bodyPiece = 16 << 10

func appendChunk(out, piece []byte) []byte {
	if len(piece) == 0 {
		return out // an empty one would be the last
	}
	out = strconv.AppendInt(out, int64(len(piece)), 16)
	out = append(out, "\r\n"...)
	out = append(out, piece...)
	return append(out, "\r\n"...)
}

// isClients reports whether a failure is of the client's body.
func isClients(f failure) bool { return f == clientGone || f == badBody || f == bodyTooLarge }

// bodyFailure says what it means that the client's body could not be read.
func bodyFailure(err error) failure {
	var timeout net.Error
	if errors.As(err, &timeout) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, bufio.ErrBufferFull) {
		return clientGone
	}
	return badBody
}
