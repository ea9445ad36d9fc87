package ledger

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"referee/evidence"
	"referee/policy"
	"referee/waf"
)

// eventful is a ledger with something of each kind: decisions on names and clients, some of them standing, orders, one of
// them carried out, labels, a forgotten client and a client whose address is truncated.
func eventful(t testing.TB, l *Ledger) {
	t.Helper()
	later := noon.Add(time.Hour)
	for i := range 5 {
		name, client := nameHit(fmt.Sprintf("k%d.com", i), 1, later), clientHit(fmt.Sprintf("198.51.100.%d/32", i), 2, later)
		commitTo(t, l, Batch{Decisions: []policy.Decision{decide(policy.Block, noon, name), {Time: noon, Action: policy.Block, Hit: client, Why: "w"}}})
		order, err := l.Order(t.Context(), waf.Order{Time: noon, Verb: waf.OrderUnblock, Values: []string{fmt.Sprintf("198.51.100.%d/32", i)}})
		if err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			if err := l.Carried(t.Context(), order); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := l.Label(t.Context(), policy.Label{Name: name.Domain, Says: policy.SaysDGA, Time: noon, Who: "alice"}); err != nil {
			t.Fatal(err)
		}
		if i > 2 {
			commitTo(t, l, Batch{Decisions: []policy.Decision{{Time: noon, Action: policy.Release, Hit: client, Why: "expired"}}})
		}
	}
	if _, err := l.Forget(t.Context(), netip.MustParsePrefix("198.51.100.2/32"), "alice", later); err != nil {
		t.Fatal(err)
	}
}

func verified(t testing.TB, l *Ledger, known ...Head) Verified {
	t.Helper()
	v, err := l.Verify(t.Context(), known, nil)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func whole(t testing.TB, l *Ledger, known ...Head) Verified {
	t.Helper()
	v := verified(t, l, known...)
	if v.Wrong > 0 {
		t.Fatalf("an untouched ledger is found wrong: %q", v.Findings)
	}
	return v
}

func TestAnUntouchedLedgerVerifiesAndSaysWhatItHolds(t *testing.T) {
	dir := t.TempDir()
	l := owner(t, dir)
	if v := whole(t, l); v.Head.Seq != 0 || v.Links != 0 {
		t.Errorf("an empty one: %+v", v)
	}
	eventful(t, l)
	beside, err := OpenAppend(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer beside.Close()
	for _, l := range []*Ledger{l, reader(t, dir), beside} {
		v := whole(t, l)
		if v.Decisions != 12 || v.Orders != 5 || v.Labels != 5 || v.Links != 24 || v.Head.Seq != 24 || v.Forgotten != 2 {
			t.Errorf("%+v", v)
		}
		again, err := ParseHead(v.Head.String())
		if err != nil || again != v.Head {
			t.Errorf("the head %s is read as %s (%v)", v.Head, again, err)
		}
	}
}

// columns of what the chain covers, and of how: what each is set to is another value of its type.
var covered = map[string][]string{
	"decisions": {"time", "action", "key", "why", "hit", "expires", "salt", "blind", "aged", "id"},
	"orders":    {"time", "verb", "until", "carried", "body", "salt", "blind", "id"},
	"labels":    {"time", "name", "says", "who", "reason", "id"},
	"records":   {"time", "what", "who", "body", "id"},
	"chain":     {"kind", "row", "commitment", "link", "seq"},
	"hits":      {"key", "decision", "expires"},
}

var tables = []string{"decisions", "orders", "labels", "records", "chain", "hits"}

// tampering changes a ledger behind its back, with a set of statements that leave it readable.
func tampering(rt *rapid.T, tx *sql.Tx) string {
	table := rapid.SampledFrom(tables).Draw(rt, "table")
	key := "rowid"
	if table == "hits" {
		key = "decision"
	}
	exec := func(query string, args ...any) bool {
		_, err := tx.Exec(query, args...) // a constraint may refuse it: then nothing was changed
		return err == nil
	}
	ids, err := gather(&chain{ctx: context.Background(), tx: tx}, scanID, `SELECT `+key+` FROM `+table+` ORDER BY 1`)
	if err != nil {
		rt.Fatal(err)
	}
	id := rapid.SampledFrom(ids).Draw(rt, "row")
	column := rapid.SampledFrom(covered[table]).Draw(rt, "column")
	other := rapid.SampledFrom(ids).Draw(rt, "other")
	var before, after string
	dump := func() string {
		var all strings.Builder
		for _, t := range tables {
			var s sql.NullString
			list := "quote(" + strings.Join(covered[t], ")||quote(") + ")"
			if err := tx.QueryRow(`SELECT group_concat(x, ';') FROM (SELECT ` + list + ` AS x FROM ` + t + ` ORDER BY 1)`).Scan(&s); err != nil {
				rt.Fatal(err)
			}
			all.WriteString(s.String)
		}
		return all.String()
	}
	before = dump()
	what := rapid.SampledFrom([]string{"delete", "change", "swap", "copy", "erase", "cut off"}).Draw(rt, "what")
	switch what {
	case "delete":
		exec(`DELETE FROM `+table+` WHERE `+key+` = ?`, id)
	case "change":
		exec(`UPDATE `+table+` SET `+column+` = CASE typeof(`+column+`) WHEN 'integer' THEN `+column+` + 1 WHEN 'text' THEN `+
			column+` || 'x' WHEN 'null' THEN 7 ELSE CAST(`+column+` || x'00' AS BLOB) END WHERE `+key+` = ?`, id)
	case "swap": // what two rows say
		exec(`UPDATE `+table+` SET `+column+` = CASE `+key+` WHEN ?1 THEN (SELECT `+column+` FROM `+table+` WHERE `+key+` = ?2)
			ELSE (SELECT `+column+` FROM `+table+` WHERE `+key+` = ?1) END WHERE `+key+` IN (?1, ?2)`, id, other)
	case "copy":
		rest := slices.DeleteFunc(slices.Clone(covered[table]), func(c string) bool { return c == "id" || c == "seq" })
		list := strings.Join(rest, ", ")
		exec(`INSERT INTO `+table+` (`+list+`) SELECT `+list+` FROM `+table+` WHERE `+key+` = ?`, id)
	case "erase": // as forget does, without saying so
		exec(`UPDATE decisions SET key = 'client:::/128', salt = NULL, aged = 2 WHERE id = ? AND blind IS NOT NULL`, id)
	case "cut off": // the end of the chain with its rows, and the note of the head made to fit
		n := rapid.IntRange(1, 5).Draw(rt, "links")
		for _, t := range []string{"decision", "order", "label", "record"} {
			exec(`DELETE FROM `+t+`s WHERE id IN (SELECT row FROM chain WHERE kind = ? AND seq > (SELECT max(seq) FROM chain) - ?)`, t, n)
		}
		exec(`DELETE FROM chain WHERE seq > (SELECT max(seq) FROM chain) - ?`, n)
		exec(`UPDATE meta SET value = CAST((SELECT seq || ':' || lower(hex(link)) FROM chain ORDER BY seq DESC LIMIT 1) AS BLOB) WHERE key = 'chain head'`)
	}
	if after = dump(); after == before {
		return ""
	}
	return fmt.Sprintf("%s %s %s of %d and %d", what, table, column, id, other)
}

func TestWhateverIsChangedRemovedReorderedOrInsertedIsFound(t *testing.T) {
	l := memory(t)
	eventful(t, l)
	head := whole(t, l).Head
	rapid.Check(t, func(rt *rapid.T) {
		tx, err := l.write.Begin()
		if err != nil {
			rt.Fatal(err)
		}
		defer tx.Rollback()
		did := tampering(rt, tx)
		v, err := verify(t.Context(), tx, []Head{head}, nil)
		if err != nil {
			rt.Fatal(err)
		}
		if did != "" && v.Wrong == 0 {
			rt.Fatalf("not found: %s", did)
		}
		if did == "" && v.Wrong > 0 {
			rt.Fatalf("found, and nothing was changed: %q", v.Findings)
		}
	})
	whole(t, l, head)
}

func TestAHeadThatWasWrittenDownShowsThatTheChainWasMadeAnewOrCutOff(t *testing.T) {
	l := memory(t)
	eventful(t, l)
	head := whole(t, l).Head
	commitTo(t, l, Batch{Decisions: []policy.Decision{decide(policy.Block, noon, nameHit("later.com", 1, noon))}})
	whole(t, l, head) // the chain went on
	other := head
	other.Link[0] ^= 1
	if v := verified(t, l, other); v.Wrong != 1 || !strings.Contains(v.Findings[0], "made anew") {
		t.Errorf("%q", v.Findings)
	}
	other.Seq = 1000
	if v := verified(t, l, other); v.Wrong != 1 || !strings.Contains(v.Findings[0], "cut off") {
		t.Errorf("%q", v.Findings)
	}
	for _, s := range []string{"", "7", "7:zz", "x:" + strings.Repeat("00", 32), "-1:" + strings.Repeat("00", 32)} {
		if h, err := ParseHead(s); err == nil {
			t.Errorf("%q is read as %s", s, h)
		}
	}
}

func inNoFile(t *testing.T, dir string, texts ...[]byte) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range texts {
			if at := bytes.Index(data, text); at >= 0 {
				t.Errorf("%s holds %q at byte %d", f.Name(), text, at)
			}
		}
	}
}

func TestAForgottenClientIsInNoFileAndTheRestStillVerifies(t *testing.T) {
	dir := t.TempDir()
	l := owner(t, dir)
	ctx := t.Context()
	client := netip.MustParsePrefix("203.0.113.77/32")
	address := client.Addr()
	key, err := l.EvidenceKey(ctx)
	if err != nil {
		t.Fatal(err)
	}
	state := evidence.New(evidence.Config{MaxNames: 10, MaxClients: 10, MaxCohorts: 10, Interest: 0.1, Window: time.Hour}, key)
	for _, from := range []string{address.String(), "198.51.100.7"} {
		s := sighting("kq3v9z.com", from, noon)
		s.Agent, s.Path = 7, 9
		state.Add(s)
	}
	seen := sighting("kq3v9z.com", address.String(), noon)
	seen.Example = &evidence.Example{Referer: "https://kq3v9z.com/", Agent: "an agent of its own", Path: "/"}
	hit := clientHit(client.String(), 1, noon)
	commitTo(t, l, Batch{
		Hour: noon, Rows: state.Changes(), Flagged: []evidence.Sighting{seen, sighting("kq3v9z.com", "198.51.100.7", noon)},
		Decisions: []policy.Decision{{Time: noon, Action: policy.Block, Hit: hit, Why: "w"}, decide(policy.Block, noon, nameHit("kq3v9z.com", 1, noon))},
		Alerts:    []Alert{{noon, "held", "AWS refuses " + client.String()}, {noon, "held", "AWS refuses 203.0.113.9/32"}},
	})
	g := propose(t, l, generation(waf.SetIPv4, nil, []string{client.String(), "198.51.100.7/32"}))
	_, err = l.Forget(ctx, client, "alice", noon)
	wantError(t, err, ErrBlocked, "referee waf unblock "+client.String())
	if err := l.Settle(ctx, g.ID, waf.Written, ""); err != nil {
		t.Fatal(err)
	}
	out := propose(t, l, generation(waf.SetIPv4, g.After, []string{"198.51.100.7/32"}))
	if err := l.Settle(ctx, out.ID, waf.Written, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Order(ctx, waf.Order{Time: noon, Verb: waf.OrderUnblock, Values: []string{client.String()}}); err != nil {
		t.Fatal(err)
	}
	head := whole(t, l).Head
	var chunk []byte // in which the evidence says the address, compressed
	if err := l.read.QueryRow(`SELECT data FROM recent`).Scan(&chunk); err != nil {
		t.Fatal(err)
	}

	got, err := l.Forget(ctx, client, "alice", noon)
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "forgotten", got, Forgotten{Client: client, Decisions: 1, Orders: 1, Flagged: 1, Evidence: 4, Generations: 2, Alerts: 1})
	if v := whole(t, l, head); v.Forgotten != 2 {
		t.Errorf("%+v", v)
	}
	backwards := address.AsSlice() // as a number in little-endian
	slices.Reverse(backwards)
	inNoFile(t, dir, []byte(address.String()), address.AsSlice(), backwards, []byte("an agent of its own"), chunk[8:24], chunk[len(chunk)-24:])
	decisions, err := l.Decisions(ctx, time.Time{}, 0)
	if err != nil || len(decisions) != 2 || decisions[1].Why != "w" || decisions[1].Hit.Client != netip.MustParsePrefix("::/128") {
		t.Errorf("what was decided is gone with the client: %+v, %v", decisions, err)
	}
	restored := evidence.New(evidence.Config{MaxNames: 10, MaxClients: 10, MaxCohorts: 10, Interest: 0.1, Window: time.Hour}, key)
	for r, err := range l.Evidence(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if err := restored.Restore(r); err != nil {
			t.Error(err)
		}
	}
	if restored.Client(address) != nil || restored.Name("kq3v9z.com").Networks.Distinct() != 2 {
		t.Error("the evidence knows the client, or the name lost a network")
	}
	if again, err := l.Forget(ctx, client, "alice", noon); err != nil || again != (Forgotten{Client: client}) {
		t.Errorf("forgotten twice: %+v, %v", again, err)
	}
}
