package ledger

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"iter"
	"slices"
	"time"

	"referee/evidence"
	"referee/policy"
)

const metaEvidenceKey = "evidence key"

// EvidenceKey returns the secret of the evidence's keyed hash, made when it is asked for the first time and kept as
// long as the ledger, so that restored evidence still counts the same networks as the same.
func (l *Ledger) EvidenceKey(ctx context.Context) (evidence.Key, error) {
	const name = metaEvidenceKey
	if !l.ReadOnly() {
		var made evidence.Key
		rand.Read(made[:]) // never fails (crypto/rand)
		err := l.transact(ctx, "make the evidence key", func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, `INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO NOTHING`, name, made[:])
			return err
		})
		if err != nil {
			return evidence.Key{}, err
		}
	}
	var kept []byte
	if err := l.read.QueryRowContext(ctx, `SELECT value FROM meta WHERE key = ?`, name).Scan(&kept); err != nil {
		return evidence.Key{}, l.fail("read the evidence key", err)
	}
	var key evidence.Key
	if copy(key[:], kept) != len(key) {
		return evidence.Key{}, fmt.Errorf("ledger %s: the evidence key has %d bytes, not %d: %w", l.name, len(kept), len(key), ErrDamaged)
	}
	return key, nil
}

// Evidence yields every row once, in no order. Nothing is held back while it does, so that the loop may write to the ledger; rows
// that are written meanwhile may come old or new. An error is yielded once, last, with a zero Row. What cannot be read of the
// journal is left out (Skipped).
func (l *Ledger) Evidence(ctx context.Context) iter.Seq2[evidence.Row, error] {
	return func(yield func(evidence.Row, error) bool) {
		newer := map[rowKey]bool{}
		for r, err := range l.recentRows(ctx) {
			if err != nil {
				yield(evidence.Row{}, err)
				return
			}
			if key := keyOf(r); !newer[key] {
				if newer[key] = true; r.Data != nil && !yield(r, nil) {
					return
				}
			}
		}
		for r, err := range l.settledRows(ctx) {
			if err == nil && newer[keyOf(r)] {
				continue
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

// settledRows yields the rows of the table evidence, 1,000 read at a time.
func (l *Ledger) settledRows(ctx context.Context) iter.Seq2[evidence.Row, error] {
	const page = 1000
	return func(yield func(evidence.Row, error) bool) {
		for last := int64(0); ; {
			rows, err := collect(ctx, l, "read the evidence", func(rows *sql.Rows) (r evidence.Row, err error) {
				var seen int64
				err = rows.Scan(&last, &r.Kind, &r.Key, &seen, &r.Data)
				r.Seen = fromNanos(seen)
				return r, err
			}, `SELECT rowid, kind, key, seen, data FROM evidence WHERE rowid > ? ORDER BY rowid LIMIT ?`, last, page)
			if err != nil {
				yield(evidence.Row{}, err)
				return
			}
			for _, r := range rows {
				if !yield(r, nil) {
					return
				}
			}
			if len(rows) < page {
				return
			}
		}
	}
}

// ActiveHits returns the hits that were blocked or extended, not released, and do not expire before now or at it; the
// highest rank first. With the zero time it returns also those that expired while nobody was there to release them:
// what a process takes up at its start, so that its first decisions release them.
func (l *Ledger) ActiveHits(ctx context.Context, now time.Time) ([]policy.Hit, error) {
	after := nanos(now)
	if now.IsZero() {
		after = -1 << 63
	}
	decisions, err := l.readDecisions(ctx, "read the active hits",
		`SELECT d.id, d.time, d.action, d.key, d.why, d.hit FROM hits h JOIN decisions d ON d.id = h.decision WHERE h.expires > ?`, after)
	hits := make([]policy.Hit, len(decisions))
	for i := range decisions {
		hits[i] = decisions[i].Hit
	}
	slices.SortStableFunc(hits, func(a, b policy.Hit) int {
		switch {
		case a.Rank > b.Rank:
			return -1
		case a.Rank < b.Rank:
			return 1
		}
		return 0
	})
	return hits, err
}

// Decisions returns at most limit decisions made at since or later, the newest first. A limit of 0 means all.
func (l *Ledger) Decisions(ctx context.Context, since time.Time, limit int) ([]policy.Decision, error) {
	return l.readDecisions(ctx, "read the decisions",
		`SELECT id, time, action, key, why, hit FROM decisions WHERE time >= ? ORDER BY id DESC LIMIT ?`, nanos(since), sqlLimit(limit))
}

// LastDecisions returns the last decision on each name and client that was decided on at since or later, or that was
// not released yet, without those that are forgotten; the newest first. Of those that ended it returns the newest 20,000, so that a flood makes no report
// too large for memory.
func (l *Ledger) LastDecisions(ctx context.Context, since time.Time) ([]policy.Decision, error) {
	const most = 20_000
	return l.readDecisions(ctx, "read the last decisions",
		`SELECT id, time, action, key, why, hit FROM decisions WHERE id IN
		(SELECT * FROM (SELECT max(id) FROM decisions WHERE time >= ? AND aged <> 2 GROUP BY key ORDER BY max(id) DESC LIMIT ?)
		UNION SELECT decision FROM hits) ORDER BY id DESC`, nanos(since), most)
}

// Hour is what was counted in one hour; of a time of which only days are kept (Config.Retain), in one day.
type Hour struct {
	Start  time.Time
	Day    bool              // UTC
	Counts map[string]uint64 // as in Batch, and the ledger's own counters
}

// Hours returns the hours from the one that since lies in, and before them the days from the one that since lies in, the
// oldest first; no time is in both. Hours and days without a count are not there.
func (l *Ledger) Hours(ctx context.Context, since time.Time) ([]Hour, error) {
	type row struct {
		start   int64
		day     bool
		counter string
		count   int64
	}
	rows, err := collect(ctx, l, "read the hours", func(rows *sql.Rows) (r row, err error) {
		return r, rows.Scan(&r.start, &r.day, &r.counter, &r.count)
	}, `SELECT day AS start, true, counter, count FROM days WHERE day >= ?
		UNION ALL SELECT hour, false, counter, count FROM hours WHERE hour >= ? ORDER BY start`,
		since.Truncate(24*time.Hour).Unix(), since.Truncate(time.Hour).Unix())
	var hours []Hour
	for _, r := range rows {
		start := time.Unix(r.start, 0).UTC()
		if n := len(hours); n == 0 || !hours[n-1].Start.Equal(start) || hours[n-1].Day != r.day {
			hours = append(hours, Hour{Start: start, Day: r.day, Counts: map[string]uint64{}})
		}
		hours[len(hours)-1].Counts[r.counter] = uint64(r.count)
	}
	return hours, err
}

// Saved is a name that scored like a generated one and was let be, because a never-block list holds it.
type Saved struct {
	Domain      string
	First, Last time.Time
	Sightings   uint64  // since First
	Score, Tail float32 // when last seen
}

// SavedNames returns the names that never-block saved at since or later, those with the most sightings first.
func (l *Ledger) SavedNames(ctx context.Context, since time.Time) ([]Saved, error) {
	return collect(ctx, l, "read the saved names", func(rows *sql.Rows) (s Saved, err error) {
		var first, last, sightings int64
		var score, tail float64
		if err := rows.Scan(&s.Domain, &first, &last, &sightings, &score, &tail); err != nil {
			return s, err
		}
		s.First, s.Last, s.Sightings = fromNanos(first), fromNanos(last), uint64(sightings)
		s.Score, s.Tail = float32(score), float32(tail)
		return s, nil
	}, `SELECT domain, first, last, sightings, score, tail FROM saved WHERE last >= ? ORDER BY sightings DESC, domain`, nanos(since))
}

// sqlLimit is a LIMIT: negative means none.
func sqlLimit(n int) int {
	if n <= 0 {
		return -1
	}
	return n
}

// collect runs a query and reads all its rows.
func collect[T any](ctx context.Context, l *Ledger, doing string, scan func(*sql.Rows) (T, error), query string, args ...any) ([]T, error) {
	rows, err := l.read.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, l.fail(doing, err)
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, l.fail(doing, err)
		}
		all = append(all, v)
	}
	if err := rows.Err(); err != nil {
		return nil, l.fail(doing, err)
	}
	return all, nil
}
