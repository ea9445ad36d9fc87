package intake

import (
	"crypto/tls"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// secured is an application that speaks TLS alone, and the file of the certificate that vouches for it.
func secured(t *testing.T, names *atomic.Pointer[string], conns *atomic.Int64) (addr, ca string) {
	t.Helper()
	app := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		names.Store(&r.TLS.ServerName)
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
	}))
	app.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	app.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	app.StartTLS()
	t.Cleanup(app.Close)
	ca = filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: app.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	return app.Listener.Addr().String(), ca
}

func TestAnApplicationMaySpeakTLS(t *testing.T) {
	var name atomic.Pointer[string]
	var conns atomic.Int64
	app, ca := secured(t, &name, &conns)
	addr := newFixture(t).proxy(t, "https://"+app, func(c *ProxyConfig) { c.UpstreamCA, c.UpstreamName = ca, "example.com" })
	w := dial(t, addr)
	for range 3 {
		w.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
		if r, body := w.response("POST"); r.StatusCode != 200 || body != "hello" {
			t.Fatalf("got %s, %q", r.Status, body)
		}
		big := strings.Repeat("x", 200_000)
		w.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n" + big)
		if r, body := w.response("POST"); r.StatusCode != 200 || body != big {
			t.Fatalf("got %s and %d bytes", r.Status, len(body))
		}
	}
	if *name.Load() != "example.com" {
		t.Errorf("asked for %q", *name.Load())
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections for six requests", n)
	}
}

func TestAnApplicationThatNobodyVouchesForIs502(t *testing.T) {
	var name atomic.Pointer[string]
	var conns atomic.Int64
	app, ca := secured(t, &name, &conns)
	plain := newApplication(t)
	plain.answers(ok)
	f := func(upstream string, change func(*ProxyConfig)) {
		t.Helper()
		w := dial(t, newFixture(t).proxy(t, upstream, change))
		w.send(get + "\r\n")
		if r, _ := w.response("GET"); r.StatusCode != 502 {
			t.Errorf("%s: %s", upstream, r.Status)
		}
	}
	f("https://"+app, func(*ProxyConfig) {})                                                            // not the system's
	f("https://"+app, func(c *ProxyConfig) { c.UpstreamCA, c.UpstreamName = ca, "other.example" })      // another's name
	f("https://"+plain.addr, func(c *ProxyConfig) { c.UpstreamCA, c.ConnectTimeout = ca, time.Second }) // no TLS at all
	if name.Load() != nil {
		t.Error("a request got through")
	}
}

func TestTheFileOfAnUpstreamsCertificatesIsReadAtTheStart(t *testing.T) {
	fix := newFixture(t)
	f := func(ca, want string) {
		t.Helper()
		_, err := NewProxy(ProxyConfig{Upstream: "https://a:443", UpstreamCA: ca}, fix.Judge, fix.registry, fix.log)
		if err == nil || !strings.Contains(err.Error(), "proxy.upstream-ca: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", ca, err)
		}
	}
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	f(empty, "holds no certificate")
	f(empty+".gone", "no such file")
}
