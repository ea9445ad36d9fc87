package intake

import (
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/valyala/fasthttp"
)

func TestASlowHeadIsCutOff(t *testing.T) {
	fix := newFixture(t)
	a := NewAPI(Config{MaxConnections: 10}, fix.Judge, fix.registry, fix.log)
	a.head, a.dog = 50*time.Millisecond, newWatchdog(50*time.Millisecond)
	addr := serve(t, a)
	f := func(request string) {
		t.Helper()
		w := dial(t, addr)
		w.send(request)
		if r, _ := w.response("GET"); r.StatusCode != 408 || !r.Close {
			t.Errorf("%q: %s", request, r.Status)
		}
		w.closed()
	}
	dial(t, addr).closed() // one that says nothing
	f("G")
	f("GET /v1/check HTTP/1.1\r\n")
	f("GET /v1/check HTTP/1.1\r\nHost: referee\r\n")
	f("GET /v1/check HTTP/1.1\r\nHost: referee\r\n\r\nGET /v1/check HTTP/1.1\r\n"[41:])

	w := dial(t, addr) // one that dribbles
	w.send("x")
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 100 {
		if <-tick.C; w.Conn != nil {
			if _, err := io.WriteString(w.Conn, "x"); err != nil {
				break
			}
		}
	}
	if r, _ := w.response("GET"); r.StatusCode != 408 {
		t.Errorf("one that dribbles: %s", r.Status)
	}
}

func TestASlowBodyIsCutOff(t *testing.T) {
	app := newApplication(t)
	app.answers(ok)
	fix := newFixture(t)
	p := fix.newProxy(t, ProxyConfig{
		Upstream: app.addr, ConnectTimeout: time.Second, ResponseTimeout: 5 * time.Second, StreamTimeout: time.Second,
		IdleTimeout: time.Second, UpstreamIdle: time.Second, MaxConnections: 10,
	})
	p.body, p.dog = 50*time.Millisecond, newWatchdog(50*time.Millisecond)
	addr := serve(t, p)
	for framing, piece := range map[string]string{"Content-Length: 1000": "x", "Transfer-Encoding: chunked": "1\r\nx\r\n"} {
		silent := dial(t, addr)
		silent.send("POST / HTTP/1.1\r\nHost: a\r\n" + framing + "\r\n\r\n")
		if r, _ := silent.response("POST"); r.StatusCode != 408 || !r.Close {
			t.Errorf("%s, nothing of it: %s", framing, r.Status)
		}
		dribbling := dial(t, addr) // never a pause as long as the limit
		dribbling.send("POST / HTTP/1.1\r\nHost: a\r\n" + framing + "\r\n\r\n")
		tick := time.NewTicker(20 * time.Millisecond)
		for range 50 {
			<-tick.C
			if _, err := io.WriteString(dribbling.Conn, piece); err != nil {
				break
			}
		}
		tick.Stop()
		if r, _ := dribbling.response("POST"); r.StatusCode != 408 || !r.Close {
			t.Errorf("%s, byte by byte: %s", framing, r.Status)
		}
	}
	waitFor(t, func() bool { return app.connectionsOpen() == 0 })
}

func TestAPanicOutsideOfAHandlerLosesOneConnection(t *testing.T) {
	fix := newFixture(t)
	f := func(addr string, panics *counter) {
		t.Helper()
		bystander := dial(t, addr)
		w := dial(t, addr)
		w.send("bad\r\n\r\n")
		w.closed()
		bystander.send("GET /v1/check HTTP/1.1\r\nHost: referee\r\n\r\n")
		if r, _ := bystander.response("GET"); r.StatusCode != 200 || panics.Load() != 1 {
			t.Errorf("another connection: %s; %d panics counted", r.Status, panics.Load())
		}
	}
	// What answers bad requests is broken.
	a := NewAPI(Config{MaxConnections: 10}, fix.Judge, fix.registry, fix.log)
	a.http.ErrorHandler = func(*fasthttp.RequestCtx, error) { panic("broken") }
	f(serve(t, a), &a.panics)
	p := fix.newProxy(t, ProxyConfig{Upstream: answering(t), ConnectTimeout: time.Second, ResponseTimeout: time.Second, IdleTimeout: time.Second, MaxConnections: 10})
	p.refuse = nil
	f(serve(t, p), &p.panics)
}

func TestAnIdleClientIsLeftAloneForAWhile(t *testing.T) {
	app := newApplication(t)
	app.answers(ok)
	w := dial(t, newFixture(t).proxy(t, app.addr, func(c *ProxyConfig) { c.IdleTimeout = time.Second }))
	for range 3 {
		w.send(get + "\r\n")
		w.response("GET")
		<-time.After(400 * time.Millisecond)
	}
	w.closed()
}

func TestAWatchedConnectionFailsWhenItsTimeHasPassed(t *testing.T) {
	dog := newWatchdog(20 * time.Millisecond)
	near, far := net.Pipe()
	defer far.Close()
	w := dog.watch(near)
	defer w.end()
	began := time.Now()
	w.readWithin(20 * time.Millisecond)
	if _, err := w.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(began); took < 20*time.Millisecond {
		t.Errorf("after %s", took)
	}
	if !w.spent() {
		t.Error("not spent")
	}
	w.readWithin(time.Hour) // there is no way back
	if _, err := w.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	go func() { _, _ = io.ReadFull(far, make([]byte, 1)) }()
	if _, err := w.Write([]byte("x")); err != nil { // writes have a limit of their own
		t.Error(err)
	}
	w.writeWithin(20 * time.Millisecond)
	if _, err := w.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestALimitIsNotOnTheWallClockWhichMayBeSet(t *testing.T) {
	began := time.Now()
	dog := newWatchdog(10 * time.Second)
	defer dog.lookNow() // that it ends with the test
	near, far := net.Pipe()
	defer far.Close()
	w := dog.watch(near)
	defer w.end()
	w.readWithin(10 * time.Second)
	at := time.Duration(w.read.Load()) // since the watchdog began
	if latest := 10*time.Second + dog.tick + time.Since(began); at < 10*time.Second || at > latest {
		t.Errorf("the limit passes at %v of the watchdog's time, want 10 s to %v", at, latest)
	}
}

func TestABodyOfAnySizeMayPause(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	s := &server{}
	s.body, s.dog = bodyTimeout, newWatchdog(10*time.Second)
	defer s.dog.lookNow() // that it ends with the test
	c := newConn(s, s.dog.watch(near))
	defer c.end()
	f := func(read int64, after, want time.Duration) {
		t.Helper()
		c.readWithin(0)
		var b body
		b.reset(c)
		b.begin(math.MaxInt64)
		b.begun, b.read, b.since = true, read, time.Now().Add(-after)
		go func() { _, _ = far.Write([]byte("x")) }()
		if _, err := b.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		// What is allowed, beside the ticks that a limit may be late and this machine may be slow.
		if got := time.Duration(c.watched.read.Load()); got < want-5*time.Second || got > want+30*time.Second {
			t.Errorf("%d bytes after %v: the next piece may take %v, want %v", read, after, got, want)
		}
	}
	f(0, 0, bodyTimeout)
	f(0, 50*time.Second, 10*time.Second)
	f(100*bodyRate, 150*time.Second, 10*time.Second) // 100 seconds' worth
	f(9_300_000_000, 0, bodyTimeout)
	f(1_000_000_000_000, time.Hour, bodyTimeout)
	f(math.MaxInt64-1, time.Hour, bodyTimeout)
}

func TestAWatchdogEndsWithItsConnections(t *testing.T) {
	dog := newWatchdog(time.Millisecond)
	for range 2 {
		near, far := net.Pipe()
		w := dog.watch(near)
		far.Close()
		w.end()
		w.end()
		waitFor(t, func() bool { dog.mu.Lock(); defer dog.mu.Unlock(); return !dog.running })
	}
}

func TestMetricsAreWellNamedAndApart(t *testing.T) {
	fix := newFixture(t)
	fix.api(t)
	fix.proxy(t, "127.0.0.1:1")
	problems, err := testutil.GatherAndLint(fix.registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestAConfigurationThatCannotWorkIsRefused(t *testing.T) {
	good := Config{Listen: "127.0.0.1:8610", TrustedProxies: privateRanges, MaxConnections: 10}
	goodProxy := ProxyConfig{
		Listen: ":8613", Upstream: "127.0.0.1:8080", ConnectTimeout: 1, ResponseTimeout: 1, StreamTimeout: 1, IdleTimeout: 1,
		UpstreamIdle: 1, MaxConnections: 1,
	}
	f := func(want string, change func(*Config, *ProxyConfig)) {
		t.Helper()
		c, p := good, goodProxy
		change(&c, &p)
		err := errors.Join(c.Validate(), p.Validate())
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("got %v, want something about %q", err, want)
		}
	}
	f("", func(*Config, *ProxyConfig) {})
	f("", func(_ *Config, p *ProxyConfig) { p.Upstream = "unix:/run/app.sock" })
	f("", func(_ *Config, p *ProxyConfig) { p.Upstream = "app.internal:80" })
	f("", func(_ *Config, p *ProxyConfig) { p.Upstream = "app.internal:http" }) // a service's name is dialled as well
	f("", func(_ *Config, p *ProxyConfig) { *p = ProxyConfig{} })               // off
	f(`listen: "8610" is no address`, func(c *Config, _ *ProxyConfig) { c.Listen = "8610" })
	f(`listen: "http://x" is no address`, func(c *Config, _ *ProxyConfig) { c.Listen = "http://x" }) // host http, port //x
	f(`listen: ":86100" is no address`, func(c *Config, _ *ProxyConfig) { c.Listen = ":86100" })
	f("trusted-proxies: ", func(c *Config, _ *ProxyConfig) { c.TrustedProxies = []string{"x"} })
	f("max-connections: 0", func(c *Config, _ *ProxyConfig) { c.MaxConnections = 0 })
	f(`proxy.listen: ""`, func(_ *Config, p *ProxyConfig) { p.Listen = "" })
	f("without http://", func(_ *Config, p *ProxyConfig) { p.Upstream = "http://127.0.0.1:8080" })
	f("without http://", func(_ *Config, p *ProxyConfig) { p.Upstream = "http://x" }) // host http, port //x
	f("proxy.upstream: ", func(_ *Config, p *ProxyConfig) { p.Upstream = "127.0.0.1:80800" })
	f("proxy.upstream: ", func(_ *Config, p *ProxyConfig) { p.Upstream = "127.0.0.1:0" })
	f("proxy.upstream: ", func(_ *Config, p *ProxyConfig) { p.Upstream = "127.0.0.1" })
	f("proxy.upstream: ", func(_ *Config, p *ProxyConfig) { p.Upstream = ":80" })
	f("proxy.upstream: unix:", func(_ *Config, p *ProxyConfig) { p.Upstream = "unix:" })
	f("proxy.response-timeout: 0s", func(_ *Config, p *ProxyConfig) { p.ResponseTimeout = 0 })
	f("proxy.idle-timeout: -1s", func(_ *Config, p *ProxyConfig) { p.IdleTimeout = -time.Second })
	f("proxy.max-connections: -1", func(_ *Config, p *ProxyConfig) { p.MaxConnections = -1 })
	f("proxy.max-body: -1", func(_ *Config, p *ProxyConfig) { p.MaxBody = -1 })
}

func FuzzAHeadIsItsLines(f *testing.F) {
	f.Add([]byte("Host: a\r\nX-B: 1\r\n\r\n"))
	f.Add([]byte("Connection: a, b ,,\r\nA:\r\nx-forwarded-for:\t1\r\n\r\nrest"))
	f.Add([]byte("\r\n"))
	f.Add([]byte(" a: 1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, block []byte) {
		var h head
		if h.parse(block) != nil {
			return
		}
		var b strings.Builder
		for i := range h.lines {
			l := &h.lines[i]
			b.Write(l.raw)
			if name, rest, found := strings.Cut(string(l.raw), ":"); !found || name != string(l.name()) || strings.Trim(rest[:len(rest)-2], " \t") != string(l.value()) {
				t.Errorf("%q: name %q, value %q", l.raw, l.name(), l.value())
			}
			if strings.ContainsAny(string(l.name()), " \t\r\n:") || strings.ContainsAny(string(l.value()), "\n") {
				t.Errorf("%q: name %q, value %q", l.raw, l.name(), l.value())
			}
			h.forwards(l)
		}
		b.WriteString("\r\n")
		if !strings.HasPrefix(string(block), b.String()) {
			t.Errorf("%q became %q", block, b.String())
		}
	})
}

// Whatever bytes a client sends, the application sees as many requests as the client gets answers from it: none is hidden
// in another. The application is net/http's server, which reads requests with other code than the proxy does.
func FuzzNoRequestIsSmuggled(f *testing.F) {
	for _, seed := range []string{
		get + "\r\n" + get + "\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi",
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: Content-Length\r\nContent-Length: 30\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n   ",
		"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n" + get + "\r\n",
		"HEAD / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi" + get + "\r\n",
	} {
		f.Add([]byte(seed))
	}
	var served atomic.Int64
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			w.Header().Set("X-Served", strconv.FormatInt(served.Add(1), 10))
		}
	}))
	defer app.Close()
	addr := newFixture(f).proxy(f, app.Listener.Addr().String())
	f.Fuzz(func(t *testing.T, data []byte) {
		served.Store(0)
		w := dial(t, addr)
		defer w.Close()
		_, _ = w.Write(data)
		_ = w.Conn.(*net.TCPConn).CloseWrite()
		got, _ := io.ReadAll(w.br)
		answers := int64(strings.Count(string(got), "\r\nX-Served: "))
		if n := served.Load(); n != answers {
			t.Errorf("%q: the application served %d requests, the client got %d answers from it: %q", data, n, answers, got)
		}
	})
}
