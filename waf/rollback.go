package waf

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"referee/policy"
)

// Rollback is the way back to what stood in all sets at an earlier moment.
type Rollback struct {
	Leave []string // values that stand now, and did not then
	Out   []string // values that neither stand nor stood, and would come: they stay out
	Back  []Entry  // what stood then, does not stand now and may; its expiry is zero where its hit says until when
}

// RollBack finds the way from what stands now back to what stood then: each is at most one generation of each set. Where a
// generation has no Entries, its After is what stood.
//
// To take out what came since is not enough: while the sets are withdrawn or full it does not stand, and its hit would bring it
// as soon as it may. So what hits and earlier rollbacks ask for stays out too, if it did not stand then. What expired, is
// exempt, or was unblocked does not come back.
func RollBack(then, current []Generation, standing Standing, hits []policy.Hit, exempt func(policy.Hit) bool, now time.Time) Rollback {
	stood, stands := entriesByValue(then), entriesByValue(current)
	desired, _ := desire(hits, now)
	wanted := map[string]Entry{}
	for _, e := range slices.Concat(standing.Restored, desired) {
		wanted[e.Value] = e
	}
	asked := map[string]bool{} // by a hit
	for _, e := range desired {
		asked[e.Value] = true
	}

	var r Rollback
	for value, e := range stands {
		if _, was := stood[value]; !was && !e.Foreign {
			r.Leave = append(r.Leave, value)
		}
	}
	for value := range wanted {
		_, was := stood[value]
		if e, is := stands[value]; !was && (!is || e.Foreign) {
			r.Out = append(r.Out, value)
		}
	}
	for value, e := range stood {
		_, is := stands[value]
		o, kept := standing.Kept[value]
		switch {
		case e.Foreign || stands[value].Foreign,
			is && !kept && !standing.Withdrawn(), // it stays
			o.Verb == OrderUnblock,
			!e.Raw && exempt(e.hit()):
			continue
		case asked[value]:
			e.Expires = time.Time{}
		default:
			if w := wanted[value]; w.Expires.After(e.Expires) {
				e.Expires = w.Expires
			}
			if !now.Before(e.Expires) {
				continue
			}
		}
		r.Back = append(r.Back, e)
	}
	slices.Sort(r.Leave)
	slices.Sort(r.Out)
	slices.SortFunc(r.Back, func(a, b Entry) int {
		return cmp.Or(strings.Compare(string(a.Kind), string(b.Kind)), strings.Compare(a.Value, b.Value))
	})
	return r
}

// Order is the order that does it. It counts until then, or as long as what it brings back stays and what it lets in again
// was to be kept out.
func (r Rollback) Order(standing Standing, until time.Time) Order {
	for _, e := range r.Back {
		for _, t := range []time.Time{e.Expires, standing.Kept[e.Value].Until} {
			if t.After(until) {
				until = t
			}
		}
	}
	return Order{Verb: OrderRollback, Values: slices.Concat(r.Leave, r.Out), Entries: r.Back, Until: until}
}

func entriesByValue(generations []Generation) map[string]Entry {
	entries := map[string]Entry{}
	for _, g := range generations {
		if len(g.Entries) == 0 {
			for _, found := range contents(State{Set: g.Set, Items: g.After}) {
				entries[found.Value] = found.Entry
			}
		}
		for _, e := range g.Entries {
			entries[e.Value] = e
		}
	}
	return entries
}
