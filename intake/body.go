package intake

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strconv"
	"time"
)

// bodyWriter streams request bodies to the application: each piece goes on when it arrives, the first one together with
// the head. It makes its buffers when first used.
type bodyWriter struct {
	w     *bufio.Writer
	piece []byte
}

const bodyPiece = 16 << 10

// copy sends the head and the body of x's request.
func (b *bodyWriter) copy(x *exchange) (failure, error) {
	if b.w == nil {
		b.w, b.piece = bufio.NewWriterSize(nil, bodyPiece), make([]byte, bodyPiece)
	}
	b.w.Reset(x.conn)
	defer b.w.Reset(nil)
	body, length := x.ctx.RequestBodyStream(), int64(x.ctx.Request.Header.ContentLength())
	_, _ = b.w.Write(x.out) // bufio keeps the error for Flush
	for sent := int64(0); ; {
		if err := x.ctx.SetReadDeadline(time.Now().Add(bodyTimeout)); err != nil {
			return clientGone, err
		}
		n, err := body.Read(b.piece)
		sent += int64(n)
		if limit := x.proxy.cfg.MaxBody; limit > 0 && sent > limit {
			return bodyTooLarge, nil
		}
		ended := errors.Is(err, io.EOF)
		switch {
		case ended && (length >= 0 && sent < length || length < 0 && x.ctx.Conn().(*clientConn).ended):
			// fasthttp takes a chunked body that breaks off between two chunks for a whole one. Sent on as such it would be
			// a shorter request than the client's; but a whole one ends before the connection does.
			return clientGone, io.ErrUnexpectedEOF
		case err != nil && !ended:
			var timeout net.Error
			if errors.As(err, &timeout) || errors.Is(err, io.ErrUnexpectedEOF) {
				return clientGone, err
			}
			return badBody, err
		}
		if n > 0 {
			if length < 0 {
				_, _ = b.w.Write(strconv.AppendInt(b.w.AvailableBuffer(), int64(n), 16))
				_, _ = b.w.WriteString("\r\n")
			}
			_, _ = b.w.Write(b.piece[:n])
			if length < 0 {
				_, _ = b.w.WriteString("\r\n")
			}
		}
		if ended && length < 0 {
			_, _ = b.w.WriteString("0\r\n")
			_, _ = b.w.Write(x.ctx.Request.Header.TrailerHeader())
		}
		if err := x.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
			return noAnswer, err
		}
		if err := b.w.Flush(); err != nil {
			return noAnswer, err
		}
		if ended {
			return none, nil
		}
	}
}

// clientConn remembers that the client has ended its side of the connection.
type clientConn struct {
	net.Conn
	ended bool
}

func (c *clientConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if errors.Is(err, io.EOF) {
		c.ended = true
	}
	return n, err
}

// CloseWrite lets a tunnel end its one direction.
func (c *clientConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// clientListener accepts clientConns.
type clientListener struct{ net.Listener }

func (l clientListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &clientConn{Conn: c}, nil
}
