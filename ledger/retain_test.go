package ledger

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"referee/evidence"
	"referee/policy"
	"referee/waf"
)

var usual = Config{Retain: 30 * 24 * time.Hour, RetainDays: 365 * 24 * time.Hour, MaxSize: 1024, Clients: ClientsTruncated}

const days = 24 * time.Hour

func tidy(t testing.TB, l *Ledger, cfg Config, now time.Time) {
	t.Helper()
	for range 10_000 {
		more, err := l.Maintain(t.Context(), cfg, now)
		if err != nil {
			t.Fatal(err)
		}
		if !more {
			return
		}
	}
	t.Fatal("retention never comes to an end")
}

func TestHoursAreAddedUpToDaysAndDaysAreDeleted(t *testing.T) {
	l := memory(t)
	first := noon.Truncate(days)
	for h := range 60 {
		commitTo(t, l, Batch{Hour: first.Add(time.Duration(h) * time.Hour), Counts: map[string]uint64{"requests": 1}})
	}
	f := func(now time.Time, want ...Hour) {
		t.Helper()
		tidy(t, l, usual, now)
		got, err := l.Hours(t.Context(), first)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) > len(want) {
			got = got[:len(want)]
		}
		diff(t, "hours", got, want)
	}
	requests := func(n uint64) map[string]uint64 { return map[string]uint64{"requests": n} }
	f(first.Add(usual.Retain+days-1), Hour{Start: first, Counts: requests(1)})
	f(first.Add(usual.Retain+days), Hour{Start: first, Day: true, Counts: requests(24)}, Hour{Start: first.Add(days), Counts: requests(1)})
	f(first.Add(usual.Retain+3*days), Hour{Start: first, Day: true, Counts: requests(24)},
		Hour{Start: first.Add(days), Day: true, Counts: requests(24)}, Hour{Start: first.Add(2 * days), Day: true, Counts: requests(12)})
	f(first.Add(usual.RetainDays+days), Hour{Start: first.Add(days), Day: true, Counts: requests(24)})
	tidy(t, l, usual, first.Add(usual.RetainDays+5*days))
	if got := counts(t, l, first); len(got) != 0 {
		t.Errorf("after a year there is still %v", got)
	}
}

func TestWhatIsTooOldGoesAndWhatStandsStays(t *testing.T) {
	l := memory(t)
	ctx := t.Context()
	name := func(i int) policy.Hit { return nameHit(fmt.Sprintf("k%d.com", i), 1, noon.Add(1000*days)) }
	for i := range 1200 { // three steps
		if commitTo(t, l, Batch{Decisions: []policy.Decision{decide(policy.Block, noon, name(i))}}); i%400 == 0 {
			if _, err := l.Label(ctx, policy.Label{Name: name(i).Domain, Says: policy.SaysDGA, Time: noon}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := 1; i < 1200; i++ { // all but one are released
		commitTo(t, l, Batch{Decisions: []policy.Decision{decide(policy.Release, noon, name(i))}})
	}
	for _, o := range []waf.Order{
		{Time: noon, Verb: waf.OrderUnblock, Values: []string{"203.0.113.77/32"}},
		{Time: noon, Verb: waf.OrderUnblock, Values: []string{"b.com"}, Until: noon.Add(days)},
	} {
		if _, err := l.Order(ctx, o); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Forget(ctx, netip.MustParsePrefix("203.0.113.77/32"), "alice", noon); err != nil {
		t.Fatal(err)
	}
	old := propose(t, l, generation(waf.SetIPv4, nil, nil))
	latest := propose(t, l, generation(waf.SetIPv4, nil, nil))
	commitTo(t, l, Batch{Hour: noon, Flagged: []evidence.Sighting{sighting("a.com", "198.51.100.7", noon)}})
	saved := sighting("a.com", "198.51.100.7", noon)
	saved.Exempt = true
	commitTo(t, l, Batch{Hour: noon, Flagged: []evidence.Sighting{saved}})
	before := whole(t, l)

	tidy(t, l, usual, noon.Add(364*days))
	if v := whole(t, l, before.Head); v.Decisions != before.Decisions || v.Pruned != 0 {
		t.Errorf("pruned before a year was over: %+v", v)
	}
	if got, err := l.FlaggedSightings(ctx, "", netip.Prefix{}, 0); err != nil || len(got) != 0 {
		t.Errorf("a flagged request is kept for longer than retain: %v %v", got, err)
	}
	if got, err := l.SavedNames(ctx, time.Time{}); err != nil || len(got) != 0 {
		t.Errorf("a saved name is kept for longer than retain: %v %v", got, err)
	}

	tidy(t, l, usual, noon.Add(367*days))
	v := whole(t, l)
	if v.Decisions != 1 || v.Orders != 1 || v.Labels != 3 || v.Forgotten != 1 || v.Pruned == 0 {
		t.Errorf("after a year there is %+v", v)
	}
	if hits, err := l.ActiveHits(ctx, noon); err != nil || len(hits) != 1 || hits[0].Domain != "k0.com" {
		t.Errorf("the hit that stands is gone: %v %v", hits, err)
	}
	if _, err := l.Generation(ctx, old.ID); err == nil {
		t.Error("an old generation is still there")
	}
	if _, err := l.Generation(ctx, latest.ID); err != nil {
		t.Error(err)
	}
	commitTo(t, l, Batch{Decisions: []policy.Decision{decide(policy.Release, noon.Add(800*days), name(0))}})
	tidy(t, l, usual, noon.Add(800*days)) // the records of pruning are pruned too
	if v := whole(t, l); v.Decisions != 1 || v.Links > 8 {
		t.Errorf("in the third year there is %+v", v)
	}
}

func TestTamperingWithAPrunedAndAgedLedgerIsFoundToo(t *testing.T) {
	l := memory(t)
	eventful(t, l)
	tidy(t, l, usual, noon.Add(2*time.Hour)) // the released ones lose their hosts
	commitTo(t, l, Batch{Decisions: []policy.Decision{decide(policy.Block, noon.Add(400*days), nameHit("late.com", 1, noon.Add(401*days)))}})
	aged := whole(t, l)
	if aged.Aged == 0 {
		t.Fatalf("no address has aged: %+v", aged)
	}
	tampered := func(head Head) {
		t.Helper()
		rapid.Check(t, func(rt *rapid.T) {
			tx, err := l.write.Begin()
			if err != nil {
				rt.Fatal(err)
			}
			defer tx.Rollback()
			did := tampering(rt, tx)
			if v, err := verify(t.Context(), tx, []Head{head}, nil); err != nil || did != "" && v.Wrong == 0 {
				rt.Fatalf("not found: %s (%v)", did, err)
			}
		})
	}
	tampered(aged.Head)
	tidy(t, l, usual, noon.Add(400*days))
	pruned := whole(t, l)
	if pruned.Pruned == 0 || pruned.Decisions >= aged.Decisions {
		t.Fatalf("nothing was pruned: %+v", pruned)
	}
	tampered(pruned.Head)
}

func TestAddressesAreKeptAsTheOwnerChose(t *testing.T) {
	f := func(clients, active, expired, flagged string) {
		t.Helper()
		l := memory(t)
		if _, err := l.EvidenceKey(t.Context()); err != nil {
			t.Fatal(err)
		}
		on, off := clientHit("203.0.113.77/32", 2, noon.Add(9*days)), clientHit("2001:db8:1:2::/64", 1, noon.Add(time.Hour))
		commitTo(t, l, Batch{Hour: noon, Decisions: []policy.Decision{
			{Time: noon, Action: policy.Block, Hit: on}, {Time: noon, Action: policy.Block, Hit: off}, {Time: noon, Action: policy.Release, Hit: off},
		}, Flagged: []evidence.Sighting{
			sighting("a.com", "203.0.113.77", noon), sighting("b.com", "203.0.113.78", noon), sighting("c.com", "", noon),
		}})
		cfg := usual
		cfg.Clients = clients
		now := noon.Add(30 * time.Minute) // nothing has expired yet
		for _, step := range []string{"at once", "later"} {
			tidy(t, l, cfg, now)
			whole(t, l)
			decisions, err := l.Decisions(t.Context(), time.Time{}, 0)
			if err != nil || len(decisions) != 3 {
				t.Fatal(decisions, err)
			}
			seen, err := l.FlaggedSightings(t.Context(), "", netip.Prefix{}, 0)
			if err != nil || len(seen) != 3 {
				t.Fatal(seen, err)
			}
			want := []string{active, expired, active, flagged}
			if step == "at once" {
				want = []string{"203.0.113.77/32", "2001:db8:1:2::/64", "203.0.113.77/32", "203.0.113.78"}
			}
			got := []string{
				decisions[2].Hit.Client.String(), decisions[0].Hit.Client.String(), seen[2].Client.String() + "/32", seen[1].Client.String(),
			}
			for i := range want {
				if !strings.HasPrefix(got[i], want[i]) {
					t.Errorf("%s, %s: kept as %q, want %q", clients, step, got, want)
					break
				}
			}
			now = noon.Add(2 * days)
		}
		if _, err := l.Forget(t.Context(), on.Client, "alice", now); err != nil {
			t.Fatal(err)
		}
		got, err := l.Forget(t.Context(), off.Client, "alice", now)
		if err != nil || clients != ClientsTruncated && got.Decisions != 2 {
			t.Errorf("%s: forgot %+v, %v", clients, got, err)
		}
		whole(t, l)
	}
	f(ClientsFull, "203.0.113.77/32", "2001:db8:1:2::/64", "203.0.113.78")
	f(ClientsTruncated, "203.0.113.77/32", "2001:db8:1::/48", "203.0.113.0")
	f(ClientsHashed, "203.0.113.77/32", "100::", "100::")
}

func TestALedgerOverItsSizeLosesTheOldestFirst(t *testing.T) {
	l := memory(t)
	fill := func(n int) {
		var b Batch
		b.Hour = noon
		for i := range 2000 {
			s := sighting(fmt.Sprintf("k%d.com", i), "198.51.100.7", noon)
			s.Example = &evidence.Example{Referer: strings.Repeat("r", 256), Agent: strings.Repeat("a", 256), Path: strings.Repeat("p", 256)}
			b.Flagged = append(b.Flagged, s)
			h := nameHit(fmt.Sprintf("n%dk%d.com", n, i), 1, noon)
			h.Reasons = []string{strings.Repeat("reason", 100)}
			b.Decisions = append(b.Decisions, decide(policy.Block, noon, h), decide(policy.Release, noon, h))
		}
		commitTo(t, l, b)
	}
	l.limits.flaggedPerHour = 1 << 30
	for n := range 20 {
		fill(n)
	}
	cfg := usual
	cfg.MaxSize = 64
	size := func() int64 {
		var pages, free, size int64
		err := l.read.QueryRow(`SELECT c.page_count, f.freelist_count, s.page_size FROM pragma_page_count c, pragma_freelist_count f,
			pragma_page_size s`).Scan(&pages, &free, &size)
		if err != nil {
			t.Fatal(err)
		}
		return (pages - free) * size
	}
	if size() < 64<<20 {
		t.Fatalf("the test fills only %d bytes", size())
	}
	tidy(t, l, cfg, noon)
	if got := size(); got > 64<<20 || got < 32<<20 {
		t.Errorf("%d bytes are in use", got)
	}
	whole(t, l)
}
