package ledger

import (
	"context"
	"iter"
	"time"

	"referee/policy"
)

// Changes yields the decisions made at since or later that made or ended a hit, and not those that only extended one, the oldest
// first: what policy.Remember wants. It reads 1,000 at a time, so that years of decisions take no more memory than days. An
// error is yielded once, last; what cannot be read is left out, as Skipped says.
func (l *Ledger) Changes(ctx context.Context, since time.Time) iter.Seq2[policy.Decision, error] {
	const page = 1000
	return func(yield func(policy.Decision, error) bool) {
		var last int64
		err := l.read.QueryRowContext(ctx, `SELECT coalesce(min(id), 1) - 1 FROM decisions WHERE time >= ?`, nanos(since)).Scan(&last)
		if err != nil {
			yield(policy.Decision{}, l.fail("read the decisions", err))
			return
		}
		for {
			entries, end, err := l.readEntries(ctx, "read the decisions", `SELECT id, time, action, key, why, hit FROM decisions
				WHERE id > ? AND time >= ? AND action <> ? ORDER BY id LIMIT ?`, last, nanos(since), string(policy.Extend), page)
			if err != nil {
				yield(policy.Decision{}, err)
				return
			}
			for i := range entries {
				if !yield(entries[i].Decision, nil) {
					return
				}
			}
			if end == 0 {
				return
			}
			last = end
		}
	}
}
