package ledger

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"referee/evidence"
	"referee/policy"
)

func memory(t testing.TB) *Ledger {
	t.Helper()
	l, err := Memory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func counts(t testing.TB, l *Ledger, since time.Time) map[string]uint64 {
	t.Helper()
	hours, err := l.Hours(t.Context(), since)
	if err != nil {
		t.Fatal(err)
	}
	sum := map[string]uint64{}
	for _, h := range hours {
		for k, n := range h.Counts {
			sum[k] += n
		}
	}
	return sum
}

func TestCountsOfOneHourAddUp(t *testing.T) {
	l := memory(t)
	commitTo(t, l, Batch{Hour: noon, Counts: map[string]uint64{"requests": 2, "dropped": 0}})
	commitTo(t, l, Batch{Hour: noon.Add(20 * time.Minute), Counts: map[string]uint64{"requests": 3}})
	commitTo(t, l, Batch{Hour: noon.Add(40 * time.Minute), Counts: map[string]uint64{"requests": 5}})
	hours, err := l.Hours(t.Context(), noon)
	if err != nil {
		t.Fatal(err)
	}
	start := noon.Truncate(time.Hour)
	diff(t, "hours", hours, []Hour{
		{Start: start, Counts: map[string]uint64{"requests": 5}},
		{Start: start.Add(time.Hour), Counts: map[string]uint64{"requests": 5}},
	})
	diff(t, "counts since the second hour", counts(t, l, noon.Add(time.Hour)), map[string]uint64{"requests": 5})
	if err := l.Commit(t.Context(), Batch{Counts: map[string]uint64{"requests": 1}}); err == nil {
		t.Error("counted in no hour")
	}
}

func TestTheLastDecisionOnAKeyDecidesWhetherItIsActive(t *testing.T) {
	l := memory(t)
	later := noon.Add(time.Hour)
	a, b, c := nameHit("a.com", 1, later), clientHit("198.51.100.7/32", 5, later), nameHit("c.com", 3, noon.Add(time.Minute))
	extended := a
	extended.Expires = later.Add(time.Hour)
	commitTo(t, l, Batch{Decisions: []policy.Decision{
		decide(policy.Block, noon, a), decide(policy.Block, noon, b), decide(policy.Block, noon, c),
	}})
	active := func(now time.Time, want ...policy.Hit) {
		t.Helper()
		got, err := l.ActiveHits(t.Context(), now)
		if err != nil {
			t.Fatal(err)
		}
		diff(t, "active hits", got, want)
	}
	active(noon, b, c, a) // by rank
	commitTo(t, l, Batch{Decisions: []policy.Decision{decide(policy.Extend, noon, extended), decide(policy.Release, noon, b)}})
	active(noon, c, extended)
	active(noon.Add(time.Minute), extended)  // c expired
	active(time.Time{}, c, extended)         // and nobody has released it
	active(later.Add(time.Hour))             // the very moment is past
	active(later.Add(time.Hour-1), extended) // the one before is not
	commitTo(t, l, Batch{Decisions: []policy.Decision{decide(policy.Block, later, b)}})
	active(noon, b, c, extended)
}

func TestDecisionsComeNewestFirst(t *testing.T) {
	l := memory(t)
	var all []policy.Decision
	for i := range 6 {
		d := decide(policy.Block, noon.Add(time.Duration(i)*time.Minute), nameHit(fmt.Sprintf("k%d.com", i%3), 1, noon))
		all = append(all, d)
		commitTo(t, l, Batch{Decisions: []policy.Decision{d}})
	}
	slices.Reverse(all)
	f := func(since time.Time, limit int, want []policy.Decision) {
		t.Helper()
		got, err := l.Decisions(t.Context(), since, limit)
		if err != nil {
			t.Fatal(err)
		}
		diff(t, "decisions", got, want)
	}
	f(time.Time{}, 0, all)
	f(time.Time{}, 2, all[:2])
	f(noon.Add(4*time.Minute), 0, all[:2])
	f(noon.Add(time.Hour), 0, nil)
}

func TestTheLastDecisionsAreOnePerKeyAndIncludeWhatStillStands(t *testing.T) {
	l := memory(t)
	a, b, c := nameHit("a.com", 1, noon), nameHit("b.com", 1, noon), nameHit("c.com", 1, noon)
	at := func(hour int) time.Time { return noon.Add(time.Duration(hour) * time.Hour) }
	standing := decide(policy.Block, at(0), a)
	released := decide(policy.Release, at(2), b)
	extended := decide(policy.Extend, at(3), c)
	commitTo(t, l, Batch{Decisions: []policy.Decision{
		standing, decide(policy.Block, at(0), b), decide(policy.Block, at(1), c), released, extended,
	}})
	f := func(since time.Time, want ...policy.Decision) {
		t.Helper()
		got, err := l.LastDecisions(t.Context(), since)
		if err != nil {
			t.Fatal(err)
		}
		diff(t, "last decisions", got, want)
	}
	f(at(0), extended, released, standing)
	f(at(2), extended, released, standing)
	f(at(4), extended, standing)
}

func TestFlaggedSightingsAreFoundByNameAndByClient(t *testing.T) {
	l := memory(t)
	a := sighting("a.com", "198.51.100.7", noon)
	b := sighting("a.com", "2001:db8:0:1::7", noon)
	c := sighting("b.com", "2001:db8:0:1:ffff::", noon)
	d := sighting("b.com", "", noon) // no address can be trusted
	commitTo(t, l, Batch{Hour: noon, Flagged: []evidence.Sighting{a, b, c, d}})
	f := func(domain, clients string, limit int, want ...evidence.Sighting) {
		t.Helper()
		var p netip.Prefix
		if clients != "" {
			p = netip.MustParsePrefix(clients)
		}
		got, err := l.FlaggedSightings(t.Context(), domain, p, limit)
		if err != nil {
			t.Fatal(err)
		}
		diff(t, domain+" "+clients, got, want)
	}
	f("", "", 0, d, c, b, a)
	f("", "", 1, d)
	f("a.com", "", 0, b, a)
	f("", "198.51.100.7/32", 0, a)
	f("", "198.51.100.0/24", 0, a)
	f("", "198.51.100.8/32", 0)
	f("", "2001:db8:0:1::/64", 0, c, b)
	f("", "2001:db8:0:1::/80", 0, b)
	f("a.com", "2001:db8:0:1::/64", 0, b)
	f("a.com' OR 1=1 --", "", 0)
}

func TestAFloodOfFlaggedSightingsIsCappedByTheHourAndInAll(t *testing.T) {
	l := memory(t)
	l.limits = limits{flagged: 5, flaggedPerHour: 4, saved: 10}
	flood := func(at time.Time, n int) {
		var s []evidence.Sighting
		for i := range n {
			s = append(s, sighting("a.com", "198.51.100.7", at.Add(time.Duration(i))))
		}
		commitTo(t, l, Batch{Hour: at, Flagged: s})
	}
	flood(noon, 3)
	flood(noon, 3)
	flood(noon, 3)
	diff(t, "first hour", counts(t, l, noon), map[string]uint64{CountFlaggedKept: 4, CountFlaggedLeftOut: 5})
	next := noon.Add(time.Hour)
	flood(next, 4)
	got, err := l.FlaggedSightings(t.Context(), "", netip.Prefix{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 5 || got[0].Time != next.Add(3).UnixNano() || got[4].Time != noon.UnixNano() {
		t.Errorf("kept %d, want the newest 5: %v", len(got), got)
	}
}

func TestSavedNamesAreAddedUpAndKeepOnlyTheLastSeen(t *testing.T) {
	l := memory(t)
	l.limits.saved = 2
	save := func(domain string, at time.Time) evidence.Sighting {
		s := sighting(domain, "198.51.100.7", at)
		s.Exempt = true
		return s
	}
	f := func(want ...Saved) {
		t.Helper()
		got, err := l.SavedNames(t.Context(), noon)
		if err != nil {
			t.Fatal(err)
		}
		diff(t, "saved names", got, want)
	}
	a := Saved{Domain: "doubleclick.net", First: noon, Last: noon.Add(time.Hour), Sightings: 3, Score: 8.31, Tail: 2.3e-5}
	b := Saved{Domain: "fbcdn.net", First: noon.Add(time.Minute), Last: noon.Add(time.Minute), Sightings: 1, Score: 8.31, Tail: 2.3e-5}
	commitTo(t, l, Batch{Hour: noon, Flagged: []evidence.Sighting{
		save(a.Domain, noon.Add(time.Second)), save(b.Domain, b.First), save(a.Domain, noon),
	}})
	commitTo(t, l, Batch{Hour: noon, Flagged: []evidence.Sighting{save(a.Domain, a.Last)}})
	f(a, b)
	c := Saved{Domain: "gstatic.com", First: a.Last, Last: a.Last, Sightings: 1, Score: 8.31, Tail: 2.3e-5}
	commitTo(t, l, Batch{Hour: noon, Flagged: []evidence.Sighting{save(c.Domain, c.First)}})
	f(a, c)
	if kept, err := l.FlaggedSightings(t.Context(), "", netip.Prefix{}, 0); err != nil || len(kept) > 0 {
		t.Errorf("single sightings of exempt names are kept: %v (%v)", kept, err)
	}
}

func TestEvidenceRowsAreReplacedAndDeleted(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l, err := Memory(t.Context())
		if err != nil {
			rt.Fatal(err)
		}
		defer l.Close()
		want := map[string]evidence.Row{}
		row := rapid.Custom(func(rt *rapid.T) evidence.Row {
			r := evidence.Row{
				Kind: rapid.SampledFrom([]string{evidence.KindName, evidence.KindClient}).Draw(rt, "kind"),
				Key:  rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(rt, "key"),
			}
			if rapid.Bool().Draw(rt, "kept") {
				r.Seen = time.Unix(0, rapid.Int64Range(1, 1e18).Draw(rt, "seen")).UTC()
				r.Data = append([]byte{}, rapid.SliceOf(rapid.Byte()).Draw(rt, "data")...)
			}
			return r
		})
		for _, rows := range rapid.SliceOfN(rapid.SliceOf(row), 1, 5).Draw(rt, "commits") {
			if err := l.Commit(t.Context(), Batch{Rows: rows}); err != nil {
				rt.Fatal(err)
			}
			for _, r := range rows {
				if want[r.Kind+r.Key] = r; r.Data == nil {
					delete(want, r.Kind+r.Key)
				}
			}
		}
		got := map[string]evidence.Row{}
		for r, err := range l.Evidence(t.Context()) {
			if err != nil {
				rt.Fatal(err)
			}
			got[r.Kind+r.Key] = r
		}
		diff(t, "evidence", got, want)
	})
}

func TestALoopOverTheEvidenceMayWrite(t *testing.T) {
	l := memory(t)
	var rows []evidence.Row
	for i := range 2500 { // three pages
		rows = append(rows, evidence.Row{Kind: evidence.KindName, Key: fmt.Sprint(i), Seen: noon, Data: []byte{1}})
	}
	commitTo(t, l, Batch{Rows: rows})
	n := 0
	for r, err := range l.Evidence(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		r.Data = nil
		if n++; n%100 == 0 {
			commitTo(t, l, Batch{Rows: []evidence.Row{r}})
		}
	}
	if n != 2500 {
		t.Errorf("got %d rows, want 2500", n)
	}
}

func TestAReaderSeesWholeBatchesWhileTheOwnerWrites(t *testing.T) {
	dir := t.TempDir()
	l, r := owner(t, dir), reader(t, dir)
	const batches = 200
	var writing sync.WaitGroup
	writing.Go(func() {
		for i := range batches {
			d := decide(policy.Block, noon, nameHit(fmt.Sprintf("k%d.com", i), 1, noon.Add(time.Hour)))
			e := decide(policy.Block, noon, clientHit(fmt.Sprintf("198.51.100.%d/32", i), 1, noon.Add(time.Hour)))
			if err := l.Commit(t.Context(), Batch{Decisions: []policy.Decision{d, e}}); err != nil {
				t.Error(err)
			}
		}
	})
	for last := 0; last < 2*batches && !t.Failed(); {
		hits, err := r.ActiveHits(t.Context(), noon)
		if err != nil {
			t.Fatal(err)
		}
		if len(hits)%2 != 0 || len(hits) < last {
			t.Fatalf("%d hits after %d: half a batch, or fewer than before", len(hits), last)
		}
		last = len(hits)
	}
	writing.Wait()
}
