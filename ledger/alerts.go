package ledger

import (
	"context"
	"database/sql"
	"time"
)

// Alert is one that the owner was told.
type Alert struct {
	Time time.Time
	Kind string // alert.Kind
	Text string // its first line, which says it all
}

func (c *commit) alerts(alerts []Alert) error {
	add := c.bind(c.stmts.addAlert)
	for _, a := range alerts {
		if _, err := add(nanos(a.Time), a.Kind, a.Text); err != nil {
			return err
		}
	}
	return nil
}

// Alerts returns what the owner was told at since or later, the newest first and at most limit of them; 0 means all.
func (l *Ledger) Alerts(ctx context.Context, since time.Time, limit int) ([]Alert, error) {
	if limit == 0 {
		limit = -1
	}
	return collect(ctx, l, "read the alerts", func(rows *sql.Rows) (a Alert, err error) {
		var at int64
		err = rows.Scan(&at, &a.Kind, &a.Text)
		a.Time = fromNanos(at)
		return a, err
	}, `SELECT time, kind, text FROM alerts WHERE time >= ? ORDER BY id DESC LIMIT ?`, nanos(since), limit)
}

// forgetAlerts deletes what was told of a client by its address. The text of its prefix begins with it.
func (l *Ledger) forgetAlerts(ctx context.Context, f *Forgotten) error {
	return l.transact(ctx, "forget", func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `DELETE FROM alerts WHERE instr(text, ?) > 0`, f.Client.Addr().String())
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		f.Alerts += int(n)
		return err
	})
}
