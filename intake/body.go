package intake

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strconv"
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
		x.client.readWithin(bodyTimeout)
		n, err := body.Read(b.piece)
		sent += int64(n)
		if limit := x.proxy.cfg.MaxBody; limit > 0 && sent > limit {
			return bodyTooLarge, nil
		}
		ended := errors.Is(err, io.EOF)
		switch {
		case ended && (length >= 0 && sent < length || length < 0 && x.client.ended):
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
		x.conn.writeWithin(writeTimeout)
		if err := b.w.Flush(); err != nil {
			return noAnswer, err
		}
		if ended {
			x.client.readWithin(0)
			return none, nil
		}
	}
}
