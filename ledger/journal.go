package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/klauspost/compress/zstd"

	"referee/waf"
)

var _ waf.Journal = (*Ledger)(nil)

// body is the bulk of a generation, up to 10,000 items in each list. Before and After mostly repeat each other, which
// zstd's window folds.
type body struct {
	Before  []string    `json:"before"`
	After   []string    `json:"after"`
	Entries []waf.Entry `json:"entries"`
}

// maxBody bounds a decompressed body: three lists of 10,000 items are under 3 MiB.
const maxBody = 64 << 20

func (b body) encode() ([]byte, error) {
	text, err := json.Marshal(b)
	if err != nil {
		return nil, err
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	return enc.EncodeAll(text, nil), nil
}

func (b *body) decode(data []byte) error {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxBody))
	if err != nil {
		return err
	}
	defer dec.Close()
	text, err := dec.DecodeAll(data, nil)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return json.Unmarshal(text, b)
}

// Propose journals a generation and returns its id. It is durable when Propose returns. The generation's own ID is
// ignored; an empty Outcome is waf.Planned.
func (l *Ledger) Propose(ctx context.Context, g waf.Generation) (id int64, err error) {
	data, err := body{g.Before, g.After, g.Entries}.encode()
	if err != nil {
		return 0, fmt.Errorf("ledger %s: propose: %w", l.name, err)
	}
	if g.Outcome == "" {
		g.Outcome = waf.Planned
	}
	added, removed := difference(g.Before, g.After)
	err = l.transact(ctx, "propose", func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `INSERT INTO generations
			(time, kind, outcome, error, why, model, config, items, added, removed, entries_added, body)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			nanos(g.Time), string(g.Set), string(g.Outcome), g.Error, g.Why, g.Model, g.Config, len(g.After), added, removed, g.Adds, data)
		if err != nil {
			return err
		}
		id, err = res.LastInsertId()
		return err
	})
	return id, err
}

// Settle records how a generation ended. It may be called again when more is known. Older generations of its set that are
// planned still have failed then: a process that died between two calls left them.
func (l *Ledger) Settle(ctx context.Context, id int64, outcome waf.Outcome, message string) error {
	return l.transact(ctx, "settle", func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE generations SET outcome = ?, error = ? WHERE id = ?`, string(outcome), message, id)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil {
			return err
		} else if n != 1 {
			return fmt.Errorf("there is no generation %d", id)
		}
		if outcome == waf.Planned {
			return nil
		}
		_, err = tx.ExecContext(ctx, `UPDATE generations SET outcome = 'failed', error = 'overtaken' WHERE outcome = 'planned'
			AND id < ? AND kind = (SELECT kind FROM generations WHERE id = ?)`, id, id)
		return err
	})
}

const generationColumns = `id, time, kind, outcome, error, why, model, config, items, added, removed, entries_added`

// Latest returns the newest generation of each set that did not fail, with its lists.
func (l *Ledger) Latest(ctx context.Context) ([]waf.Generation, error) {
	return collect(ctx, l, "read the latest generations", scanGeneration,
		`SELECT `+generationColumns+`, body FROM generations WHERE id IN
		(SELECT max(id) FROM generations WHERE outcome <> 'failed' GROUP BY kind) ORDER BY id`)
}

// Generation returns one generation with its lists.
func (l *Ledger) Generation(ctx context.Context, id int64) (waf.Generation, error) {
	all, err := collect(ctx, l, "read a generation", scanGeneration,
		`SELECT `+generationColumns+`, body FROM generations WHERE id = ?`, id)
	if err != nil {
		return waf.Generation{}, err
	}
	if len(all) == 0 {
		return waf.Generation{}, fmt.Errorf("ledger %s: there is no generation %d", l.name, id)
	}
	return all[0], nil
}

// Change is a generation as a history shows it: with the sizes of its lists in place of the lists.
type Change struct {
	waf.Generation     // Before, After and Entries are nil: see Ledger.Generation
	Items          int // in the set after it: patterns or CIDRs
	Added, Removed int // of them; Adds counts entries
}

// Generations returns at most limit generations journaled at since or later, the newest first. A limit of 0 means all.
func (l *Ledger) Generations(ctx context.Context, since time.Time, limit int) ([]Change, error) {
	return collect(ctx, l, "read the generations", func(rows *sql.Rows) (c Change, err error) {
		return c, c.scan(rows)
	}, `SELECT `+generationColumns+` FROM generations WHERE time >= ? ORDER BY id DESC LIMIT ?`, nanos(since), sqlLimit(limit))
}

func scanGeneration(rows *sql.Rows) (waf.Generation, error) {
	var c Change
	var data []byte
	var b body
	if err := errors.Join(c.scan(rows, &data), b.decode(data)); err != nil {
		return waf.Generation{}, fmt.Errorf("generation %d: %w", c.ID, err)
	}
	c.Before, c.After, c.Entries = b.Before, b.After, b.Entries
	return c.Generation, nil
}

func (c *Change) scan(rows *sql.Rows, more ...any) error {
	var at int64
	err := rows.Scan(append([]any{
		&c.ID, &at, &c.Set, &c.Outcome, &c.Error, &c.Why, &c.Model, &c.Config,
		&c.Items, &c.Added, &c.Removed, &c.Adds,
	}, more...)...)
	c.Time = fromNanos(at)
	return err
}

// difference counts what after has and before has not, and the other way round.
func difference(before, after []string) (added, removed int) {
	had := make(map[string]bool, len(before))
	for _, v := range before {
		had[v] = true
	}
	removed = len(had)
	for _, v := range after {
		if had[v] {
			had[v] = false
			removed--
		} else if _, twice := had[v]; !twice {
			had[v] = false
			added++
		}
	}
	return added, removed
}
