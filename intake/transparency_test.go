package intake

import (
	"bufio"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

func TestARequestReachesTheApplicationAsItWasSent(t *testing.T) {
	app := newApplication(t)
	app.answers(ok)
	addr := newFixture(t).proxy(t, app.addr)
	const xff = "X-Forwarded-For: 127.0.0.1\r\n"
	f := func(request, want string) {
		t.Helper()
		w := dial(t, addr)
		w.send(request)
		method, _, _ := strings.Cut(request, " ")
		if method == "HEAD" {
			w.head()
		} else {
			w.response(method)
		}
		if diff := cmp.Diff([]string{want}, app.requests()); diff != "" {
			t.Errorf("%q:\n%s", request, diff)
		}
	}
	same := func(request string) {
		t.Helper()
		head, body, _ := strings.Cut(request, "\r\n\r\n")
		f(request, head+"\r\n"+xff+"\r\n"+body)
	}
	// Methods, paths and queries, byte by byte.
	for _, target := range []string{
		"/", "//", "/a//b", "/a/./b/../c", "/../../etc/passwd", "/%2e%2e/%2F", "/%zz%", "/a;b=c;d", "/a?", "/a??b=c?d", "/?a=b&a=%20+c",
		"/a#b", "/\xff\xfe", "/\"<>\\^`{|}", "/a?x=\xc3\xa9", "/" + strings.Repeat("a", 30_000), "http://other.example/x?y", "*",
	} {
		method := "GET"
		if target == "*" {
			method = "OPTIONS"
		}
		same(method + " " + target + " HTTP/1.1\r\nHost: app.example\r\n\r\n")
	}
	for _, method := range []string{"HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "PROPFIND", "get", "X!"} {
		same(method + " / HTTP/1.1\r\nHost: app.example\r\n\r\n")
	}
	// Names, order, repetitions, spaces.
	same("GET / HTTP/1.1\r\nuser-agent:curl\r\nHOST:  app.example \r\nx-a: 1\r\nX-B:\r\nx-A:2\r\ncookie: a=b; a=c;;\r\nCookie: d\r\n" +
		"ACCEPT:\t*/*\r\nAuthorization: Basic =\r\nX-Amzn-Trace-Id: Root=1\r\nForwarded: for=1.1.1.1\r\nReferer: https://a.com/\r\nrange: bytes=1-\r\n\r\n")
	// Bodies.
	same("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Type: x\r\n\r\nhello")
	same("POST / HTTP/1.1\r\nHost: a\r\ncontent-length: 0\r\n\r\n")
	same("POST / HTTP/1.1\r\nHost: a\r\n\r\n")
	same("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
	same("POST / HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 3\r\n\r\n--b")
	same("POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
	f("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5;ext=1\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n"+xff+"\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n")

	// What is meant for this hop alone.
	f("GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Hop, TE\r\nKeep-Alive: 5\r\nTE: trailers\r\nx-hop: 1\r\nX-End: 1\r\nProxy-Connection: x\r\n"+
		"Proxy-Authorization: x\r\nUpgrade: h2c\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nX-End: 1\r\n"+xff+"\r\n")
	f("GET / HTTP/1.1\r\nHost: a\r\nconnection: x-a\r\nConnection: ,, X-B ,\r\nX-A: 1\r\nX-B: 1\r\nX-C: 1\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nX-C: 1\r\n"+xff+"\r\n")
	// But nobody talks it out of what the load balancer vouches for, nor out of the framing.
	f("POST / HTTP/1.1\r\nHost: a\r\nConnection: Host, Content-Length, X-Forwarded-For, x-forwarded-proto, X-Amzn-Trace-Id, close\r\nContent-Length: 2\r\n"+
		"X-Forwarded-For: 8.8.8.8\r\nX-Forwarded-Proto: https\r\nX-Amzn-Trace-Id: x\r\n\r\nhi",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nX-Forwarded-For: 8.8.8.8, 127.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Amzn-Trace-Id: x\r\n\r\nhi")

	// The peer is appended to the last X-Forwarded-For line.
	f("GET / HTTP/1.1\r\nHost: a\r\nx-forwarded-for: 1.1.1.1\r\nX-A: 1\r\nX-FORWARDED-FOR: 8.8.8.8, unknown\r\nX-B: 1\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nx-forwarded-for: 1.1.1.1\r\nX-A: 1\r\nX-FORWARDED-FOR: 8.8.8.8, unknown, 127.0.0.1\r\nX-B: 1\r\n\r\n")
	f("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For:\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n")

	// An older client.
	f("GET / HTTP/1.0\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n"+xff+"\r\n")
	f("GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\n"+xff+"Host: "+app.addr+"\r\n\r\n")
}

func TestAnAnswerReachesTheClientAsItWasSent(t *testing.T) {
	app := newApplication(t)
	addr := newFixture(t).proxy(t, app.addr)
	f := func(method, answer, want string) {
		t.Helper()
		app.answers(answer)
		w := dial(t, addr)
		w.send(method + " / HTTP/1.1\r\nHost: a\r\n\r\n")
		var wire strings.Builder
		w.br = bufio.NewReader(io.TeeReader(w.Conn, &wire))
		w.response(method)
		got := wire.String()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s %q:\n%s", method, answer, diff)
		}
	}
	same := func(method, answer string) {
		t.Helper()
		f(method, answer, answer)
	}
	same("GET", ok)
	same("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	same("GET", "HTTP/1.1 299 Rather Fine\r\nContent-Length: 2\r\nx-lower: 1\r\nX-UPPER: 2\r\nDate: yesterday\r\nlink: <b>\r\nLink: <a>\r\nlink: <c>\r\nX-Empty: \r\n\r\nok")
	same("GET", "HTTP/1.1 404 Not Found\r\nServer: app/1\r\nContent-Type: a/b\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\nETag: W/\"1\"\r\nVary: a, b\r\nvary: c\r\n\r\nno")
	same("GET", "HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n")
	same("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\nETag: x\r\n\r\n")
	same("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 12345\r\nX-A: 1\r\n\r\n")
	same("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
	same("HEAD", "HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\n")
	same("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
	same("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n")
	f("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\nok\r\n0\r\nX-Unannounced: 1\r\nX-Unannounced: 2\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Unannounced: 1\r\nX-Unannounced: 2\r\n\r\n")
	same("GET", "HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nX-A: 1\r\nset-cookie: a=c\r\nContent-Length: 2\r\n\r\nok")
	same("GET", "HTTP/1.1 200 OK\r\nserver: a\r\ncontent-TYPE: a/b\r\nServer: b\r\nContent-Type: c/d\r\nvia: 1.1 x\r\nCONTENT-LENGTH: 2\r\ndate:x\r\n\r\nok")
	same("GET", "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok")
	same("GET", "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok")
	// What is meant for this hop alone.
	f("GET", "HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nKeep-Alive: timeout=5\r\nx-hop: 1\r\nlink: 1\r\nlink: 2\r\nProxy-Authenticate: x\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nlink: 1\r\nlink: 2\r\nContent-Length: 2\r\n\r\nok")
	// Bodies that end with the connection are sent in chunks.
	f("GET", "HTTP/1.0 200 OK\r\nX-A: 1\r\n\r\nok", "HTTP/1.1 200 OK\r\nX-A: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
}

func TestInterimAnswersArePassedOn(t *testing.T) {
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
	const last = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
	const closing = get + "Connection: close\r\n\r\n"
	f(closing, "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n"+ok,
		"HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n"+last)
	f(closing, "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"+ok, "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"+last)
	// Who waits for it is told to continue once, by the proxy.
	f("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi", "HTTP/1.1 100 Continue\r\n\r\n"+ok, last)
	// An older client knows none.
	f("GET / HTTP/1.0\r\nHost: a\r\n\r\n", "HTTP/1.1 103 Early Hints\r\n\r\n"+ok, last)
}
