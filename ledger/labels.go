package ledger

import (
	"context"
	"database/sql"
	"fmt"

	"referee/policy"
)

// Label adds what the owner says of a name and returns its id. It is durable when Label returns. Labels are never changed
// or removed: taking one back is one more. The label's own ID is ignored.
func (l *Ledger) Label(ctx context.Context, label policy.Label) (id int64, err error) {
	switch label.Says {
	case policy.SaysDGA, policy.SaysBenign, policy.SaysNothing:
	default:
		return 0, fmt.Errorf("ledger %s: label %s: %q is neither dga nor benign", l.name, label.Name, label.Says)
	}
	err = l.transact(ctx, "label", func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `INSERT INTO labels (time, name, says, who, reason) VALUES (?, ?, ?, ?, ?)`,
			nanos(label.Time), label.Name, string(label.Says), label.Who, label.Reason)
		if err != nil {
			return err
		}
		if id, err = res.LastInsertId(); err != nil {
			return err
		}
		return linkOne(ctx, tx, linkLabel, id, commitLabel(nanos(label.Time), label.Name, string(label.Says), label.Who, label.Reason))
	})
	return id, err
}

// Labels returns the labels that stand: the last one for each name, without those that were taken back; by name.
func (l *Ledger) Labels(ctx context.Context) ([]policy.Label, error) {
	return collect(ctx, l, "read the labels", scanLabel, `SELECT id, time, name, says, who, reason FROM labels
		WHERE id IN (SELECT max(id) FROM labels GROUP BY name) AND says <> '' ORDER BY name`)
}

// LabelHistory returns every label that was ever given or taken back, the newest first.
func (l *Ledger) LabelHistory(ctx context.Context) ([]policy.Label, error) {
	return collect(ctx, l, "read the labels", scanLabel, `SELECT id, time, name, says, who, reason FROM labels ORDER BY id DESC`)
}

// LastLabel is the id of the newest label, 0 where there is none: it tells cheaply whether Labels would say something new.
func (l *Ledger) LastLabel(ctx context.Context) (id int64, err error) {
	if err := l.read.QueryRowContext(ctx, `SELECT coalesce(max(id), 0) FROM labels`).Scan(&id); err != nil {
		return 0, l.fail("look for new labels", err)
	}
	return id, nil
}

func scanLabel(rows *sql.Rows) (label policy.Label, err error) {
	var at int64
	err = rows.Scan(&label.ID, &at, &label.Name, &label.Says, &label.Who, &label.Reason)
	label.Time = fromNanos(at)
	return label, err
}
