package waf

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// maxAddresses is what AWS allows in one IP set (docs.aws.amazon.com/waf/latest/developerguide/limits.html).
const maxAddresses = 10_000

// How long what is found in a set and known to nobody may stay: the default expiries of clients and of names, so that
// a lost ledger blocks nobody for ever.
const (
	adoptClient = 24 * time.Hour
	adoptName   = 7 * 24 * time.Hour
)

// State is one set as it stands: what AWS holds, and what the journal knows of it.
type State struct {
	Set   SetKind    `json:"set"`
	Items []string   `json:"items"` // patterns or CIDRs, canonical; none when the set is not configured
	Sets  int        `json:"sets"`  // how many AWS sets it is spread over; 0 counts as one
	Last  Generation `json:"-"`     // the newest, written or not; zero when there is none

	foreign map[string]bool // items that are not Referee's, in a shared set
}

// Plan compares what the sets hold with what the hits ask for. It does nothing but compute: the same plan yields the
// same changes, and a plan made from its own outcome yields none.
//
// For each value, the first line that holds:
//
//	in the set  wanted  known to the journal       outcome
//	yes         -       barred now                 removed
//	no          yes     barred now                 dropped
//	no          yes     -                          added
//	yes         yes     -                          stays until the hit's expiry
//	yes         no      an entry, expired          removed
//	yes         no      an entry, adopted earlier  stays until its expiry
//	yes         no      an entry, unexpired        removed, unless a policy minds: nobody says why its hit is gone
//	yes         no      an item, but no entry      removed: an earlier generation took it out and did not see it go
//	yes         no      no                         adopted: stays for the default expiry
//
// In a shared set one line goes before all others: what is in the set and was never Referee's stays, as foreign.
//
// What is to stand in the set then gets its place by rank; for what there is no room, waits.
type Plan struct {
	Time     time.Time `json:"time"`
	Current  []State   `json:"current"`
	Desired  []Entry   `json:"-"`       // what the hits ask for, of all kinds, by rank
	Dropped  []Dropped `json:"dropped"` // what they ask for in a form that cannot be written
	Policies []Policy  `json:"-"`       // applied in this order, before places are given
	Branches int       `json:"-"`       // '|' in a pattern, at most; 0 means 10

	// Together bounds how many names may share a pattern with a name in it, because AWS refused a larger pattern.
	Together map[string]int `json:"-"`

	Changes []Changes `json:"changes"` // of each State in Current: what Calculate found

	// Barred says why an entry may not stand in its set: it is exempt, or AWS refused it. Empty when it may.
	Barred func(Entry) string `json:"-"`

	Shared bool `json:"-"` // the sets are: see Config.SharedSets
}

// Changes are what a plan would make of one set.
type Changes struct {
	Set       SetKind     `json:"set"`
	Before    []string    `json:"before"`
	After     []string    `json:"after"`
	Entries   []Entry     `json:"entries"` // what After is made from, by rank
	Add       []Entry     `json:"add"`     // in Entries and not in the set
	Adopt     []Entry     `json:"adopt"`   // in the set and known to nobody until now
	Remove    []Removal   `json:"remove"`
	Waiting   []Entry     `json:"waiting"`             // wanted, but the set is full of higher ranks
	Postponed []Postponed `json:"postponed,omitempty"` // wanted, and a policy does not let them in now
	Dropped   []Dropped   `json:"dropped"`             // wanted and barred, or its pattern does not find exactly its names
	Present   int         `json:"present"`             // entries in the set before
	Room      int         `json:"room"`                // items that the set takes
	Limited   bool        `json:"limited,omitempty"`   // max-adds postponed some
	Refused   string      `json:"refused,omitempty"`
	Held      string      `json:"held,omitempty"`    // why After is not to be written; empty when it is
	Outcome   Outcome     `json:"outcome,omitempty"` // what became of it; empty when there was nothing to do
}

// Removal is an entry that leaves a set.
type Removal struct {
	Entry
	Cause Cause `json:"cause"`
}

// Cause says why an entry leaves.
type Cause string

const (
	Expired   Cause = "expired"
	Barred    Cause = "barred"    // exempt, unblocked, or refused by AWS
	Released  Cause = "released"  // an earlier generation took it out and did not see it go
	Outdone   Cause = "displaced" // the set is full of higher ranks
	Withdrawn Cause = "withdrawn" // the owner wants all out
	Gone      Cause = "gone"      // its hit is no longer there, and nothing says why
)

// Changed says whether the set would be another one.
func (c Changes) Changed() bool { return !sameItems(c.Before, c.After) }

// Why says in one sentence what the changes are.
func (c Changes) Why() string {
	count := map[Cause]int{}
	for _, r := range c.Remove {
		count[r.Cause]++
	}
	var parts []string
	say := func(n int, what string) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, what))
		}
	}
	say(len(c.Add), "added")
	say(len(c.Adopt), "adopted")
	for _, cause := range []Cause{Expired, Barred, Withdrawn, Released, Outdone, Gone} {
		say(count[cause], string(cause))
	}
	say(len(c.Waiting), "waiting")
	say(len(c.Postponed), "postponed")
	say(len(c.Dropped), "dropped")
	if len(parts) == 0 {
		return "nothing changed"
	}
	return strings.Join(parts, ", ")
}

// Waiting counts the entries for which there is no room, over all sets.
func (p Plan) Waiting() int {
	n := 0
	for _, c := range p.Changes {
		n += len(c.Waiting)
	}
	return n
}

// Calculate returns the plan with its Changes.
func (p Plan) Calculate() Plan {
	p.Changes = make([]Changes, len(p.Current))
	for i, s := range p.Current {
		p.Changes[i] = p.changes(s)
	}
	return p
}

func (p Plan) changes(s State) Changes {
	if p.Shared {
		s.foreign = s.notOurs(p.Time)
	}
	in := contents(s)
	prop := p.propose(s, in)
	for _, apply := range p.Policies {
		prop = apply(prop)
	}
	c := Changes{
		Set: s.Set, Before: s.Items, Present: len(in), Adopt: prop.Adopt, Remove: prop.Remove, Dropped: prop.Dropped,
		Refused: prop.Refused, Held: prop.Held, Postponed: prop.Postponed,
	}
	c.Room = maxAddresses
	if s.Set == SetNames {
		c.Room = maxPatterns * max(1, s.Sets)
	}
	pack := packer{c.Room, cmp.Or(p.Branches, maxBranches), p.Together}
	whole := c
	whole.give(rank(prop.Want), in, pack)
	if prop.mostAdds < 0 || len(whole.Add) <= prop.mostAdds {
		return whole
	}
	// The places go to the highest ranks. What would have had one and may not is postponed, and nothing takes it instead.
	c.Limited = true
	mayAdd := map[string]bool{}
	for i, e := range whole.Add {
		if mayAdd[e.id()] = i < prop.mostAdds; i >= prop.mostAdds {
			c.Postponed = append(c.Postponed, Postponed{Entry: e, Why: prop.addsWhy})
		}
	}
	for _, e := range whole.Waiting {
		if !prop.in[e.id()] {
			c.Waiting = append(c.Waiting, e)
		}
	}
	c.give(slices.DeleteFunc(rank(prop.Want), func(e Entry) bool { return !prop.in[e.id()] && !mayAdd[e.id()] }), in, pack)
	return c
}

// visible is how long a set may be read as it was before a write: AWS says seconds to minutes.
const visible = 3 * time.Minute

// notOurs tells what in a shared set is foreign: what the newest generation says so of, and what it has never heard of.
// Items that it was to take out are Referee's still while it is not known to be written, or just was. One in shadow mode
// put nothing in.
func (s State) notOurs(now time.Time) map[string]bool {
	ours := map[string]bool{}
	if s.Last.Outcome != Written || now.Sub(s.Last.Time) < visible {
		for _, item := range s.Last.Before {
			ours[item] = true
		}
	}
	if s.Last.Outcome != Shadow {
		for _, item := range s.Last.After {
			ours[item] = true
		}
	}
	for _, e := range s.Last.Entries {
		if e.Foreign {
			delete(ours, e.Value)
		}
	}
	foreign := map[string]bool{}
	for _, item := range s.Items {
		if !ours[item] {
			foreign[item] = true
		}
	}
	return foreign
}

// content is one entry in a set, and the item that holds it.
type content struct {
	Entry
	item string
}

// contents reads a set's items: a CIDR is an entry, a pattern of Referee's form as many as it has names, and any other
// pattern a raw one.
func contents(s State) []content {
	in := make([]content, 0, len(s.Items))
	for _, item := range s.Items {
		if s.foreign[item] {
			in = append(in, content{Entry{Kind: s.Set, Value: item, Raw: s.Set == SetNames, Foreign: true}, item})
			continue
		}
		if s.Set != SetNames {
			in = append(in, content{Entry{Kind: s.Set, Value: item}, item})
			continue
		}
		hosts, err := hostsOf(item)
		if err != nil {
			in = append(in, content{Entry{Kind: s.Set, Value: item, Raw: true}, item})
		}
		for _, h := range hosts {
			in = append(in, content{Entry{Kind: s.Set, Value: h}, item})
		}
	}
	return in
}

// propose follows the table of Plan.
func (p Plan) propose(s State, in []content) Proposal {
	prop := Proposal{Set: s.Set, Present: len(in), in: map[string]bool{}, mostAdds: -1}
	for _, found := range in {
		prop.in[found.id()] = true
	}
	wanted := map[string]bool{}
	for _, e := range p.Desired {
		if e.Kind != s.Set {
			continue
		}
		if why := p.Barred(e); why != "" {
			prop.Dropped = append(prop.Dropped, Dropped{Set: e.Kind, Value: e.Value, Why: why})
			continue
		}
		prop.Want = append(prop.Want, e)
		wanted[e.id()] = true
	}
	entries, items := map[string]Entry{}, map[string]bool{}
	for _, e := range s.Last.Entries {
		entries[e.id()] = e
	}
	for _, item := range slices.Concat(s.Last.Before, s.Last.After) {
		items[item] = true
	}
	for _, found := range in {
		e, known := entries[found.id()]
		if !known {
			e = found.Entry
		}
		switch {
		case found.Foreign:
			prop.Want = append(prop.Want, found.Entry) // and if it is wanted too, it is not Referee's to take out
		case wanted[e.id()]:
		case p.Barred(e) != "":
			prop.Remove = append(prop.Remove, Removal{e, Barred})
		case known && !p.Time.Before(e.Expires):
			prop.Remove = append(prop.Remove, Removal{e, Expired})
		case known && e.Adopted:
			prop.Want = append(prop.Want, e)
		case known:
			prop.Remove = append(prop.Remove, Removal{e, Gone})
		case items[found.item]:
			prop.Remove = append(prop.Remove, Removal{e, Released})
		default:
			e.Adopted, e.Expires = true, p.Time.Add(adoptClient)
			if e.Kind == SetNames {
				e.Expires = p.Time.Add(adoptName)
			}
			prop.Adopt = append(prop.Adopt, e)
			prop.Want = append(prop.Want, e)
		}
		wanted[e.id()] = true // a set may hold a name in two patterns
	}
	return prop
}

// give gives places to what is wanted, by rank, and says what comes of it.
func (c *Changes) give(want []Entry, in []content, p packer) {
	var items map[string]string // the item of each entry that has a place
	var unsound []Dropped
	if c.Set == SetNames {
		items, unsound = patternsFor(want, in, p)
		c.Dropped = append(c.Dropped, unsound...)
	} else {
		items = map[string]string{}
		for _, e := range want[:min(len(want), c.Room)] {
			items[e.id()] = e.Value
		}
	}
	present := map[string]bool{}
	for _, found := range in {
		present[found.id()] = true
	}
	after := map[string]bool{}
	for _, e := range want {
		item, placed := items[e.id()]
		switch {
		case placed:
			after[item] = true
			c.Entries = append(c.Entries, e)
			if !present[e.id()] {
				c.Add = append(c.Add, e)
			}
		case slices.ContainsFunc(unsound, func(d Dropped) bool { return d.Value == e.Value }):
			if present[e.id()] {
				c.Remove = append(c.Remove, Removal{e, Barred})
			}
		default:
			c.Waiting = append(c.Waiting, e)
			if present[e.id()] {
				c.Remove = append(c.Remove, Removal{e, Outdone})
			}
		}
	}
	c.After = make([]string, 0, len(after))
	for item := range after {
		c.After = append(c.After, item)
	}
	slices.Sort(c.After)
}

// patternsFor packs names into patterns beside the raw ones, which keep their places: what Referee cannot read it does
// not outdo. Each pattern is then read back and must find exactly its names.
func patternsFor(want []Entry, in []content, p packer) (items map[string]string, unsound []Dropped) {
	items = map[string]string{}
	var names []string
	for _, e := range want {
		if e.Raw {
			items[e.id()] = e.Value
		} else {
			names = append(names, e.Value)
		}
	}
	var current [][]string
	last := ""
	for _, found := range in {
		if found.Raw {
			continue
		}
		if found.item != last {
			current, last = append(current, nil), found.item
		}
		current[len(current)-1] = append(current[len(current)-1], found.Value)
	}
	p.patterns = max(0, p.patterns-len(items))
	layout, _ := p.pack(names, current)
	for _, names := range layout {
		pattern := render(names)
		err := verify(pattern, names)
		for _, name := range names {
			if err != nil {
				unsound = append(unsound, Dropped{Set: SetNames, Value: name, Why: err.Error()})
				continue
			}
			items[Entry{Kind: SetNames, Value: name}.id()] = pattern
		}
	}
	return items, unsound
}

// id tells an entry from all others: no host or CIDR has a space in it.
func (e Entry) id() string {
	if e.Raw {
		return "raw " + e.Value
	}
	return e.Value
}

// sameItems compares two sets of items, whatever their order.
func sameItems(a, b []string) bool {
	return len(a) == len(b) && slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}
