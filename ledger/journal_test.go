package ledger

import (
	"fmt"
	"testing"
	"time"

	"referee/waf"
)

func generation(set waf.SetKind, before, after []string) waf.Generation {
	g := waf.Generation{
		Time: noon, Set: set, Before: before, After: after, Why: "1 added", Model: "m1", Config: "c1", Outcome: waf.Planned,
	}
	for _, v := range after {
		g.Entries = append(g.Entries, waf.Entry{Kind: set, Value: v, Rank: 2.5, Expires: noon.Add(time.Hour)})
	}
	return g
}

func propose(t testing.TB, l *Ledger, g waf.Generation) waf.Generation {
	t.Helper()
	id, err := l.Propose(t.Context(), g)
	if err != nil {
		t.Fatal(err)
	}
	g.ID = id
	return g
}

func TestTheLatestGenerationOfEachSetThatDidNotFailIsReconciled(t *testing.T) {
	dir := t.TempDir()
	l := owner(t, dir)
	settle := func(g *waf.Generation, o waf.Outcome, message string) {
		t.Helper()
		g.Outcome, g.Error = o, message
		if err := l.Settle(t.Context(), g.ID, o, message); err != nil {
			t.Fatal(err)
		}
	}
	g1 := propose(t, l, generation(waf.SetIPv4, nil, []string{"198.51.100.7/32"}))
	settle(&g1, waf.Written, "")
	g2 := propose(t, l, generation(waf.SetNames, []string{"^x$"}, []string{"^y$"}))
	g3 := propose(t, l, generation(waf.SetIPv4, []string{"198.51.100.7/32"}, nil))
	settle(&g3, waf.Failed, "WAFUnavailableEntity")
	g4 := propose(t, l, generation(waf.SetIPv6, nil, nil))
	settle(&g4, waf.Shadow, "")
	if g1.ID >= g2.ID || g2.ID >= g3.ID || g3.ID >= g4.ID {
		t.Errorf("ids do not ascend: %d %d %d %d", g1.ID, g2.ID, g3.ID, g4.ID)
	}
	l.Close()

	l = owner(t, dir)
	latest, err := l.Latest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "latest", latest, []waf.Generation{g1, g2, g4})
	got, err := l.Generation(t.Context(), g3.ID)
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "a failed one", got, g3)
	settle(&g3, waf.Written, "") // its answer was lost; AWS holds it
	latest, err = l.Latest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "latest after settling again", latest, []waf.Generation{g2, g3, g4})
}

func TestGenerationsAreListedNewestFirstWithSizes(t *testing.T) {
	l := memory(t)
	propose(t, l, generation(waf.SetIPv4, nil, []string{"a", "b"}))
	g := generation(waf.SetIPv4, []string{"a", "b"}, []string{"b", "c", "d"})
	g.Time = noon.Add(time.Hour)
	g = propose(t, l, g)
	f := func(since time.Time, limit int, want ...int64) {
		t.Helper()
		got, err := l.Generations(t.Context(), since, limit)
		if err != nil {
			t.Fatal(err)
		}
		var ids []int64
		for _, c := range got {
			ids = append(ids, c.ID)
		}
		diff(t, "ids", ids, want)
	}
	f(noon, 0, 2, 1)
	f(noon, 1, 2)
	f(noon.Add(time.Minute), 0, 2)
	got, err := l.Generations(t.Context(), noon, 1)
	if err != nil {
		t.Fatal(err)
	}
	g.Before, g.After, g.Entries = nil, nil, nil
	diff(t, "the newest", got, []Change{{Generation: g, Items: 3, Added: 2, Removed: 1}})
}

func TestSettlingAGenerationThatIsNotThereFails(t *testing.T) {
	l := memory(t)
	if err := l.Settle(t.Context(), 7, waf.Written, ""); err == nil {
		t.Error("settled generation 7 of an empty journal")
	}
	if _, err := l.Generation(t.Context(), 7); err == nil {
		t.Error("read generation 7 of an empty journal")
	}
}

func TestAFullSetTakesLittleSpace(t *testing.T) {
	l := memory(t)
	var items []string
	for i := range 10_000 {
		items = append(items, fmt.Sprintf("%d.%d.%d.%d/32", 1+i*7919%223, i*104729%256, i*1299709%256, i%256))
	}
	g := propose(t, l, generation(waf.SetIPv4, items[:9_990], items[10:]))
	got, err := l.Generation(t.Context(), g.ID)
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "generation", got, g)
	var size int
	if err := l.read.QueryRow("SELECT length(body) FROM generations").Scan(&size); err != nil {
		t.Fatal(err)
	}
	if size > 150_000 {
		t.Errorf("a generation of 10,000 items takes %d bytes", size)
	}
}
