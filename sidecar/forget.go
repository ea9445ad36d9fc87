package sidecar

import (
	"context"
	"errors"
	"slices"

	"referee/evidence"
	"referee/ledger"
	"referee/policy"
)

// written is what became of a commit.
type written struct {
	err    error
	forget []ledger.ForgetRequest // clients that commands want forgotten
}

// commit writes a batch and, behind it, erases what is to be forgotten, of which the batch and all later ones say nothing
// any more. A request stands until there is nothing left: while the client is in a WAF set, the updater has to take it out.
func (k *keeper) commit(ctx context.Context, batch *ledger.Batch, forget []ledger.ForgetRequest) (w written) {
	defer func() {
		if p := recover(); p != nil {
			w = written{err: k.s.loops.panicked("ledger", p), forget: forget}
		}
	}()
	if w.err = k.give(ctx, batch); w.err != nil || !k.s.durable {
		w.forget = forget
		return w
	}
	for _, r := range forget {
		f, err := k.s.ledger.Forget(ctx, r.Client, r.Who, k.s.now())
		switch {
		case errors.Is(err, ledger.ErrBlocked):
			k.s.log.Info("a client is forgotten once it has left the WAF set") // which one is not for the log
		case err != nil:
			k.s.log.Warn("a client could not be forgotten yet", "error", err)
		default:
			k.s.log.Info("a client was forgotten", "who", r.Who, "decisions", f.Decisions, "orders", f.Orders, "flagged", f.Flagged,
				"evidence", f.Evidence, "generations", f.Generations)
		}
	}
	var err error
	if w.forget, err = k.s.ledger.ForgetRequests(ctx); err != nil {
		k.s.log.Warn("clients to forget could not be read", "error", err)
	}
	return w
}

// forget takes clients out of all that the process has in memory.
func (k *keeper) forget() {
	for _, r := range k.forgetting {
		k.drain()
		k.state.Forget(r.Client)
		k.flagged = slices.DeleteFunc(k.flagged, func(s evidence.Sighting) bool {
			return s.Client.IsValid() && evidence.ClientPrefix(s.Client) == r.Client
		})
		without := func(h *policy.Hits) *policy.Hits { return h.Without(r.Client) }
		k.decided = without(k.decided)
		published := without(k.published.Load())
		k.published.Store(published)
		k.s.judge.SetHits(published)
	}
}
