package sidecar

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	restartAfter = 2 * time.Second // a loop that panicked rests so long
	calmAfter    = time.Minute     // without another panic all is well again
)

// supervisor keeps the loops of the background going: requests, and the other loops, go on whatever one of them stumbled over. What
// it was at is lost. An updater that panics writes nothing more in that tick; what it had written is in the journal, and is
// reconciled by the next.
type supervisor struct {
	health *health
	panics prometheus.Counter
	mu     sync.Mutex
	calm   *time.Timer
}

func newSupervisor(h *health, reg prometheus.Registerer) *supervisor {
	s := &supervisor{health: h, panics: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "referee_background_panics_total", Help: "Panics recovered in the background; what panicked was begun anew.",
	})}
	reg.MustRegister(s.panics)
	return s
}

// run runs a loop until it ends, and anew where it panics: once ctx has ended once more, for what it does at its end.
func (s *supervisor) run(ctx context.Context, name string, loop func(context.Context) error) error {
	for {
		last := ctx.Err() != nil
		panicked, err := s.attempt(ctx, name, loop)
		if !panicked || last {
			return err
		}
		select {
		case <-time.After(restartAfter):
		case <-ctx.Done():
		}
	}
}

// attempt runs a loop once. Where it panics the error says so.
func (s *supervisor) attempt(ctx context.Context, name string, loop func(context.Context) error) (panicked bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			panicked, err = true, s.panicked(name, p)
		}
	}()
	return false, loop(ctx)
}

// panicked counts and tells what somebody recovered from.
func (s *supervisor) panicked(name string, p any) error {
	s.panics.Inc()
	s.health.log.Error("recovered from a panic in the background", "part", name, "panic", p, "stack", string(debug.Stack()))
	err := fmt.Errorf("%s: panic: %v", name, p)
	s.health.set("background", fmt.Errorf("%w: it was begun anew, and requests go on; the log has the stack: please report it", err))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calm != nil {
		s.calm.Stop()
	}
	s.calm = time.AfterFunc(calmAfter, func() { s.health.set("background", nil) })
	return err
}
