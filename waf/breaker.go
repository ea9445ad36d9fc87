package waf

import (
	"context"
	"time"
)

// Trouble is why a set is left alone for a while: an error that no repetition mends. What is wanted in it waits, and is
// written once the set can be.
type Trouble struct {
	Since time.Time `json:"since"`
	Until time.Time `json:"until"` // when the next try is
	Class Class     `json:"class"`
	Error string    `json:"error"`
}

// A set in trouble is tried again after breakerFirst, then after twice as long each time, up to breakerLast.
const (
	breakerFirst = time.Minute
	breakerLast  = 15 * time.Minute
)

// stops says whether an error of this class stays until somebody does something.
func (c Class) stops() bool {
	return c == ClassMissing || c == ClassDenied || c == ClassLimits || c == ClassCredentials || c == ClassOwner
}

// breaker keeps the calls to a set from being made again and again while they cannot succeed.
type breaker struct {
	Trouble
	wait time.Duration
	err  error
}

// open says why a set is left alone now, if it is.
func (u *Updater) open(kind SetKind, now time.Time) error {
	if b := u.breakers[kind]; b != nil && now.Before(b.Until) {
		return b.err
	}
	return nil
}

// trip opens or closes the breaker of a set by how its tick ended.
func (u *Updater) trip(ctx context.Context, kind SetKind, failed *Error, now time.Time) {
	b := u.breakers[kind]
	switch {
	case failed != nil && failed.Class.stops():
		if b == nil {
			b = &breaker{Trouble: Trouble{Since: now}, wait: breakerFirst / 2}
			u.breakers[kind] = b
		}
		b.wait = min(2*b.wait, breakerLast)
		b.Until, b.Class, b.Error, b.err = now.Add(b.wait), failed.Class, failed.Error(), failed
		u.raise(AboutBreaker, string(kind), failed.Error()+". Judging and the other sets go on; this one is tried again now and then.")
	case failed != nil || b == nil:
		return
	default:
		delete(u.breakers, kind)
		u.clear(AboutBreaker, string(kind))
		u.log.Info("waf set works again", "set", kind)
		b = nil
	}
	u.metrics.breaker.WithLabelValues(string(kind)).Set(map[bool]float64{true: 1}[b != nil])
	var trouble *Trouble
	if b != nil {
		trouble = &b.Trouble
	}
	if err := u.journal.Trouble(ctx, kind, trouble); err != nil {
		u.log.Warn("waf trouble not noted in the ledger", "set", kind, "error", err)
	}
}
