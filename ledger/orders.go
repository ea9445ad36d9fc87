package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"referee/waf"
)

// OpenAppend opens the ledger in dir beside the process that owns it, or without one, to read and to add orders. It
// neither makes nor migrates a ledger: it fails with ErrNone where there is none yet, and else as OpenReadOnly does. All
// methods that write other things than orders are the owner's alone.
func OpenAppend(ctx context.Context, dir string) (*Ledger, error) {
	path := filepath.Join(dir, FileName)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("ledger %s: %w: run referee serve with this data-dir first, or name the right one", path, ErrNone)
	} else if err != nil {
		return nil, fmt.Errorf("ledger %s: %w", path, err)
	}
	l := &Ledger{name: path, limits: defaultLimits, beside: true}
	var err error
	if l.write, err = open(path, "mode=rw", 1); err != nil {
		return nil, l.fail("open", err)
	}
	l.read = l.write
	if err := l.readable(ctx, l.write); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Order adds an order and returns its id. It is durable when Order returns. The order's own ID is ignored.
func (l *Ledger) Order(ctx context.Context, o waf.Order) (id int64, err error) {
	text, err := json.Marshal(o)
	if err != nil {
		return 0, fmt.Errorf("ledger %s: order: %w", l.name, err)
	}
	until := int64(0)
	if !o.Until.IsZero() {
		until = nanos(o.Until)
	}
	err = l.transact(ctx, "order", func(tx *sql.Tx) error {
		body := hide(string(text))
		res, err := tx.ExecContext(ctx, `INSERT INTO orders (time, verb, until, body, salt, blind) VALUES (?, ?, ?, ?, ?, ?)`,
			nanos(o.Time), string(o.Verb), until, body.text, body.salt, body.blind)
		if err != nil {
			return err
		}
		if id, err = res.LastInsertId(); err != nil {
			return err
		}
		return linkOne(ctx, tx, linkOrder, id, commitOrder(nanos(o.Time), string(o.Verb), until, body.blind))
	})
	return id, err
}

// Orders returns the orders that still count at now and have not been carried out, the oldest first.
func (l *Ledger) Orders(ctx context.Context, now time.Time) ([]waf.Order, error) {
	return collect(ctx, l, "read the orders", scanOrder,
		`SELECT id, body FROM orders WHERE carried = 0 AND (until = 0 OR until > ?) ORDER BY id`, nanos(now))
}

// OrdersSince returns all orders given at since or later, the newest first.
func (l *Ledger) OrdersSince(ctx context.Context, since time.Time) ([]waf.Order, error) {
	return collect(ctx, l, "read the orders", scanOrder, `SELECT id, body FROM orders WHERE time >= ? ORDER BY id DESC`, nanos(since))
}

func scanOrder(rows *sql.Rows) (o waf.Order, err error) {
	var id int64
	var text string
	if err := rows.Scan(&id, &text); err != nil {
		return o, err
	}
	err = json.Unmarshal([]byte(text), &o)
	o.ID = id
	return o, err
}

// Carried marks an order as carried out: it counts no more.
func (l *Ledger) Carried(ctx context.Context, id int64) error {
	return l.transact(ctx, "carry out an order", func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE orders SET carried = 1 WHERE id = ? AND carried = 0`, id)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); n == 0 || err != nil {
			return err // carried out before
		}
		return linkOne(ctx, tx, linkCarried, id, commitCarried())
	})
}

// Added sums up how many entries the generations after since added or were to add. Those that failed did not.
func (l *Ledger) Added(ctx context.Context, since time.Time) (n int, err error) {
	err = l.read.QueryRowContext(ctx, `SELECT coalesce(sum(entries_added), 0) FROM generations
		WHERE time > ? AND outcome IN ('planned', 'written')`, nanos(since)).Scan(&n)
	if err != nil {
		return 0, l.fail("add up the additions", err)
	}
	return n, nil
}

// Trouble keeps why a set is left alone; nil: it is not any more.
func (l *Ledger) Trouble(ctx context.Context, set waf.SetKind, t *waf.Trouble) error {
	text, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("ledger %s: trouble: %w", l.name, err)
	}
	return l.transact(ctx, "note trouble", func(tx *sql.Tx) error {
		query, args := `DELETE FROM troubles WHERE kind = ?`, []any{string(set)}
		if t != nil {
			query, args = `INSERT INTO troubles (kind, body) VALUES (?, ?) ON CONFLICT (kind) DO UPDATE SET body = excluded.body`,
				[]any{string(set), string(text)}
		}
		_, err := tx.ExecContext(ctx, query, args...)
		return err
	})
}

// Troubles returns the sets that the updater leaves alone, and why.
func (l *Ledger) Troubles(ctx context.Context) (map[waf.SetKind]waf.Trouble, error) {
	type row struct {
		kind waf.SetKind
		t    waf.Trouble
	}
	rows, err := collect(ctx, l, "read the troubles", func(rows *sql.Rows) (r row, err error) {
		var text string
		if err := rows.Scan(&r.kind, &text); err != nil {
			return r, err
		}
		return r, json.Unmarshal([]byte(text), &r.t)
	}, `SELECT kind, body FROM troubles`)
	troubles := make(map[waf.SetKind]waf.Trouble, len(rows))
	for _, r := range rows {
		troubles[r.kind] = r.t
	}
	return troubles, err
}
