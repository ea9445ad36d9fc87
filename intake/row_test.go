package intake

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"
)

const (
	plainCheck = "GET /v1/check HTTP/1.1\r\nHost: referee\r\n\r\n"
	plainHits  = "GET /v1/check HTTP/1.1\r\nHost: referee\r\nReferer: https://" + dgaDomain + "/\r\n\r\n"
)

// waits is how long the only connection still may: rowPause at most in a row, and far longer outside of one.
func (a *API) waits(t *testing.T) time.Duration {
	t.Helper()
	a.dog.mu.Lock()
	defer a.dog.mu.Unlock()
	for w := range a.dog.conns {
		if w.idle.Load() {
			return time.Duration(w.read.Load() - a.dog.now.Load())
		}
	}
	return 0
}

func (a *API) inRow(t *testing.T) bool {
	left := a.waits(t)
	return left != 0 && left <= rowPause+2*a.dog.tick
}

// inARow has an API with a connection that waits in a row.
func inARow(t *testing.T) (*API, *wire) {
	t.Helper()
	fix := newFixture(t)
	a := NewAPI(Config{MaxConnections: 10}, fix.Judge, fix.registry, fix.log)
	w := dial(t, serve(t, a))
	for range 3 {
		w.send(plainCheck)
		w.response("GET")
	}
	waitFor(t, func() bool { return a.inRow(t) })
	return a, w
}

func TestPlainRequestsInARowAreAnsweredHoweverTheyArrive(t *testing.T) {
	_, w := inARow(t)
	for i := range 200 {
		n := 1 + rand.IntN(30) // more than the buffer holds, at times
		text := strings.Repeat(plainHits, n)
		cut := rand.IntN(len(text))
		w.send(text[:cut])
		if i%50 == 0 {
			<-time.After(20 * time.Millisecond) // the first piece is read by itself
		}
		w.send(text[cut:])
		for range n {
			if r, _ := w.response("GET"); r.Header.Get("X-Referee-Name") != dgaDomain {
				t.Fatalf("%d: %v", i, r.Header)
			}
		}
	}
}

func TestARowGoesOnAfterARequestThatIsNotPlain(t *testing.T) {
	_, w := inARow(t)
	body := "https://" + dgaDomain + "/\n"
	for range 20 {
		w.send(plainHits + fmt.Sprintf("POST /v1/score HTTP/1.1\r\nHost: referee\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", len(body), body) + plainCheck)
		for _, method := range []string{"GET", "POST", "GET"} {
			if r, _ := w.response(method); r.StatusCode != 200 {
				t.Fatal(r.Status)
			}
		}
	}
}

func TestAfterAPauseARowIsOverAndTheConnectionIsNot(t *testing.T) {
	a, w := inARow(t)
	waitFor(t, func() bool { return a.waits(t) > 2*rowPause })
	for range 3 {
		w.send(plainHits)
		w.response("GET")
	}
	waitFor(t, func() bool { return a.inRow(t) })
}

func TestRequestsThatComeSeldomAreNoRow(t *testing.T) {
	a, w := inARow(t)
	waitFor(t, func() bool { return a.waits(t) > 2*rowPause })
	<-time.After(rowPause)
	w.send(plainCheck)
	w.response("GET")
	waitFor(t, func() bool { return a.waits(t) > 0 })
	if a.inRow(t) {
		t.Error("it waits in a row")
	}
}

func TestAClientThatHasSentItsLastRequestIsAnsweredAndLeft(t *testing.T) {
	for _, last := range []string{"", plainHits} { // its end comes by itself, and with a request
		_, w := inARow(t)
		began := time.Now()
		w.send(last)
		if err := w.Conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if last != "" {
			w.response("GET")
		}
		w.closed()
		if took := time.Since(began); took > 8*time.Second { // idleTimeout is 75 s
			t.Errorf("closed after %v", took)
		}
	}
}

func TestShutdownClosesARow(t *testing.T) {
	a, w := inARow(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := a.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	w.closed()
}

func TestShutdownLetsARowFinishTheRequestThatHasBegun(t *testing.T) {
	a, w := inARow(t)
	w.send(plainHits[:20])
	waitFor(t, func() bool { return a.waits(t) == 0 })
	ended := make(chan error)
	go func() { ended <- a.Shutdown(context.WithoutCancel(t.Context())) }()
	waitFor(t, a.stopping.Load)
	w.send(plainHits[20:])
	if r, _ := w.response("GET"); r.StatusCode != 200 {
		t.Error(r.Status)
	}
	w.closed()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestASlowHeadInARowIsCutOff(t *testing.T) {
	fix := newFixture(t)
	a := NewAPI(Config{MaxConnections: 10}, fix.Judge, fix.registry, fix.log)
	a.head, a.dog = 50*time.Millisecond, newWatchdog(50*time.Millisecond)
	w := dial(t, serve(t, a))
	for range 3 {
		w.send(plainCheck)
		w.response("GET")
	}
	waitFor(t, func() bool { return a.inRow(t) })
	w.send(plainCheck[:20])
	if r, _ := w.response("GET"); r.StatusCode != 408 || !r.Close {
		t.Error(r.Status)
	}
	w.closed()
}

func TestARequestInARowDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	a, w := inARow(t)
	request, answer := []byte(plainCheck), make([]byte, 1<<10)
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := w.Write(request); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Read(answer); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if !a.inRow(t) {
		t.Error("this was no row")
	}
}
