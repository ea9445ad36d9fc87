package intake

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// serves has each connection to a listener served by f, and returns the listener's address.
func serves(t *testing.T, f func(c net.Conn, br *bufio.Reader)) string {
	t.Helper()
	ln := listener(t)
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				f(c, bufio.NewReader(c))
			}()
		}
	}()
	return ln.Addr().String()
}

// As `req.pipe(res)` does in Node.
func TestAnApplicationMayAnswerWhileItReads(t *testing.T) {
	const size = 24 << 20 // more than all buffers on the way hold
	app := serves(t, func(c net.Conn, br *bufio.Reader) {
		for {
			r, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			answer := &http.Response{
				StatusCode: 200, ProtoMajor: 1, ProtoMinor: 1, Request: r, ContentLength: r.ContentLength,
				TransferEncoding: r.TransferEncoding, Body: r.Body,
			}
			if err := answer.Write(c); err != nil {
				return
			}
		}
	})
	addr := newFixture(t).proxy(t, app)
	want, _ := digest(noise(1, size))
	f := func(length int64) {
		t.Helper()
		r, err := http.NewRequestWithContext(context.Background(), "POST", "http://"+addr+"/", noise(1, size))
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = length
		c := client(t)
		c.Timeout = time.Minute
		answer, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if got, err := digest(answer.Body); got != want || err != nil {
			t.Errorf("length %d: %s, %v, want %s", length, got, err, want)
		}
	}
	f(size)
	f(-1)
}

func TestAClientMayWaitForTheAnswerToEachPiece(t *testing.T) {
	app := serves(t, func(c net.Conn, br *bufio.Reader) {
		r, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		piece := make([]byte, 100)
		for {
			n, err := r.Body.Read(piece)
			if n > 0 {
				_, _ = fmt.Fprintf(c, "%x\r\n%s\r\n", n, piece[:n])
			}
			if err != nil {
				_, _ = io.WriteString(c, "0\r\n\r\n")
				return
			}
		}
	})
	w := dial(t, newFixture(t).proxy(t, app))
	w.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
	for i := range 3 {
		chunk := fmt.Sprintf("5\r\nhell%d\r\n", i)
		w.send(chunk)
		if i == 0 {
			w.head()
		}
		got := make([]byte, len(chunk))
		if _, err := io.ReadFull(w.br, got); string(got) != chunk {
			t.Errorf("got %q, %v", got, err)
		}
	}
	w.send("0\r\n\r\n")
	if got := w.rest(); got != "0\r\n\r\n" {
		t.Errorf("got %q", got)
	}
}

func TestAWholeAnswerMayComeBeforeTheBody(t *testing.T) {
	got := make(chan string, 10)
	app := serves(t, func(c net.Conn, br *bufio.Reader) {
		for n := 1; ; n++ {
			r, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, ok)
			sum, err := digest(r.Body)
			got <- fmt.Sprint(n, " ", sum, " ", err)
		}
	})
	w := dial(t, newFixture(t).proxy(t, app))
	f := func(n, size int, closes bool) {
		t.Helper()
		body := strings.Repeat("x", size)
		w.send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", size) + body[:20_000])
		if r, answer := w.response("POST"); answer != "ok" || r.Close != closes {
			t.Errorf("%d bytes: %s, %q, close %v", size, r.Status, answer, r.Close)
		}
		w.send(body[20_000:])
		sum, _ := digest(strings.NewReader(body))
		if want := fmt.Sprint(n, " ", sum, " <nil>"); want != <-got {
			t.Errorf("%d bytes: the application did not get them as request %d of its connection", size, n)
		}
	}
	f(1, 50_000, false) // and both connections are kept
	f(2, 50_000, false)
	f(3, 1_000_000, true) // which a client may take for leave to send no more
	w.closed()
}

func TestAnAnswerIsNotWaitedForLongerBecauseTheBodyPauses(t *testing.T) {
	app := newApplication(t)
	app.ln.Close()
	fix := newFixture(t)
	f := func(want int, app string) {
		t.Helper()
		w := dial(t, fix.proxy(t, app))
		w.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 20_000))
		if r, _ := w.response("POST"); r.StatusCode != want {
			t.Errorf("got %s, want %d", r.Status, want)
		}
		// What is left of the body is little, so that the connection is kept.
		w.send(strings.Repeat("x", 80_000) + get + "\r\n")
		w.response("GET")
		fix = newFixture(t)
	}
	silent := func(c net.Conn, br *bufio.Reader) { _, _ = http.ReadRequest(br) }
	f(502, serves(t, silent))
	f(502, serves(t, func(c net.Conn, br *bufio.Reader) { silent(c, br); _, _ = io.WriteString(c, "nonsense\r\n\r\n") }))
}

func TestAnAnswerIsWaitedForFromTheEndOfTheBodyOn(t *testing.T) {
	app := serves(t, func(c net.Conn, br *bufio.Reader) {
		if r, err := http.ReadRequest(br); err == nil {
			_, _ = io.Copy(io.Discard, r.Body)
		}
		_, _ = br.ReadByte() // and never an answer
	})
	const within = time.Second
	w := dial(t, newFixture(t).proxy(t, app, func(c *ProxyConfig) { c.ResponseTimeout, c.StreamTimeout = within, within }))
	w.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n" + strings.Repeat("x", 19_000))
	<-time.After(3 * within / 2)
	sent := time.Now()
	w.send(strings.Repeat("x", 1000))
	if r, _ := w.response("POST"); r.StatusCode != 504 || time.Since(sent) < within/2 {
		t.Errorf("%s, %v after the request", r.Status, time.Since(sent))
	}
}

func TestWhatIsWrongWithTheRestOfABodyIsSaidUnlessAnAnswerHasBegun(t *testing.T) {
	const chunks = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
	begins, reached := make(chan bool, 1), make(chan struct{}, 1)
	ended := make(chan error, 1)
	app := serves(t, func(c net.Conn, br *bufio.Reader) {
		r, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		reached <- struct{}{}
		if <-begins {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
		}
		_, err = io.Copy(io.Discard, r.Body)
		ended <- err
	})
	fix := newFixture(t)
	addr := fix.proxy(t, app, func(c *ProxyConfig) { c.MaxBody = 10 })
	f := func(want, rest string) {
		t.Helper()
		for _, begun := range []bool{false, true} {
			begins <- begun
			w := dial(t, addr)
			w.send(chunks)
			<-reached
			if begun {
				w.head()
			}
			w.send(rest)
			if rest == "" {
				_ = w.Conn.(*net.TCPConn).CloseWrite()
			}
			got, _ := io.ReadAll(w.br)
			if begun && string(got) != "half" || !begun && !strings.HasPrefix(string(got), "HTTP/1.1 "+want) {
				t.Errorf("%q, with an answer begun %v: got %q", rest, begun, got)
			}
			if err := <-ended; err == nil {
				t.Errorf("%q: the application got a whole body", rest)
			}
		}
	}
	f("400 ", "5\r\nhello!\r\n")
	f("413 ", "6\r\nhello!\r\n0\r\n\r\n")
	f("408 ", "") // the client has left
}

func TestAnUpgradeWaitsForTheBodyBeforeIt(t *testing.T) {
	got := make(chan string, 1)
	app := serves(t, func(c net.Conn, br *bufio.Reader) {
		r, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n")
		sum, _ := digest(r.Body)
		line, _ := br.ReadString('\n')
		got <- sum + " " + line
	})
	w := dial(t, newFixture(t).proxy(t, app))
	body := strings.Repeat("x", 40_000)
	w.send("POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\nContent-Length: 40000\r\n\r\n" + body[:30_000])
	w.send(body[30_000:] + "hello\n")
	w.head()
	sum, _ := digest(strings.NewReader(body))
	if all := <-got; all != sum+" hello\n" {
		t.Errorf("the application got %q", all)
	}
}

// failing is a connection to an application that takes a request's first bytes and never answers.
type failing struct {
	net.Conn
	writes int
	closed chan struct{}
}

func (c *failing) Write(b []byte) (int, error) {
	if c.writes++; c.writes > 1 {
		panic("a bug")
	}
	return len(b), nil
}
func (c *failing) Read([]byte) (int, error)         { <-c.closed; return 0, net.ErrClosed }
func (c *failing) SetReadDeadline(time.Time) error  { return nil }
func (c *failing) SetWriteDeadline(time.Time) error { return nil }
func (c *failing) Close() error {
	select {
	case <-c.closed:
	default:
		close(c.closed)
	}
	return nil
}

func TestAPanicWhileTheRestOfABodyIsSentIs502(t *testing.T) {
	p := newFixture(t).newProxy(t, ProxyConfig{
		Upstream: "127.0.0.1:1", ConnectTimeout: time.Second, ResponseTimeout: time.Minute, StreamTimeout: time.Minute,
		IdleTimeout: time.Minute, UpstreamIdle: time.Minute, MaxConnections: 10,
	})
	conn := p.upstream.dog.watch(&failing{closed: make(chan struct{})})
	p.upstream.put(&upstreamConn{watched: conn, br: bufio.NewReader(conn)})
	w := dial(t, serve(t, p))
	w.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 40000\r\n\r\n" + strings.Repeat("x", 40_000))
	if r, _ := w.response("PUT"); r.StatusCode != 502 || !r.Close {
		t.Errorf("got %s, close %v", r.Status, r.Close)
	}
	if got := p.panics.Load(); got != 1 {
		t.Errorf("%d panics counted", got)
	}
	waitFor(t, func() bool { return p.upstream.dog.len() == 0 })
}
