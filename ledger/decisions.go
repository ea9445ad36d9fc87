package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"referee/policy"
)

// decisionRow is a decision as it is stored. What it says of a person is its key, which only a client's has.
type decisionRow struct {
	personal // text is the key
	at       int64
	action   string
	why, hit string
	expires  int64
}

// clientKeys is what the keys of clients begin with.
const clientKeys = string(policy.KindClient) + ":"

func storedDecision(d policy.Decision) (decisionRow, error) {
	row := decisionRow{
		personal: personal{text: d.Hit.Key()}, at: nanos(d.Time), action: string(d.Action), why: d.Why, expires: nanos(d.Hit.Expires),
	}
	if d.Hit.Kind == policy.KindClient {
		row.personal = hide(row.text)
		d.Hit.Client = netip.Prefix{}
	}
	// Reasons do not name clients (policy), but a sentence that does must not outlive them.
	hit, err := json.Marshal(d.Hit)
	row.hit = string(hit)
	return row, err
}

func (r *decisionRow) commitment() []byte {
	subject := r.text
	if r.blind != nil {
		subject = clientKeys // and the blind says which
	}
	return commitDecision(r.at, r.action, subject, r.why, r.hit, r.expires, r.blind)
}

// readDecisions reads decisions from id, time, action, key, why and hit. One that cannot be read is left out and remembered:
// what it was about is known to nobody any more, and the others still count.
func (l *Ledger) readDecisions(ctx context.Context, doing, query string, args ...any) ([]policy.Decision, error) {
	entries, _, err := l.readEntries(ctx, doing, query, args...)
	decisions := make([]policy.Decision, len(entries))
	for i := range entries {
		decisions[i] = entries[i].Decision
	}
	return decisions, err
}

// readEntries is readDecisions with ids; last is that of the last row, whether it could be read or not; 0: there was none.
func (l *Ledger) readEntries(ctx context.Context, doing, query string, args ...any) (entries []Entry, last int64, err error) {
	type row struct {
		Entry
		key, hit string
	}
	rows, err := collect(ctx, l, doing, func(rows *sql.Rows) (r row, err error) {
		var at int64
		err = rows.Scan(&r.ID, &at, &r.Action, &r.key, &r.Why, &r.hit)
		r.Time, last = fromNanos(at), r.ID
		return r, err
	}, query, args...)
	entries = make([]Entry, 0, len(rows))
	for _, r := range rows {
		if err := readHit(&r.Hit, r.key, r.hit); err != nil {
			l.skip("decision", r.ID, err)
			continue
		}
		entries = append(entries, r.Entry)
	}
	return entries, last, err
}

// readHit reads a hit whose client stands in its key alone. Of a client that is forgotten it is the unspecified address.
func readHit(h *policy.Hit, key, text string) error {
	if err := json.Unmarshal([]byte(text), h); err != nil {
		return err
	}
	if client, is := strings.CutPrefix(key, clientKeys); is {
		var err error
		h.Client, err = netip.ParsePrefix(client)
		return err
	}
	return nil
}

// unread is a row that could not be read.
type unread struct {
	what string
	id   int64
}

func (l *Ledger) skip(what string, id int64, err error) {
	l.skipping.Lock()
	defer l.skipping.Unlock()
	if l.skipped == nil {
		l.skipped = map[unread]error{}
	}
	if len(l.skipped) < 100 {
		l.skipped[unread{what, id}] = fmt.Errorf("ledger %s: %s %d cannot be read and is left out: %w", l.name, what, id, err)
	}
}

// Skipped says which decisions and chunks of recent evidence could not be read since the ledger was opened and were left out,
// nil: none. At most the first 100 are named.
func (l *Ledger) Skipped() error {
	l.skipping.Lock()
	defer l.skipping.Unlock()
	var errs []error
	for _, u := range slices.SortedFunc(maps.Keys(l.skipped), func(a, b unread) int {
		return cmp.Or(cmp.Compare(a.what, b.what), cmp.Compare(a.id, b.id))
	}) {
		errs = append(errs, l.skipped[u])
	}
	return errors.Join(errs...)
}

// linkOne adds one link and ends the chain.
func linkOne(ctx context.Context, tx *sql.Tx, kind string, row int64, commitment []byte) error {
	links, err := continueChain(ctx, tx)
	if err != nil {
		return err
	}
	return errors.Join(links.add(kind, row, commitment), links.end())
}
