package intake

import (
	"net"
	"strings"
	"testing"
)

func TestARequestThatCanBeReadInTwoWaysIsNotForwarded(t *testing.T) {
	app := newApplication(t)
	app.answers(ok)
	addr := newFixture(t).proxy(t, app.addr)
	f := func(status int, request string) {
		t.Helper()
		w := dial(t, addr)
		w.send(request)
		r, body := w.response("GET")
		if r.StatusCode != status || !r.Close || strings.Contains(body, "evil") {
			t.Errorf("%.99q: %s, close %v, %q", request, r.Status, r.Close, body)
		}
		w.closed()
		if got := app.requests(); len(got) != 0 {
			t.Errorf("%.99q: the application got %q", request, got)
		}
	}
	const post = "POST / HTTP/1.1\r\nHost: a\r\n"
	// Framing (RFC 9112 section 6.3).
	f(400, post+"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
	f(400, post+"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n")
	f(400, post+"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!")
	f(400, post+"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello")
	f(400, post+"Content-Length: 5, 5\r\n\r\nhello")
	f(400, post+"Content-Length: +5\r\n\r\nhello")
	f(400, post+"Content-Length: -5\r\n\r\nhello")
	f(400, post+"Content-Length: 0x5\r\n\r\nhello")
	f(400, post+"Content-Length: 5 5\r\n\r\nhello")
	f(400, post+"Content-Length:\r\n\r\n")
	f(400, post+"Content-Length: 99999999999999999999\r\n\r\n")
	f(400, post+"Transfer-Encoding: identity\r\n\r\n")
	f(400, post+"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")
	f(400, post+"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n")
	f(400, post+"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n")
	f(400, post+"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n")
	f(400, post+"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
	f(400, post+"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n")
	f(400, "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
	// Header lines (section 5).
	f(400, "GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\n evil: 2\r\n\r\n")
	f(400, "GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\n\tevil\r\n\r\n")
	f(400, "GET / HTTP/1.1\r\n Host: a\r\n\r\n")
	f(400, "GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\nX-Evil: 2\r\n\r\n")
	f(400, "GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\rX-Evil: 2\r\n\r\n")
	f(400, "GET / HTTP/1.1\r\nHost: a\r\nX-A: \x00evil\r\n\r\n")
	f(400, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello")
	f(400, "GET / HTTP/1.1\r\nHost: a\r\nContent Length: 5\r\n\r\nhello")
	f(400, "GET / HTTP/1.1\r\nHost: a\r\nX-\xe9vil: 5\r\n\r\n")
	f(400, "GET / HTTP/1.1\r\nHost: a\r\n: evil\r\n\r\n")
	f(400, "GET / HTTP/1.1\r\nHost: a\r\nevil\r\n\r\n")
	f(400, "GET / HTTP/1.1\r\n\r\n")
	f(400, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
	f(400, "GET / HTTP/1.1\r\nHost: a\r\nConnection: "+strings.Repeat("evil,", 2000)+"\r\n\r\n")
	f(431, "GET / HTTP/1.1\r\nHost: a\r\nCookie: "+strings.Repeat("evil", 20_000)+"\r\n\r\n")
	// Request lines (section 3).
	f(400, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n")
	f(400, "GET / evil HTTP/1.1\r\nHost: a\r\n\r\n")
	f(400, "GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n")
	f(400, "GET evil HTTP/1.1\r\nHost: a\r\n\r\n")
	f(400, "GET / HTTP/1.10\r\nHost: a\r\n\r\n")
	f(400, "GET / http/1.1\r\nHost: a\r\n\r\n")
	f(400, "GET /\r\nHost: a\r\n\r\n")
	f(400, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	f(400, "\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n")
}

func TestABodyThatIsNotWellFormedEndsTheRequest(t *testing.T) {
	app := newApplication(t)
	app.answers(ok)
	addr := newFixture(t).proxy(t, app.addr)
	f := func(body string) {
		t.Helper()
		w := dial(t, addr)
		w.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
		if r, _ := w.response("POST"); r.StatusCode != 400 || !r.Close {
			t.Errorf("%q: %s, close %v", body, r.Status, r.Close)
		}
		w.closed()
		// Whatever the application had got by then, it did not get an end.
		waitFor(t, func() bool { return app.connectionsOpen() == 0 })
		for _, got := range app.requests() {
			if strings.HasSuffix(got, "0\r\n\r\n") || strings.Contains(got, "evil") {
				t.Errorf("%q: the application got %q", body, got)
			}
		}
	}
	f("5\r\nhelloevil\r\n0\r\n\r\n")
	f("5\r\nhello\r\n-1\r\n\r\n")
	f("5\r\nhello\r\n0x3\r\nabc\r\n0\r\n\r\n")
	f("5\r\nhello\r\n1ffffffffffffffffff\r\nabc\r\n0\r\n\r\n")
	f("5\r\nhello\r\n5\nevil!\r\n0\r\n\r\n")
	f("5\r\nhello\r\n3;\nevil\r\n0\r\n\r\n")
	f("5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n")
}

func TestAnAnswerThatCanBeReadInTwoWaysIsNotPassedOn(t *testing.T) {
	app := newApplication(t)
	addr := newFixture(t).proxy(t, app.addr)
	f := func(answer string) {
		t.Helper()
		app.then(func(c net.Conn, _ string) bool {
			_, _ = c.Write([]byte(answer))
			return false
		})
		w := dial(t, addr)
		w.send("POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 0\r\n\r\n") // so that it gets no interim answers
		if r, body := w.response("POST"); r.StatusCode != 502 || strings.Contains(body, "evil") {
			t.Errorf("%.99q: %s, %q", answer, r.Status, body)
		}
	}
	f("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\nevil")
	f("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nevil")
	f("HTTP/1.1 200 OK\r\nContent-Length: 4, 5\r\n\r\nevil")
	f("HTTP/1.1 200 OK\r\nContent-Length: +4\r\n\r\nevil")
	f("HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nevil")
	f("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nevil")
	f("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nevil")
	f("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n")
	f("HTTP/1.1 200 OK\r\nX-A: 1\r\n X-Evil: 2\r\nContent-Length: 4\r\n\r\nevil")
	f("HTTP/1.1 200 OK\r\nX-A: 1\nX-Evil: 2\r\nContent-Length: 4\r\n\r\nevil")
	f("HTTP/1.1 200 OK\r\nX-A: \x00\r\nContent-Length: 4\r\n\r\nevil")
	f("HTTP/1.1 200 OK\r\nX A: 1\r\nContent-Length: 4\r\n\r\nevil")
	f("HTTP/1.1 200 OK\r\nContent-Length : 4\r\n\r\nevil")
	f("HTTP/1.1 200 OK\r\nX-A: " + strings.Repeat("evil", 10_000) + "\r\n\r\n")
	f("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: evil\r\n\r\n")
	f("HTTP/2 200 OK\r\n\r\nevil")
	f("HTTP/1.1 2000 OK\r\n\r\nevil")
	f("HTTP/1.1 -20 OK\r\n\r\nevil")
	f("HTTP/1.1 099 OK\r\n\r\nevil")
	f("evil\r\n\r\n")
	f(strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 200))
	f("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n")
	f("")
}
