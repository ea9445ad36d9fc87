package intake

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"referee/evidence"
)

// withSession has the fixture believe X-Verified from these peers.
func withSession(t *testing.T, trusted ...string) *fixture {
	t.Helper()
	fix := newFixture(t)
	fix.snapshot.Session = SessionHeader("x-verified")
	fix.snapshot.Proxies = parseProxies(t, trusted...)
	fix.Swap(&fix.snapshot)
	return fix
}

func TestASessionMarkerIsBelievedFromTrustedProxiesAlone(t *testing.T) {
	f := func(trusted, header string, want bool) {
		t.Helper()
		fix := withSession(t, trusted)
		api := serve(t, NewAPI(Config{MaxConnections: 10}, fix.Judge, fix.registry, fix.log))
		proxied := serve(t, fix.newProxy(t, ProxyConfig{
			Upstream: answering(t), MaxConnections: 10, ConnectTimeout: time.Second, ResponseTimeout: time.Second, IdleTimeout: time.Second,
		}))
		for _, target := range []string{api + "/v1/check", proxied + "/"} {
			addr, path, _ := strings.Cut(target, "/")
			conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			fmt.Fprintf(conn, "GET /%s HTTP/1.1\r\nHost: shop.example.com\r\nX-Forwarded-For: 9.9.9.9\r\nReferer: https://%s/\r\n%s\r\n",
				path, dgaDomain, header)
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			all := fix.sightings()
			if len(all) != 1 || all[0].Session != want {
				t.Errorf("%s from a peer where %s is trusted, %q: %+v, want session %v", target, trusted, header, all, want)
			}
		}
	}
	f("127.0.0.0/8", "X-Verified: 1\r\n", true)
	f("127.0.0.0/8", "x-verified: user 7\r\n", true)
	f("127.0.0.0/8", "X-Verified: \r\n", false)
	f("127.0.0.0/8", "X-Verified: 0\r\n", false)
	f("127.0.0.0/8", "X-Verified: False\r\n", false)
	f("127.0.0.0/8", "X-Unverified: 1\r\n", false)
	f("10.0.0.0/8", "X-Verified: 1\r\n", false) // any client can write a header
}

// answering is an application that says yes to everything, and its address.
func answering(t *testing.T) string {
	t.Helper()
	ln := listener(t)
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	go func() { _ = server.Serve(ln) }()
	t.Cleanup(func() { _ = server.Close() })
	return ln.Addr().String()
}

func TestASessionSpeaksForItsClientOnItsOwnPagesToo(t *testing.T) {
	fix := withSession(t, "127.0.0.0/8")
	judge := func(referer, client string, want ...evidence.Sighting) {
		t.Helper()
		fix.Judge.Judge(ViaCheck, Request{Referer: []byte(referer), Client: netip.MustParseAddr(client), Session: true})
		all := fix.sightings()
		if len(all) != len(want) {
			t.Fatalf("%q from %s: %+v, want %+v", referer, client, all, want)
		}
		for i := range all {
			if all[i].Session != want[i].Session || all[i].Client != want[i].Client || all[i].Result.Domain != want[i].Result.Domain {
				t.Errorf("%q from %s: %+v, want %+v", referer, client, all[i], want[i])
			}
		}
	}
	of := func(client string) evidence.Sighting {
		return evidence.Sighting{Client: netip.MustParseAddr(client), Session: true}
	}
	judge("https://shop.example.com/basket", "9.9.9.9", of("9.9.9.9"))
	judge("", "9.9.9.9") // within the same minute
	judge("", "8.8.8.8", of("8.8.8.8"))
	judge("", "10.1.2.3") // no single client
	fix.now = fix.now.Add(time.Minute)
	judge("", "9.9.9.9", of("9.9.9.9"))
	named := of("9.9.9.9")
	named.Result.Domain = dgaDomain
	judge("https://"+dgaDomain+"/", "9.9.9.9", named)
	judge("https://"+dgaDomain+"/", "9.9.9.9", named)
}

func TestOfBlockedRequestsOnlyTheFlaggedAreOffered(t *testing.T) {
	fix := newFixture(t)
	earlier := fix.now.Add(-time.Hour)
	f := func(referer string, want int) {
		t.Helper()
		fix.Judge.Judge(ViaLog, Request{Referer: []byte(referer), Client: stranger, Time: earlier, Blocked: true})
		all := fix.sightings()
		if len(all) != want {
			t.Fatalf("%q: %+v", referer, all)
		}
		for _, s := range all {
			if !s.Blocked || s.Time != earlier.UnixNano() {
				t.Errorf("%q: %+v", referer, s)
			}
		}
	}
	f("https://"+dgaDomain+"/", 1)
	f("https://"+benignDomain+"/", 0) // a bystander behind the same address
	f("https://partner.net/", 0)
	f("https://shop.example.com/", 0)
	f("", 0)
}

// Of ordinary names: each minute a flagged request leaves an example, which is allocated.
func TestAJudgementOfASessionDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	fix := withSession(t, "127.0.0.0/8")
	peer, value := netip.MustParseAddr("127.0.0.1"), []byte("1")
	for _, referer := range []string{"https://" + benignDomain + "/", "https://shop.example.com/", ""} {
		r := Request{Referer: []byte(referer), Client: stranger}
		judge := func() {
			r.Session = fix.sessionHeader(peer) != nil && isSession(value)
			fix.now = fix.now.Add(time.Minute) // so that each is offered
			fix.Judge.Judge(ViaCheck, r)
		}
		judge()
		if n := testing.AllocsPerRun(100, judge); n != 0 {
			t.Errorf("%q: %v allocations", referer, n)
		}
	}
}

func TestASessionHeaderIsOneThatOnlyTheIngressSets(t *testing.T) {
	f := func(name, want string) {
		t.Helper()
		err := Config{Listen: "127.0.0.1:8610", MaxConnections: 1, SessionHeader: name}.Validate()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v", name, err)
		}
	}
	f("", "")
	f("X-Session-Verified", "")
	f("X-Session Verified", "no header name")
	f("X:Y", "no header name")
	f("Referer", "a meaning of its own")
	f("X-Forwarded-For", "a meaning of its own")
	if got := SessionHeader("x-verified"); !bytes.Equal(got, []byte("X-Verified")) {
		t.Errorf("%q", got)
	}
}
