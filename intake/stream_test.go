package intake

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// digest reads r and returns its size and SHA-256.
func digest(r io.Reader) (string, error) {
	h := sha256.New()
	n, err := io.Copy(h, r)
	return fmt.Sprintf("%d %s", n, hex.EncodeToString(h.Sum(nil))), err
}

// noise is n bytes that differ from test to test.
func noise(seed uint64, n int64) io.Reader {
	var key [32]byte
	key[0] = byte(seed)
	key[1] = byte(seed >> 8)
	return io.LimitReader(rand.NewChaCha8(key), n)
}

// echo answers with the digest of the request's body, and with as many bytes as the query asks for, in the framing that
// it asks for.
func echo(w http.ResponseWriter, r *http.Request) {
	sum, err := digest(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("X-Body", sum)
	n, _ := strconv.ParseInt(r.FormValue("n"), 10, 64)
	if r.FormValue("chunked") == "" {
		w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	}
	_, _ = io.Copy(w, noise(uint64(n), n))
}

func fasthttpEcho(ctx *fasthttp.RequestCtx) {
	sum, err := digest(ctx.RequestBodyStream())
	if err != nil {
		ctx.Error("body", 400)
		return
	}
	ctx.Response.Header.Set("X-Body", sum)
	n, _ := strconv.ParseInt(string(ctx.FormValue("n")), 10, 64)
	size := int(n)
	if ctx.QueryArgs().Has("chunked") {
		size = -1
	}
	ctx.SetBodyStream(noise(uint64(n), n), size)
}

func TestBodiesOfAnySizeArriveWhole(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(echo))
	defer app.Close()
	fast := &fasthttp.Server{Handler: fasthttpEcho, StreamRequestBody: true, MaxRequestBodySize: 1 << 30, CloseOnShutdown: true}
	ln := listener(t)
	go func() { _ = fast.Serve(ln) }()
	defer func() { _ = fast.Shutdown() }()
	fix := newFixture(t)
	proxies := map[string]string{
		"net/http": fix.proxy(t, app.Listener.Addr().String()),
		"fasthttp": newFixture(t).proxy(t, ln.Addr().String()),
	}
	sizes := []int64{0, 1, 2, 4095, 4096, 4097, 8 << 10, 16<<10 - 1, 16<<10 + 1, 32 << 10, 100_001, 5 << 20}
	for name, addr := range proxies {
		t.Run("in front of "+name, func(t *testing.T) {
			c := client(t)
			var wg sync.WaitGroup
			for i, up := range sizes {
				down := sizes[(i*5+3)%len(sizes)]
				for _, framing := range []string{"", "&chunked=1"} {
					wg.Go(func() {
						body := noise(uint64(up), up)
						r, err := http.NewRequestWithContext(context.Background(), "POST", fmt.Sprintf("http://%s/?n=%d%s", addr, down, framing), body)
						if err != nil {
							t.Error(err)
							return
						}
						if r.ContentLength = up; framing != "" {
							r.ContentLength = -1
						}
						if up == 0 {
							r.Body = http.NoBody
						}
						got, err := c.Do(r)
						if err != nil {
							t.Errorf("%d bytes up, %d down%s: %v", up, down, framing, err)
							return
						}
						defer got.Body.Close()
						wantUp, _ := digest(noise(uint64(up), up))
						wantDown, _ := digest(noise(uint64(down), down))
						gotDown, err := digest(got.Body)
						if err != nil || got.StatusCode != 200 || got.Header.Get("X-Body") != wantUp || gotDown != wantDown {
							t.Errorf("%d bytes up, %d down%s: %s %v: up %s, down %s", up, down, framing, got.Status, err, got.Header.Get("X-Body"), gotDown)
						}
					})
				}
			}
			wg.Wait()
		})
	}
}

func TestPiecesArriveWhenTheyAreSent(t *testing.T) {
	app := newApplication(t)
	addr := newFixture(t).proxy(t, app.addr)

	t.Run("on the way back", func(t *testing.T) { // server-sent events
		next := make(chan string)
		app.then(func(c net.Conn, _ string) bool {
			for s := range next {
				_, _ = io.WriteString(c, s)
			}
			return true
		})
		w := dial(t, addr)
		w.send(get + "\r\n")
		next <- "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
		if got := w.head(); !strings.Contains(got, "text/event-stream") {
			t.Errorf("got %q", got)
		}
		for i := range 5 {
			event := fmt.Sprintf("data: %d\n\n", i)
			next <- fmt.Sprintf("%x\r\n%s\r\n", len(event), event)
			got := make([]byte, len(event)+5)
			if _, err := io.ReadFull(w.br, got); err != nil || !strings.Contains(string(got), event) {
				t.Errorf("got %q, %v", got, err)
			}
		}
		next <- "0\r\n\r\n"
		close(next)
	})

	t.Run("on the way there", func(t *testing.T) {
		got := make(chan string)
		ln := listener(t)
		defer ln.Close()
		go func() {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			br := bufio.NewReader(c)
			for {
				line, err := br.ReadString('\n')
				if err != nil {
					close(got)
					return
				}
				got <- line
				if line == "0\r\n" {
					_, _ = io.WriteString(c, ok)
				}
			}
		}()
		w := dial(t, newFixture(t).proxy(t, ln.Addr().String()))
		w.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
		f := func(piece string) {
			t.Helper()
			for line := range got {
				if line == piece+"\r\n" {
					return
				}
			}
			t.Fatalf("%q did not arrive", piece)
		}
		f("a")
		for _, piece := range []string{"b", "c"} {
			w.send("1\r\n" + piece + "\r\n")
			f(piece)
		}
		w.send("0\r\n\r\n")
		f("0")
		f("")
		w.response("POST")
		w.Close()
	})
}

func TestAStreamMayLastLongerThanAnyTimeout(t *testing.T) {
	app := newApplication(t)
	addr := newFixture(t).proxy(t, app.addr, func(c *ProxyConfig) {
		c.ResponseTimeout, c.StreamTimeout = time.Second, time.Second
	})
	const pieces = 10
	app.then(func(c net.Conn, _ string) bool {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		tick := time.NewTicker(130 * time.Millisecond)
		defer tick.Stop()
		for range pieces {
			<-tick.C
			_, _ = io.WriteString(c, "1\r\nx\r\n")
		}
		_, _ = io.WriteString(c, "0\r\n\r\n")
		return true
	})
	w := dial(t, addr)
	w.send(get + "\r\n")
	if _, body := w.response("GET"); body != strings.Repeat("x", pieces) {
		t.Errorf("got %q", body)
	}
}

func TestAnUpgradedConnectionIsATunnel(t *testing.T) {
	app := newApplication(t)
	fix := newFixture(t)
	p := fix.newProxy(t, ProxyConfig{
		Upstream: app.addr, ConnectTimeout: time.Second, ResponseTimeout: 500 * time.Millisecond, StreamTimeout: 500 * time.Millisecond,
		IdleTimeout: 500 * time.Millisecond, UpstreamIdle: time.Second, MaxConnections: 10,
	})
	ln := listener(t)
	served := make(chan error, 1)
	go func() { served <- p.Serve(ln) }()
	addr := ln.Addr().String()

	shout := func(c net.Conn, _ string) bool {
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nX-Hop: 1\r\nUpgrade: websocket\r\nsec-websocket-accept: x\r\n\r\nwelcome\n")
		br := bufio.NewReader(c)
		for {
			line, err := br.ReadString('\n')
			if err != nil {
				return false
			}
			_, _ = io.WriteString(c, strings.ToUpper(line))
		}
	}
	open := func() *wire {
		t.Helper()
		app.then(shout)
		w := dial(t, addr)
		w.send(get + "Connection: keep-alive, Upgrade\r\nupgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\nhello\n") // and speaks at once
		want := "HTTP/1.1 101 Switching Protocols\r\nX-Hop: 1\r\nUpgrade: websocket\r\nsec-websocket-accept: x\r\nConnection: upgrade\r\n\r\n"
		if got := w.head(); got != want {
			t.Errorf("got %q", got)
		}
		for _, want := range []string{"welcome\n", "HELLO\n"} {
			if got, err := w.br.ReadString('\n'); got != want {
				t.Errorf("got %q, %v", got, err)
			}
		}
		return w
	}
	w := open()
	want := get + "Sec-WebSocket-Key: x\r\nX-Forwarded-For: 127.0.0.1\r\nConnection: upgrade\r\nupgrade: websocket\r\n\r\n"
	if got := app.requests(); len(got) != 1 || got[0] != want {
		t.Errorf("the application got %q", got)
	}
	<-time.After(1200 * time.Millisecond) // it outlasts every timeout of ours
	w.send("still there?\n")
	if got, err := w.br.ReadString('\n'); got != "STILL THERE?\n" {
		t.Errorf("got %q, %v", got, err)
	}
	w.Close()
	waitFor(t, func() bool { return p.tunnels.Load() == 0 && app.connectionsOpen() == 0 })

	// An application that does not switch just answers.
	app.answers(ok)
	w = dial(t, addr)
	w.send(get + "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	if r, body := w.response("GET"); r.StatusCode != 200 || body != "ok" {
		t.Errorf("got %s", r.Status)
	}
	// HTTP/2 would be requests past the proxy.
	app.requests()
	w.send(get + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: websocket, H2C\r\nHTTP2-Settings: x\r\n\r\n")
	w.response("GET")
	if got := app.requests(); len(got) != 1 || got[0] != get+"X-Forwarded-For: 127.0.0.1\r\n\r\n" {
		t.Errorf("the application got %q", got)
	}

	// One is open when the proxy ends.
	w = open()
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_ = p.Shutdown(ctx) // it may have found the idle connection above open
	w.rest()
	if err := <-served; err != nil {
		t.Error(err)
	}
	waitFor(t, func() bool { return p.tunnels.Load() == 0 && app.connectionsOpen() == 0 })
}
