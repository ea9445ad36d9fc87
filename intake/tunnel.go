package intake

import (
	"io"
	"net"
	"time"
)

// A tunnel's other direction may say its last words for so long after one side has ended.
const lingering = 5 * time.Second

// tunnel passes on a 101 whose head is in x.out, and from then on whatever either side says, until both have ended. A tunnel
// counts as the client connection that it is.
func (x *exchange) tunnel() {
	p, client, up := x.proxy, x.conn, x.up
	x.answered, x.keep, x.cut = true, false, true
	p.tunnels.Add(1)
	defer p.tunnels.Add(-1)
	x.out = append(x.out, "Connection: upgrade\r\n\r\n"...)
	if client.write(x.out) != nil {
		return
	}
	client.readWithin(0)
	client.writeWithin(0)
	up.readWithin(0)
	up.writeWithin(0)

	ended := make(chan struct{}, 2)
	pipe := func(to net.Conn, from io.Reader) {
		_, _ = io.Copy(to, from)
		if c, ok := to.(interface{ CloseWrite() error }); ok {
			_ = c.CloseWrite()
		}
		ended <- struct{}{}
	}
	go pipe(up.watched, client.br)
	go pipe(client.watched, up.br)
	<-ended
	end := time.Now().Add(lingering)
	_ = client.SetDeadline(end)
	_ = up.SetDeadline(end)
	<-ended
}
