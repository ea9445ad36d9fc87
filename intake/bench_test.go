package intake

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"referee/evidence"
	"referee/features"
)

func nameOf(domain string) features.Name {
	var p features.Parser
	n, _ := p.Bare([]byte(domain))
	return n.Clone()
}

const browserHead = "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n" +
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n" +
	"Accept-Language: en-US,en;q=0.9,de;q=0.8\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n" +
	"Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n" +
	"X-Forwarded-For: 203.5.113.7\r\nX-Forwarded-Proto: https\r\nX-Amzn-Trace-Id: Root=1-67891233-abcdef012345678912345678\r\n" +
	"Referer: https://www." + benignDomain + "/some/page?q=1\r\n\r\n"

// onePeer is a connection from a peer on a private network that sends the same request again and again.
type onePeer struct {
	net.Conn
	request, left, got []byte
}

func (c *onePeer) Read(b []byte) (int, error) {
	n := copy(b, c.left)
	if c.left = c.left[n:]; n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (c *onePeer) Write(b []byte) (int, error)      { c.got = append(c.got, b...); return len(b), nil }
func (c *onePeer) Close() error                     { return nil }
func (c *onePeer) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(10, 0, 0, 9), Port: 4711} }
func (c *onePeer) SetReadDeadline(time.Time) error  { return nil }
func (c *onePeer) SetWriteDeadline(time.Time) error { return nil }

// offline has the proxy answer the request, without a socket, whenever it is called, and returns the answer.
func (p *Proxy) offline(t testing.TB, text string) func() []byte {
	peer := &onePeer{request: []byte(text)}
	c := newConn(&p.server, p.dog.watch(peer))
	t.Cleanup(func() { c.end(); p.dog.lookNow() }) // the watchdog ends with the test, and not at its next tick
	r := new(request)
	return func() []byte {
		peer.left, peer.got = peer.request, peer.got[:0]
		if !c.await(0) || !c.next(r) {
			t.Fatalf("the connection ends after %q", peer.got)
		}
		return peer.got
	}
}

// offline is Proxy.offline for the API.
func (a *API) offline(t testing.TB, text string) func() []byte {
	peer := &onePeer{request: []byte(text)}
	c := newCaller(a.dog.watch(peer))
	t.Cleanup(func() { c.end(); a.dog.lookNow() })
	return func() []byte {
		peer.left, peer.got = peer.request, peer.got[:0]
		if !a.await(c.watched, c.br, 0) || !a.next(c) {
			t.Fatalf("the connection ends after %q", peer.got)
		}
		return peer.got
	}
}

// canned is a connection to an application that always gives the same answer.
type canned struct {
	net.Conn
	answer []byte
	left   []byte
}

func (c *canned) Write(b []byte) (int, error) { c.left = c.answer; return len(b), nil }
func (c *canned) Read(b []byte) (int, error) {
	n := copy(b, c.left)
	if c.left = c.left[n:]; n == 0 {
		return 0, io.EOF
	}
	return n, nil
}
func (c *canned) Close() error                     { return nil }
func (c *canned) SetReadDeadline(time.Time) error  { return nil }
func (c *canned) SetWriteDeadline(time.Time) error { return nil }

func TestForwardingACachedNameDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	fix := newFixture(t)
	p := fix.newProxy(t, ProxyConfig{Upstream: "127.0.0.1:1", ResponseTimeout: time.Second, StreamTimeout: time.Second, UpstreamIdle: time.Hour, MaxConnections: 1})
	defer p.upstream.close()
	conn := &canned{answer: []byte("HTTP/1.1 200 OK\r\nDate: Sun, 01 Mar 2026 12:00:00 GMT\r\nConnection: keep-alive\r\nContent-Type: text/html\r\n" +
		"Content-Length: 5\r\n\r\nhello")}
	p.upstream.put(&upstreamConn{watched: p.upstream.dog.watch(conn), br: bufio.NewReader(conn)})
	handle := p.offline(t, "GET / HTTP/1.1\r\nHost: app.example\r\n"+browserHead)
	var out []byte
	var sink []evidence.Sighting
	forward := func() {
		out = handle()
		sink = fix.queue.Drain(sink[:0])
	}
	forward()
	forward()
	if n := testing.AllocsPerRun(1000, forward); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if !strings.HasPrefix(string(out), "HTTP/1.1 200 OK\r\n") || !strings.HasSuffix(string(out), "\r\n\r\nhello") {
		t.Errorf("got %q", out)
	}
}

// load sends requests over one kept connection, one after the other, as nginx does to its upstreams.
func load(b *testing.B, addr, request string) {
	b.Helper()
	conn, err := new(net.Dialer).DialContext(context.Background(), "tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	raw := []byte(request)
	br := bufio.NewReaderSize(conn, 16<<10)
	var response fasthttp.Response
	b.ReportAllocs()
	for b.Loop() {
		if _, err := conn.Write(raw); err != nil {
			b.Fatal(err)
		}
		if err := response.Read(br); err != nil {
			b.Fatal(err)
		}
		if response.StatusCode() != fasthttp.StatusOK {
			b.Fatal(response.String())
		}
	}
}

// serveFast runs a bare fasthttp server.
func serveFast(b *testing.B, h fasthttp.RequestHandler) string {
	b.Helper()
	ln := listener(b)
	s := &fasthttp.Server{Handler: h, CloseOnShutdown: true}
	go func() { _ = s.Serve(ln) }()
	b.Cleanup(func() { _ = s.Shutdown() })
	return ln.Addr().String()
}

// drained keeps the queue empty, as the background does, until the test ends.
func (f *fixture) drained(b *testing.B) *fixture {
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		var sink []evidence.Sighting
		for {
			select {
			case <-tick.C:
				sink = f.queue.Drain(sink[:0])
			case <-stop:
				return
			}
		}
	}()
	b.Cleanup(func() { close(stop); <-stopped })
	return f
}

// A whole request over a kept loopback connection, client included, beside the least that fasthttp does for one.
func BenchmarkCheck(b *testing.B) {
	request := "GET /v1/check HTTP/1.1\r\nHost: referee\r\n" + browserHead
	b.Run("fasthttp hello", func(b *testing.B) {
		load(b, serveFast(b, func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString("hello") }), request)
	})
	b.Run("check", func(b *testing.B) {
		load(b, newFixture(b).drained(b).api(b), request)
	})
}

// All but the system calls: a head read from memory, judged and answered into memory.
func BenchmarkCheckHandler(b *testing.B) {
	fix := newFixture(b).drained(b)
	a := NewAPI(Config{MaxConnections: 1}, fix.Judge, fix.registry, fix.log)
	handle := a.offline(b, "GET /v1/check HTTP/1.1\r\nHost: referee\r\n"+browserHead)
	b.ReportAllocs()
	for b.Loop() {
		handle()
	}
}

// A request through a proxy to a bare fasthttp server, beside a bare fasthttp HostClient proxy to the same.
func BenchmarkProxy(b *testing.B) {
	app := serveFast(b, func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString("hello") })
	request := "GET / HTTP/1.1\r\nHost: app.example\r\n" + browserHead
	b.Run("application alone", func(b *testing.B) { load(b, app, request) })
	b.Run("fasthttp HostClient", func(b *testing.B) {
		hc := &fasthttp.HostClient{Addr: app}
		defer hc.CloseIdleConnections()
		load(b, serveFast(b, func(ctx *fasthttp.RequestCtx) {
			if err := hc.Do(&ctx.Request, &ctx.Response); err != nil {
				ctx.Error(err.Error(), fasthttp.StatusBadGateway)
			}
		}), request)
	})
	b.Run("referee", func(b *testing.B) { load(b, newFixture(b).drained(b).proxy(b, app), request) })
}

func BenchmarkHead(b *testing.B) {
	var h head
	block := []byte("Host: app.example\r\n" + browserHead)
	b.ReportAllocs()
	for b.Loop() {
		if err := h.parse(block); err != nil {
			b.Fatal(err)
		}
	}
}
