package intake

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const get = "GET / HTTP/1.1\r\nHost: a\r\n"

func TestEachRequestThroughTheProxyIsJudged(t *testing.T) {
	app := newApplication(t)
	app.answers(ok)
	fix := newFixture(t)
	w := dial(t, fix.proxy(t, app.addr))
	w.send(get + "referer: https://" + dgaDomain + "/\r\nReferer: https://www.google.com/\r\nX-Forwarded-For: 8.8.8.8\r\n\r\n")
	w.response("GET")
	got := fix.sightings()
	if len(got) != 1 || got[0].Result.Domain != dgaDomain || got[0].Client != netip.MustParseAddr("8.8.8.8") {
		t.Errorf("got %+v", got)
	}
}

func TestTheProxyRefusesCurrentHitsAlone(t *testing.T) {
	app := newApplication(t)
	app.answers(ok)
	fix := newFixture(t)
	w := dial(t, fix.proxy(t, app.addr)) // one connection for all
	f := func(want int, request string) {
		t.Helper()
		w.send(request)
		if r, _ := w.response("GET"); r.StatusCode != want || r.Close {
			t.Errorf("%q: %s", request, r.Status)
		}
		if got := len(app.requests()); got != 1 && want == 200 || got != 0 && want != 200 {
			t.Errorf("%q: the application got %d requests", request, got)
		}
	}
	f(200, get+"Referer: https://"+dgaDomain+"/\r\n\r\n")
	fix.block(nameHit(dgaDomain), clientHit("9.9.9.9/32"))
	f(403, get+"Referer: https://"+dgaDomain+"/\r\n\r\n")
	f(403, get+"X-Forwarded-For: 9.9.9.9\r\n\r\n")
	f(403, "POST / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 9.9.9.9\r\nContent-Length: 5\r\n\r\nhello")
	f(200, get+"Referer: https://zzxqwvkjhtpf.com/\r\nX-Forwarded-For: 8.8.8.8\r\n\r\n")
	f(200, get+"X-Forwarded-For: 9.9.9.9, 8.8.8.8\r\n\r\n")
}

func TestTheProxyForwardsWhateverBreaksInJudging(t *testing.T) {
	app := newApplication(t)
	app.answers(ok)
	fix := newFixture(t)
	addr := fix.proxy(t, app.addr)
	for _, broken := range []*Snapshot{nil, {}, {Policy: fix.snapshot.Policy}, {Cache: fix.snapshot.Cache}} {
		fix.Swap(broken)
		w := dial(t, addr)
		w.send(get + "Referer: https://" + dgaDomain + "/\r\n\r\n")
		if r, body := w.response("GET"); r.StatusCode != 200 || body != "ok" {
			t.Errorf("%+v: %s", broken, r.Status)
		}
	}
}

func TestAnApplicationThatIsDownIs502AtOnce(t *testing.T) {
	ln := listener(t)
	ln.Close() // nobody listens there now
	w := dial(t, newFixture(t).proxy(t, ln.Addr().String()))
	began := time.Now()
	for range 2 {
		w.send(get + "\r\n")
		if r, _ := w.response("GET"); r.StatusCode != 502 || r.Close {
			t.Errorf("got %s", r.Status)
		}
	}
	if took := time.Since(began); took > 3*time.Second { // its timeouts are 5 s
		t.Errorf("after %s", took)
	}
}

func TestAnApplicationThatIsSlowIs504(t *testing.T) {
	app := newApplication(t)
	silence := make(chan struct{})
	defer close(silence)
	wait := func(c net.Conn, _ string) bool {
		_, _ = io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200")
		<-silence
		return false
	}
	w := dial(t, newFixture(t).proxy(t, app.addr, func(c *ProxyConfig) { c.ResponseTimeout = 50 * time.Millisecond }))
	app.then(wait)
	w.send(get + "\r\n")
	w.head()
	if r, _ := w.response("GET"); r.StatusCode != 504 || r.Close {
		t.Errorf("got %s", r.Status)
	}
	app.answers(ok)
	w.send(get + "\r\n")
	if r, body := w.response("GET"); r.StatusCode != 200 || body != "ok" {
		t.Errorf("the next one: got %s", r.Status)
	}
}

func TestAnAnswerThatStopsInTheMiddleIsNotMadeToLookComplete(t *testing.T) {
	app := newApplication(t)
	addr := newFixture(t).proxy(t, app.addr, func(c *ProxyConfig) { c.StreamTimeout = 50 * time.Millisecond })
	silence := make(chan struct{})
	defer close(silence)
	f := func(stop bool, head, part string) {
		t.Helper()
		app.then(func(c net.Conn, _ string) bool {
			_, _ = io.WriteString(c, head+part)
			if !stop {
				<-silence
			}
			return false
		})
		w := dial(t, addr)
		w.send(get + "\r\n")
		w.head()
		if got := w.rest(); !strings.HasPrefix(part, got) {
			t.Errorf("%q: got %q", head, got)
		}
	}
	for _, stop := range []bool{true, false} {
		f(stop, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", "half")
		f(stop, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "4\r\nhalf\r\n")
	}
}

func TestConnectionsAreKeptOnBothSides(t *testing.T) {
	app := newApplication(t)
	app.answers(ok)
	w := dial(t, newFixture(t).proxy(t, app.addr))
	for range 10 {
		w.send(get + "\r\n")
		w.response("GET")
		w.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
		w.response("POST")
	}
	w.send(strings.Repeat(get+"\r\n", 10)) // pipelined
	for range 10 {
		if r, body := w.response("GET"); r.StatusCode != 200 || body != "ok" {
			t.Errorf("got %s", r.Status)
		}
	}
	if got := app.connections(); got != 1 {
		t.Errorf("%d connections to the application", got)
	}
	w.send(get + "Connection: close\r\n\r\n")
	if r, _ := w.response("GET"); !r.Close {
		t.Error("kept, although the client closes")
	}
	w.rest()
}

func TestAnIdleConnectionToTheApplicationIsClosedInTime(t *testing.T) {
	app := newApplication(t)
	app.answers(ok)
	w := dial(t, newFixture(t).proxy(t, app.addr, func(c *ProxyConfig) { c.UpstreamIdle = 20 * time.Millisecond }))
	w.send(get + "\r\n")
	w.response("GET")
	waitFor(t, func() bool { return app.connectionsOpen() == 0 })
	w.send(get + "\r\n")
	if r, _ := w.response("GET"); r.StatusCode != 200 {
		t.Errorf("got %s", r.Status)
	}
}

// The application closes kept connections when it likes: what it never got is sent again, what it may have got is not.
func TestARequestOnAConnectionThatTheApplicationHasClosedIsSentAgainIfItCanBe(t *testing.T) {
	app := newApplication(t)
	app.answers(ok)
	addr := newFixture(t).proxy(t, app.addr)
	closing := func(c net.Conn, _ string) bool {
		_, _ = io.WriteString(c, ok)
		return false // without a word about it
	}
	f := func(request string) {
		t.Helper()
		w := dial(t, addr)
		app.then(closing)
		w.send(get + "\r\n")
		w.response("GET")
		waitFor(t, func() bool { return app.connectionsOpen() == 0 })
		app.requests()
		w.send(request)
		if r, _ := w.response("GET"); r.StatusCode != 200 {
			t.Errorf("%q: %s", request, r.Status)
		}
		if got := app.requests(); len(got) != 1 {
			t.Errorf("%q: the application got %q", request, got)
		}
	}
	f(get + "\r\n")
	f("DELETE / HTTP/1.1\r\nHost: a\r\n\r\n")
	f("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
	f("POST / HTTP/1.1\r\nHost: a\r\n\r\n")
	f("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
}

func TestARequestThatKillsTheApplicationIsNotSentForEver(t *testing.T) {
	app := newApplication(t)
	addr := newFixture(t).proxy(t, app.addr)
	die := func(net.Conn, string) bool { return false }
	f := func(want int, request string) {
		t.Helper()
		w := dial(t, addr)
		app.answers(ok)
		w.send(get + "\r\n") // so that there is a kept connection
		w.response("GET")
		app.requests()
		for range want {
			app.then(die)
		}
		w.send(request)
		if r, _ := w.response("GET"); r.StatusCode != 502 {
			t.Errorf("%q: %s", request, r.Status)
		}
		if got := app.requests(); len(got) != want {
			t.Errorf("%q: the application got it %d times, want %d", request, len(got), want)
		}
	}
	f(2, get+"\r\n")
	f(1, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
	f(1, "POST / HTTP/1.1\r\nHost: a\r\n\r\n")
}

func TestAnUnusedAnswerOnAKeptConnectionIsNobodysAnswer(t *testing.T) {
	app := newApplication(t)
	app.answers(ok)
	fix := newFixture(t)
	addr := fix.proxy(t, app.addr)
	app.then(func(c net.Conn, _ string) bool {
		_, _ = io.WriteString(c, ok+"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
		return true
	})
	for range 3 {
		w := dial(t, addr)
		w.send(get + "\r\n")
		if _, body := w.response("GET"); body != "ok" {
			t.Errorf("got %q", body)
		}
	}
}

func TestAnApplicationMayAnswerBeforeItHasReadTheWholeRequest(t *testing.T) {
	app := newApplication(t)
	ln := listener(t)
	defer ln.Close()
	app.ln.Close()
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = c.Read(make([]byte, 100))
		_, _ = io.WriteString(c, "HTTP/1.1 413 Too Much\r\nContent-Length: 3\r\n\r\nno!")
		_ = c.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, io.LimitReader(c, 1<<20)) // and then it resets the connection
	}()
	w := dial(t, newFixture(t).proxy(t, ln.Addr().String()))
	w.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
	go func() {
		piece := make([]byte, 64<<10)
		for {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	}()
	if r, body := w.response("POST"); r.StatusCode != 413 || body != "no!" || !r.Close {
		t.Errorf("%s, %q, close %v", r.Status, body, r.Close)
	}
}

func TestAClientThatLeavesInTheMiddleFreesTheApplication(t *testing.T) {
	app := newApplication(t)
	fix := newFixture(t)
	addr := fix.proxy(t, app.addr)

	up := dial(t, addr)
	up.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf")
	waitFor(t, func() bool { return app.connectionsOpen() == 1 })
	up.Close()
	waitFor(t, func() bool { return app.connectionsOpen() == 0 })

	// A chunked request that breaks off between two chunks is none.
	up = dial(t, addr)
	app.requests()
	up.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
	waitFor(t, func() bool { return app.connectionsOpen() == 1 })
	up.Close()
	waitFor(t, func() bool { return app.connectionsOpen() == 0 })
	if got := app.requests(); len(got) != 1 || !strings.HasSuffix(got[0], "\r\n4\r\nhalf\r\n") {
		t.Errorf("the application got %q", got)
	}

	app.then(func(c net.Conn, _ string) bool {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for {
			if _, err := io.WriteString(c, "4\r\nmore\r\n"); err != nil {
				return false
			}
		}
	})
	down := dial(t, addr)
	down.send(get + "\r\n")
	down.head()
	down.Close()
	waitFor(t, func() bool { return app.connectionsOpen() == 0 })
}

func TestABodyThatIsTooLargeIs413(t *testing.T) {
	app := newApplication(t)
	app.answers(ok)
	addr := newFixture(t).proxy(t, app.addr, func(c *ProxyConfig) { c.MaxBody = 5 })
	f := func(want int, request string) {
		t.Helper()
		w := dial(t, addr)
		w.send("POST / HTTP/1.1\r\nHost: a\r\n" + request)
		if r, _ := w.response("POST"); r.StatusCode != want {
			t.Errorf("%q: %s", request, r.Status)
		}
	}
	f(200, "Content-Length: 5\r\n\r\nhello")
	f(413, "Content-Length: 6\r\n\r\nhello!")
	f(200, "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
	f(413, "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n")
}

func TestAnExpectationIsMetByTheProxy(t *testing.T) {
	app := newApplication(t)
	app.answers(ok)
	w := dial(t, newFixture(t).proxy(t, app.addr))
	for _, name := range []string{"Expect", "expect"} {
		w.send("POST / HTTP/1.1\r\nHost: a\r\n" + name + ": 100-continue\r\nContent-Length: 5\r\n\r\n")
		if got := w.head(); got != "HTTP/1.1 100 Continue\r\n\r\n" {
			t.Errorf("got %q", got)
		}
		w.send("hello")
		if r, body := w.response("POST"); r.StatusCode != 200 || body != "ok" {
			t.Errorf("got %s", r.Status)
		}
		if got := app.requests(); len(got) != 1 || strings.Contains(strings.ToLower(got[0]), "expect") || !strings.HasSuffix(got[0], "hello") {
			t.Errorf("the application got %q", got)
		}
	}
}

func TestTheProxyIsNoForwardProxy(t *testing.T) {
	app := newApplication(t)
	w := dial(t, newFixture(t).proxy(t, app.addr))
	w.send("CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n")
	if r, _ := w.response("GET"); r.StatusCode != 405 {
		t.Errorf("got %s", r.Status)
	}
	if got := app.requests(); len(got) != 0 {
		t.Errorf("the application got %q", got)
	}
}

func TestAnApplicationMayListenOnAUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.sock")
	ln, err := new(net.ListenConfig).Listen(context.Background(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	app := newApplication(t)
	app.answers(ok)
	go func() { // the same application behind another door
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			app.mu.Lock()
			app.open++
			app.mu.Unlock()
			go app.serve(c)
		}
	}()
	defer ln.Close()
	w := dial(t, newFixture(t).proxy(t, "unix:"+path))
	for range 2 {
		w.send("GET / HTTP/1.0\r\n\r\n")
		if r, body := w.response("GET"); r.StatusCode != 200 || body != "ok" {
			t.Errorf("got %s", r.Status)
		}
		w = dial(t, w.RemoteAddr().String())
		w.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
		w.response("POST")
	}
	if got := app.requests(); len(got) != 4 || got[0] != "GET / HTTP/1.1\r\nX-Forwarded-For: 127.0.0.1\r\nHost: \r\n\r\n" {
		t.Errorf("got %q", got)
	}
}

func TestAnOldClientGetsABodyThatEndsWithTheConnection(t *testing.T) {
	app := newApplication(t)
	addr := newFixture(t).proxy(t, app.addr)
	f := func(request, answer, want string) {
		t.Helper()
		app.answers(answer)
		w := dial(t, addr)
		w.send(request)
		if got := w.rest(); got != want {
			t.Errorf("%q, %q: got %q", request, answer, got)
		}
	}
	const old = "GET / HTTP/1.0\r\nHost: a\r\n\r\n"
	f(old, ok, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
	f(old, "HTTP/1.1 200 OK\r\nX-A: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n1\r\n!\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX-A: 1\r\nConnection: close\r\n\r\nok!")
	f(old, "HTTP/1.0 200 OK\r\n\r\nok", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok")
}

func TestTheProxyDrains(t *testing.T) {
	app := newApplication(t)
	fix := newFixture(t)
	p := fix.newProxy(t, ProxyConfig{
		Upstream: app.addr, ConnectTimeout: time.Second, ResponseTimeout: 5 * time.Second, StreamTimeout: 5 * time.Second,
		IdleTimeout: 5 * time.Second, UpstreamIdle: 2 * time.Second, MaxConnections: 10,
	})
	ln := listener(t)
	served := make(chan error, 1)
	go func() { served <- p.Serve(ln) }()
	w := dial(t, ln.Addr().String())
	proceed := make(chan struct{})
	app.then(func(c net.Conn, _ string) bool {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
		<-proceed
		_, _ = io.WriteString(c, "4\r\nhalf\r\n0\r\n\r\n")
		return true
	})
	w.send(get + "\r\n")
	w.head()
	down := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		down <- p.Shutdown(ctx)
	}()
	if err := <-served; err != nil {
		t.Error(err)
	}
	close(proceed)
	if got := w.rest(); got != "4\r\nhalf\r\n4\r\nhalf\r\n0\r\n\r\n" {
		t.Errorf("got %q", got)
	}
	if err := <-down; err != nil {
		t.Error(err)
	}
	waitFor(t, func() bool { return app.connectionsOpen() == 0 })
}

func TestShutdownWaitsNoLongerForAnApplicationThanItsContextSays(t *testing.T) {
	f := func(upstream string, ln net.Listener, reached bool) {
		t.Helper()
		fix := newFixture(t)
		p := fix.newProxy(t, ProxyConfig{
			Upstream: upstream + ln.Addr().String(), ConnectTimeout: time.Minute, ResponseTimeout: time.Minute, StreamTimeout: time.Minute,
			IdleTimeout: time.Minute, UpstreamIdle: time.Minute, MaxConnections: 10,
		})
		front := listener(t)
		served := make(chan error, 1)
		go func() { served <- p.Serve(front) }()
		w := dial(t, front.Addr().String())
		w.send(get + "\r\n")
		c, err := ln.Accept() // and never a word
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if reached {
			if _, err := c.Read(make([]byte, 1)); err != nil {
				t.Error(err)
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		down := make(chan error, 1)
		go func() { down <- p.Shutdown(ctx) }()
		select {
		case err := <-down:
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%q: it does not say that a connection was cut off: %v", upstream, err)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%q: it still waits", upstream)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
		if n := p.upstream.dog.len(); n != 0 {
			t.Errorf("%q: %d connections to the application left open", upstream, n)
		}
	}
	ln := listener(t)
	defer ln.Close()
	f("", ln, true)
	f("https://", ln, false) // in the middle of a handshake
}

func TestMetricsOfTheProxyCountItsFailures(t *testing.T) {
	fix := newFixture(t)
	ln := listener(t)
	ln.Close()
	w := dial(t, fix.proxy(t, ln.Addr().String()))
	w.send(get + "\r\n")
	w.response("GET")
	families, err := fix.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "referee_proxy_failures_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			want := 0.0
			if m.GetLabel()[0].GetValue() == "connect" {
				want = 1
			}
			if got := m.GetCounter().GetValue(); got != want {
				t.Errorf("%s: %v", m.GetLabel(), got)
			}
		}
		return
	}
	t.Error("no such metric")
}

func TestAPanicInWhateverJudgesIsCountedAndTheRequestGoesOn(t *testing.T) {
	app := newApplication(t)
	app.answers(ok)
	fix := newFixture(t)
	p := fix.newProxy(t, ProxyConfig{
		Upstream: app.addr, ConnectTimeout: time.Second, ResponseTimeout: time.Second, StreamTimeout: time.Second,
		IdleTimeout: time.Second, UpstreamIdle: time.Second, MaxConnections: 10,
	})
	p.judge = nil // nothing could be more broken
	w := dial(t, serve(t, p))
	for range 3 {
		w.send("POST / HTTP/1.1\r\nHost: a\r\nReferer: https://" + dgaDomain + "/\r\nContent-Length: 5\r\n\r\nhello")
		if r, body := w.response("POST"); r.StatusCode != 200 || body != "ok" || r.Close {
			t.Errorf("got %s", r.Status)
		}
	}
	if got := p.panics.Load(); got != 3 {
		t.Errorf("%d panics counted", got)
	}
}

func TestAPanicInTheProxyIs502AndLosesNoConnection(t *testing.T) {
	app := newApplication(t)
	app.answers(ok)
	fix := newFixture(t)
	p := fix.newProxy(t, ProxyConfig{
		Upstream: app.addr, ConnectTimeout: time.Second, ResponseTimeout: time.Second, StreamTimeout: time.Second,
		IdleTimeout: time.Second, UpstreamIdle: time.Second, MaxConnections: 10,
	})
	whole := p.exchanges.New
	p.exchanges.New = func() any {
		x := whole().(*exchange)
		x.proxy = nil // as broken as can be, and only when the request was sent
		return x
	}
	w := dial(t, serve(t, p))
	for range 2 {
		w.send(get + "\r\n")
		if r, _ := w.response("GET"); r.StatusCode != 502 || !r.Close {
			t.Errorf("got %s", r.Status)
		}
		w = dial(t, w.RemoteAddr().String())
	}
	waitFor(t, func() bool { return app.connectionsOpen() == 0 })
	if got := p.panics.Load(); got != 2 {
		t.Errorf("%d panics counted", got)
	}
}
