package intake

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"referee/classifier"
	"referee/evidence"
	"referee/policy"
)

// Real parts: the embedded model, a policy, a queue. The clock stands still.
type fixture struct {
	*Judge
	queue    *evidence.Queue
	snapshot Snapshot
	model    *classifier.Model
	registry *prometheus.Registry
	log      *slog.Logger
	now      time.Time
}

var defaultModel = sync.OnceValues(classifier.Default)

func newFixture(t testing.TB, change ...func(*policy.Config)) *fixture {
	t.Helper()
	model, err := defaultModel()
	if err != nil {
		t.Fatal(err)
	}
	cfg := policy.Config{
		Confidence: 1e-3,
		NeverBlock: policy.NeverBlock{
			Hosts:    []string{"shop.example.com"},
			Suffixes: []string{"partner.net"},
			Popular:  true, ClosedRegistries: true,
		},
		Name:   policy.NameRule{MinNetworks: 2, MinSightings: 3, TTL: time.Hour},
		Client: policy.ClientRule{MinFlagged: 3, MinShare: 0.5, TTL: time.Hour},
	}
	for _, c := range change {
		c(&cfg)
	}
	p, err := policy.New(cfg, model)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{
		queue: evidence.NewQueue(1024), model: model, registry: prometheus.NewRegistry(),
		now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), log: slog.New(slog.DiscardHandler),
	}
	f.snapshot = Snapshot{Cache: classifier.NewCache(model, 10_000), Policy: p, Proxies: parseProxies(t, privateRanges...)}
	f.Judge = NewJudge(f.queue, f.registry, f.log, func() time.Time { return f.now })
	f.Swap(&f.snapshot)
	return f
}

// block makes current hits count, with these among them until an hour from now.
func (f *fixture) block(hits ...policy.Hit) {
	s := f.snapshot
	s.Block = true
	f.Swap(&s)
	for i := range hits {
		if hits[i].Expires.IsZero() {
			hits[i].Expires = f.now.Add(time.Hour)
		}
	}
	f.SetHits(policy.NewHits(hits))
}

func nameHit(domain string) policy.Hit { return policy.Hit{Kind: policy.KindName, Domain: domain} }

func clientHit(prefix string) policy.Hit {
	return policy.Hit{Kind: policy.KindClient, Client: netip.MustParsePrefix(prefix)}
}

func (f *fixture) sightings() []evidence.Sighting { return f.queue.Drain(nil) }

const (
	dgaDomain    = "xkqzvwpjthgf.com"
	benignDomain = "gardenandkitchen.com"
)

// listener is a real socket on this machine.
func listener(t testing.TB) net.Listener {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// serve runs a server until the test ends, and returns its address.
func serve(t testing.TB, s interface {
	Serve(net.Listener) error
	Shutdown(context.Context) error
},
) string {
	t.Helper()
	ln := listener(t)
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

func (f *fixture) api(t testing.TB) string {
	t.Helper()
	return serve(t, NewAPI(Config{MaxConnections: 100}, f.Judge, f.registry, f.log))
}

func (f *fixture) proxy(t testing.TB, upstream string, change ...func(*ProxyConfig)) string {
	t.Helper()
	cfg := ProxyConfig{
		Upstream: upstream, ConnectTimeout: time.Second, ResponseTimeout: 5 * time.Second, StreamTimeout: 5 * time.Second,
		IdleTimeout: 5 * time.Second, UpstreamIdle: 2 * time.Second, MaxConnections: 100,
	}
	for _, c := range change {
		c(&cfg)
	}
	return serve(t, f.newProxy(t, cfg))
}

func (f *fixture) newProxy(t testing.TB, cfg ProxyConfig) *Proxy {
	t.Helper()
	p, err := NewProxy(cfg, f.Judge, f.registry, f.log)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// client is a net/http client that changes nothing by itself.
func client(t testing.TB) *http.Client {
	tr := &http.Transport{DisableCompression: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{
		Transport: tr, Timeout: 10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// wire is a raw connection: what is sent is what is written in the test.
type wire struct {
	t testing.TB
	net.Conn
	br *bufio.Reader
}

func dial(t testing.TB, addr string) *wire {
	t.Helper()
	c, err := new(net.Dialer).DialContext(context.Background(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &wire{t: t, Conn: c, br: bufio.NewReader(c)}
}

func (w *wire) send(s string) {
	w.t.Helper()
	if _, err := io.WriteString(w.Conn, s); err != nil {
		w.t.Fatal(err)
	}
}

// head reads up to and with an empty line.
func (w *wire) head() string {
	w.t.Helper()
	var b strings.Builder
	for {
		line, err := w.br.ReadString('\n')
		b.WriteString(line)
		if err != nil {
			w.t.Fatalf("after %q: %v", b.String(), err)
		}
		if line == "\r\n" {
			return b.String()
		}
	}
}

// response reads a whole response to a request with this method.
func (w *wire) response(method string) (*http.Response, string) {
	w.t.Helper()
	r, err := http.ReadResponse(w.br, &http.Request{Method: method})
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return r, string(body)
}

// closed waits for the other side to close the connection, which resets it where something was left unread.
func (w *wire) closed() {
	w.t.Helper()
	if b, err := io.ReadAll(w.br); len(b) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
		w.t.Errorf("not closed: %q, %v", b, err)
	}
}

func (w *wire) rest() string {
	w.t.Helper()
	b, err := io.ReadAll(w.br)
	if err != nil {
		w.t.Fatalf("after %q: %v", b, err)
	}
	return string(b)
}
