package intake

import (
	"bufio"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"referee/evidence"
	"referee/policy"
)

// What is answered before fasthttp sees it is answered, and is evidence, as if fasthttp had read it.
func TestAPlainRequestIsAnsweredAsFasthttpHasItAnswered(t *testing.T) {
	fix := newFixture(t)
	fix.snapshot.Session = SessionHeader("x-session")
	fix.block(
		policy.Hit{Kind: policy.KindName, Domain: dgaDomain, Expires: fix.now.AddDate(1, 0, 0)},
		policy.Hit{Kind: policy.KindClient, Client: netip.MustParsePrefix("9.9.9.9/32"), Expires: fix.now.AddDate(1, 0, 0)})
	a := NewAPI(Config{MaxConnections: 10}, fix.Judge, fix.registry, fix.log)
	ask := func(t *rapid.T, text string, answer func(*caller) bool) (*http.Response, []evidence.Sighting, bool) {
		fix.now = fix.now.Add(time.Minute) // so that nothing is left out that was said a moment ago
		peer := &onePeer{left: []byte(text)}
		c := newCaller(a.dog.watch(peer))
		defer c.end()
		if !a.await(c.watched, c.br, 0) || !answer(c) {
			return nil, nil, false
		}
		r, err := http.ReadResponse(bufio.NewReader(strings.NewReader(string(peer.got))), nil)
		if err != nil {
			t.Fatalf("%q: %v", peer.got, err)
		}
		return r, fix.sightings(), true
	}
	plain, other := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		var text strings.Builder
		fmt.Fprintf(&text, "%s %s %s\r\n",
			rapid.SampledFrom([]string{"GET", "GET", "POST", "HEAD", "PROPFIND"}).Draw(t, "method"),
			rapid.SampledFrom([]string{
				"/v1/check", "/v1/check/cart?a=%zz#f", "/v1/check//a;b", "/v1/checkout", "http://referee/v1/check/x", "/v1/check?q",
				"/v1/check/\xff", "/v1/observe/login", "/v1/score", "*",
			}).Draw(t, "target"),
			rapid.SampledFrom([]string{"HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0"}).Draw(t, "version"))
		field := rapid.SampledFrom([]string{
			"Host: referee", "host:referee", "Referer: https://evil.example.com/a", "rEFERER:https://" + dgaDomain + "\t", "Referer: /cart",
			"Referer:", "Referer: https://" + benignDomain + "/?\xe9", "Referer: https://b\xc3\xbccher.de/", "Referer : https://a.com",
			"X-Forwarded-For: 9.9.9.9", "x-forwarded-for: 1.2.3.4, 10.0.0.7 ", "X-Forwarded-For: unknown", "X-FORWARDED-FOR:\t8.8.8.8:443",
			"User-Agent: Mozilla/5.0 (X11)", "user-agent: curl/8.1", "User-Agent:", "X-Session: 7", "x-session: false",
			"X-Original-URI: /login", "X-Forwarded-Uri: /a?b", "X-Original-Uri:", "Content-Length: 0", "Content-Length: 3", "Content-Length: +0",
			"Transfer-Encoding: chunked", "Connection: close", "Connection: keep-alive, x-session", "Connection: upgrade\r\nUpgrade: websocket",
			"Expect: 100-continue", " folded", "Cookie: a=b; c", "X-A\x00: b", "X: \r", "X: a\nY: b", "Accept: */*",
		})
		for _, f := range rapid.SliceOfN(field, 0, 4).Draw(t, "fields") {
			text.WriteString(f + "\r\n")
		}
		if rapid.IntRange(0, 9).Draw(t, "host") > 0 {
			text.WriteString("Host: a.example:80\r\n")
		}
		text.WriteString("\r\n")

		got, gotSeen, ok := ask(t, text.String(), a.plain)
		if !ok {
			other++
			return
		}
		plain++
		want, wantSeen, ok := ask(t, text.String(), func(c *caller) bool { c.answer(&a.http); return c.kept })
		if !ok {
			t.Fatalf("fasthttp closes the connection after %q", text.String())
		}
		if got.StatusCode != want.StatusCode || got.ContentLength != want.ContentLength || got.Close != want.Close {
			t.Errorf("%q: %s, %d, not %s, %d", text.String(), got.Status, got.ContentLength, want.Status, want.ContentLength)
		}
		if diff := cmp.Diff(want.Header, got.Header); diff != "" {
			t.Errorf("%q: %s", text.String(), diff)
		}
		if diff := cmp.Diff(wantSeen, gotSeen, cmpopts.EquateComparable(netip.Addr{}), cmpopts.IgnoreFields(evidence.Sighting{}, "Time")); diff != "" {
			t.Errorf("%q: %s", text.String(), diff)
		}
	})
	if err := a.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	t.Logf("%d plain requests, %d others", plain, other)
	if plain == 0 || other == 0 {
		t.Error("there were none of one kind")
	}
}
