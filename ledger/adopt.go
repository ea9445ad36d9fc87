package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"referee/policy"
)

// adopt links the rows of a ledger from before there was a chain, as they are found: decisions, then orders, then labels.
// That they were not changed before nobody can know any more, and a record says so.
func adopt(ctx context.Context, tx *sql.Tx) error {
	links, err := continueChain(ctx, tx)
	if err != nil {
		return err
	}
	for _, kind := range []struct {
		name string
		page func(*chain, int64) (int64, error)
	}{{"decisions", adoptDecisions}, {"orders", adoptOrders}, {"labels", adoptLabels}} {
		for last := int64(0); ; {
			next, err := kind.page(links, last)
			if err != nil {
				return fmt.Errorf("link the %s: %w", kind.name, err)
			}
			if next == last {
				break
			}
			last = next
		}
	}
	if links.head.Seq == 0 {
		return nil
	}
	if err := links.record(time.Now(), recordAdopted, "", recordBody{}); err != nil {
		return err
	}
	return links.end()
}

const adoptPage = 1000

// gather reads all rows, so that the connection is free for writing.
func gather[T any](c *chain, scan func(*sql.Rows) (T, error), query string, args ...any) ([]T, error) {
	rows, err := c.tx.QueryContext(c.ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, rows.Err()
}

func adoptDecisions(c *chain, after int64) (int64, error) {
	type row struct {
		id int64
		decisionRow
	}
	rows, err := gather(c, func(rows *sql.Rows) (r row, err error) {
		return r, rows.Scan(&r.id, &r.at, &r.action, &r.text, &r.why, &r.hit)
	}, `SELECT id, time, action, key, why, hit FROM decisions WHERE id > ? ORDER BY id LIMIT ?`, after, adoptPage)
	if err != nil {
		return after, err
	}
	for _, r := range rows {
		after = r.id
		var hit policy.Hit
		if err := json.Unmarshal([]byte(r.hit), &hit); err == nil { // else it stays as unreadable as it is
			stored, err := storedDecision(policy.Decision{Time: fromNanos(r.at), Action: policy.Action(r.action), Hit: hit, Why: r.why})
			if err != nil {
				return after, err
			}
			r.decisionRow = stored
		}
		_, err := c.tx.ExecContext(c.ctx, `UPDATE decisions SET key = ?, hit = ?, expires = ?, salt = ?, blind = ? WHERE id = ?`,
			r.text, r.hit, r.expires, r.salt, r.blind, r.id)
		if err != nil {
			return after, err
		}
		if err := c.add(linkDecision, r.id, r.commitment()); err != nil {
			return after, err
		}
	}
	return after, nil
}

func adoptOrders(c *chain, after int64) (int64, error) {
	type row struct {
		id, at, until int64
		verb, body    string
		carried       bool
	}
	rows, err := gather(c, func(rows *sql.Rows) (r row, err error) {
		return r, rows.Scan(&r.id, &r.at, &r.verb, &r.until, &r.carried, &r.body)
	}, `SELECT id, time, verb, until, carried, body FROM orders WHERE id > ? ORDER BY id LIMIT ?`, after, adoptPage)
	if err != nil {
		return after, err
	}
	for _, r := range rows {
		after = r.id
		body := hide(r.body)
		if _, err := c.tx.ExecContext(c.ctx, `UPDATE orders SET salt = ?, blind = ? WHERE id = ?`, body.salt, body.blind, r.id); err != nil {
			return after, err
		}
		if err := c.add(linkOrder, r.id, commitOrder(r.at, r.verb, r.until, body.blind)); err != nil {
			return after, err
		}
		if r.carried {
			if err := c.add(linkCarried, r.id, commitCarried()); err != nil {
				return after, err
			}
		}
	}
	return after, nil
}

func adoptLabels(c *chain, after int64) (int64, error) {
	type row struct {
		id, at                  int64
		name, says, who, reason string
	}
	rows, err := gather(c, func(rows *sql.Rows) (r row, err error) {
		return r, rows.Scan(&r.id, &r.at, &r.name, &r.says, &r.who, &r.reason)
	}, `SELECT id, time, name, says, who, reason FROM labels WHERE id > ? ORDER BY id LIMIT ?`, after, adoptPage)
	if err != nil {
		return after, err
	}
	for _, r := range rows {
		after = r.id
		if err := c.add(linkLabel, r.id, commitLabel(r.at, r.name, r.says, r.who, r.reason)); err != nil {
			return after, err
		}
	}
	return after, nil
}
