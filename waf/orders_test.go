package waf

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"referee/policy"
	"referee/waf/waftest"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

func (r *rig) order(o Order) int64 {
	r.Helper()
	id, err := r.journal.Order(r.Context(), o)
	must(r, err)
	return id
}

func holdAndResume(r *rig) {
	hits := []policy.Hit{nameHit("kq3v9z.com", 2, time.Hour), nameHit("xw81tt.com", 1, day)}
	r.tick(start, hits...)
	r.order(Order{Time: in(time.Minute), Verb: OrderHold, Why: "a release is going out"})
	hits = append(hits, nameHit("zz98pp.com", 9, day), clientHit("198.51.100.7/32", 1, day))
	r.restart()
	plan := r.tick(in(2*time.Hour), hits...)
	r.holds(SetNames, pattern("xw81tt.com")) // one has expired: hold keeps nothing
	r.holds(SetIPv4)
	if p := plan.Changes[0].Postponed; len(p) != 1 || p[0].Value != "zz98pp.com" || !strings.Contains(p[0].Why, "a release is going out") {
		r.Errorf("postponed: %+v", p)
	}
	r.order(Order{Time: in(3 * time.Hour), Verb: OrderResume})
	r.tick(in(3*time.Hour), hits...)
	r.holds(SetNames, pattern("xw81tt.com", "zz98pp.com"))
	r.holds(SetIPv4, "198.51.100.7/32")
}

func withdraw(r *rig) {
	hits := []policy.Hit{nameHit("kq3v9z.com", 2, day), clientHit("198.51.100.7/32", 1, day)}
	r.overwrite(SetIPv4, "203.0.113.9/32")
	r.tick(start, hits...)
	r.order(Order{Time: in(time.Minute), Verb: OrderWithdraw})
	r.tick(in(time.Minute), append(hits, nameHit("xw81tt.com", 1, day))...)
	r.holds(SetNames)
	r.holds(SetIPv4) // what was adopted counts as own
	r.tick(in(2*time.Minute), hits...)
	r.holds(SetNames)
	r.order(Order{Time: in(time.Hour), Verb: OrderResume})
	r.tick(in(time.Hour), hits...)
	r.holds(SetNames, pattern("kq3v9z.com"))
}

func unblock(r *rig) {
	hits := []policy.Hit{nameHit("kq3v9z.com", 2, 9*day), nameHit("xw81tt.com", 1, 9*day), clientHit("198.51.100.7/32", 1, 9*day)}
	r.tick(start, hits...)
	r.order(Order{Time: in(time.Minute), Verb: OrderUnblock, Values: []string{"kq3v9z.com", "198.51.100.7/32"}, Until: in(2 * day)})
	plan := r.tick(in(time.Minute), hits...)
	r.holds(SetNames, pattern("xw81tt.com"))
	r.holds(SetIPv4)
	if d := plan.Changes[0].Dropped; len(d) != 1 || !strings.Contains(d[0].Why, "unblock") {
		r.Errorf("dropped: %+v", d)
	}
	r.restart()
	r.tick(in(day), hits...)
	r.holds(SetNames, pattern("xw81tt.com"))
	r.tick(in(2*day), hits...)
	r.holds(SetNames, pattern("kq3v9z.com", "xw81tt.com"))
}

func rollback(r *rig) {
	old, lasting := nameHit("old1.com", 2, day), nameHit("kept1.com", 2, 9*day)
	r.tick(start, old, lasting)
	r.tick(in(time.Minute), lasting, nameHit("new1.com", 2, 9*day), nameHit("new2.com", 2, 9*day))
	r.holds(SetNames, pattern("kept1.com", "new1.com", "new2.com"))
	r.order(Order{
		Time: in(time.Hour), Verb: OrderRollback, Until: in(5 * day), Values: []string{"new1.com", "new2.com"},
		Entries: []Entry{entry(SetNames, "old1.com", 2, day)},
	})
	hits := []policy.Hit{lasting, nameHit("new1.com", 2, 9*day), nameHit("new2.com", 2, 9*day)}
	r.tick(in(time.Hour), hits...)
	r.holds(SetNames, pattern("old1.com", "kept1.com"))
	r.restart()
	r.tick(in(day), hits...) // what came back expires as it would have
	r.holds(SetNames, pattern("kept1.com"))
	r.tick(in(5*day), hits...)
	r.holds(SetNames, pattern("kept1.com", "new1.com", "new2.com"))
}

func approval(r *rig) {
	r.cfg.Approve = "manual"
	var told []Notice
	r.restart()
	r.updater.Notify(func(n Notice) { told = append(told, n) })
	hits := []policy.Hit{nameHit("kq3v9z.com", 2, day), clientHit("198.51.100.7/32", 1, time.Hour)}
	for range 3 {
		r.tick(start, hits...)
	}
	r.holds(SetNames)
	if len(r.journal.orders) != 1 || len(told) != 3 || told[0] != told[2] || told[0].About != AboutApproval || told[0].Key != "1" ||
		!strings.Contains(told[0].Text, "+ names kq3v9z.com") || !strings.Contains(told[0].Text, "approve 1") {
		r.Fatalf("%d requests, told %+v", len(r.journal.orders), told)
	}
	r.restart()
	told = nil
	r.updater.Notify(func(n Notice) { told = append(told, n) })
	more := append(hits, nameHit("xw81tt.com", 1, day))
	r.tick(in(time.Minute), more...)
	if len(r.journal.orders) != 2 || len(r.journal.orders[1].Entries) != 1 {
		r.Errorf("asked again for what was asked already: %+v", r.journal.orders)
	}
	r.order(Order{Time: in(2 * time.Minute), Verb: OrderApprove, Of: 1})
	r.tick(in(2*time.Minute), more...)
	r.holds(SetNames, pattern("kq3v9z.com"))
	r.holds(SetIPv4, "198.51.100.7/32")
	if last := told[len(told)-1]; !last.Over || last.Key != "1" {
		r.Errorf("approved, and told %+v", last)
	}
	r.tick(in(time.Hour), more...) // an approval keeps nothing beyond its expiry
	r.holds(SetIPv4)
}

func force(r *rig) {
	hits := hitsOf("a1.com", "a2.com", "a3.com")
	r.tick(start, hits...)
	r.fails(ClassRefused, in(time.Minute))
	id := r.order(Order{Time: in(2 * time.Minute), Verb: OrderForce})
	r.tick(in(2 * time.Minute))
	r.holds(SetNames)
	if !r.journal.carried[id] {
		r.Error("force stays in force")
	}
	r.tick(in(3*time.Minute), hits...)
	r.fails(ClassRefused, in(4*time.Minute))
}

// forceLater has each set forced once, in the tick in which it can be.
func forceLater(r *rig) {
	hits := append(hitsOf("a1.com", "a2.com", "a3.com"), clientHit("198.51.100.7/32", 1, day))
	r.tick(start, hits...)
	refs := r.cfg.NamesSet
	r.cfg.NamesSet = SetList{"gone/12345678-1234-1234-1234-123456789012"}
	r.restart()
	id := r.order(Order{Time: in(time.Minute), Verb: OrderForce})
	r.fails(ClassMissing, in(time.Minute))
	r.holds(SetIPv4)
	if r.journal.carried[id] {
		r.Error("marked as carried out, and one set was not read")
	}
	r.updater.breakers = map[SetKind]*breaker{}
	r.fails(ClassMissing, in(2*time.Minute), hits...) // the clients' set has had its turn
	_, err := r.updater.RunOnce(r.Context(), hits[:3], nil, in(3*time.Minute))
	if !strings.Contains(fmt.Sprint(err), "ipv4 set: 1 of 1 entries") {
		r.Errorf("forced twice: %v", err)
	}
	r.cfg.NamesSet = refs
	r.updater.remotes[SetNames] = r.remotes(SetNames)
	r.updater.breakers = map[SetKind]*breaker{}
	r.tick(in(4*time.Minute), hits[3])
	r.holds(SetNames)
	r.holds(SetIPv4, "198.51.100.7/32")
	if !r.journal.carried[id] {
		r.Error("force stays in force")
	}
}

func maxAdds(r *rig) {
	r.cfg.MaxAdds = 3
	r.restart()
	hits := hitsOf("a1.com", "a2.com", "a3.com", "a4.com", "a5.com")
	hits = append(hits, clientHit("198.51.100.7/32", 1, day))
	plan := r.tick(start, hits...)
	r.holds(SetNames, pattern("a1.com", "a2.com", "a3.com"))
	r.holds(SetIPv4)
	if c := plan.Changes[0]; len(c.Postponed) != 2 || !strings.Contains(c.Postponed[0].Why, "waf.max-adds") {
		r.Errorf("postponed: %+v", c.Postponed)
	}
	r.restart() // a new process has the same hour
	r.tick(in(59*time.Minute), hits...)
	r.holds(SetNames, pattern("a1.com", "a2.com", "a3.com"))
	if got := testutil.ToFloat64(r.updater.metrics.held.WithLabelValues("max-adds")); got != 1 {
		r.Errorf("the metric says %v", got)
	}
	r.tick(in(61*time.Minute), hits...)
	r.holds(SetNames, pattern("a1.com", "a2.com", "a3.com", "a4.com", "a5.com"))
	r.holds(SetIPv4, "198.51.100.7/32")
}

func maxShare(r *rig) {
	r.cfg.MaxShare = 0.005
	r.restart()
	unflagged := map[string]float64{"198.51.100.7/32": 400, "198.51.100.8/32": 90}
	r.updater.Measure(func(p netip.Prefix) (float64, float64) { return unflagged[p.String()], 90_000 })
	hits := []policy.Hit{nameHit("kq3v9z.com", 1, day), clientHit("198.51.100.7/32", 2, day), clientHit("198.51.100.8/32", 1, day)}
	plan := r.tick(start, hits...)
	r.holds(SetNames, pattern("kq3v9z.com")) // names hit nobody's other requests
	r.holds(SetIPv4)
	if p := plan.Changes[1].Postponed; len(p) != 2 || !strings.Contains(p[0].Why, "waf.max-share") {
		r.Errorf("postponed: %+v", p)
	}
	held := r.journal.troubles[LimitShare]
	if held == nil || held.Class != ClassHeld || !strings.Contains(held.Error, "waf.max-share") {
		r.Fatalf("noted for those outside: %+v", held)
	}
	outside := r.updater
	r.restart()
	r.updater.HoldClients(held.Error) // as `referee waf plan` does
	if p := r.tick(start, hits...).Changes[1].Postponed; len(p) != 2 || p[0].Why != held.Error {
		r.Errorf("seen from outside: %+v", p)
	}
	r.updater = outside
	r.tick(in(time.Minute), hits[0], hits[2]) // 90 of 90,000 is within
	r.holds(SetIPv4, "198.51.100.8/32")
	if r.journal.troubles[LimitShare] != nil {
		r.Error("it is noted still")
	}
	r.restart() // a start forgets the hour: what few requests say is not enough
	r.updater.Measure(func(p netip.Prefix) (float64, float64) { return unflagged[p.String()] / 4, 900 })
	r.tick(in(2*time.Minute), hits...)
	r.holds(SetIPv4, "198.51.100.7/32", "198.51.100.8/32")
}

func shared(r *rig) {
	r.cfg.SharedSets = true
	r.restart()
	foreign, like := `^evil.*regex$`, pattern("kq3v9z.com", "other1.net") // one that another Referee may have put there
	r.overwrite(SetNames, foreign, like)
	r.overwrite(SetIPv4, "203.0.113.0/24", "198.51.100.7/32", "10.0.0.0/8")
	hits := []policy.Hit{nameHit("xw81tt.com", 1, time.Hour), clientHit("198.51.100.7/32", 1, time.Hour), clientHit("198.51.100.8/32", 1, time.Hour)}
	none := func(h policy.Hit) bool { return h.Client == netip.MustParsePrefix("10.0.0.0/8") }
	_, err := r.updater.RunOnce(r.Context(), hits, none, start)
	must(r, err)
	r.holds(SetNames, foreign, like, pattern("xw81tt.com"))
	r.holds(SetIPv4, "203.0.113.0/24", "198.51.100.7/32", "198.51.100.8/32", "10.0.0.0/8")
	r.restart()
	r.order(Order{Time: in(time.Hour), Verb: OrderUnblock, Values: []string{"203.0.113.0/24"}, Until: in(day)})
	r.tick(in(time.Hour))
	r.holds(SetNames, foreign, like)
	r.holds(SetIPv4, "203.0.113.0/24", "198.51.100.7/32", "10.0.0.0/8")
	r.order(Order{Time: in(2 * time.Hour), Verb: OrderWithdraw})
	r.tick(in(30 * day))
	r.holds(SetIPv4, "203.0.113.0/24", "198.51.100.7/32", "10.0.0.0/8")
}

func sharedOwn(r *rig) {
	r.cfg.SharedSets = true
	hit := clientHit("198.51.100.7/32", 1, time.Hour)
	r.journal.settling = errPowerCut // written, and the process dies before it knows
	r.restart()
	r.fails(ClassJournal, start, hit)
	r.journal.settling = nil
	r.overwrite(SetIPv4, "198.51.100.7/32", "203.0.113.9/32") // another writer is next
	r.restart()
	r.tick(in(time.Minute), hit)
	r.restart()
	r.tick(in(time.Hour))
	r.holds(SetIPv4, "203.0.113.9/32")
	r.overwrite(SetIPv4, "203.0.113.9/32", "198.51.100.7/32") // later, somebody else blocks it
	r.restart()
	r.tick(in(2 * time.Hour))
	r.holds(SetIPv4, "203.0.113.9/32", "198.51.100.7/32")
}

func TestOrdersAddUp(t *testing.T) {
	f := func(want string, orders ...Order) {
		t.Helper()
		for i := range orders {
			orders[i].ID = int64(i + 1)
		}
		s := Fold(orders, start)
		got := fmt.Sprintf("held=%v kept=%d restored=%d approved=%d requests=%d force=%d",
			s.Held != nil, len(s.Kept), len(s.Restored), len(s.Approved), len(s.Requests), len(s.Force))
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	e := entry(SetNames, "a1.com", 1, day)
	f("held=false kept=0 restored=0 approved=0 requests=0 force=0")
	f("held=true kept=0 restored=0 approved=0 requests=0 force=0", Order{Verb: OrderHold}, Order{Verb: OrderResume}, Order{Verb: OrderWithdraw})
	f("held=false kept=0 restored=0 approved=0 requests=0 force=0", Order{Verb: OrderWithdraw}, Order{Verb: OrderResume})
	f("held=false kept=1 restored=0 approved=0 requests=0 force=0",
		Order{Verb: OrderUnblock, Values: []string{"a1.com"}, Until: in(day)}, Order{Verb: OrderUnblock, Values: []string{"b1.com"}, Until: start})
	f("held=false kept=1 restored=0 approved=0 requests=0 force=0",
		Order{Verb: OrderUnblock, Values: []string{"a1.com"}}, Order{Verb: OrderRollback, Entries: []Entry{e}})
	f("held=false kept=0 restored=1 approved=0 requests=0 force=0",
		Order{Verb: OrderRollback, Values: []string{"a1.com"}}, Order{Verb: OrderRollback, Entries: []Entry{e}})
	f("held=false kept=1 restored=0 approved=0 requests=0 force=0",
		Order{Verb: OrderRollback, Entries: []Entry{e}}, Order{Verb: OrderUnblock, Values: []string{"a1.com"}})
	f("held=false kept=0 restored=0 approved=0 requests=0 force=0", Order{Verb: OrderRollback, Entries: []Entry{entry(SetNames, "a1.com", 1, 0)}})
	f("held=false kept=0 restored=0 approved=0 requests=1 force=0", Order{Verb: OrderAsk, Entries: []Entry{e}}, Order{Verb: OrderApprove, Of: 9})
	f("held=false kept=0 restored=0 approved=1 requests=0 force=1", Order{Verb: OrderAsk, Entries: []Entry{e}}, Order{Verb: OrderApprove, Of: 1}, Order{Verb: OrderForce})
}

func TestASetThatCannotBeWrittenIsLeftAloneForAWhileAndItsBacklogKept(t *testing.T) {
	credentialsFromEnvironment(t)
	broken := true
	server := serve(t, waftest.WithFaults(func(c waftest.Call) waftest.Fault {
		if broken && c.Action == "UpdateRegexPatternSet" {
			return waftest.Fault{Code: "AccessDeniedException"}
		}
		return waftest.Fault{}
	}))
	r := newRig(t, server.URL())
	for i := range 6 {
		hits := append(hitsOf("kq3v9z.com", "xw81tt.com")[:1+i/4], clientHit("198.51.100.7/32", 1, day))
		r.fails(ClassDenied, in(time.Duration(i)*10*time.Second), hits...)
	}
	if got := answered(server, "UpdateRegexPatternSet"); got != "AccessDeniedException" {
		t.Errorf("it was called again and again: %s", got)
	}
	trouble := r.journal.troubles[SetNames]
	if trouble == nil || trouble.Class != ClassDenied || !trouble.Until.Equal(in(time.Minute)) {
		t.Errorf("the ledger says %+v", trouble)
	}
	if got := testutil.ToFloat64(r.updater.metrics.breaker.WithLabelValues("names")); got != 1 {
		t.Errorf("the metric says %v", got)
	}
	r.holds(SetIPv4, "198.51.100.7/32")
	broken = false
	r.tick(in(time.Minute), append(hitsOf("kq3v9z.com", "xw81tt.com"), clientHit("198.51.100.7/32", 1, day))...)
	r.holds(SetNames, pattern("kq3v9z.com", "xw81tt.com"))
	if r.journal.troubles[SetNames] != nil || testutil.ToFloat64(r.updater.metrics.breaker.WithLabelValues("names")) != 0 {
		t.Error("it is in trouble still")
	}
}

func TestTwentyUpdatersOnOneSharedSetLoseNoUpdate(t *testing.T) {
	credentialsFromEnvironment(t)
	r := newRig(t, serve(t).URL(), func(c *Config) { c.SharedSets = true })
	const writers = 20
	done := make(chan error, writers)
	var want []string
	for i := range writers {
		other := &rig{T: t, client: r.client, api: r.client, cfg: r.cfg, journal: &memory{}}
		other.cfg.NamesSet, other.cfg.IPv6Set = nil, ""
		other.restart()
		var hits []policy.Hit
		for n := range 5 {
			hits = append(hits, clientHit(fmt.Sprintf("198.51.%d.%d/32", i, n), 1, day))
			want = append(want, hits[n].Client.String())
		}
		go func() {
			var err error
			for n := range 40 { // a tick gives up after some conflicts, and the next goes on
				if _, err = other.updater.RunOnce(t.Context(), hits[:min(len(hits), n+1)], nil, in(time.Duration(n)*time.Second)); err == nil && n >= len(hits) {
					break
				}
			}
			done <- err
		}()
	}
	for range writers {
		must(t, <-done)
	}
	slices.Sort(want)
	r.holds(SetIPv4, want...)
}
