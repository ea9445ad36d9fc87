package ledger

import (
	"context"
	"database/sql"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"referee/waf"
)

func TestAnOrderIsGivenBesideTheOwnerAndReadByIt(t *testing.T) {
	dir := t.TempDir()
	l := owner(t, dir)
	beside, err := OpenAppend(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer beside.Close()
	want := []waf.Order{
		{Time: noon, Verb: waf.OrderHold, Why: "a release"},
		{Time: noon, Verb: waf.OrderUnblock, Values: []string{"kq3v9z.com"}, Until: noon.Add(time.Hour)},
		{Time: noon, Verb: waf.OrderAsk, Entries: []waf.Entry{{Kind: waf.SetIPv4, Value: "198.51.100.7/32", Expires: noon.Add(time.Hour)}}},
	}
	for i := range want {
		if want[i].ID, err = beside.Order(t.Context(), want[i]); err != nil {
			t.Fatal(err)
		}
	}
	f := func(what string, now time.Time, want ...waf.Order) {
		t.Helper()
		got, err := l.Orders(t.Context(), now)
		if err != nil {
			t.Fatal(err)
		}
		diff(t, what, got, want)
	}
	f("all", noon, want...)
	f("when one has run out", noon.Add(time.Hour), want[0], want[2])
	if err := l.Carried(t.Context(), want[0].ID); err != nil {
		t.Fatal(err)
	}
	f("when one is carried out", noon, want[1:]...)
	all, err := l.OrdersSince(t.Context(), noon)
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "history", all, []waf.Order{want[2], want[1], want[0]})
}

func TestOrdersAndCommitsAtOnceAreNeitherLostNorRefused(t *testing.T) {
	dir := t.TempDir()
	l := owner(t, dir)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			beside, err := OpenAppend(context.Background(), dir)
			if err != nil {
				t.Error(err)
				return
			}
			defer beside.Close()
			for range 10 {
				if _, err := beside.Order(context.Background(), waf.Order{Time: noon, Verb: waf.OrderHold}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 20 {
		commitTo(t, l, Batch{Hour: noon, Counts: map[string]uint64{"requests": 1}})
	}
	group.Wait()
	orders, err := l.Orders(t.Context(), noon)
	if err != nil || len(orders) != 40 {
		t.Errorf("%d orders, %v", len(orders), err)
	}
}

func TestOrdersNeedALedgerThatIsThere(t *testing.T) {
	_, err := OpenAppend(t.Context(), t.TempDir())
	wantError(t, err, ErrNone, "referee serve")
}

func TestTheAdditionsOfAnHourAreThoseThatWerePlannedOrWritten(t *testing.T) {
	l := owner(t, t.TempDir())
	add := func(n int, at time.Duration, o waf.Outcome) {
		t.Helper()
		g := generation(waf.SetIPv4, nil, nil)
		g.Adds, g.Time = n, noon.Add(at)
		g = propose(t, l, g)
		if err := l.Settle(t.Context(), g.ID, o, ""); err != nil {
			t.Fatal(err)
		}
	}
	add(1000, 0, waf.Written) // an hour ago is not within the hour
	add(1, time.Minute, waf.Written)
	add(20, 2*time.Minute, waf.Failed)
	add(300, 3*time.Minute, waf.Shadow)
	add(4, 4*time.Minute, waf.Planned)
	if got, err := l.Added(t.Context(), noon); err != nil || got != 5 {
		t.Errorf("%d added, %v", got, err)
	}
}

func TestAGenerationThatADeadProcessLeftPlannedHasFailedOnceALaterOneIsSettled(t *testing.T) {
	l := owner(t, t.TempDir())
	left, other := propose(t, l, generation(waf.SetIPv4, nil, nil)), propose(t, l, generation(waf.SetIPv6, nil, nil))
	later := propose(t, l, generation(waf.SetIPv4, nil, nil))
	if err := l.Settle(t.Context(), later.ID, waf.Written, ""); err != nil {
		t.Fatal(err)
	}
	f := func(id int64, want waf.Outcome) {
		t.Helper()
		if g, err := l.Generation(t.Context(), id); err != nil || g.Outcome != want {
			t.Errorf("generation %d is %s, %v; want %s", id, g.Outcome, err, want)
		}
	}
	f(left.ID, waf.Failed)
	f(other.ID, waf.Planned)
	f(later.ID, waf.Written)
}

func TestTroubleIsKeptUntilItIsOver(t *testing.T) {
	l := owner(t, t.TempDir())
	f := func(set waf.SetKind, trouble *waf.Trouble, want map[waf.SetKind]waf.Trouble) {
		t.Helper()
		if err := l.Trouble(t.Context(), set, trouble); err != nil {
			t.Fatal(err)
		}
		got, err := l.Troubles(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		diff(t, "troubles", got, want)
	}
	denied := waf.Trouble{Since: noon, Until: noon.Add(time.Minute), Class: waf.ClassDenied, Error: "denied"}
	longer := denied
	longer.Until = noon.Add(time.Hour)
	f(waf.SetNames, &denied, map[waf.SetKind]waf.Trouble{waf.SetNames: denied})
	f(waf.SetNames, &longer, map[waf.SetKind]waf.Trouble{waf.SetNames: longer})
	f(waf.SetNames, nil, map[waf.SetKind]waf.Trouble{})
}

func TestALedgerOfTheFirstVersionIsBroughtUpToDateWithWhatItHolds(t *testing.T) {
	dir := t.TempDir()
	db, err := sql.Open("sqlite", filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	data, err := body{After: []string{"198.51.100.7/32"}}.encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{migrations[0], "PRAGMA application_id=1382445669; PRAGMA user_version=1"} {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	_, err = db.Exec(`INSERT INTO generations (time, kind, outcome, error, why, model, config, items, added, removed, body)
		VALUES (1, 'ipv4', 'written', '', 'w', 'm', 'c', 1, 1, 0, ?)`, data)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenAppend(t.Context(), dir); err == nil {
		t.Error("a command migrated the ledger")
	}
	l := owner(t, dir)
	latest, err := l.Latest(t.Context())
	if err != nil || len(latest) != 1 || len(latest[0].After) != 1 || latest[0].Adds != 0 {
		t.Errorf("%+v, %v", latest, err)
	}
	if _, err := l.Order(t.Context(), waf.Order{Time: noon, Verb: waf.OrderHold}); err != nil {
		t.Error(err)
	}
}

func TestALedgerFromBeforeTheChainIsLinkedAsItIsFound(t *testing.T) {
	dir := t.TempDir()
	tamper(t, dir, migrations[0], migrations[1], migrations[2], migrations[3], "PRAGMA application_id=1382445669; PRAGMA user_version=4",
		`INSERT INTO decisions (time, action, key, why, hit) VALUES
		(1, 'block', 'client:203.0.113.77/32', 'w', '{"kind":"client","client":"203.0.113.77/32","expires":"2026-03-01T12:30:00Z"}'),
		(2, 'block', 'name:kq3v9z.com', 'w', '{"kind":"name","domain":"kq3v9z.com"}'),
		(3, 'block', 'name:broken.com', 'w', '{"kind":')`,
		`INSERT INTO hits VALUES ('client:203.0.113.77/32', 1, 1772368200000000000), ('name:kq3v9z.com', 2, 0), ('name:broken.com', 3, 0)`,
		`INSERT INTO orders (time, verb, until, carried, body) VALUES (1, 'hold', 0, 1, '{"verb":"hold"}'), (2, 'hold', 0, 0, '{"verb":"hold"}')`,
		`INSERT INTO labels (time, name, says, who, reason) VALUES (1, 'a.com', 'dga', 'alice', '')`)
	l := owner(t, dir)
	v := whole(t, l)
	if v.Links != 8 || v.Decisions != 3 || v.Orders != 2 || v.Labels != 1 {
		t.Errorf("%+v", v)
	}
	hits, err := l.ActiveHits(t.Context(), time.Time{})
	if err != nil || len(hits) != 2 || hits[0].Client.String() != "203.0.113.77/32" && hits[1].Client.String() != "203.0.113.77/32" {
		t.Errorf("%+v, %v", hits, err)
	}
	if err := l.Skipped(); err == nil || !strings.Contains(err.Error(), "decision 3 cannot be read and is left out") {
		t.Errorf("the broken hit is passed over: %v", err)
	}
	client := netip.MustParsePrefix("203.0.113.77/32")
	if _, err := l.Forget(t.Context(), client, "alice", noon); err != nil {
		t.Fatal(err)
	}
	whole(t, l)
	inNoFile(t, dir, []byte("203.0.113.77"))
}
