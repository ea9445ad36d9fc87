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

// Rule is what keeps something flagged from being a hit, by the key of its setting.
type Rule string

// The rules in the order in which they are asked.
const (
	RuleNeverBlock Rule = "never-block"        // the name or the client may never be blocked
	RuleSightings  Rule = "name.min-sightings" // too few requests
	RuleNetworks   Rule = "name.min-networks"  // too few networks
	RuleSuspects   Rule = "name.min-suspects"  // its clients have nothing else against them
	RuleReaders    Rule = "name.max-readers"   // a block would hit readers
	RuleFlagged    Rule = "client.min-flagged" // too few flagged names
	RuleShare      Rule = "client.min-share"   // too many others
	RuleCrowd      Rule = "name.crowd"         // its flagged names are an audience's
	RuleAlpha      Rule = "client.alpha"       // the sequential test is not sure
	RuleSession    Rule = "session"            // a verified session speaks for it
)

const maxHeld = 10_000 // names, and clients, that one call gathers: what has most evidence comes first

// Held is a flagged name, or a client that sent several, and the first rule that keeps it from being a hit.
type Held struct {
	Kind      Kind         `json:"kind"`
	Domain    string       `json:"domain,omitempty"`
	Client    netip.Prefix `json:"client,omitzero"`
	Rule      Rule         `json:"rule"`
	Why       string       `json:"why"` // one sentence
	Tail      float32      `json:"tail"`
	Sightings uint64       `json:"sightings"`
	Networks  int          `json:"networks,omitempty"` // of a name
	Flagged   int          `json:"flagged,omitempty"`  // of a client
	Distinct  int          `json:"distinct,omitempty"` // of a client
	Last      time.Time    `json:"last"`
}

// Held returns what the evidence holds that is flagged and no hit, those nearest to being one first, at most limit: flagged
// names that several requests carried, and clients with two flagged names or more. It changes nothing.
func (p *Policy) Held(st *evidence.State, hits *Hits, now time.Time, limit int) []Held {
	d := decider{p: p, st: st, now: now, active: hits}
	d.join(p.Attacks(st))
	var all []Held
	for n := range st.Names() {
		if len(all) == maxHeld {
			break
		}
		if n.Sightings < 2 || !p.flags(n.Domain, n.Tail) || hits.name(n.Domain) != nil {
			continue
		}
		if rule, why := d.nameHeld(n); rule != "" {
			all = append(all, Held{
				Kind: KindName, Domain: n.Domain, Rule: rule, Why: why, Tail: n.Tail, Sightings: n.Sightings,
				Networks: n.Networks.Distinct(), Last: time.Unix(0, n.Last).UTC(),
			})
		}
	}
	for c := range st.Suspects() {
		if len(all) == 2*maxHeld {
			break
		}
		if hits.client(c.Prefix) != nil {
			continue
		}
		if rule, why, flagged := d.clientHeld(c); rule != "" {
			all = append(all, Held{
				Kind: KindClient, Client: c.Prefix, Rule: rule, Why: why, Tail: flagged.tail, Sightings: c.Sightings,
				Flagged: flagged.n, Distinct: c.Names.Distinct(), Last: time.Unix(0, c.Last).UTC(),
			})
		}
	}
	slices.SortStableFunc(all, func(a, b Held) int {
		return cmp.Or(cmp.Compare(b.Flagged, a.Flagged), cmp.Compare(b.Networks, a.Networks), cmp.Compare(b.Sightings, a.Sightings),
			cmp.Compare(a.Domain, b.Domain), a.Client.Addr().Compare(b.Client.Addr()))
	})
	return slices.Clip(all[:min(len(all), limit)])
}

// nameHeld is the first rule that keeps a flagged name from being a hit, with the reason in words, or "".
func (d *decider) nameHeld(n *evidence.Name) (Rule, string) {
	rule := d.p.cfg.Name
	networks := n.Networks.Distinct()
	switch e := d.p.Exempts(nameOf(n.Domain)); {
	case e != NotExempt:
		return RuleNeverBlock, "it is " + e.Words()
	case n.Sightings < uint64(rule.MinSightings):
		return RuleSightings, fmt.Sprintf("%d requests carried it, %d are asked for", n.Sightings, rule.MinSightings)
	case networks < rule.MinNetworks:
		return RuleNetworks, fmt.Sprintf("it came from %d of the %d networks asked for", networks, rule.MinNetworks)
	case rule.MinSuspects == 0 || d.p.says(n.Domain) == SaysDGA:
		return "", ""
	}
	suspects, readers := d.witnesses(n)
	switch {
	case readers > float64(rule.MaxReaders):
		return RuleReaders, fmt.Sprintf("in about %.0f networks its clients have nothing else against them; a block may hit %d at most", readers, rule.MaxReaders)
	case suspects < rule.MinSuspects || float64(suspects) <= readers:
		return RuleSuspects, fmt.Sprintf("in %d networks the client is a suspect for other names too, %d and more than half are asked for", suspects, rule.MinSuspects)
	}
	return "", ""
}

type flaggedNames struct {
	n    int
	tail float32 // the lowest
}

// clientHeld is nameHeld of a client. A client with fewer than two flagged names is not looked at.
func (d *decider) clientHeld(c *evidence.Client) (rule Rule, why string, flagged flaggedNames) {
	items := c.Names.Items()
	flagged.tail = 1
	for i := range items {
		if d.p.flags(items[i].Domain(), items[i].Tail) {
			flagged.n++
			flagged.tail = min(flagged.tail, items[i].Tail)
		}
	}
	if flagged.n < 2 {
		return "", "", flagged
	}
	least := d.minFlagged(c)
	if flagged.n < least {
		return RuleFlagged, fmt.Sprintf("it sent %d flagged names, %d are asked for", flagged.n, least), flagged
	}
	if !d.p.mostly(flagged.n, len(items)) {
		return RuleShare, fmt.Sprintf("%d of its %d names are flagged, more than %.0f %% are asked for", flagged.n, len(items), 100*d.p.cfg.Client.MinShare), flagged
	}
	if d.p.ExemptClient(c.Prefix.Addr()) {
		return RuleNeverBlock, "the client is in a range that is never blocked", flagged
	}
	weigh, counted := d.p.weighing(d.st), 0
	for i := range items {
		if _, is := weigh(&items[i]); is {
			counted++
		}
	}
	if counted < least || !d.p.mostly(counted, len(items)) {
		return RuleCrowd, fmt.Sprintf("%d of its %d flagged names are an audience's or never blocked", flagged.n-counted, flagged.n), flagged
	}
	if sum, sure := d.p.wald.test(items, weigh); !sure && d.attack(c) == nil {
		return RuleAlpha, fmt.Sprintf("%s; 10^%.1f are asked for", odds(sum), d.p.wald.enough/math.Ln10), flagged
	}
	if c.Session != 0 {
		return RuleSession, "a verified session speaks for it", flagged
	}
	return "", "", flagged
}
