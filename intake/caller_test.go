package intake

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Whatever is sent in one piece and whatever in many, bodies of checks included, each request is judged by its own head.
func TestRequestsAreTheSameHoweverTheirBytesArrive(t *testing.T) {
	fix := newFixture(t)
	a := NewAPI(Config{MaxConnections: 1000}, fix.Judge, fix.registry, fix.log)
	rapid.Check(t, func(t *rapid.T) {
		var text strings.Builder
		var want []string
		cuts := rapid.SliceOfN(rapid.IntRange(0, 1000), 0, 10).Draw(t, "cuts")
		for i := range rapid.IntRange(1, 5).Draw(t, "requests") {
			name := fmt.Sprintf("xkqzvwpjthgf%d.com", i)
			head := "/v1/check/a?b HTTP/1.1\r\nHost: referee\r\nReferer: https://" + name + "/\r\n"
			body := strings.Repeat("GET /v1/check HTTP/1.1\r\nHost: a\r\n\r\n", rapid.SampledFrom([]int{0, 1, 300}).Draw(t, "body")) + "x"
			switch rapid.IntRange(0, 3).Draw(t, "kind") {
			case 0:
				text.WriteString("GET " + head + "\r\n")
			case 1:
				text.WriteString("GET " + head + "Cookie: " + strings.Repeat("c", 9_000) + "\r\n\r\n")
			case 2:
				fmt.Fprintf(&text, "POST %sContent-Length: %d\r\n\r\n", head, len(body))
				if rapid.Bool().Draw(t, "body apart") {
					cuts = append(cuts, text.Len())
				}
				text.WriteString(body)
			case 3:
				fmt.Fprintf(&text, "POST /v1/score HTTP/1.1\r\nHost: referee\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\nhttps://%s/", len(name)+9, name)
			}
			want = append(want, name)
		}

		near, far := net.Pipe() // on which a write is read as it was written
		a.accept(near)
		go func() {
			all, sent := text.String(), 0
			slices.Sort(cuts)
			for _, cut := range append(cuts, len(all)) {
				if cut = min(cut, len(all)); cut > sent {
					_, _ = far.Write([]byte(all[sent:cut]))
					sent = cut
				}
			}
		}()
		answers := bufio.NewReader(far)
		for _, name := range want {
			r, err := http.ReadResponse(answers, nil)
			if err != nil {
				t.Fatalf("in place of %s: %v", name, err)
			}
			body := new(strings.Builder)
			if err := r.Write(body); err != nil || r.StatusCode != 200 || r.Close || strings.Count(body.String(), name) != 1 {
				t.Errorf("in place of %s: %v, %s", name, err, body)
			}
			r.Body.Close()
		}
		far.Close()
	})
	if err := a.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAConnectionThatWaitsHoldsLittle(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector needs memory of its own")
	}
	fix := newFixture(t)
	addr := serve(t, NewAPI(Config{MaxConnections: 1000}, fix.Judge, fix.registry, fix.log))
	used := func() uint64 {
		runtime.GC()
		runtime.GC() // and what pools held in reserve
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	f := func(what string, send func(*wire)) {
		t.Helper()
		const n = 300
		before := used()
		for range n {
			send(dial(t, addr))
		}
		each := (used() - before) / n
		t.Logf("%s: %d bytes a connection", what, each)
		if each > 10<<10 {
			t.Error("which is more than its 4 KiB and what both ends of it take")
		}
	}
	f("between requests", func(w *wire) {
		w.send("GET /v1/check HTTP/1.1\r\nHost: referee\r\nCookie: " + strings.Repeat("c", 50_000) + "\r\n\r\n")
		w.response("GET")
	})
	f("in the middle of a head", func(w *wire) {
		w.send("GET /v1/check HTTP/1.1\r\nHost: referee\r\n\r\n")
		w.response("GET")
		w.send("GET /v1/check HTTP/1.1\r\nHost: refe")
	})
}
