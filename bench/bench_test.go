//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestTheUpperBoundIsTheOrderStatisticThatHoldsTheMedian(t *testing.T) {
	// The ranks are those of the tables of the sign test: the k-th of n.
	f := func(n, rank int) {
		t.Helper()
		x := make([]float64, n)
		for i := range x {
			x[i] = float64(i + 1)
		}
		rand.Shuffle(n, func(i, j int) { x[i], x[j] = x[j], x[i] })
		if bound, ok := upperBound(x); !ok || bound != float64(rank) {
			t.Errorf("of %d the bound is the %v-th (%v), want the %d-th", n, bound, ok, rank)
		}
	}
	f(5, 5)
	f(7, 7)
	f(8, 7)
	f(10, 9)
	f(20, 15)
	if bound, ok := upperBound([]float64{1, 2, 3, 4}); ok {
		t.Errorf("four have a bound: %v", bound)
	}
}

func TestTheUpperBoundIsAboveTheMedianInNineteenOfTwentyRuns(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const runs = 20_000
	above := 0
	for range runs {
		x := make([]float64, 10)
		for i := range x {
			x[i] = math.Exp(r.NormFloat64()) // of median 1
		}
		if bound, _ := upperBound(x); bound >= 1 {
			above++
		}
	}
	if share := float64(above) / runs; share < 0.95 {
		t.Errorf("%.3f", share)
	}
}

// stalling answers, but stands still once for a while.
func stalling(t *testing.T, stall time.Duration) string {
	t.Helper()
	var served atomic.Int64
	var held atomic.Pointer[chan struct{}]
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if served.Add(1) == 50 {
			over := make(chan struct{})
			held.Store(&over)
			time.AfterFunc(stall, func() { close(over) })
		}
		if over := held.Load(); over != nil {
			<-*over
		}
		w.Header().Set("Content-Length", "2")
		_, _ = io.WriteString(w, "ok")
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func TestRequestsThatWereDueWhileAServerStoodStillCountTheirWait(t *testing.T) {
	g, err := newGenerator(stalling(t, 400*time.Millisecond), 4, usual("", fewClients).next)
	if err != nil {
		t.Fatal(err)
	}
	defer g.close()
	o, err := g.run(t.Context(), load{lasts: time.Second, rate: 200})
	if err != nil {
		t.Fatal(err)
	}
	if o.sent != 200 || o.answered != 200 || o.lost() != 0 || len(o.latencies) != 200 {
		t.Fatalf("%+v", o)
	}
	// 80 were due during the 400 ms, and the one in the middle waited for 200 of them. A client that waits for an answer before it
	// sends the next request would have noticed four.
	late := 0
	for _, l := range o.latencies {
		if l > 100*time.Millisecond {
			late++
		}
	}
	if late < 50 {
		t.Errorf("%d of the latencies are above 100 ms", late)
	}
}

func TestARequestWithoutAnAnswerIsLost(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 4096))
			c.Close()
		}
	}()
	g, err := newGenerator(ln.Addr().String(), 3, usual("", fewClients).next)
	if err != nil {
		t.Fatal(err)
	}
	defer g.close()
	o, err := g.run(t.Context(), load{lasts: time.Hour})
	if err != nil || o.sent != 3 || o.lost() != 3 {
		t.Errorf("%+v, %v: want all three lost", o, err)
	}
}

func TestAnAnswerIsWholeWhenItsBodyIs(t *testing.T) {
	f := func(text string, wantStatus int, wantWhole bool) {
		t.Helper()
		status, whole, err := answered([]byte(text))
		if err != nil || whole != wantWhole || status != wantStatus {
			t.Errorf("%q: %d, %v, %v", text, status, whole, err)
		}
	}
	f("HTTP/1.1 200 OK\r\nContent-Len", 0, false)
	f("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", 200, false)
	f("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer: x\r\n\r\nhello", 200, true)
	f("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", 403, true)
	if _, _, err := answered([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")); err == nil {
		t.Error("an answer without a Content-Length is taken")
	}
}

func TestEveryNameIsNew(t *testing.T) {
	seen := map[string]bool{}
	next := unseen("", fewClients)
	for range 300_000 {
		name := next.name()
		if seen[name] {
			t.Fatalf("%s comes twice", name)
		}
		seen[name] = true
	}
}

func TestAFloodHasFiveUsualNamesInAHundred(t *testing.T) {
	attack := flood("", floodShare)
	var b []byte
	for range 20_000 {
		b = attack.next(b[:0])
	}
	if attack.made < 900 || attack.made > 1100 {
		t.Errorf("%d of 20,000", attack.made)
	}
	if !bytes.HasPrefix(b, []byte("GET /products/")) || !bytes.HasSuffix(b, []byte("\r\n\r\n")) {
		t.Errorf("%q", b)
	}
}

// With the real programs, in small.
func TestTheTableIsMeasured(t *testing.T) {
	if runtime.NumCPU() < 2 {
		t.Skip("the servers need a core of their own")
	}
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", dir, "../cmd/referee", ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	bench := exec.CommandContext(t.Context(), filepath.Join(dir, "bench"), "--referee", filepath.Join(dir, "referee"), "--pairs", "1", "--window", "20ms",
		"--flood", "1s", "--rows", "check,proxy,flood", "--format", "json")
	out, err := bench.Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Fatalf("%v\n%s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	var table Table
	if err := json.Unmarshal(out, &table); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	_, nginx := exec.LookPath("nginx")
	for _, row := range table.Rows {
		switch {
		case nginx != nil && strings.HasPrefix(row.Result, "skipped: "):
		case strings.HasPrefix(row.Case, "flood") && row.Result != "pass" && row.Result != "short",
			!strings.HasPrefix(row.Case, "flood") && row.Result != "no bound": // of one pair there is none
			t.Errorf("%s: %q", row.Case, row.Result)
		}
	}
	if len(table.Rows) != 7 {
		t.Errorf("%d rows", len(table.Rows))
	}
}
