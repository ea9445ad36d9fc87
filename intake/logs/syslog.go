package logs

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

const (
	maxSyslogConns = 256              // each holds a buffer of 64 KiB
	messageTimeout = 30 * time.Second // for the rest of a message that has begun
	receiveBuffer  = 4 << 20          // of the kernel, for bursts: some 10,000 lines
	lastWords      = 200 * time.Millisecond
)

// closeSoon closes c a little after ctx has ended: what the kernel took before that is read, for its sender believes it arrived.
func closeSoon(ctx context.Context, c io.Closer) (stop func() bool) {
	return context.AfterFunc(ctx, func() { time.AfterFunc(lastWords, func() { _ = c.Close() }) })
}

// listenSyslog binds UDP and TCP to one port.
func (in *Intake) listenSyslog(ctx context.Context) error {
	var lc net.ListenConfig
	var last error
	for range 10 { // with port 0 the one that UDP got may be taken for TCP
		packets, err := lc.ListenPacket(ctx, "udp", in.cfg.Listen)
		if err != nil {
			return err
		}
		udp := packets.(*net.UDPConn)
		tcp, err := lc.Listen(ctx, "tcp", udp.LocalAddr().String())
		if err == nil {
			_ = udp.SetReadBuffer(receiveBuffer) // as much of it as the system allows
			in.udp, in.tcp = udp, tcp
			return nil
		}
		_ = udp.Close() // it is another port's turn
		if last = err; !endsInZero(in.cfg.Listen) {
			break
		}
	}
	return last
}

func endsInZero(address string) bool {
	_, port, _ := net.SplitHostPort(address)
	return port == "0"
}

// readUDP takes one message from each datagram.
func (in *Intake) readUDP(ctx context.Context) {
	stop := closeSoon(ctx, in.udp)
	defer stop()
	r := in.reader(fromSyslog)
	buffer := make([]byte, 64<<10)
	for troubled := false; ; {
		n, _, err := in.udp.ReadFromUDPAddrPort(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			troubled = true
			in.trouble("syslog", fmt.Errorf("logs.listen: %w", err))
			if !pause(ctx, time.Second) {
				_ = in.udp.Close()
				return
			}
			continue
		}
		if troubled {
			troubled = false
			in.trouble("syslog", nil)
		}
		r.take(Message(buffer[:n]))
	}
}

func (in *Intake) acceptTCP(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { in.tcp.Close() })
	defer stop()
	var conns sync.WaitGroup
	defer conns.Wait()
	places := make(chan struct{}, maxSyslogConns)
	for {
		c, err := in.tcp.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // too many files are open: that passes
			if !pause(ctx, 100*time.Millisecond) {
				return
			}
			continue
		}
		select {
		case places <- struct{}{}:
		default:
			in.refused.Add(1)
			c.Close()
			continue
		}
		conns.Go(func() {
			defer func() { <-places }()
			defer c.Close()
			stop := closeSoon(ctx, c)
			defer stop()
			in.readTCP(c)
		})
	}
}

// readTCP takes messages in both framings of RFC 6587, told apart one by one. A sender may be silent for as long as it likes
// between two messages, not within one. A message is whole when its length or its newline says so, or when the sender ended
// the stream behind it: what a timeout or our own end cuts is no message.
func (in *Intake) readTCP(c net.Conn) {
	r := in.reader(fromSyslog)
	f := framer{br: bufio.NewReaderSize(c, 64<<10)}
	for {
		_ = c.SetReadDeadline(time.Time{})
		if _, err := f.br.Peek(1); err != nil {
			return
		}
		_ = c.SetReadDeadline(time.Now().Add(messageTimeout))
		message, err := f.next()
		switch {
		case errors.Is(err, errTooLong):
			in.counts[fromSyslog][notRead].Add(1)
			r.tell(err, nil)
		case err == nil, errors.Is(err, io.EOF) && len(message) > 0:
			r.take(Message(message))
		default:
			return
		}
	}
}

// framer cuts a stream into messages: "123 " and as many bytes, or up to a newline or NUL.
type framer struct {
	br  *bufio.Reader
	buf []byte
}

// next returns the next message, which lives until the following call. errTooLong: one was passed over. With io.EOF it may
// return what stood before the end without a newline.
func (f *framer) next() ([]byte, error) {
	if n, width := f.count(); width > 0 {
		_, _ = f.br.Discard(width) // buffered
		if n > MaxLine {
			if _, err := io.CopyN(io.Discard, f.br, int64(n)); err != nil {
				return nil, err
			}
			return nil, errTooLong
		}
		f.buf = f.buf[:0]
		for len(f.buf) < n { // in pieces: what was only announced takes no memory
			from := len(f.buf)
			f.buf = append(f.buf, make([]byte, min(n-from, 64<<10))...)
			if _, err := io.ReadFull(f.br, f.buf[from:]); err != nil {
				return nil, err
			}
		}
		return f.buf, nil
	}
	f.buf = f.buf[:0]
	for long := false; ; {
		_, _ = f.br.Peek(1) // fill
		have, _ := f.br.Peek(f.br.Buffered())
		if len(have) == 0 {
			_, err := f.br.Peek(1)
			if long && errors.Is(err, io.EOF) {
				err = errTooLong
			}
			return f.buf, err // with io.EOF an unfinished one
		}
		end := bytes.IndexAny(have, "\n\x00")
		piece := have
		if end >= 0 {
			piece = have[:end]
		}
		if long = long || len(f.buf)+len(piece) > MaxLine; !long {
			f.buf = append(f.buf, piece...)
		}
		if end < 0 {
			_, _ = f.br.Discard(len(have))
			continue
		}
		_, _ = f.br.Discard(end + 1)
		if long {
			return nil, errTooLong
		}
		return f.buf, nil
	}
}

// count reads the length that a message of octet counting begins with, and the width of that; 0 where it is none.
func (f *framer) count() (n, width int) {
	for i := 1; i <= 8; i++ {
		b, err := f.br.Peek(i)
		if err != nil {
			return 0, 0
		}
		switch c := b[i-1]; {
		case c == ' ' && i > 1:
			return n, i
		case c < '0' || c > '9' || i == 1 && c == '0':
			return 0, 0
		default:
			n = n*10 + int(c-'0')
		}
	}
	return 0, 0
}

// Message is what a syslog message says, behind the header of RFC 5424 or RFC 3164 as far as there is one: senders leave out
// what they like of it. It views b and does not allocate.
func Message(b []byte) []byte {
	b = bytes.TrimRight(b, "\r\n\x00")
	rest, ok := priority(b)
	if !ok {
		return b
	}
	if r, ok := bytes.CutPrefix(rest, []byte("1 ")); ok {
		return structured(r)
	}
	// 3164: "Nov 23 03:12:41 host tag: ", rsyslog's with an RFC 3339 time. Hosts and tags hold no colon and no space.
	if len(rest) > 0 && rest[0] == '{' {
		return rest
	}
	if len(rest) > 16 && rest[3] == ' ' && rest[6] == ' ' && rest[9] == ':' && rest[12] == ':' && rest[15] == ' ' {
		rest = rest[16:]
	} else if len(rest) > 20 && rest[4] == '-' && rest[7] == '-' && rest[10] == 'T' {
		_, rest, _ = bytes.Cut(rest, space)
	}
	at := 0
	for range 2 { // host and tag, or the tag alone
		end := bytes.IndexByte(rest[at:min(len(rest), at+256)], ' ') // a host name has 255 bytes at most (RFC 1035)
		if end < 0 {
			break
		}
		if at += end + 1; end > 0 && rest[at-2] == ':' {
			return rest[at:]
		}
	}
	return rest
}

// priority passes over <190>.
func priority(b []byte) (rest []byte, ok bool) {
	if len(b) < 3 || b[0] != '<' {
		return b, false
	}
	for i := 1; i < min(len(b), 5); i++ {
		if b[i] == '>' && i > 1 {
			return b[i+1:], true
		}
		if b[i] < '0' || b[i] > '9' {
			break
		}
	}
	return b, false
}

// structured passes over RFC 5424's TIMESTAMP HOSTNAME APP-NAME PROCID MSGID and its structured data.
func structured(b []byte) []byte {
	for range 5 {
		var found bool
		if _, b, found = bytes.Cut(b, space); !found {
			return nil
		}
	}
	for len(b) > 0 && b[0] == '[' {
		quoted := false
		i := 1
		for ; i < len(b) && (quoted || b[i] != ']'); i++ {
			switch b[i] {
			case '\\':
				i++
			case '"':
				quoted = !quoted
			}
		}
		b = b[min(i+1, len(b)):]
	}
	b = bytes.TrimPrefix(b, []byte("-"))
	b = bytes.TrimPrefix(b, space)
	return bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
}
