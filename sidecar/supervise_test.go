package sidecar

import (
	"context"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestAPanicInTheBackgroundStopsNothingElseAndWhatPanickedIsBegunAnew(t *testing.T) {
	for _, where := range []string{"(*Sidecar).reconcile", "(*keeper).batch", "(*keeper).drain"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel() // each waits for its loop to be begun anew
			var broken atomic.Bool
			broken.Store(true)
			now := func() time.Time {
				if broken.Load() && strings.Contains(string(debug.Stack()), where) && broken.CompareAndSwap(true, false) {
					panic("broken on purpose")
				}
				return time.Now()
			}
			log := &logged{}
			s, err := New(t.Context(), testConfig(t.TempDir()), slog.New(slog.NewTextHandler(log, nil)), now)
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(context.Background())
			ended := make(chan error, 1)
			go func() { ended <- s.Run(ctx) }()
			if got := verdict(t, s, generated); got != "dga" {
				t.Errorf("the verdict is %q", got)
			}
			waitFor(t, "a panic is counted", func() bool { return testutil.ToFloat64(s.loops.panics) > 0 })
			waitFor(t, "it is degraded, and ready", func() bool {
				status, body := get(t, "http://"+s.Addresses()["health"]+"/readyz")
				return status == 200 && strings.Contains(body, `"background"`)
			})
			if !strings.Contains(log.String(), "recovered from a panic in the background") || !strings.Contains(log.String(), "broken on purpose") {
				t.Errorf("the log does not tell: %s", log)
			}
			// It takes up again: the keeper drains and commits, the updater plans.
			waitFor(t, "the requests are counted in the ledger", func() bool {
				verdict(t, s, generated)
				hours, err := s.ledger.Hours(t.Context(), time.Time{})
				return err == nil && len(hours) > 0 && hours[len(hours)-1].Counts["requests"] > 0
			})
			stop()
			if err := <-ended; err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	}
}
