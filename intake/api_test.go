package intake

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"referee/evidence"
	"referee/policy"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// What stands beside and behind the proxy in these tests may be fasthttp.
		// Its worker pool ends its cleaner at its next tick, up to 10 s after the server ended.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		// Its clock, once a process.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
	)
}

func TestCheckSaysWhatItThinksInHeaders(t *testing.T) {
	fix := newFixture(t)
	addr := fix.api(t)
	dga := fix.Judge.Judge(ViaCheck, Request{Referer: []byte("https://" + dgaDomain + "/"), Client: stranger}).Result
	figures := func(v float32) string { return fmt.Sprintf("%.6g", v) }

	f := func(referer string, want map[string]string) {
		t.Helper()
		w := dial(t, addr)
		w.send("GET /v1/check HTTP/1.1\r\nHost: referee\r\n" + referer + "\r\n")
		r, body := w.response("GET")
		got := map[string]string{}
		for name := range r.Header {
			got[name] = r.Header.Get(name)
		}
		want["Content-Length"] = "0"
		if diff := cmp.Diff(want, got); diff != "" || r.StatusCode != 200 || body != "" {
			t.Errorf("%q: %s, %q\n%s", referer, r.Status, body, diff)
		}
	}
	f("Referer: https://"+dgaDomain+"/\r\n", map[string]string{
		"X-Referee-Verdict": "dga", "X-Referee-Name": dgaDomain,
		"X-Referee-Score": figures(dga.Score), "X-Referee-Tail": figures(dga.Tail),
	})
	f("", map[string]string{"X-Referee-Verdict": "invalid"})
	f("rEfErEr: /cart\r\n", map[string]string{"X-Referee-Verdict": "invalid"})
}

func TestCheckAllowsWhateverStandsBehindThePrefix(t *testing.T) {
	addr := newFixture(t).api(t)
	f := func(status int, request string) {
		t.Helper()
		w := dial(t, addr)
		w.send(request)
		method, _, _ := strings.Cut(request, " ")
		if r, _ := w.response(method); r.StatusCode != status {
			t.Errorf("%q: %s", request, r.Status)
		}
	}
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND", "X-ODD"} {
		f(200, method+" /v1/check HTTP/1.1\r\nHost: referee\r\n\r\n")
	}
	for _, target := range []string{
		"/v1/check?", "/v1/check?a=b", "/v1/check/", "/v1/check//a//b", "/v1/check/../../etc/passwd", "/v1/check/%2e%2e/%zz",
		"/v1/check/a;b=c?d=%00#e", "/v1/check/\xff\xfe", "/v1/check/http://other.example/x", "http://referee/v1/check/x",
		"/v1/observe", "/v1/observe/a?b",
	} {
		f(200, "GET "+target+" HTTP/1.1\r\nHost: referee\r\n\r\n")
	}
	f(200, "GET /v1/check HTTP/1.0\r\n\r\n")
	f(200, "POST /v1/check HTTP/1.1\r\nHost: referee\r\nContent-Length: 5\r\n\r\nhello")
	f(200, "POST /v1/check HTTP/1.1\r\nHost: referee\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
	f(200, "POST /v1/check HTTP/1.1\r\nHost: referee\r\nContent-Length: 99999999999\r\n\r\nhello")
	f(200, "POST /v1/check HTTP/1.1\r\nHost: referee\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 5\r\n\r\nhello")
	f(200, "GET /v1/check HTTP/1.1\r\nHost: referee\r\nReferer: https://"+strings.Repeat("a", 60_000)+"/\r\n\r\n")
	f(404, "GET /v1/checkout HTTP/1.1\r\nHost: referee\r\n\r\n")
	f(404, "GET / HTTP/1.1\r\nHost: referee\r\n\r\n")
	f(404, "GET /v1 HTTP/1.1\r\nHost: referee\r\n\r\n")
}

// Envoy takes a 400 for a refusal, and whoever sent the request on has read it in some way of its own.
func TestACheckThatCannotBeReadIsAllowedAndNotJudged(t *testing.T) {
	fix := newFixture(t)
	fix.block(nameHit("evil.example.com"), clientHit("127.0.0.1/32"))
	addr := fix.api(t)
	f := func(status int, request string) {
		t.Helper()
		w := dial(t, addr)
		w.send(request)
		r, body := w.response("GET")
		if r.StatusCode != status || !r.Close || strings.Contains(body, "evil") {
			t.Errorf("%.99q: %s, %q", request, r.Status, body)
		}
		if status == 200 && r.Header.Get("X-Referee-Verdict") != "invalid" {
			t.Errorf("%.99q: verdict %q", request, r.Header.Get("X-Referee-Verdict"))
		}
		w.closed()
	}
	f(200, "POST /v1/check HTTP/1.1\r\nHost: referee\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
	f(200, "GET /v1/check HTTP/1.1\r\nHost: referee\r\nReferer: https://evil\r\n .example.com/\r\n\r\n")
	f(200, "GET /v1/check HTTP/1.1\r\nHost: referee\r\nReferer: https://evil\x00.example.com/\r\n\r\n")
	f(200, "GET /v1/check HTTP/1.1\r\nHost : referee\r\n\r\n")
	f(200, "GET /v1/observe HTTP/1.1\r\nHost: referee\nX: y\r\n\r\n")
	f(200, "GET /v1/check/some thing HTTP/1.1\r\nHost: referee\r\n\r\n")
	f(200, "evil\r\n\r\n")
	f(200, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
	f(200, "GET /v1/check HTTP/1.1\r\nHost: referee\r\nCookie: "+strings.Repeat("evil", 20_000)+"\r\n\r\n")
	f(400, "POST /v1/score HTTP/1.1\r\nHost: referee\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
	f(431, "POST /v1/score HTTP/1.1\r\nHost: referee\r\nCookie: "+strings.Repeat("evil", 20_000)+"\r\n\r\n")
	f(400, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
	if got := fix.Counts()["requests"]; got != 0 {
		t.Errorf("%d of them were judged", got)
	}
}

func TestACheckDoesNotWaitForABodyThatItDoesNotRead(t *testing.T) {
	addr := newFixture(t).api(t)
	f := func(closes bool, request string) {
		t.Helper()
		w := dial(t, addr)
		began := time.Now()
		w.send(request)
		if r, _ := w.response("GET"); r.StatusCode != 200 || r.Close != closes || time.Since(began) > 2*time.Second {
			t.Errorf("%q: %s, close %v, after %s", request, r.Status, r.Close, time.Since(began))
		}
		w.Close()
	}
	for _, target := range []string{"/v1/check", "/v1/observe/shop"} {
		f(false, "POST "+target+" HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n") // it may still come
		f(true, "POST "+target+" HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n")
		f(true, "POST "+target+" HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
		f(true, "POST "+target+" HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n") // nobody asks for it
	}
	w := dial(t, addr) // a body that comes late is no request
	for range 2 {
		w.send("POST /v1/check HTTP/1.1\r\nHost: a\r\nContent-Length: 28\r\n\r\n")
		w.response("POST")
		w.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	}
	w.send("GET /v1/check HTTP/1.1\r\nHost: a\r\n\r\n")
	if r, _ := w.response("GET"); r.StatusCode != 200 {
		t.Errorf("got %s", r.Status)
	}
}

func TestAMirrorsListenerObservesWhateverThePath(t *testing.T) {
	fix := newFixture(t)
	fix.block(nameHit(dgaDomain))
	addr := serve(t, NewObserve(ObserveConfig{MaxConnections: 10}, fix.Judge, fix.registry, fix.log))
	f := func(request, path string) {
		t.Helper()
		w := dial(t, addr)
		w.send(request)
		if r, _ := w.response("GET"); r.StatusCode != 200 {
			t.Errorf("%q: %s", request, r.Status)
		}
		got := fix.sightings()
		if len(got) != 1 || got[0].Result.Domain != dgaDomain || got[0].Client != stranger || got[0].Path != evidence.PathShape([]byte(path)) {
			t.Errorf("%q: got %+v", request, got)
		}
	}
	const head = " HTTP/1.1\r\nHost: shop.example.com-shadow\r\nReferer: https://" + dgaDomain + "/\r\nX-Forwarded-For: 8.8.8.8\r\n"
	f("GET /"+head+"\r\n", "/")
	f("GET /login?next=1"+head+"\r\n", "/login")
	f("POST /v1/score"+head+"Content-Length: 5\r\n\r\nhello", "/v1/score")
	f("PUT /v1/check"+head+"Transfer-Encoding: chunked\r\n\r\n", "/v1/check")
}

func TestTheFirstOfSeveralReferersIsJudged(t *testing.T) {
	addr := newFixture(t).api(t)
	w := dial(t, addr)
	w.send("GET /v1/check HTTP/1.1\r\nHost: referee\r\nReferer: https://" + dgaDomain + "/\r\nReferer: https://www.google.com/\r\n\r\n")
	if r, _ := w.response("GET"); r.Header.Get("X-Referee-Name") != dgaDomain {
		t.Errorf("judged by %s", r.Header.Get("X-Referee-Name"))
	}
}

func TestTheClientOfACheckStandsInItsXForwardedFor(t *testing.T) {
	fix := newFixture(t)
	addr := fix.api(t)
	w := dial(t, addr)
	w.send("GET /v1/observe HTTP/1.1\r\nHost: referee\r\nReferer: https://" + dgaDomain + "/\r\n" +
		"X-Forwarded-For: 1.1.1.1\r\nx-forwarded-for: 8.8.8.8, 10.0.0.1\r\n\r\n")
	w.response("GET")
	got := fix.sightings()
	if len(got) != 1 || got[0].Client != netip.MustParseAddr("8.8.8.8") {
		t.Errorf("got %+v", got)
	}
}

func TestOnlyACurrentHitIsRefused(t *testing.T) {
	fix := newFixture(t)
	addr := fix.api(t)
	ask := func(path, referer, client string) int {
		t.Helper()
		w := dial(t, addr)
		w.send("GET " + path + " HTTP/1.1\r\nHost: referee\r\nReferer: " + referer + "\r\nX-Forwarded-For: " + client + "\r\n\r\n")
		r, _ := w.response("GET")
		if path == "/v1/check" && r.Header.Get("X-Referee-Verdict") == "" {
			t.Error("no verdict")
		}
		return r.StatusCode
	}
	f := func(want int, path, referer, client string) {
		t.Helper()
		if got := ask(path, referer, client); got != want {
			t.Errorf("%s with %q from %s: got %d", path, referer, client, got)
		}
	}
	fix.SetHits(policy.NewHits([]policy.Hit{{Kind: policy.KindName, Domain: dgaDomain, Expires: fix.now.Add(time.Hour)}}))
	f(200, "/v1/check", "https://"+dgaDomain+"/", "8.8.8.8")
	fix.block(nameHit(dgaDomain), clientHit("9.9.9.9/32"))
	f(403, "/v1/check", "https://"+dgaDomain+"/", "8.8.8.8")
	f(403, "/v1/check", "", "9.9.9.9")
	f(200, "/v1/check", "https://zzxqwvkjhtpf.com/", "8.8.8.8")
	f(200, "/v1/observe", "https://"+dgaDomain+"/", "9.9.9.9")
}

func TestACheckIsAllowedWhateverBreaks(t *testing.T) {
	fix := newFixture(t)
	addr := fix.api(t)
	s := fix.snapshot
	s.Policy = nil
	fix.Swap(&s)
	w := dial(t, addr)
	for range 2 { // and the connection goes on
		w.send("GET /v1/check HTTP/1.1\r\nHost: referee\r\nReferer: https://" + dgaDomain + "/\r\n\r\n")
		if r, _ := w.response("GET"); r.StatusCode != 200 {
			t.Errorf("got %s", r.Status)
		}
	}
	if got := fix.Counts()["panics"]; got != 2 {
		t.Errorf("%d panics counted", got)
	}
}

func TestAPanicOutsideOfTheJudgeIsNoOutageEither(t *testing.T) {
	fix := newFixture(t)
	a := NewAPI(Config{MaxConnections: 10}, nil, fix.registry, fix.log) // without a Judge
	addr := serve(t, a)
	w := dial(t, addr)
	for range 2 {
		w.send("GET /v1/check HTTP/1.1\r\nHost: referee\r\n\r\n")
		if r, _ := w.response("GET"); r.StatusCode != 200 {
			t.Errorf("got %s", r.Status)
		}
	}
	if got := a.panics.Load(); got != 2 {
		t.Errorf("%d panics counted", got)
	}
}

func TestScoreAnswersEachRefererInOrder(t *testing.T) {
	fix := newFixture(t)
	addr := fix.api(t)
	dga := fix.model.Judge(nameOf(dgaDomain))
	google := fix.model.Judge(nameOf("google.com"))
	figures := func(v float32) string { return fmt.Sprintf("%.6g", v) }
	want := fmt.Sprintf(`{"model":%q,"policy":%q,"threshold":0.001,"verdicts":[`+
		`{"name":%q,"score":%s,"tail":%s,"verdict":"dga"},`+
		`{"verdict":"invalid","reason":"empty"},`+
		`{"name":"google.com","score":%s,"tail":%s,"verdict":"exempt","exemption":"popular"},`+
		`{"verdict":"invalid","reason":"relative"}]}`+"\n",
		fix.model.ID(), fix.snapshot.Policy.ID(), dgaDomain, figures(dga.Score), figures(dga.Tail), figures(google.Score), figures(google.Tail))
	f := func(contentType, body string) {
		t.Helper()
		r, err := client(t).Post("http://"+addr+"/v1/score", contentType, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		got, _ := io.ReadAll(r.Body)
		if diff := cmp.Diff(want, string(got)); diff != "" || r.StatusCode != 200 || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %s %s\n%s", contentType, r.Status, r.Header, diff)
		}
	}
	lines := []string{"https://" + dgaDomain + "/", "", "https://www.google.com/search?q=1", "<script>"}
	f("text/plain", strings.Join(lines, "\n"))
	f("text/plain; charset=utf-8", strings.Join(lines, "\r\n")+"\r\n")
	f("application/json", `{"referers": ["https://`+dgaDomain+`/", "", "https://www.google.com/", "<script>"]}`)

	if got := fix.sightings(); len(got) != 0 {
		t.Errorf("evidence was made of it: %v", got)
	}
	if got := fix.Counts(); len(got) != 0 {
		t.Errorf("it was counted as traffic: %v", got)
	}
}

func TestScoreSaysWhatIsWrongWithARequest(t *testing.T) {
	addr := newFixture(t).api(t)
	f := func(status int, want, method, contentType, body string) {
		t.Helper()
		r, err := http.NewRequestWithContext(context.Background(), method, "http://"+addr+"/v1/score", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", contentType)
		got, err := client(t).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer got.Body.Close()
		text, _ := io.ReadAll(got.Body)
		if got.StatusCode != status || !strings.Contains(string(text), want) || !strings.HasPrefix(string(text), `{"error":`) {
			t.Errorf("%s %s %.40q: %s %s", method, contentType, body, got.Status, text)
		}
		if status == 405 && got.Header.Get("Allow") != "POST" {
			t.Errorf("Allow: %q", got.Header.Get("Allow"))
		}
	}
	const json = "application/json"
	f(405, "POST", "GET", json, "")
	f(405, "POST", "PUT", json, `{"referers":[]}`)
	f(415, "application/json", "POST", "application/x-www-form-urlencoded", "a=b")
	f(415, "text/plain", "POST", "", "https://a.com/")
	f(400, "ends before", "POST", json, "")
	f(400, "ends before", "POST", json, `{"referers":["a"`)
	f(400, "near byte", "POST", json, `{"referers":"a"}`)
	f(400, "near byte", "POST", json, `["a"]`)
	f(400, "near byte", "POST", json, `{"referrers":["a"]}`)
	f(400, "missing", "POST", json, `{}`)
	f(400, "missing", "POST", json, `{"referers":null}`)
	f(400, "more follows", "POST", json, `{"referers":[]}{}`)
	f(413, "over 1048576 bytes", "POST", "text/plain", strings.Repeat("a", maxScoreBody+1))
	f(413, "more than 10000", "POST", "text/plain", strings.Repeat("\n", maxScoreReferers+1))
}

func TestScoreRefusesAChunkedBodyThatNeverEnds(t *testing.T) {
	w := dial(t, newFixture(t).api(t))
	w.send("POST /v1/score HTTP/1.1\r\nHost: referee\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n")
	chunk := fmt.Sprintf("%x\r\n%s\r\n", 64<<10, strings.Repeat("a", 64<<10))
	for range (maxScoreBody+maxScoreDiscard)>>16 + 1 {
		w.send(chunk)
	}
	if r, _ := w.response("POST"); r.StatusCode != 413 || !r.Close {
		t.Errorf("got %s", r.Status)
	}
}

func TestShutdownFinishesWhatWasBegun(t *testing.T) {
	fix := newFixture(t)
	a := NewAPI(Config{MaxConnections: 10}, fix.Judge, fix.registry, fix.log)
	ln := listener(t)
	served := make(chan error, 1)
	go func() { served <- a.Serve(ln) }()
	addr := ln.Addr().String()

	idle, slow := dial(t, addr), dial(t, addr)
	idle.send("GET /v1/check HTTP/1.1\r\nHost: referee\r\n\r\n")
	if r, _ := idle.response("GET"); r.Close {
		t.Error("closed before anybody asked for it")
	}
	slow.send("POST /v1/score HTTP/1.1\r\nHost: referee\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
	slow.head()     // it is being answered
	slow.send("ab") // and no further

	a.Drain()
	idle.send("GET /v1/check HTTP/1.1\r\nHost: referee\r\n\r\n")
	if r, _ := idle.response("GET"); !r.Close || r.StatusCode != 200 {
		t.Errorf("while draining: %s, close %v", r.Status, r.Close)
	}
	idle.rest()

	down := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		down <- a.Shutdown(ctx)
	}()
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if c, err := net.DialTimeout("tcp", addr, time.Second); err == nil {
		c.Close()
		t.Error("it still accepts")
	}
	slow.send("cde")
	if r, _ := slow.response("POST"); r.StatusCode != 200 || !r.Close {
		t.Errorf("in flight: %s, close %v", r.Status, r.Close)
	}
	if err := <-down; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

func TestShutdownCutsOffWhatDoesNotEnd(t *testing.T) {
	fix := newFixture(t)
	a := NewAPI(Config{MaxConnections: 10}, fix.Judge, fix.registry, fix.log)
	ln := listener(t)
	served := make(chan error, 1)
	go func() { served <- a.Serve(ln) }()
	w := dial(t, ln.Addr().String())
	w.send("POST /v1/score HTTP/1.1\r\nHost: referee\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
	w.head() // it is being answered
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := a.Shutdown(ctx); err == nil || !strings.Contains(err.Error(), "1 connections cut off") {
		t.Errorf("got %v", err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	if err := a.Serve(listener(t)); err != nil {
		t.Errorf("serving after a shutdown: %v", err)
	}
}

func TestConnectionsOverTheLimitAreAnswered503(t *testing.T) {
	fix := newFixture(t)
	addr := serve(t, NewAPI(Config{MaxConnections: 2}, fix.Judge, fix.registry, fix.log))
	for range 2 {
		w := dial(t, addr)
		w.send("GET /v1/check HTTP/1.1\r\nHost: referee\r\n\r\n")
		w.response("GET")
	}
	w := dial(t, addr)
	if r, _ := w.response("GET"); r.StatusCode != 503 {
		t.Errorf("got %s", r.Status)
	}
}

// waitFor waits for what another goroutine is about to do.
func waitFor(t testing.TB, done func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); !done(); <-tick.C {
		if time.Now().After(end) {
			t.Fatal("it did not happen")
		}
	}
}

func TestACheckOfACachedNameDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	fix := newFixture(t)
	a := NewAPI(Config{MaxConnections: 10}, fix.Judge, fix.registry, fix.log)
	for name, referer := range map[string]string{"dga": "https://www." + dgaDomain + "/x", "benign": "https://" + benignDomain + "/", "none": ""} {
		answer := a.offline(t, "GET /v1/check/some/page?q=1 HTTP/1.1\r\nHost: referee\r\nUser-Agent: Mozilla/5.0\r\n"+
			"X-Forwarded-For: 203.5.113.7, 10.1.2.3\r\nReferer: "+referer+"\r\nAccept: */*\r\n\r\n")
		handle := func() { answer() }
		handle()
		handle()
		if n := testing.AllocsPerRun(1000, handle); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
		if got := string(answer()); !strings.HasPrefix(got, "HTTP/1.1 200 OK\r\n") || !strings.Contains(got, "\r\nX-Referee-Verdict: ") {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestThePathOfACheckIsThatOfTheOriginalRequest(t *testing.T) {
	fix := newFixture(t)
	addr := fix.api(t)
	f := func(path, header, want string) {
		t.Helper()
		w := dial(t, addr)
		w.send("GET " + path + " HTTP/1.1\r\nHost: referee\r\nReferer: https://" + dgaDomain + "/\r\n" + header + "\r\n")
		w.response("GET")
		if got := fix.sightings()[0].Path; got != evidence.PathShape([]byte(want)) {
			t.Errorf("%s with %q is not of the shape of %q", path, header, want)
		}
	}
	f("/v1/check", "", "")
	f("/v1/check?q", "", "")
	f("/v1/check/login?next=1", "", "/login")
	f("/v1/check", "X-Original-URI: /login?next=1\r\n", "/login")
	f("/v1/check", "X-Forwarded-Uri: /login\r\n", "/login")
	f("/v1/check/login", "X-Original-URI: /other\r\n", "/login")
	f("/v1/observe/login", "", "/login")
}
