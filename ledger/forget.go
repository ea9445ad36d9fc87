package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"referee/evidence"
	"referee/waf"
)

// What stands where a client was forgotten.
const (
	forgottenKey   = clientKeys + "::/128" // no client: a decision on nobody
	forgottenOrder = "{}"
)

// ErrBlocked says that a client cannot be forgotten yet.
var ErrBlocked = errors.New("blocked by AWS WAF right now")

// Forgotten counts what Forget erased.
type Forgotten struct {
	Client      netip.Prefix `json:"client"`
	Decisions   int          `json:"decisions"`   // their address and its salt: what was decided, when and why stays
	Orders      int          `json:"orders"`      // all that they say: such an order counts no more
	Flagged     int          `json:"flagged"`     // sightings, with their examples
	Evidence    int          `json:"evidence"`    // rows: the client's own, and those that name it as a witness
	Generations int          `json:"generations"` // lists that held its address
	Alerts      int          `json:"alerts"`      // that named it
}

// Found says whether there was something to erase.
func (f Forgotten) Found() bool { return f != Forgotten{Client: f.Client} }

// Forget erases a client, which is the evidence.ClientPrefix of an address, and what was kept of its aged addresses as far as
// they say which client it was. What was truncated to a network is everybody's in it and stays. It works in steps, so that
// the owner's commits wait for none of them long, and may be called again after an error. When a call finds nothing more, no
// byte of the address is left in the ledger's files.
//
// It fails with ErrBlocked while the client stands in a WAF set: forgotten, nobody would know to take it out again. Evidence
// that a running process has in memory is its own to forget first (evidence.State.Forget).
func (l *Ledger) Forget(ctx context.Context, client netip.Prefix, who string, now time.Time) (f Forgotten, err error) {
	client = evidence.ClientPrefix(client.Addr())
	f.Client = client
	if err := l.notInASet(ctx, client); err != nil {
		return f, err
	}
	hashed, err := l.hashed(ctx, client)
	if err != nil {
		return f, err
	}
	for _, step := range []func() error{
		func() error { return l.forgetDecisions(ctx, &f, []netip.Prefix{client, hashed}, who, now) },
		func() error { return l.forgetFlagged(ctx, &f, []netip.Prefix{client, hashed}) },
		func() error { return l.forgetEvidence(ctx, &f) },
		func() error { return l.forgetGenerations(ctx, &f) },
		func() error { return l.forgetAlerts(ctx, &f) },
	} {
		if err := step(); err != nil {
			return f, err
		}
	}
	if f.Found() {
		return f, l.emptyLog(ctx) // somebody who writes beside may not have known yet: what was asked stands until there is nothing left
	}
	err = l.transact(ctx, "forget", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM forget WHERE client = ?`, client.String())
		return err
	})
	if err != nil {
		return f, err
	}
	return f, l.emptyLog(ctx)
}

// notInASet refuses what stands in a set as far as the journal knows.
func (l *Ledger) notInASet(ctx context.Context, client netip.Prefix) error {
	latest, err := l.Latest(ctx)
	if err != nil {
		return err
	}
	for _, g := range latest {
		if g.Outcome != waf.Shadow && (slices.Contains(g.After, client.String()) || slices.Contains(g.Before, client.String()) && g.Outcome == waf.Planned) {
			return fmt.Errorf("%s: %w (generation %d): run `referee waf unblock %s`, and forget it once `referee waf why %s` finds it in no set any more",
				client, ErrBlocked, g.ID, client, client)
		}
	}
	return nil
}

// forgetDecisions erases the addresses of decisions and the bodies of orders, and records it, in one transaction: rows that
// lost an address without a record would look changed.
func (l *Ledger) forgetDecisions(ctx context.Context, f *Forgotten, clients []netip.Prefix, who string, now time.Time) error {
	return l.transact(ctx, "forget", func(tx *sql.Tx) error {
		links, err := continueChain(ctx, tx)
		if err != nil {
			return err
		}
		var body recordBody
		for _, p := range clients {
			if !p.IsValid() {
				continue
			}
			key := clientKeys + p.String()
			ids, err := gather(links, scanID, `SELECT id FROM decisions WHERE key = ? AND blind IS NOT NULL`, key)
			if err != nil {
				return err
			}
			for _, id := range ids {
				body.Rows = append(body.Rows, replaced{Kind: linkDecision, Row: id})
			}
			f.Decisions += len(ids)
			_, err = tx.ExecContext(ctx, `UPDATE decisions SET key = ?, salt = NULL, aged = 2 WHERE key = ? AND blind IS NOT NULL`, forgottenKey, key)
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `DELETE FROM hits WHERE key = ?`, key); err != nil {
				return err
			}
		}
		ids, err := gather(links, func(rows *sql.Rows) (id int64, err error) {
			var text string
			if err := rows.Scan(&id, &text); err != nil {
				return 0, err
			}
			var o waf.Order
			if err := json.Unmarshal([]byte(text), &o); err != nil || !names(o, f.Client) {
				id = 0
			}
			return id, nil
		}, `SELECT id, body FROM orders WHERE salt IS NOT NULL AND instr(body, ?) > 0`, f.Client.String())
		if err != nil {
			return err
		}
		for _, id := range slices.DeleteFunc(ids, func(id int64) bool { return id == 0 }) {
			f.Orders++
			body.Rows = append(body.Rows, replaced{Kind: linkOrder, Row: id})
			if _, err := tx.ExecContext(ctx, `UPDATE orders SET body = ?, salt = NULL WHERE id = ?`, forgottenOrder, id); err != nil {
				return err
			}
		}
		if len(body.Rows) == 0 {
			return nil
		}
		if err := links.record(now, recordForgotten, who, body); err != nil {
			return err
		}
		return links.end()
	})
}

func scanID(rows *sql.Rows) (id int64, err error) { return id, rows.Scan(&id) }

func names(o waf.Order, client netip.Prefix) bool {
	return slices.Contains(o.Values, client.String()) || strings.Contains(o.Why, client.Addr().String()) ||
		slices.ContainsFunc(o.Entries, func(e waf.Entry) bool { return e.Value == client.String() })
}

func (l *Ledger) forgetFlagged(ctx context.Context, f *Forgotten, clients []netip.Prefix) error {
	return l.transact(ctx, "forget", func(tx *sql.Tx) error {
		for _, p := range clients {
			if !p.IsValid() {
				continue
			}
			first, last := addressRange(p)
			res, err := tx.ExecContext(ctx, `DELETE FROM flagged WHERE client BETWEEN ? AND ?`, first, last)
			if err != nil {
				return err
			}
			n, err := res.RowsAffected()
			if err != nil {
				return err
			}
			f.Flagged += int(n)
		}
		return nil
	})
}

// forgetEvidence writes the rows that name the client anew without it: in the table, into which it moves the journal first.
func (l *Ledger) forgetEvidence(ctx context.Context, f *Forgotten) error {
	if err := l.moveAllRecent(ctx); err != nil {
		return err
	}
	var changed []evidence.Row
	flush := func() error {
		err := l.transactRecent(ctx, "forget", func(c commit) error { return c.rows(changed) })
		f.Evidence += len(changed)
		changed = changed[:0]
		return err
	}
	for r, err := range l.Evidence(ctx) {
		if err != nil {
			return err
		}
		next, names := evidence.ForgetRow(r, f.Client)
		if !names {
			continue
		}
		if changed = append(changed, next); len(changed) == 500 {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// forgetGenerations takes the client out of the lists of generations that stand no more. What they counted stays.
func (l *Ledger) forgetGenerations(ctx context.Context, f *Forgotten) error {
	ids, err := collect(ctx, l, "read the generations", scanID, `SELECT id FROM generations WHERE kind IN ('ipv4', 'ipv6') ORDER BY id`)
	if err != nil {
		return err
	}
	value := f.Client.String()
	for _, id := range ids {
		g, err := l.Generation(ctx, id)
		if err != nil {
			return err
		}
		same := func(v string) bool { return v == value }
		entry := func(e waf.Entry) bool { return e.Value == value }
		if !slices.ContainsFunc(g.Before, same) && !slices.ContainsFunc(g.After, same) && !slices.ContainsFunc(g.Entries, entry) &&
			!strings.Contains(g.Why+g.Error, f.Client.Addr().String()) {
			continue
		}
		data, err := body{slices.DeleteFunc(g.Before, same), slices.DeleteFunc(g.After, same), slices.DeleteFunc(g.Entries, entry)}.encode()
		if err != nil {
			return err
		}
		cut := func(s string) string {
			return strings.ReplaceAll(strings.ReplaceAll(s, value, "a forgotten client"), f.Client.Addr().String(), "a forgotten client")
		}
		err = l.transact(ctx, "forget", func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, `UPDATE generations SET body = ?, why = ?, error = ? WHERE id = ?`, data, cut(g.Why), cut(g.Error), id)
			return err
		})
		if err != nil {
			return err
		}
		f.Generations++
	}
	return nil
}

// emptyLog moves the -wal file into the ledger and cuts it to nothing: what was overwritten in the one is still in the other.
// A reader that is in the middle of a long question has to be waited for.
func (l *Ledger) emptyLog(ctx context.Context) error {
	for {
		var busy, logged, moved int
		if err := l.write.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &logged, &moved); err != nil {
			return l.fail("empty the -wal file", err)
		}
		if busy == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("ledger %s: erased, and a reader keeps the old -wal file open: end it and forget the client again (%w)", l.name, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// RequestForget asks the process that owns the directory to forget a client, which it does within seconds, or once
// the client has left the WAF sets. ForgetRequests does not list it any more when it is done.
func (l *Ledger) RequestForget(ctx context.Context, client netip.Prefix, who string) error {
	client = evidence.ClientPrefix(client.Addr())
	return l.transact(ctx, "ask to forget", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO forget (client, who) VALUES (?, ?) ON CONFLICT DO NOTHING`, client.String(), who)
		return err
	})
}

// ForgetRequest is a client that is to be forgotten, and who asked for it.
type ForgetRequest struct {
	Client netip.Prefix
	Who    string
}

// ForgetRequests returns the clients that wait to be forgotten.
func (l *Ledger) ForgetRequests(ctx context.Context) ([]ForgetRequest, error) {
	return collect(ctx, l, "look for clients to forget", func(rows *sql.Rows) (r ForgetRequest, err error) {
		var client string
		if err := rows.Scan(&client, &r.Who); err != nil {
			return r, err
		}
		r.Client, err = netip.ParsePrefix(client)
		return r, err
	}, `SELECT client, who FROM forget`)
}

// hashed is what a client's address becomes where addresses are kept as keyed hashes: an address of 100::/64, which is never
// routed (RFC 6666), with 64 bits of SHA-256 over the evidence key. The zero Prefix where there is no key yet.
func (l *Ledger) hashed(ctx context.Context, client netip.Prefix) (netip.Prefix, error) {
	var n int
	if err := l.read.QueryRowContext(ctx, `SELECT count(*) FROM meta WHERE key = ?`, metaEvidenceKey).Scan(&n); err != nil || n == 0 {
		return netip.Prefix{}, err
	}
	key, err := l.EvidenceKey(ctx)
	if err != nil {
		return netip.Prefix{}, err
	}
	return hashClient(key, client), nil
}

func hashClient(key evidence.Key, client netip.Prefix) netip.Prefix {
	a := [16]byte{0: 0x01}
	copy(a[8:], digest("referee client 1", string(key[:]), evidence.ClientPrefix(client.Addr()).String()))
	return netip.PrefixFrom(netip.AddrFrom16(a), 128)
}
