package intake

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
)

var soakFor = flag.Duration("soak.for", 3*time.Second, "how long the proxy is used while its application comes and goes")

// restless is an application that goes away, connections and all, and comes back at the same address.
type restless struct {
	address string
	server  *http.Server
}

func (r *restless) start(t *testing.T) {
	t.Helper()
	var ln net.Listener
	waitFor(t, func() (ok bool) { // a client of something else may have had the port in between
		var err error
		ln, err = new(net.ListenConfig).Listen(context.Background(), "tcp", r.address)
		return err == nil
	})
	r.address = ln.Addr().String()
	r.server = &http.Server{Handler: http.HandlerFunc(serveRestless)}
	go func(s *http.Server) { _ = s.Serve(ln) }(r.server)
}

func serveRestless(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/echo":
		sum, err := digest(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprint(w, sum)
	case "/events":
		for i := range 10 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			_ = http.NewResponseController(w).Flush()
		}
	case "/chat":
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer c.CloseNow()
		for {
			kind, message, err := c.Read(r.Context())
			if err != nil || c.Write(r.Context(), kind, message) != nil {
				return
			}
		}
	}
}

// Whatever the application does, a client gets either its whole answer, or a 502 or 504, or a connection that breaks off:
// never somebody else's answer and never a part that looks whole. Nothing is left open behind.
func TestSoakOfTheProxyInFrontOfAnApplicationThatRestarts(t *testing.T) {
	app := &restless{address: "127.0.0.1:0"}
	app.start(t)
	fix := newFixture(t)
	p := fix.newProxy(t, ProxyConfig{
		Upstream: app.address, ConnectTimeout: time.Second, ResponseTimeout: 5 * time.Second, StreamTimeout: 5 * time.Second,
		IdleTimeout: 5 * time.Second, UpstreamIdle: time.Second, MaxConnections: 1000,
	})
	addr := serve(t, p)
	ctx, cancel := context.WithTimeout(t.Context(), *soakFor)
	defer cancel()
	var whole, refused, broken, restarts atomic.Int64
	var events strings.Builder
	for i := range 10 {
		fmt.Fprintf(&events, "data: %d\n\n", i)
	}
	c := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: 20 * time.Second}
	defer c.CloseIdleConnections()
	ask := func(method, path, want string, size int64) {
		var body io.Reader
		if size > 0 {
			body = noise(uint64(size), size)
		}
		r, err := http.NewRequestWithContext(context.Background(), method, "http://"+addr+path, body)
		if err != nil {
			t.Error(err)
			return
		}
		r.Header.Set("Referer", fmt.Sprintf("https://%x%s/", size, dgaDomain))
		response, err := c.Do(r)
		if err != nil {
			broken.Add(1)
			return
		}
		defer response.Body.Close()
		got, err := io.ReadAll(response.Body)
		switch {
		case err != nil:
			broken.Add(1)
		case response.StatusCode == 200 && string(got) == want:
			whole.Add(1)
		case response.StatusCode == 502 || response.StatusCode == 504:
			refused.Add(1)
		default:
			t.Errorf("%s %s: %s, %.200q", method, path, response.Status, got)
		}
	}
	var wg sync.WaitGroup
	for worker := range 6 {
		wg.Go(func() {
			for n := int64(worker); ctx.Err() == nil; n++ {
				size := n * 7919 % 100_000
				sum, _ := digest(noise(uint64(size), size))
				ask("POST", "/echo", sum, size)
				ask("GET", "/events", events.String(), 0)
			}
		})
	}
	wg.Go(func() {
		for ctx.Err() == nil {
			if err := chat(ctx, addr); err != nil {
				broken.Add(1)
			} else {
				whole.Add(1)
			}
		}
	})
	wg.Go(func() {
		tick := time.NewTicker(300 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			<-tick.C
			_ = app.server.Close()
			<-tick.C
			app.start(t)
			restarts.Add(1)
		}
	})
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	before := memory.HeapAlloc
	wg.Wait()
	c.CloseIdleConnections()
	waitFor(t, func() bool { return p.dog.len() == 0 && p.tunnels.Load() == 0 })
	_ = app.server.Close()
	runtime.GC()
	runtime.ReadMemStats(&memory)
	t.Logf("%d whole answers, %d times 502 or 504, %d broken off; %d restarts, %d retries; heap %d KiB at the start, %d KiB at the end",
		whole.Load(), refused.Load(), broken.Load(), restarts.Load(), p.retries.Load(), before>>10, memory.HeapAlloc>>10)
	if whole.Load() == 0 || restarts.Load() == 0 || p.panics.Load() != 0 || p.bad.Load() != 0 {
		t.Errorf("%d whole answers, %d restarts, %d panics, %d bad requests", whole.Load(), restarts.Load(), p.panics.Load(), p.bad.Load())
	}
	if memory.HeapAlloc > before+32<<20 {
		t.Error("the heap has grown")
	}
}

// chat says a few things over a WebSocket and hears the same.
func chat(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	c, response, err := websocket.Dial(ctx, "ws://"+addr+"/chat", nil)
	if err != nil {
		if response != nil && response.Body != nil {
			response.Body.Close()
		}
		return err
	}
	defer c.CloseNow()
	for i := range 20 {
		said := strings.Repeat("x", i*100)
		if err := c.Write(ctx, websocket.MessageText, []byte(said)); err != nil {
			return err
		}
		if _, heard, err := c.Read(ctx); err != nil || string(heard) != said {
			return errors.Join(err, errors.New("it is not the echo"))
		}
	}
	return c.Close(websocket.StatusNormalClosure, "")
}
