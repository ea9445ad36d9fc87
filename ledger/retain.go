package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"

	"referee/evidence"
)

// How addresses are kept once nothing needs them whole.
const (
	ClientsFull      = "full"
	ClientsTruncated = "truncated"
	ClientsHashed    = "keyed-hash"
)

// Config is how long the ledger keeps what, and how.
type Config struct {
	Retain     time.Duration `yaml:"retain" default:"720h" help:"how long hours, flagged requests and saved names are kept; older hours are added up to days"`
	RetainDays time.Duration `yaml:"retain-days" default:"8760h" help:"how long days, decisions, orders, alerts and the WAF sets' generations are kept; what still stands is kept longer"`
	MaxSize    int           `yaml:"max-size" default:"1024" help:"MiB that the ledger may fill: above that the oldest go early; in memory it is 64 at most"`
	Clients    string        `yaml:"clients" default:"truncated" enum:"full,truncated,keyed-hash" help:"how a client's address is kept once its hit has expired: full, as its network (/24, /48), or as a keyed hash that only tells whether two are the same"`
}

// Validate refuses what cannot be kept.
func (c Config) Validate() error {
	var errs []error
	if c.Retain < 24*time.Hour {
		errs = append(errs, fmt.Errorf("ledger.retain: %v is less than a day, and the report looks back further; the default is 720h", c.Retain))
	}
	if c.RetainDays < c.Retain {
		errs = append(errs, fmt.Errorf("ledger.retain-days: %v is less than ledger.retain %v; the default is 8760h", c.RetainDays, c.Retain))
	}
	if c.MaxSize < 64 || c.MaxSize > 1<<20 {
		errs = append(errs, fmt.Errorf("ledger.max-size: %d MiB is not between 64 and 1048576; the default is 1024", c.MaxSize))
	}
	switch c.Clients {
	case ClientsFull, ClientsTruncated, ClientsHashed:
	default:
		errs = append(errs, fmt.Errorf("ledger.clients: %q is not full, truncated or keyed-hash", c.Clients))
	}
	return errors.Join(errs...)
}

const (
	// addressAge is how long the address of a flagged request is kept whole where no hit needs it: long enough to look into an
	// attack the day after.
	addressAge = 24 * time.Hour
	// stepRows is what one step touches at most: some milliseconds, for a commit may be waiting.
	stepRows = 500
	// memorySize is what a ledger in memory may fill, in MiB.
	memorySize = 64
)

// Maintain does one small step of what retention asks for, in a transaction of its own, and reports whether there is more to
// do: call it again then, after a pause in which a commit can come in between. It belongs to the owner alone.
func (l *Ledger) Maintain(ctx context.Context, cfg Config, now time.Time) (more bool, err error) {
	if moved, err := l.moveOldRecent(ctx); moved || err != nil {
		return moved, err
	}
	m := maintenance{l: l, ctx: ctx, cfg: cfg, now: now}
	// Looked for outside of the transaction: with many hits it takes longer than a commit should wait.
	if cfg.Clients != ClientsFull {
		m.expired, err = collect(ctx, l, "look for clients whose hits expired", scanText, expiredClients, nanos(now), stepRows/10)
		if err != nil {
			return false, err
		}
	}
	err = l.transact(ctx, "tidy up", func(tx *sql.Tx) error {
		m.tx = tx
		for _, step := range []func() (bool, error){m.ageDecisions, m.ageFlagged, m.rollUp, m.expire, m.prune, m.shrink} {
			if more, err = step(); more || err != nil {
				return err
			}
		}
		return nil
	})
	if more || err != nil {
		return more && err == nil, err
	}
	return false, l.ageRecent(ctx)
}

const expiredClients = `SELECT key FROM decisions INDEXED BY decisions_full WHERE salt IS NOT NULL AND aged = 0
	AND key NOT IN (SELECT key FROM hits) GROUP BY key HAVING max(expires) <= ? LIMIT ?`

type maintenance struct {
	l   *Ledger
	ctx context.Context
	tx  *sql.Tx
	cfg Config
	now time.Time

	expired []string // keys of clients whose decisions still hold their address and need not
}

func (m *maintenance) exec(query string, args ...any) (bool, error) {
	res, err := m.tx.ExecContext(m.ctx, query, args...)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// less is what stays of a client's address.
func (m *maintenance) less(client netip.Prefix) (netip.Prefix, error) {
	if m.cfg.Clients == ClientsTruncated {
		return evidence.NetworkPrefix(client.Addr()), nil
	}
	var key evidence.Key
	var kept []byte
	if err := m.tx.QueryRowContext(m.ctx, `SELECT value FROM meta WHERE key = ?`, metaEvidenceKey).Scan(&kept); err != nil {
		return netip.Prefix{}, fmt.Errorf("the key of the hashes: %w", err)
	}
	copy(key[:], kept)
	return hashClient(key, client), nil
}

// ageDecisions replaces the addresses of clients whose hits have expired, and records it.
func (m *maintenance) ageDecisions() (bool, error) {
	if len(m.expired) == 0 {
		return false, nil
	}
	links, err := continueChain(m.ctx, m.tx)
	if err != nil {
		return false, err
	}
	var body recordBody
	for _, key := range m.expired {
		if len(body.Rows) > stepRows {
			break
		}
		client, err := netip.ParsePrefix(key[min(len(key), len(clientKeys)):])
		if err != nil {
			return false, fmt.Errorf("decisions on %q: %w: `referee ledger verify` says what is wrong", key, ErrDamaged)
		}
		less, err := m.less(client)
		if err != nil {
			return false, err
		}
		ids, err := gather(links, scanID, `SELECT id FROM decisions WHERE key = ?1 AND salt IS NOT NULL AND aged = 0
			AND NOT EXISTS (SELECT 1 FROM hits WHERE key = ?1)`, key)
		if err != nil {
			return false, err
		}
		for _, id := range ids {
			p := hide(clientKeys + less.String())
			body.Rows = append(body.Rows, replaced{linkDecision, id, p.blind})
			if _, err := m.exec(`UPDATE decisions SET key = ?, salt = ?, aged = 1 WHERE id = ?`, p.text, p.salt, id); err != nil {
				return false, err
			}
		}
	}
	if len(body.Rows) == 0 {
		return false, nil // they came back meanwhile
	}
	what := recordTruncated
	if m.cfg.Clients == ClientsHashed {
		what = recordHashed
	}
	return true, errors.Join(links.record(m.now, what, "", body), links.end())
}

// ageFlagged does the same with flagged requests, of which a day is kept whole, and those of active hits.
func (m *maintenance) ageFlagged() (bool, error) {
	if m.cfg.Clients == ClientsFull {
		return false, nil
	}
	type row struct {
		id     int64
		client []byte
	}
	c := &chain{ctx: m.ctx, tx: m.tx}
	rows, err := gather(c, func(rows *sql.Rows) (r row, err error) { return r, rows.Scan(&r.id, &r.client) },
		`SELECT id, client FROM flagged INDEXED BY flagged_full WHERE client IS NOT NULL AND aged = 0 AND time <= ?
		AND id > ? ORDER BY id LIMIT ?`, nanos(m.now.Add(-addressAge)), m.l.flaggedAged, stepRows)
	if err != nil {
		return false, err
	}
	m.l.flaggedAged = 0 // begin again: who was active may not be any more
	if len(rows) == stepRows {
		m.l.flaggedAged = rows[len(rows)-1].id
	}
	for _, r := range rows {
		a, ok := netip.AddrFromSlice(r.client)
		if !ok {
			continue
		}
		client := evidence.ClientPrefix(a.Unmap())
		var active bool
		err := m.tx.QueryRowContext(m.ctx, `SELECT EXISTS (SELECT 1 FROM hits WHERE key = ?)`, clientKeys+client.String()).Scan(&active)
		if err != nil {
			return false, err
		}
		if active {
			continue
		}
		less, err := m.less(client)
		if err != nil {
			return false, err
		}
		if _, err := m.exec(`UPDATE flagged SET client = ?, aged = 1 WHERE id = ?`, addressKey(less.Addr()), r.id); err != nil {
			return false, err
		}
	}
	return len(rows) == stepRows, nil
}

// rollUp adds the hours of one day up, once all of it is older than hours are kept.
func (m *maintenance) rollUp() (bool, error) {
	var first sql.NullInt64
	if err := m.tx.QueryRowContext(m.ctx, `SELECT min(hour) FROM hours`).Scan(&first); err != nil || !first.Valid {
		return false, err
	}
	day := time.Unix(first.Int64, 0).UTC().Truncate(24 * time.Hour)
	next := day.Add(24 * time.Hour)
	if next.After(m.now.Add(-m.cfg.Retain)) {
		return false, nil
	}
	_, err := m.exec(`INSERT INTO days (day, counter, count) SELECT ?, counter, sum(count) FROM hours WHERE hour < ? GROUP BY counter
		ON CONFLICT (day, counter) DO UPDATE SET count = count + excluded.count`, day.Unix(), next.Unix())
	if err != nil {
		return false, err
	}
	return m.exec(`DELETE FROM hours WHERE hour < ?`, next.Unix())
}

// expire deletes what is too old and in no chain.
func (m *maintenance) expire() (bool, error) {
	hours, days := nanos(m.now.Add(-m.cfg.Retain)), nanos(m.now.Add(-m.cfg.RetainDays))
	for _, q := range []struct {
		query string
		than  int64
	}{
		{`DELETE FROM flagged WHERE id IN (SELECT id FROM flagged WHERE time < ? LIMIT ?)`, hours},
		{`DELETE FROM saved WHERE domain IN (SELECT domain FROM saved WHERE last < ? LIMIT ?)`, hours},
		{`DELETE FROM compared WHERE rowid IN (SELECT rowid FROM compared WHERE last < ? LIMIT ?)`, hours},
		{`DELETE FROM alerts WHERE id IN (SELECT id FROM alerts WHERE time < ? LIMIT ?)`, days},
		{`DELETE FROM days WHERE (day, counter) IN (SELECT day, counter FROM days WHERE day < ? LIMIT ?)`, days / int64(time.Second)},
	} {
		if changed, err := m.exec(q.query, q.than, stepRows); changed || err != nil {
			return changed, err
		}
	}
	return m.oldGenerations(days, 20) // up to 150 kB each
}

// oldGenerations deletes generations made before a time, but for the newest of each set that did not fail.
func (m *maintenance) oldGenerations(before int64, n int) (bool, error) {
	return m.exec(`DELETE FROM generations WHERE id IN (SELECT id FROM generations WHERE time < ? AND id NOT IN
		(SELECT max(id) FROM generations WHERE outcome <> 'failed' GROUP BY kind) ORDER BY id LIMIT ?)`, before, n)
}

// prune takes the beginning off the chain, as far as it is too old.
func (m *maintenance) prune() (bool, error) {
	return m.pruneBefore(nanos(m.now.Add(-m.cfg.RetainDays)))
}

// keptRows are the rows of links up to ?1 that still stand: active hits, orders that count at ?2, and the last label of a name.
const keptRows = `SELECT c.seq, c.kind, c.row, c.commitment, c.link FROM chain c WHERE c.seq <= ?1 AND (
	c.kind = 'decision' AND EXISTS (SELECT 1 FROM hits WHERE decision = c.row) OR
	c.kind = 'order' AND EXISTS (SELECT 1 FROM orders WHERE id = c.row AND carried = 0 AND (until = 0 OR until > ?2)) OR
	c.kind = 'label' AND EXISTS (SELECT 1 FROM labels l WHERE l.id = c.row AND l.says <> '' AND l.id = (SELECT max(id) FROM labels WHERE name = l.name))
	) ORDER BY c.seq`

// pruneBefore deletes links, the oldest first, up to the first one that is of a row of this time or later, and their rows but
// for those that still stand, and records where the chain begins now. The last link stays, so that there is one to go on from.
func (m *maintenance) pruneBefore(before int64) (bool, error) {
	links, err := continueChain(m.ctx, m.tx)
	if err != nil {
		return false, err
	}
	var from int64
	var text string
	err = m.tx.QueryRowContext(m.ctx, `SELECT body FROM records WHERE what = ? ORDER BY id DESC LIMIT 1`, recordPruned).Scan(&text)
	if err == nil {
		var last recordBody
		if err = json.Unmarshal([]byte(text), &last); err == nil && last.Until != nil {
			from = last.Until.Seq
		}
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return false, fmt.Errorf("where the chain begins: %w: `referee ledger verify` says what is wrong", err)
	}
	until, err := m.pruneUntil(before, from, links.head.Seq)
	if err != nil || until.Seq <= from {
		return false, err
	}
	kept, err := gather(links, func(rows *sql.Rows) (k keptLink, err error) {
		return k, rows.Scan(&k.Seq, &k.Kind, &k.Row, &k.Commitment, &k.Link)
	}, keptRows, until.Seq, nanos(m.now))
	if err != nil {
		return false, err
	}
	body := recordBody{Until: &until, Kept: kept}
	standing := map[int64]bool{}
	for _, k := range kept {
		standing[k.Seq] = true
	}
	// Of what is kept only orders can have been forgotten: hits that stand have their address. The record that says so may go
	// now, so it is said again.
	forgotten, err := gather(links, func(rows *sql.Rows) (r replaced, err error) {
		return r, rows.Scan(&r.Kind, &r.Row)
	}, `SELECT DISTINCT json_extract(e.value, '$.kind'), json_extract(e.value, '$.row') FROM records r, json_each(r.body, '$.rows') e
		WHERE r.what IN (?, ?) AND json_extract(e.value, '$.kind') = ?`, recordForgotten, recordPruned, linkOrder)
	if err != nil {
		return false, err
	}
	for _, r := range forgotten {
		if slices.ContainsFunc(kept, func(k keptLink) bool { return k.Kind == r.Kind && k.Row == r.Row }) {
			body.Rows = append(body.Rows, r)
		}
	}
	type link struct {
		seq, row int64
		kind     string
	}
	old, err := gather(links, func(rows *sql.Rows) (l link, err error) { return l, rows.Scan(&l.seq, &l.kind, &l.row) },
		`SELECT seq, kind, row FROM chain WHERE seq <= ?`, until.Seq)
	if err != nil {
		return false, err
	}
	// A carried order's link may be younger than the order's own: it says nothing without it.
	tables := map[string]string{linkDecision: "decisions", linkOrder: "orders", linkLabel: "labels", linkRecord: "records"}
	for _, o := range old {
		if standing[o.seq] {
			continue
		}
		if table, is := tables[o.kind]; is {
			if _, err := m.exec(`DELETE FROM `+table+` WHERE id = ?`, o.row); err != nil {
				return false, err
			}
		}
		if _, err := m.exec(`DELETE FROM chain WHERE seq = ?`, o.seq); err != nil {
			return false, err
		}
	}
	return true, errors.Join(links.record(m.now, recordPruned, "", body), links.end())
}

// pruneUntil finds the last link that may go in this step.
func (m *maintenance) pruneUntil(before, from, head int64) (until Head, err error) {
	last := min(from+stepRows, head-1)
	var first sql.NullInt64
	err = m.tx.QueryRowContext(m.ctx, `SELECT min(c.seq) FROM chain c WHERE c.seq > ?1 AND c.seq <= ?2 AND `+timeOfLink+` >= ?3`, from, last, before).Scan(&first)
	if err != nil {
		return until, err
	}
	if first.Valid {
		last = first.Int64 - 1
	}
	if last <= from {
		return until, nil
	}
	// A step that is not full waits for a day's worth, or a record each minute would take the place of what it prunes.
	if last < from+stepRows && before < math.MaxInt64 {
		full, err := m.oldestLink(from, before-int64(24*time.Hour))
		if err != nil || !full {
			return until, err
		}
	}
	var link []byte
	if err := m.tx.QueryRowContext(m.ctx, `SELECT seq, link FROM chain WHERE seq = ?`, last).Scan(&until.Seq, &link); err != nil {
		return until, fmt.Errorf("link %d: %w: `referee ledger verify` says what is wrong", last, errors.Join(ErrDamaged, err))
	}
	copy(until.Link[:], link)
	return until, nil
}

// timeOfLink is when the row of a link c came to be; 0 where the row is gone.
const timeOfLink = `coalesce(
	(SELECT time FROM decisions WHERE c.kind = 'decision' AND id = c.row),
	(SELECT time FROM orders WHERE c.kind IN ('order', 'carried') AND id = c.row),
	(SELECT time FROM labels WHERE c.kind = 'label' AND id = c.row),
	(SELECT time FROM records WHERE c.kind = 'record' AND id = c.row), 0)`

// oldestLink says whether the first link after from is of a row before some time.
func (m *maintenance) oldestLink(from, before int64) (is bool, err error) {
	err = m.tx.QueryRowContext(m.ctx, `SELECT `+timeOfLink+` < ?2 FROM chain c WHERE c.seq > ?1 ORDER BY c.seq LIMIT 1`, from, before).Scan(&is)
	return is, err
}

// shrink deletes early what is oldest, while the pages in use are more than max-size. Their room is used again; the file
// itself does not get smaller.
func (m *maintenance) shrink() (bool, error) {
	size, err := m.used()
	if err != nil || size <= int64(m.maxSize())<<20 {
		return false, err
	}
	for _, step := range []func() (bool, error){
		func() (bool, error) {
			return m.exec(`DELETE FROM flagged WHERE id IN (SELECT id FROM flagged ORDER BY id LIMIT ?)`, stepRows)
		},
		func() (bool, error) { return m.oldGenerations(math.MaxInt64, 20) },
		func() (bool, error) { return m.pruneBefore(math.MaxInt64) },
	} {
		if changed, err := step(); changed || err != nil {
			return changed, err
		}
	}
	return false, nil // all that is left is bounded by other keys: evidence, and what stands
}

func (m *maintenance) maxSize() int {
	if m.l.read == m.l.write && !m.l.beside {
		return min(m.cfg.MaxSize, memorySize)
	}
	return m.cfg.MaxSize
}

func (m *maintenance) used() (bytes int64, err error) {
	err = m.tx.QueryRowContext(m.ctx, `SELECT (c.page_count - f.freelist_count) * s.page_size
		FROM pragma_page_count c, pragma_freelist_count f, pragma_page_size s`).Scan(&bytes)
	return bytes, err
}
