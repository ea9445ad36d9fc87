package alert

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Message is an alert on its way to a destination.
type Message struct {
	Kind   Kind
	Source string
	Text   string // valid UTF-8, maxText and a little at most
	Time   time.Time
}

// sender sends one message, within sendTimeout.
type sender interface {
	send(ctx context.Context, m Message) error
}

// final is an error that no repetition mends.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

// slower is an error after which its sender says how long to wait.
type slower struct {
	error
	wait time.Duration
}

const (
	sendTimeout = 10 * time.Second
	attempts    = 8               // 1 s, 2 s … 64 s between them: about two minutes, in which most endpoints come back
	longestWait = 5 * time.Minute // whatever Retry-After says
)

// destination is where messages go, one after the other.
type destination struct {
	name   string
	to     sender
	queue  chan Message
	counts *prometheus.CounterVec // to, outcome
	log    *slog.Logger
	wait   func(context.Context, time.Duration) error
}

func newDestination(name string, to sender, counts *prometheus.CounterVec, log *slog.Logger) *destination {
	for _, outcome := range []string{"sent", "retried", "lost"} {
		counts.WithLabelValues(name, outcome)
	}
	return &destination{name: name, to: to, queue: make(chan Message, queued), counts: counts, log: log, wait: wait}
}

func (d *destination) offer(m Message) {
	select {
	case d.queue <- m:
	default:
		d.count("lost")
		d.log.Error("an alert is lost: too many wait for this destination", "to", d.name, "kind", m.Kind)
	}
}

func (d *destination) run(ctx context.Context) {
	for {
		select {
		case m := <-d.queue:
			d.deliver(ctx, m)
		case <-ctx.Done():
			return
		}
	}
}

// deliver sends a message, again and again while that may help.
func (d *destination) deliver(ctx context.Context, m Message) {
	for attempt := 1; ; attempt++ {
		err := d.once(ctx, m)
		if err == nil {
			return
		}
		pause := time.Second << (attempt - 1)
		pause += rand.N(pause / 2)
		if s, ok := errors.AsType[slower](err); ok {
			pause = min(max(pause, s.wait), longestWait)
		}
		_, isFinal := errors.AsType[final](err)
		switch {
		case isFinal, attempt == attempts:
			d.lost(m, err)
			return
		case ctx.Err() != nil, d.wait(ctx, pause) != nil:
			d.offer(m) // for flush, at the end
			return
		}
		d.count("retried")
	}
}

func (d *destination) once(ctx context.Context, m Message) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	err := d.to.send(ctx, m)
	if err == nil {
		d.count("sent")
	}
	return err
}

func (d *destination) flush(ctx context.Context) error {
	var first error
	for {
		select {
		case m := <-d.queue:
			if err := d.once(ctx, m); err != nil {
				d.lost(m, err)
				first = errors.Join(first, err)
			}
		default:
			return first
		}
	}
}

func (d *destination) lost(m Message, err error) {
	d.count("lost")
	d.log.Error("an alert is lost", "to", d.name, "kind", m.Kind, "error", err)
}

func (d *destination) count(outcome string) { d.counts.WithLabelValues(d.name, outcome).Inc() }

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
