package intake

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

func TestAWebSocketClientAndItsServerNoticeNothing(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"echo"}, CompressionMode: websocket.CompressionContextTakeover})
		if err != nil {
			return
		}
		defer c.CloseNow()
		c.SetReadLimit(4 << 20)
		for {
			kind, message, err := c.Read(r.Context())
			if err != nil || c.Write(r.Context(), kind, message) != nil {
				return
			}
		}
	}))
	defer app.Close()
	fix := newFixture(t)
	p := fix.newProxy(t, ProxyConfig{
		Upstream: app.Listener.Addr().String(), ConnectTimeout: time.Second, ResponseTimeout: time.Second, StreamTimeout: time.Second,
		IdleTimeout: time.Second, UpstreamIdle: time.Second, MaxConnections: 100,
	})
	addr := serve(t, p)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			header := http.Header{"Referer": {"https://" + dgaDomain + "/"}}
			c, response, err := websocket.Dial(ctx, fmt.Sprintf("ws://%s/chat?room=%d", addr, i), &websocket.DialOptions{
				HTTPHeader: header, Subprotocols: []string{"echo"}, CompressionMode: websocket.CompressionContextTakeover,
			})
			if err != nil {
				t.Error(err)
				return
			}
			defer c.CloseNow()
			if response.Header.Get("Sec-Websocket-Protocol") != "echo" {
				t.Errorf("got %v", response.Header)
			}
			c.SetReadLimit(4 << 20)
			for _, size := range []int{0, 1, 125, 126, 65_535, 65_536, 1 << 20} {
				message := bytes.Repeat([]byte{byte(size), byte(i)}, size/2+1)[:size]
				if err := c.Write(ctx, websocket.MessageBinary, message); err != nil {
					t.Errorf("%d bytes: %v", size, err)
					return
				}
				kind, got, err := c.Read(ctx)
				if err != nil || kind != websocket.MessageBinary || !bytes.Equal(got, message) {
					t.Errorf("%d bytes: %d came back, %v", size, len(got), err)
					return
				}
			}
			if err := c.Close(websocket.StatusNormalClosure, "done"); err != nil {
				t.Errorf("the close handshake: %v", err)
			}
		})
	}
	wg.Wait()
	waitFor(t, func() bool { return p.tunnels.Load() == 0 })
	if got := len(fix.sightings()); got != 8 {
		t.Errorf("%d of 8 handshakes were judged", got)
	}
}
