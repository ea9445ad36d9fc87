package examples

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the table in docs/ingress.md anew")

// framings are requests whose end or meaning can be read in several ways, and some that look so and cannot. want is what
// the proxy answers; what nginx answers is measured beside it.
var framings = []struct{ name, request, want string }{
	{"a plain GET", "GET / HTTP/1.1\r\nHost: a\r\n_", "200"},
	{"a body by length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n_hello", "200"},
	{"a body in chunks, with an extension", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n_5;ext=1\r\nhello\r\n0\r\n\r\n", "200"},
	{"Content-Length and Transfer-Encoding", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n_0\r\n\r\n", "400"},
	{"two Content-Lengths that differ", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n_hello!", "400"},
	{"two Content-Lengths that agree", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n_hello", "400"},
	{"Content-Length: 5, 5", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n_hello", "400"},
	{"Content-Length: +5", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n_hello", "400"},
	{"Content-Length: -5", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n_hello", "400"},
	{"Content-Length: 0x5", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n_hello", "400"},
	{"Transfer-Encoding: gzip, chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n_0\r\n\r\n", "400"},
	{"Transfer-Encoding: xchunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n_0\r\n\r\n", "400"},
	{"Transfer-Encoding behind a vertical tab", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n_0\r\n\r\n", "400"},
	{"two Transfer-Encodings", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n_0\r\n\r\n", "400"},
	{"chunks in HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n_0\r\n\r\n", "400"},
	{"a chunk size with a sign", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n_+5\r\nhello\r\n0\r\n\r\n", "400"},
	{"a chunk size of 2⁶⁸", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n_100000000000000005\r\nhello\r\n0\r\n\r\n", "400"},
	{"a chunk size line that ends in a bare LF", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n_5\nhello\r\n0\r\n\r\n", "400"},
	{"a chunk extension with a bare LF", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n_5;a\nhello\r\n0\r\n\r\n", "400"},
	{"a chunk longer than its size", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n_5\r\nhello!\r\n0\r\n\r\n", "400"},
	{"a Content-Length in a trailer", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n_5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n", "400"},
	{"a space before the colon", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n_hello", "400"},
	{"a space in a name", "GET / HTTP/1.1\r\nHost: a\r\nX A: 1\r\n_", "400"},
	{"a folded line (obs-fold)", "GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\n X-B: 2\r\n_", "400"},
	{"a fold before the first header", "GET / HTTP/1.1\r\n Host: a\r\n_", "400"},
	{"a bare LF in the header", "GET / HTTP/1.1\r\nHost: a\nX-A: 1\r\n_", "400"},
	{"a bare LF behind the request line", "GET / HTTP/1.1\nHost: a\r\n_", "400"},
	{"a bare CR in the header", "GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\rX-B: 2\r\n_", "400"},
	{"a NUL in the header", "GET / HTTP/1.1\r\nHost: a\r\nX-A: \x00\r\n_", "400"},
	{"a header without a colon", "GET / HTTP/1.1\r\nHost: a\r\nX-A\r\n_", "400"},
	{"no Host", "GET / HTTP/1.1\r\n_", "400"},
	{"two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n_", "400"},
	{"a Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n_", "400"},
	{"a header of 7 KiB", "GET / HTTP/1.1\r\nHost: a\r\nCookie: " + strings.Repeat("a", 7<<10) + "\r\n_", "200"},
	{"a header of 60 KiB", "GET / HTTP/1.1\r\nHost: a\r\nCookie: " + strings.Repeat("a", 60<<10) + "\r\n_", "200"},
	{"a header of 70 KiB", "GET / HTTP/1.1\r\nHost: a\r\nCookie: " + strings.Repeat("a", 70<<10) + "\r\n_", "431"},
	{"an absolute URI", "GET http://a/x HTTP/1.1\r\nHost: a\r\n_", "200"},
	{"an absolute URI of another host", "GET http://b/x HTTP/1.1\r\nHost: a\r\n_", "200"},
	{"CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n_", "405"},
	{"HTTP/1.10", "GET / HTTP/1.10\r\nHost: a\r\n_", "400"},
	{"HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n_", "400"},
	{"HTTP/0.9", "GET /\r\n\r\n", "400"},
	{"the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400"},
	{"two spaces in the request line", "GET  / HTTP/1.1\r\nHost: a\r\n_", "400"},
	{"a space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n_", "400"},
	{"a tab in the request line", "GET\t/ HTTP/1.1\r\nHost: a\r\n_", "400"},
	{"an empty line before the request", "\r\nGET / HTTP/1.1\r\nHost: a\r\n_", "200"},
	{"three pipelined requests", strings.Repeat("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 2) + "GET / HTTP/1.1\r\nHost: a\r\n_", "200 200 200"},
	{"a request in the body of another", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 27\r\n_GET /x HTTP/1.1\r\nHost: a\r\n\r\n", "200"},
	{"Connection names Content-Length", "POST / HTTP/1.1\r\nHost: a\r\nConnection: Content-Length, close\r\nContent-Length: 5\r\n\r\nhello", "200"},
	{"a TLS client hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "400"},
}

var statusLine = regexp.MustCompile(`HTTP/1\.1 (\d\d\d)[ \r]`)

// answers sends a request, whose _ stands for the end of its header, and returns the statuses that come back.
func answers(t *testing.T, address, request string) string {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(1500 * time.Millisecond))
	_, _ = io.WriteString(conn, strings.Replace(request, "\r\n_", "\r\nConnection: close\r\n\r\n", 1))
	got, err := io.ReadAll(conn)
	var statuses []string
	for _, m := range statusLine.FindAllSubmatch(got, -1) {
		statuses = append(statuses, string(m[1]))
	}
	switch {
	case len(statuses) > 0:
		return strings.Join(statuses, " ")
	case len(got) > 0:
		return "a page without a status"
	case err != nil && os.IsTimeout(err):
		return "waits"
	}
	return "closes"
}

// plainApplication answers whatever a proxy lets through, and counts it.
func plainApplication(t *testing.T) (address string, served *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served = new(atomic.Int64)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			served.Add(1)
			fmt.Fprintln(w, "served")
		}
	}), MaxHeaderBytes: 128 << 10}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return l.Addr().String(), served
}

func TestAmbiguousRequestsBesideNginx(t *testing.T) {
	nginx := program(t, "nginx")
	version, _ := exec.Command(nginx, "-v").CombinedOutput()
	application, served := plainApplication(t)
	proxy, besides := freeAddress(t), freeAddress(t)
	newReferee(t, "--proxy-listen", proxy, "--proxy-upstream", application)
	startNginx(t, nginx, "testdata/nginx-plain", besides, map[string]string{exampleApplication: application})

	table := "| request | Referee | nginx |\n|---|---|---|\n"
	for _, c := range framings {
		before := served.Load()
		got := answers(t, proxy, c.request)
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		if n := served.Load() - before; n != int64(strings.Count(c.want, "200")) {
			t.Errorf("%s: the application served %d requests", c.name, n)
		}
		table += fmt.Sprintf("| %s | %s | %s |\n", c.name, got, answers(t, besides, c.request))
	}
	t.Logf("%s\n%s", version, table)
	if !bytes.Contains(version, []byte("nginx/1.22.")) {
		return // the table is that of Debian 12's
	}
	const document, begin, end = "../../docs/ingress.md", "<!-- framing -->\n", "<!-- /framing -->"
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, found := strings.Cut(string(text), begin)
	old, tail, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s has no place for the table", document)
	}
	if old == table {
		return
	}
	if !*update {
		t.Fatalf("the table in %s is another; write it anew: go test ./deploy/examples -run Ambiguous -update", document)
	}
	if err := os.WriteFile(document, []byte(head+begin+table+end+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}
