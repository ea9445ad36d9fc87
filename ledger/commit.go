package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"referee/evidence"
	"referee/policy"
)

// Batch is what came to be since the last Commit. Its parts may be empty.
type Batch struct {
	Hour      time.Time           // any moment of the hour that Counts and Flagged are counted in
	Counts    map[string]uint64   // what was counted: "requests", "verdict.dga", …
	Rows      []evidence.Row      // evidence.State.Changes
	Flagged   []evidence.Sighting // of names at or below the threshold; those Exempt are what never-block saved
	Decisions []policy.Decision
	Compared  []Compared // Sightings are those since the last Commit
	Alerts    []Alert
}

// Counters that the ledger itself adds to a Batch's Counts: how many flagged sightings it kept, and how many it left
// out because the hour had its share.
const (
	CountFlaggedKept    = "flagged.kept"
	CountFlaggedLeftOut = "flagged.left_out"
)

// statements are those of Commit, prepared once.
type statements struct {
	putRow, putRows, dropRow, addCount           *sql.Stmt
	addChunk, dropChunk                          *sql.Stmt
	addFlagged, trimFlagged, addSaved, trimSaved *sql.Stmt
	addDecision, putHit, dropHit                 *sql.Stmt
	addCompared, trimCompared, addAlert          *sql.Stmt
	addLink                                      *sql.Stmt
}

func (l *Ledger) prepare(ctx context.Context) error {
	var errs []error
	prepare := func(query string) *sql.Stmt {
		s, err := l.write.PrepareContext(ctx, query)
		errs = append(errs, err)
		return s
	}
	l.stmts = statements{
		putRow:    prepare(putRows(1)),
		putRows:   prepare(putRows(rowsAtOnce)),
		dropRow:   prepare(`DELETE FROM evidence WHERE kind = ? AND key = ?`),
		addChunk:  prepare(`INSERT INTO recent (id, data) VALUES (?, ?)`),
		dropChunk: prepare(`DELETE FROM recent WHERE id = ?`),
		addCount: prepare(`INSERT INTO hours (hour, counter, count) VALUES (?, ?, ?)
			ON CONFLICT (hour, counter) DO UPDATE SET count = count + excluded.count`),
		addFlagged:  prepare(`INSERT INTO flagged (time, domain, client, score, tail, referer, agent, path) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`),
		trimFlagged: prepare(`DELETE FROM flagged WHERE id <= (SELECT max(id) FROM flagged) - ?`),
		addSaved: prepare(`INSERT INTO saved (domain, first, last, sightings, score, tail) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (domain) DO UPDATE SET first = min(first, excluded.first), last = max(last, excluded.last),
			sightings = sightings + excluded.sightings, score = excluded.score, tail = excluded.tail`),
		trimSaved:   prepare(`DELETE FROM saved WHERE domain IN (SELECT domain FROM saved ORDER BY last DESC LIMIT -1 OFFSET ?)`),
		addDecision: prepare(`INSERT INTO decisions (time, action, key, why, hit, expires, salt, blind) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`),
		putHit: prepare(`INSERT INTO hits (key, decision, expires) VALUES (?, ?, ?)
			ON CONFLICT (key) DO UPDATE SET decision = excluded.decision, expires = excluded.expires`),
		addLink: prepare(insertLink),
		dropHit: prepare(`DELETE FROM hits WHERE key = ?`),
		addCompared: prepare(`INSERT INTO compared (live, candidate, domain, first, last, sightings,
			live_score, live_tail, candidate_score, candidate_tail) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (live, candidate, domain) DO UPDATE SET first = min(first, excluded.first), last = max(last, excluded.last),
			sightings = sightings + excluded.sightings, live_score = excluded.live_score, live_tail = excluded.live_tail,
			candidate_score = excluded.candidate_score, candidate_tail = excluded.candidate_tail`),
		addAlert:     prepare(`INSERT INTO alerts (time, kind, text) VALUES (?, ?, ?)`),
		trimCompared: prepare(`DELETE FROM compared WHERE rowid IN (SELECT rowid FROM compared ORDER BY last DESC LIMIT -1 OFFSET ?)`),
	}
	if err := errors.Join(errs...); err != nil {
		return l.fail("open", err)
	}
	var err error
	l.recent, err = newRecent(l.skip)
	return err
}

// rowsAtOnce is how many rows of evidence one statement writes: what a call through database/sql costs is half of what a row does.
const rowsAtOnce = 32

func putRows(n int) string {
	return `INSERT INTO evidence (kind, key, seen, data) VALUES (?, ?, ?, ?)` + strings.Repeat(`, (?, ?, ?, ?)`, n-1) +
		` ON CONFLICT (kind, key) DO UPDATE SET seen = excluded.seen, data = excluded.data`
}

// Commit writes a batch in one transaction: after nil all of it is durable, after an error nothing of it is there, and
// the same batch may be committed again. Counts are added to the hour's. A batch without parts costs nothing.
func (l *Ledger) Commit(ctx context.Context, b Batch) error {
	if len(b.Counts)+len(b.Rows)+len(b.Flagged)+len(b.Decisions)+len(b.Compared)+len(b.Alerts) == 0 {
		return nil
	}
	if b.Hour.IsZero() && len(b.Counts)+len(b.Flagged) > 0 {
		return fmt.Errorf("ledger %s: commit: the batch counts something and does not say in which hour", l.name)
	}
	return l.transactRecent(ctx, "commit", func(c commit) error {
		c.hour = b.Hour.Truncate(time.Hour).Unix()
		if err := l.recent.add(c, b.Rows); err != nil {
			return fmt.Errorf("evidence: %w", err)
		}
		if err := c.counts(b.Counts); err != nil {
			return fmt.Errorf("counts: %w", err)
		}
		if err := c.flagged(b.Flagged, l.limits); err != nil {
			return fmt.Errorf("flagged sightings: %w", err)
		}
		if err := c.saved(b.Flagged, l.limits); err != nil {
			return fmt.Errorf("saved names: %w", err)
		}
		if err := c.compared(b.Compared, l.limits); err != nil {
			return fmt.Errorf("compared names: %w", err)
		}
		if err := c.decisions(b.Decisions); err != nil {
			return fmt.Errorf("decisions: %w", err)
		}
		if err := c.alerts(b.Alerts); err != nil {
			return fmt.Errorf("alerts: %w", err)
		}
		return nil
	})
}

// commit is one Commit under way.
type commit struct {
	ctx   context.Context
	tx    *sql.Tx
	stmts *statements
	hour  int64
}

// bind returns a prepared statement as a function of its arguments, for as long as the transaction lasts.
func (c *commit) bind(s *sql.Stmt) func(args ...any) (sql.Result, error) {
	bound := c.tx.StmtContext(c.ctx, s) // closed with the transaction
	return func(args ...any) (sql.Result, error) { return bound.ExecContext(c.ctx, args...) }
}

// rows brings the table of evidence up to date.
func (c *commit) rows(rows []evidence.Row) error {
	put, putMany, drop := c.bind(c.stmts.putRow), c.bind(c.stmts.putRows), c.bind(c.stmts.dropRow)
	waiting := make([]evidence.Row, 0, rowsAtOnce)
	var args []any
	flush := func() error {
		args = args[:0]
		for _, r := range waiting {
			args = append(args, r.Kind, r.Key, nanos(r.Seen), r.Data)
		}
		if len(waiting) == rowsAtOnce {
			waiting = waiting[:0]
			_, err := putMany(args...)
			return err
		}
		waiting = waiting[:0]
		for row := range slices.Chunk(args, 4) {
			if _, err := put(row...); err != nil {
				return err
			}
		}
		return nil
	}
	for _, r := range rows {
		if r.Data != nil {
			if waiting = append(waiting, r); len(waiting) == rowsAtOnce {
				if err := flush(); err != nil {
					return err
				}
			}
			continue
		}
		if slices.ContainsFunc(waiting, func(w evidence.Row) bool { return w.Key == r.Key && w.Kind == r.Kind }) {
			if err := flush(); err != nil {
				return err
			}
		}
		if _, err := drop(r.Kind, r.Key); err != nil {
			return err
		}
	}
	return flush()
}

func (c *commit) counts(counts map[string]uint64) error {
	add := c.bind(c.stmts.addCount)
	for name, n := range counts {
		if n == 0 {
			continue
		}
		if _, err := add(c.hour, name, int64(n)); err != nil {
			return err
		}
	}
	return nil
}

// flagged keeps the sightings of names that may be blocked, as far as the hour's share goes.
func (c *commit) flagged(sightings []evidence.Sighting, lim limits) error {
	if len(sightings) == 0 {
		return nil
	}
	var had int
	err := c.tx.QueryRowContext(c.ctx, `SELECT count FROM hours WHERE hour = ? AND counter = ?`, c.hour, CountFlaggedKept).Scan(&had)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	room := max(0, lim.flaggedPerHour-had)
	var kept, leftOut uint64
	add := c.bind(c.stmts.addFlagged)
	for _, s := range sightings {
		if s.Exempt {
			continue
		}
		if kept == uint64(room) {
			leftOut++
			continue
		}
		kept++
		var referer, agent, path []byte // nil: NULL, there is no example
		if e := s.Example; e != nil {
			referer, agent, path = []byte(e.Referer), []byte(e.Agent), []byte(e.Path)
		}
		_, err := add(s.Time, s.Result.Domain, addressKey(s.Client), float64(s.Result.Score), float64(s.Result.Tail), referer, agent, path)
		if err != nil {
			return err
		}
	}
	if kept > 0 {
		if _, err := c.bind(c.stmts.trimFlagged)(lim.flagged); err != nil {
			return err
		}
	}
	return c.counts(map[string]uint64{CountFlaggedKept: kept, CountFlaggedLeftOut: leftOut})
}

// saved adds the exempt sightings up by name: a popular name would fill a table of single ones.
func (c *commit) saved(sightings []evidence.Sighting, lim limits) error {
	names := map[string]Saved{}
	for _, s := range sightings {
		if !s.Exempt {
			continue
		}
		at := fromNanos(s.Time)
		n, ok := names[s.Result.Domain]
		if !ok {
			n = Saved{Domain: s.Result.Domain, First: at, Last: at}
		}
		if at.Before(n.First) {
			n.First = at
		}
		if !at.Before(n.Last) {
			n.Last, n.Score, n.Tail = at, s.Result.Score, s.Result.Tail
		}
		n.Sightings++
		names[n.Domain] = n
	}
	if len(names) == 0 {
		return nil
	}
	add := c.bind(c.stmts.addSaved)
	for _, n := range names {
		_, err := add(n.Domain, nanos(n.First), nanos(n.Last), int64(n.Sightings), float64(n.Score), float64(n.Tail))
		if err != nil {
			return err
		}
	}
	_, err := c.bind(c.stmts.trimSaved)(lim.saved)
	return err
}

func (c *commit) decisions(decisions []policy.Decision) error {
	if len(decisions) == 0 {
		return nil
	}
	links, err := continueChain(c.ctx, c.tx)
	if err != nil {
		return err
	}
	links.exec = c.bind(c.stmts.addLink)
	add, put, drop := c.bind(c.stmts.addDecision), c.bind(c.stmts.putHit), c.bind(c.stmts.dropHit)
	for _, d := range decisions {
		key := d.Hit.Key()
		row, err := storedDecision(d)
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		res, err := add(row.at, row.action, row.text, row.why, row.hit, row.expires, row.salt, row.blind)
		if err != nil {
			return err
		}
		id, err := res.LastInsertId()
		if err != nil {
			return err
		}
		if err := links.add(linkDecision, id, row.commitment()); err != nil {
			return err
		}
		if d.Action == policy.Release || d.Action == policy.Spare {
			_, err = drop(key)
		} else {
			_, err = put(key, id, row.expires)
		}
		if err != nil {
			return err
		}
	}
	return links.end()
}

// nanos is how a time is stored; the zero time, which has no Unix nanoseconds, is 0.
func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func fromNanos(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

// addressKey is how a client is stored: 16 bytes in the order of addresses, nil for none.
func addressKey(a netip.Addr) []byte {
	if !a.IsValid() {
		return nil
	}
	b := a.As16()
	return b[:]
}
