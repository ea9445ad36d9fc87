package waf

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"referee/policy"
	"referee/waf/waftest"

	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"
)

func TestARollbackIsTheWayFromNowToThen(t *testing.T) {
	names := func(hours int, values ...string) Generation {
		g := Generation{Set: SetNames}
		for _, v := range values {
			g.Entries = append(g.Entries, entry(SetNames, v, 1, time.Duration(hours)*time.Hour))
		}
		return g
	}
	type past struct {
		then, now Generation
		orders    []Order
		hits      []policy.Hit
	}
	f := func(what string, p past, leave, out, back []string) {
		t.Helper()
		for i := range p.orders {
			p.orders[i].ID = int64(i + 1)
		}
		exempt := func(h policy.Hit) bool { return h.Domain == "exempt.com" }
		r := RollBack([]Generation{p.then}, []Generation{p.now}, Fold(p.orders, start), p.hits, exempt, start)
		var got []string
		for _, e := range r.Back {
			got = append(got, e.Value)
		}
		if !slices.Equal(r.Leave, leave) || !slices.Equal(r.Out, out) || !slices.Equal(got, back) {
			t.Errorf("%s: %q leave, %q stay out, %q come back; want %q, %q, %q", what, r.Leave, r.Out, got, leave, out, back)
		}
	}
	none := Generation{Set: SetNames}
	a, b := "a1.com", "b1.com"
	hit := hitsOf
	rolled := func(values ...string) Order { return Order{Verb: OrderRollback, Values: values} }
	unblocked := func(values ...string) Order { return Order{Verb: OrderUnblock, Values: values} }

	f("what came leaves, what left comes back", past{then: names(1, a), now: names(1, b)}, []string{b}, nil, []string{a})
	f("what stands stays", past{then: names(1, a), now: names(1, a)}, nil, nil, nil)
	f("what expired does not come back", past{then: names(0, a), now: none}, nil, nil, nil)
	f("but a hit extends it", past{then: names(0, a), now: none, hits: hit(a)}, nil, nil, []string{a})
	f("so does an earlier rollback", past{then: names(0, a), now: none, orders: []Order{{Verb: OrderRollback, Entries: names(1, a).Entries}}}, nil, nil, []string{a})
	f("what is exempt does not come back", past{then: names(1, "exempt.com"), now: none}, nil, nil, nil)
	f("what is unblocked does not", past{then: names(1, a), now: none, hits: hit(a), orders: []Order{unblocked(a)}}, nil, nil, nil)
	f("nor after a rollback of it", past{then: names(1, a), now: none, hits: hit(a), orders: []Order{unblocked(a), rolled(a)}}, nil, nil, nil)
	f("what another rollback keeps out does", past{then: names(1, a), now: none, orders: []Order{rolled(a)}}, nil, nil, []string{a})
	f("also before that is carried out", past{then: names(1, a), now: names(1, a), orders: []Order{rolled(a)}}, nil, nil, []string{a})
	f("a hit without a place stays out", past{then: names(1, a), now: names(1, a), hits: hit(a, b)}, nil, []string{b}, nil)
	f("so does what an earlier rollback brought", past{then: none, now: none, orders: []Order{{Verb: OrderRollback, Entries: names(1, a).Entries}}}, nil, []string{a}, nil)
	f("withdrawn sets are as good as empty", past{then: names(1, a), now: names(1, a, b), hits: hit(a, b), orders: []Order{{Verb: OrderWithdraw}}}, []string{b}, nil, []string{a})
	f("what others put there is theirs", past{then: none, now: Generation{Set: SetNames, Entries: []Entry{{Kind: SetNames, Value: a, Foreign: true}}}}, nil, nil, nil)
	f("items stand for the entries that no generation knows", past{then: Generation{Set: SetNames, After: []string{pattern(a)}}, now: names(1, a, b)}, []string{b}, nil, nil)
}

func TestARollbackCountsUntilWhatItBringsBackHasExpired(t *testing.T) {
	f := func(want time.Duration, standing Standing, back ...Entry) {
		t.Helper()
		if o := (Rollback{Back: back}).Order(standing, in(day)); !o.Until.Equal(in(want)) {
			t.Errorf("until %v, want %v", o.Until, in(want))
		}
	}
	a := entry(SetNames, "a1.com", 1, 2*day)
	f(day, Standing{})
	f(2*day, Standing{}, a)
	f(3*day, Standing{Kept: map[string]Order{"a1.com": {Verb: OrderRollback, Until: in(3 * day)}}}, a)
}

// TestRolledBackSetsHoldWhatStoodThenAndNothingElse makes short histories of hits, exemptions and orders, notes what AWS holds at
// each update, and goes back to one of them: from full sets, or from withdrawn ones.
func TestRolledBackSetsHoldWhatStoodThenAndNothingElse(t *testing.T) {
	credentialsFromEnvironment(t)
	rapid.Check(t, func(rt *rapid.T) {
		h := newHistory(t)
		for range rapid.IntRange(2, 6).Draw(rt, "ticks") {
			h.change(rt)
			h.tick()
		}
		if len(h.moments) == 0 {
			return
		}
		withdrawn := rapid.Bool().Draw(rt, "withdrawn")
		if withdrawn {
			h.order(Order{Verb: OrderWithdraw})
		}
		if !withdrawn || rapid.Bool().Draw(rt, "carried out") {
			h.tick()
		}
		to := h.moments[rapid.IntRange(0, len(h.moments)-1).Draw(rt, "to")]
		before := h.values()
		orders, _ := h.journal.Orders(t.Context(), h.now)
		standing := Fold(orders, h.now)
		r := RollBack(h.stoodAfter(to.generation), h.stoodAfter(1<<62), standing, h.hits(), h.exempts, h.now)
		h.order(r.Order(standing, h.now.Add(30*day)))
		h.tick()
		h.order(Order{Verb: OrderResume})
		h.tick()
		after := h.values()

		for v := range after {
			if !to.values[v] {
				rt.Errorf("%s stands, and did not after generation %d", v, to.generation)
			}
		}
		for v := range to.values {
			_, active := h.active[v]
			if active && !h.exempt[v] && standing.Kept[v].Verb != OrderUnblock && !after[v] {
				rt.Errorf("%s stood after generation %d, is a hit, and is not back", v, to.generation)
			}
		}
		for _, v := range slices.Concat(r.Leave, r.Out) {
			if after[v] {
				rt.Errorf("%s was to be out, and stands", v)
			}
		}
		back := map[string]bool{}
		for _, e := range r.Back {
			if back[e.Value] = true; !after[e.Value] {
				rt.Errorf("%s was to come back, and did not", e.Value)
			}
		}
		for v := range after {
			if (withdrawn || !before[v]) && !back[v] {
				rt.Errorf("%s came back, and nobody said so", v)
			}
		}
		for v := range before {
			if !withdrawn && !after[v] && !slices.Contains(r.Leave, v) {
				rt.Errorf("%s left, and nobody said so", v)
			}
		}
	})
}

// history is a rig whose sets' contents are noted at each update.
type history struct {
	*rig
	server  *waftest.Server
	now     time.Time
	active  map[string]policy.Hit // by value
	exempt  map[string]bool
	moments []moment
}

type moment struct {
	generation int64
	values     map[string]bool // that AWS held right after it
}

func newHistory(t *testing.T) *history {
	limits := waftest.AWSLimits()
	limits.Updates, limits.Reads = 1e6, 1e6
	h := &history{
		rig: &rig{T: t, journal: &memory{}}, server: waftest.New(waftest.WithLimits(limits)), now: start,
		active: map[string]policy.Hit{}, exempt: map[string]bool{},
	}
	names, err := h.server.CreateRegexPatternSet("names")
	must(t, err)
	four, err := h.server.CreateIPSet("v4", "IPV4")
	must(t, err)
	six, err := h.server.CreateIPSet("v6", "IPV6")
	must(t, err)
	h.cfg = Config{
		Mode: ModeEnforce, Writer: true, Scope: "REGIONAL", Region: "us-east-1", Endpoint: "http://waf.test", Interval: 10 * time.Second,
		Branches: 8, NamesSet: SetList{names.ARN}, IPv4Set: four.ARN, IPv6Set: six.ARN,
	}
	client, err := NewAPI(t.Context(), h.cfg)
	must(t, err)
	h.client = wafv2.New(client.Options(), func(o *wafv2.Options) { o.HTTPClient = inProcess{h.server} })
	h.api = noting{h.client, h}
	h.updater, err = New(h.cfg, h.api, h.journal, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	must(t, err)
	h.updater.reads.gap, h.updater.updates.gap = 0, 0
	return h
}

// noting notes what the sets hold after each update.
type noting struct {
	API
	history *history
}

func (n noting) UpdateIPSet(ctx context.Context, in *wafv2.UpdateIPSetInput, o ...func(*wafv2.Options)) (*wafv2.UpdateIPSetOutput, error) {
	defer n.history.note()
	return n.API.UpdateIPSet(ctx, in, o...)
}

func (n noting) UpdateRegexPatternSet(ctx context.Context, in *wafv2.UpdateRegexPatternSetInput, o ...func(*wafv2.Options)) (*wafv2.UpdateRegexPatternSetOutput, error) {
	defer n.history.note()
	return n.API.UpdateRegexPatternSet(ctx, in, o...)
}

func (h *history) note() {
	h.moments = append(h.moments, moment{int64(len(h.journal.generations)), h.values()}) // journaled just before
}

func (h *history) values() map[string]bool {
	all := map[string]bool{}
	for set, kind := range map[string]SetKind{"names": SetNames, "v4": SetIPv4, "v6": SetIPv6} {
		for _, found := range contents(State{Set: kind, Items: compact(h.server.Items(set))}) {
			all[found.Value] = true
		}
	}
	return all
}

// stoodAfter is the newest written generation of each set, as the ledger is asked for it.
func (h *history) stoodAfter(id int64) (stood []Generation) {
	seen := map[SetKind]bool{}
	for _, g := range slices.Backward(h.journal.generations) {
		if g.ID <= id && g.Outcome == Written && !seen[g.Set] {
			seen[g.Set] = true
			stood = append(stood, g)
		}
	}
	return stood
}

// change has hits come, be extended and be released, time pass, and the owner say something.
func (h *history) change(t *rapid.T) {
	h.now = h.now.Add(time.Duration(rapid.IntRange(1, 90).Draw(t, "minutes")) * time.Minute)
	for _, i := range rapid.SliceOfN(rapid.IntRange(0, 11), 0, 5).Draw(t, "hits") {
		expires := h.now.Sub(start) + time.Duration(rapid.IntRange(1, 240).Draw(t, "stays"))*time.Minute
		hit := nameHit(fmt.Sprintf("kq%dv9z.com", i), float64(i), expires)
		switch i % 3 {
		case 1:
			hit = clientHit(fmt.Sprintf("198.51.100.%d/32", i), float64(i), expires)
		case 2:
			hit = clientHit(fmt.Sprintf("2001:db8:0:%x::/64", i), float64(i), expires)
		}
		if old := h.active[valueOf(hit)]; old.Expires.Before(hit.Expires) {
			h.active[valueOf(hit)] = hit
		}
	}
	maps.DeleteFunc(h.active, func(_ string, hit policy.Hit) bool { return !h.now.Before(hit.Expires) })
	maps.DeleteFunc(h.active, func(v string, _ policy.Hit) bool { return h.exempt[v] }) // an exempt hit is released
	h.exempt = map[string]bool{}
	values := slices.Sorted(maps.Keys(h.active))
	if len(values) == 0 {
		return
	}
	one := rapid.SampledFrom(values).Draw(t, "one")
	switch rapid.IntRange(0, 9).Draw(t, "the owner says") {
	case 0, 1:
		h.exempt[one] = true
	case 2:
		h.order(Order{Verb: OrderUnblock, Values: []string{one}, Until: h.now.Add(2 * time.Hour)})
	case 3:
		h.order(Order{Verb: OrderHold})
	case 4, 5:
		h.order(Order{Verb: OrderResume})
	case 6:
		if len(h.moments) == 0 {
			return
		}
		to := rapid.SampledFrom(h.moments).Draw(t, "back to")
		orders, _ := h.journal.Orders(h.Context(), h.now)
		standing := Fold(orders, h.now)
		h.order(RollBack(h.stoodAfter(to.generation), h.stoodAfter(1<<62), standing, h.hits(), h.exempts, h.now).Order(standing, h.now.Add(day)))
	}
}

func valueOf(hit policy.Hit) string {
	e, _ := entryOf(hit)
	return e.Value
}

func (h *history) hits() []policy.Hit {
	hits := make([]policy.Hit, 0, len(h.active))
	for _, v := range slices.Sorted(maps.Keys(h.active)) {
		hits = append(hits, h.active[v])
	}
	return hits
}

func (h *history) exempts(hit policy.Hit) bool { return h.exempt[valueOf(hit)] }

func (h *history) tick() {
	h.now = h.now.Add(time.Second)
	_, err := h.updater.RunOnce(h.Context(), h.hits(), h.exempts, h.now)
	must(h, err)
}
