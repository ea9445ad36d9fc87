package policy

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"

	"referee/evidence"
)

// Attack is a cohort whose names were generated: many clients that look like one sender.
type Attack struct {
	Network   netip.Prefix `json:"network,omitzero"` // /24 or /48; absent: from anywhere
	Agent     uint32       `json:"agent"`            // evidence.AgentShape
	Path      uint32       `json:"path"`             // evidence.PathShape
	Flagged   int          `json:"flagged"`          // distinct flagged names
	Distinct  int          `json:"distinct"`         // distinct external names
	Clients   int          `json:"clients"`          // distinct clients
	Sightings uint64       `json:"sightings"`        // requests with an external name
	Names     []string     `json:"names"`            // some of the flagged names
	First     time.Time    `json:"first"`
	Last      time.Time    `json:"last"`
}

// Key identifies an attack among others.
func (a *Attack) Key() string {
	if a.Network.IsValid() {
		return fmt.Sprintf("%s %08x %08x", a.Network, a.Agent, a.Path)
	}
	return fmt.Sprintf("* %08x %08x", a.Agent, a.Path)
}

// String says what it is in one sentence.
func (a *Attack) String() string {
	where := "of any network"
	if a.Network.IsValid() {
		where = "of " + a.Network.String()
	}
	return fmt.Sprintf("%s clients %s, with one kind of agent on one path, sent %s distinct external names, of which %s are flagged",
		grouped(uint64(a.Clients)), where, grouped(uint64(a.Distinct)), grouped(uint64(a.Flagged)))
}

// cohort names a cohort without its evidence.
type cohort struct {
	network     netip.Prefix
	agent, path uint32
}

// Attacks finds the cohorts that are attacks, those with the most flagged names first. It changes nothing.
func (p *Policy) Attacks(st *evidence.State) []Attack {
	rule := p.cfg.Cohort
	if rule.MinFlagged == 0 {
		return nil
	}
	var all []Attack
	for c := range st.Cohorts() {
		items := c.Names.Items()
		flagged := 0
		for i := range items {
			if p.flags(items[i].Domain(), items[i].Tail) {
				flagged++
			}
		}
		// The cheap questions first: this runs each second over all cohorts.
		if flagged < rule.MinFlagged || !p.mostly(flagged, len(items)) || c.Clients.Distinct() < rule.MinClients {
			continue
		}
		weigh := p.weighing(st)
		flagged = 0
		for i := range items {
			if _, is := weigh(&items[i]); is {
				flagged++
			}
		}
		if flagged < rule.MinFlagged || !p.mostly(flagged, len(items)) {
			continue
		}
		if _, enough := p.wald.test(items, weigh); !enough {
			continue
		}
		a := Attack{
			Network: c.Network, Agent: c.Agent, Path: c.Path,
			Flagged: int(math.Round(c.Names.Estimate(flagged))), Distinct: c.Names.Distinct(), Clients: c.Clients.Distinct(),
			Sightings: c.Sightings, First: time.Unix(0, c.First).UTC(), Last: time.Unix(0, c.Last).UTC(),
		}
		for i := range items {
			if _, is := weigh(&items[i]); is && len(a.Names) < namesShown {
				a.Names = append(a.Names, items[i].Domain())
			}
		}
		all = append(all, a)
	}
	slices.SortFunc(all, func(a, b Attack) int { return cmp.Or(cmp.Compare(b.Flagged, a.Flagged), cmp.Compare(a.Key(), b.Key())) })
	return all
}

// weighing says of one name of a client or a cohort what benign tail counts, and whether it is flagged: an audience's name
// and what may not be blocked are ordinary names, and what the owner labelled dga has the lowest tail there is. The
// function is for one caller: it remembers what it has looked up.
func (p *Policy) weighing(st *evidence.State) func(*evidence.Item) (tail float32, flagged bool) {
	var known map[string]bool
	return func(it *evidence.Item) (float32, bool) {
		domain := it.Domain()
		if domain == "" {
			return it.Tail, false // an ordinary name, or one below evidence.interest
		}
		spared, found := known[domain]
		if !found {
			if known == nil {
				known = map[string]bool{}
			}
			spared = p.Exempts(nameOf(domain)) != NotExempt || p.crowd(st, st.Name(domain))
			known[domain] = spared
		}
		switch {
		case spared:
			return 1, false
		case p.says(domain) == SaysDGA:
			return 0, true
		}
		return it.Tail, it.Tail <= p.threshold
	}
}
