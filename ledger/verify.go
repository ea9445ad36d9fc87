package ledger

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Verified is what Verify found.
type Verified struct {
	Head      Head  `json:"head"` // write it down elsewhere, and Verify can be asked about it later
	Links     int   `json:"links"`
	Decisions int   `json:"decisions"`
	Orders    int   `json:"orders"`
	Labels    int   `json:"labels"`
	Aged      int   `json:"aged"`      // rows that keep less of an address than they were made with
	Forgotten int   `json:"forgotten"` // rows whose personal part was erased
	Pruned    int64 `json:"pruned"`    // the chain begins after this link: what was before is too old

	Wrong    int      `json:"wrong"`    // 0: nothing was changed, removed, inserted or reordered since it was written
	Findings []string `json:"findings"` // the first 20 of them, in words
}

const maxFindings = 20

func (v *Verified) find(format string, args ...any) {
	if v.Wrong++; len(v.Findings) < maxFindings {
		v.Findings = append(v.Findings, fmt.Sprintf(format, args...))
	}
}

// Verify walks the chain from its beginning and compares every row with its link. known are heads that were written down
// before. progress, which may be nil, is told how many links of how many are done. It reads one moment's state, while an
// owner writes on.
//
// What it finds wrong is in Verified; the error says only that it could not look.
func (l *Ledger) Verify(ctx context.Context, known []Head, progress func(done, all int64)) (Verified, error) {
	conn, err := l.read.Conn(ctx)
	if err != nil {
		return Verified{}, l.fail("verify", err)
	}
	defer conn.Close()
	// Not BeginTx, which would ask for the right to write.
	if _, err := conn.ExecContext(ctx, "BEGIN"); err != nil {
		return Verified{}, l.fail("verify", err)
	}
	defer conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK") //nolint:errcheck // there is nothing to roll back but the reading
	v, err := verify(ctx, conn, known, progress)
	if err != nil {
		return v, l.fail("verify", err)
	}
	return v, nil
}

func verify(ctx context.Context, q queryer, known []Head, progress func(done, all int64)) (Verified, error) {
	v := &verifier{Verified: Verified{Findings: []string{}}, ctx: ctx, q: q, known: known, progress: progress}
	for _, step := range []func() error{v.begin, v.walk, v.outside, v.hits} {
		if err := step(); err != nil {
			return v.Verified, err
		}
	}
	return v.Verified, nil
}

type verifier struct {
	Verified
	ctx      context.Context
	q        queryer
	known    []Head
	progress func(done, all int64)

	now   map[replacedRow]([]byte) // blinds of rows whose personal part was replaced; nil: erased
	until Head                     // the chain begins after it
	kept  map[int64]keptLink       // links before that
}

type replacedRow struct {
	kind string
	row  int64
}

// begin reads the records: they say where the chain begins, and which rows may say less than they did.
func (v *verifier) begin() error {
	state, err := readRecords(v.ctx, v.q, v.find)
	if err != nil {
		return err
	}
	v.now, v.until, v.kept = state.now, state.until, state.kept
	v.Pruned = v.until.Seq
	return nil
}

// recorded is what all records add up to.
type recorded struct {
	now   map[replacedRow][]byte
	until Head
	kept  map[int64]keptLink
}

func readRecords(ctx context.Context, q queryer, find func(string, ...any)) (recorded, error) {
	r := recorded{now: map[replacedRow][]byte{}, kept: map[int64]keptLink{}}
	rows, err := q.QueryContext(ctx, `SELECT id, what, body FROM records ORDER BY id`)
	if err != nil {
		return r, err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		var what, text string
		if err := rows.Scan(&id, &what, &text); err != nil {
			return r, err
		}
		var body recordBody
		if err := json.Unmarshal([]byte(text), &body); err != nil {
			find("record %d cannot be read: %v", id, err)
			continue
		}
		for _, row := range body.Rows {
			r.now[replacedRow{row.Kind, row.Row}] = row.Blind
		}
		if body.Until != nil {
			r.until = *body.Until
			r.kept = map[int64]keptLink{}
			for _, k := range body.Kept {
				r.kept[k.Seq] = k
			}
		}
	}
	return r, rows.Err()
}

// linkedRow is a link with the row that it is of; nulls where that is missing.
type linkedRow struct {
	seq, row         int64
	kind             string
	commitment, link []byte
	there            bool

	at, until   sql.NullInt64
	a, b, c, d  sql.NullString // what the kind of row says
	salt, blind []byte
	state       sql.NullInt64 // aged, or carried
}

const linkedRows = `SELECT c.seq, c.kind, c.row, c.commitment, c.link,
	coalesce(d.id, o.id, l.id, r.id) IS NOT NULL,
	coalesce(d.time, o.time, l.time, r.time),
	coalesce(d.expires, o.until),
	coalesce(d.action, o.verb, l.name, r.what),
	coalesce(d.key, o.body, l.says, r.who),
	coalesce(d.why, l.who, r.body),
	coalesce(d.hit, l.reason),
	coalesce(d.salt, o.salt), coalesce(d.blind, o.blind), d.aged
	FROM chain c
	LEFT JOIN decisions d ON c.kind = 'decision' AND d.id = c.row
	LEFT JOIN orders o ON c.kind = 'order' AND o.id = c.row
	LEFT JOIN labels l ON c.kind = 'label' AND l.id = c.row
	LEFT JOIN records r ON c.kind = 'record' AND r.id = c.row
	ORDER BY c.seq`

func (v *verifier) walk() error {
	var all int64
	if err := v.q.QueryRowContext(v.ctx, `SELECT count(*) FROM chain`).Scan(&all); err != nil {
		return err
	}
	rows, err := v.q.QueryContext(v.ctx, linkedRows)
	if err != nil {
		return err
	}
	defer rows.Close()
	head := v.until
	asked := map[int64]Head{}
	for _, k := range v.known {
		asked[k.Seq] = k
	}
	v.asked(asked, Head{})
	v.asked(asked, head)
	for done := int64(0); rows.Next(); done++ {
		var r linkedRow
		err := rows.Scan(&r.seq, &r.kind, &r.row, &r.commitment, &r.link, &r.there, &r.at, &r.until, &r.a, &r.b, &r.c, &r.d, &r.salt, &r.blind, &r.state)
		if err != nil {
			return err
		}
		if v.progress != nil && done%1000 == 0 {
			v.progress(done, all)
		}
		v.Links++
		if r.seq <= v.until.Seq {
			v.keptRow(&r)
			continue
		}
		want := head.next(r.kind, r.row, r.commitment)
		if r.seq != want.Seq {
			v.find("links %d to %d are missing", want.Seq, r.seq-1)
			want.Seq = r.seq
		} else if !bytes.Equal(r.link, want.Link[:]) {
			v.find("link %d (%s %d) does not follow from the one before it", r.seq, r.kind, r.row)
		}
		head.Seq = r.seq // go on from what stands there, so that one break is one finding
		copy(head.Link[:], r.link)
		v.asked(asked, head)
		v.row(&r)
	}
	for _, k := range v.kept {
		v.find("link %d (%s %d), which was kept when older ones were pruned, is missing", k.Seq, k.Kind, k.Row)
	}
	if v.progress != nil {
		v.progress(all, all)
	}
	return errors.Join(rows.Err(), v.end(head, asked))
}

// asked compares a head that was written down elsewhere.
func (v *verifier) asked(asked map[int64]Head, now Head) {
	was, is := asked[now.Seq]
	if !is {
		return
	}
	delete(asked, now.Seq)
	if was != now {
		v.find("link %d is %x, and was %x when it was written down: the chain was made anew", now.Seq, now.Link, was.Link)
	}
}

// end looks for what is missing behind the last link.
func (v *verifier) end(head Head, asked map[int64]Head) error {
	v.Head = head
	for _, k := range asked {
		if k.Seq < v.until.Seq {
			v.find("link %d, which was written down, is pruned: write a newer head down after retention has pruned", k.Seq)
		} else {
			v.find("link %d, which was written down, is missing: the chain was cut off behind link %d", k.Seq, head.Seq)
		}
	}
	var noted []byte
	err := v.q.QueryRowContext(v.ctx, `SELECT value FROM meta WHERE key = ?`, metaHead).Scan(&noted)
	switch {
	case errors.Is(err, sql.ErrNoRows) && head.Seq == 0:
	case errors.Is(err, sql.ErrNoRows):
		v.find("the note of the chain's head is missing")
	case err != nil:
		return err
	case string(noted) != head.String():
		v.find("the chain ends with link %d, and the last one written was %.40q…: its end was cut off or changed", head.Seq, noted)
	}
	return nil
}

// keptRow is one from before the chain's beginning.
func (v *verifier) keptRow(r *linkedRow) {
	k, is := v.kept[r.seq]
	if !is || k.Kind != r.kind || k.Row != r.row || !bytes.Equal(k.Commitment, r.commitment) || !bytes.Equal(k.Link, r.link) {
		v.find("link %d (%s %d) is not one of those kept when older ones were pruned", r.seq, r.kind, r.row)
	}
	delete(v.kept, r.seq)
	v.row(r)
}

// row compares a row with the commitment of its link.
func (v *verifier) row(r *linkedRow) {
	if r.kind == linkCarried {
		if !bytes.Equal(r.commitment, commitCarried()) {
			v.find("link %d (order %d carried out) was changed", r.seq, r.row)
		}
		return
	}
	if !r.there {
		v.find("%s %d is missing", r.kind, r.row)
		return
	}
	var want []byte
	switch r.kind {
	case linkDecision:
		v.Decisions++
		d := decisionRow{
			personal: personal{text: r.b.String, blind: r.blind}, at: r.at.Int64, action: r.a.String,
			why: r.c.String, hit: r.d.String, expires: r.until.Int64,
		}
		want = d.commitment()
		if r.blind != nil && !strings.HasPrefix(r.b.String, clientKeys) {
			v.find("decision %d was changed: it was about a client", r.row)
		}
	case linkOrder:
		v.Orders++
		want = commitOrder(r.at.Int64, r.a.String, r.until.Int64, r.blind)
	case linkLabel:
		v.Labels++
		want = commitLabel(r.at.Int64, r.a.String, r.b.String, r.c.String, r.d.String)
	case linkRecord:
		want = commitRecord(r.at.Int64, r.a.String, r.b.String, r.c.String)
	default:
		v.find("link %d is of an unknown kind %.20q", r.seq, r.kind)
		return
	}
	if !bytes.Equal(want, r.commitment) {
		v.find("%s %d was changed", r.kind, r.row)
		return
	}
	v.personal(r)
}

// personal compares what a row says of a person with its blind: the one that it was made with, or that of a record.
func (v *verifier) personal(r *linkedRow) {
	if r.blind == nil {
		if r.salt != nil || r.state.Int64 != 0 {
			v.find("%s %d was changed: it says nothing of a client", r.kind, r.row)
		}
		return
	}
	want, aged := r.blind, int64(0)
	if now, is := v.now[replacedRow{r.kind, r.row}]; is {
		if want, aged = now, 1; want == nil {
			aged = 2
		}
	}
	switch aged {
	case 1:
		v.Aged++
	case 2:
		v.Forgotten++
	}
	p := personal{text: r.b.String, salt: r.salt}
	switch {
	case want == nil && r.salt == nil && (r.b.String == forgottenKey || r.b.String == forgottenOrder):
	case want == nil:
		v.find("%s %d was changed after it was forgotten", r.kind, r.row)
	case r.salt == nil:
		v.find("%s %d lost what it says of a client, and no record says that it was forgotten", r.kind, r.row)
	case !bytes.Equal(p.now(), want):
		v.find("what %s %d says of a client was changed", r.kind, r.row)
	}
	if r.kind == linkDecision && r.state.Int64 != aged {
		v.find("decision %d is marked as aged %d and the records say %d", r.row, r.state.Int64, aged)
	}
}

// outside looks for rows that no link knows, and for links and rows that disagree.
func (v *verifier) outside() error {
	for _, kind := range []struct{ kind, table string }{
		{linkDecision, "decisions"}, {linkOrder, "orders"}, {linkLabel, "labels"}, {linkRecord, "records"},
	} {
		err := v.each(`SELECT id FROM `+kind.table+` WHERE NOT EXISTS (SELECT 1 FROM chain WHERE kind = ? AND row = id)`,
			func(id int64) { v.find("%s %d was inserted: no link knows it", kind.kind, id) }, kind.kind)
		if err != nil {
			return err
		}
	}
	return v.each(`SELECT id FROM orders WHERE carried <> EXISTS (SELECT 1 FROM chain WHERE kind = ? AND row = id)`,
		func(id int64) { v.find("whether order %d was carried out was changed", id) }, linkCarried)
}

// hits compares what a start takes up with the decisions that it follows from.
func (v *verifier) hits() error {
	err := v.each(`SELECT h.decision FROM hits h LEFT JOIN decisions d ON d.id = h.decision
		WHERE d.id IS NULL OR d.key <> h.key OR d.expires <> h.expires OR d.action NOT IN ('block', 'extend')
		OR d.id <> (SELECT max(id) FROM decisions WHERE key = h.key)`,
		func(id int64) { v.find("the active hit of decision %d does not follow from it", id) })
	if err != nil {
		return err
	}
	return v.each(`SELECT d.id FROM decisions d WHERE d.action IN ('block', 'extend') AND d.aged = 0
		AND d.id = (SELECT max(id) FROM decisions WHERE key = d.key) AND NOT EXISTS (SELECT 1 FROM hits WHERE decision = d.id)`,
		func(id int64) { v.find("decision %d stands, and its hit is missing", id) })
}

func (v *verifier) each(query string, f func(id int64), args ...any) error {
	rows, err := v.q.QueryContext(v.ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return err
		}
		f(id)
	}
	return rows.Err()
}
