package policy

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"referee/evidence"
	"referee/features"
)

const (
	extendBy   = 0.1 // share of the ttl by which an expiry must move to be worth a row in the ledger
	namesShown = 10  // of a client, in Hit.Names
)

// Decide compares the active hits with the evidence and returns the hits from now on and what changed, in words. It is
// a pure function: equal arguments give equal results, and it changes none of them. A nil active is empty. If nothing
// changed it returns active itself.
//
//	active  exempt  enough evidence  expiry                            → action   the hit
//	no      yes     any              any                                 –        none
//	no      no      no               any                                 –        none
//	no      no      yes              last flagged + ttl is past          –        none
//	no      no      yes              last flagged + ttl is ahead       → block    new, until then
//	yes     yes     any              any                               → release  none
//	yes     no      no               is ahead                            –        stays as it is
//	yes     no      no               is past                           → release  none
//	yes     no      yes              moves by more than ttl/10         → extend   as the evidence is now, until then
//	yes     no      yes              moves less, and is ahead            –        stays as it is
//	yes     no      yes              moves less, is past, new is ahead → extend   as the evidence is now, until then
//	yes     no      yes              moves less, both are past         → release  none
//
// Enough evidence, of a name: it is flagged (its tail is at most Threshold), min-sightings requests carried it, and they
// came from min-networks distinct networks. Of a client: it sent min-flagged distinct flagged names, and more than
// min-share of its distinct external names are flagged; exempt names count as external and not as flagged.
func (p *Policy) Decide(active *Hits, st *evidence.State, now time.Time) (*Hits, []Decision) {
	d := decider{p: p, now: now, active: active, kept: map[string]bool{}}
	for n := range st.Names() {
		if h, ok := p.nameHit(n); ok {
			d.consider(h, p.cfg.Name.TTL)
		}
	}
	for c := range st.Suspects() {
		if h, ok := p.clientHit(c); ok {
			d.consider(h, p.cfg.Client.TTL)
		}
	}
	for _, h := range active.All() {
		d.review(h)
	}
	if len(d.decisions) == 0 && active != nil {
		return active, nil
	}
	slices.SortFunc(d.decisions, func(a, b Decision) int {
		return cmp.Or(cmp.Compare(b.Hit.Rank, a.Hit.Rank), cmp.Compare(a.Hit.Key(), b.Hit.Key()))
	})
	return NewHits(d.hits), d.decisions
}

type decider struct {
	p         *Policy
	now       time.Time
	active    *Hits
	kept      map[string]bool // keys that consider has settled
	hits      []Hit
	decisions []Decision
}

// consider settles a hit that the evidence supports, whether it is active or not.
func (d *decider) consider(h Hit, ttl time.Duration) {
	if !h.Expires.After(d.now) {
		return // the evidence is too old: review lets an active one go
	}
	old, found := d.find(h)
	switch {
	case !found:
		d.decide(Block, h, h.Reasons[0])
	case h.Expires.Sub(old.Expires) > time.Duration(extendBy*float64(ttl)) || !old.Expires.After(d.now):
		h.First = minTime(h.First, old.First)
		d.decide(Extend, h, "seen again: "+h.Reasons[0])
	default:
		h = old
	}
	d.kept[h.Key()] = true
	d.hits = append(d.hits, h)
}

func (d *decider) find(h Hit) (Hit, bool) {
	if h.Kind == KindClient {
		return d.active.Client(h.Client.Addr())
	}
	return d.active.Name(h.Domain)
}

// review settles the active hits that consider has not.
func (d *decider) review(h Hit) {
	if d.kept[h.Key()] {
		return
	}
	switch exempt := d.p.exemptHit(h); {
	case exempt != "":
		d.decide(Release, h, exempt)
	case !h.Expires.After(d.now):
		d.decide(Release, h, fmt.Sprintf("expired: last seen flagged %s ago", span(d.now.Sub(h.Last))))
	default:
		d.hits = append(d.hits, h)
	}
}

func (d *decider) decide(a Action, h Hit, why string) {
	d.decisions = append(d.decisions, Decision{Time: d.now, Action: a, Hit: h, Why: why})
}

// exemptHit says in words why a hit must go at once, or "".
func (p *Policy) exemptHit(h Hit) string {
	if h.Kind == KindClient {
		if p.ExemptClient(h.Client.Addr()) {
			return "now exempt: the client is in a range that is never blocked"
		}
		return ""
	}
	if e := p.Exempts(nameOf(h.Domain)); e != NotExempt {
		return "now exempt: it is " + e.words()
	}
	return ""
}

// nameOf makes the Name of a bare domain again: one label and the public suffix behind it.
func nameOf(domain string) features.Name {
	label, _, _ := strings.Cut(domain, ".")
	return features.Name{Host: domain, Domain: domain, Label: label}
}

func (p *Policy) nameHit(n *evidence.Name) (Hit, bool) {
	networks := n.Networks.Distinct()
	if n.Tail > p.threshold || networks < p.cfg.Name.MinNetworks || n.Sightings < uint64(p.cfg.Name.MinSightings) ||
		p.Exempts(nameOf(n.Domain)) != NotExempt {
		return Hit{}, false
	}
	h := Hit{
		Kind: KindName, Domain: n.Domain, Score: n.Score, Tail: n.Tail, Sightings: n.Sightings, Networks: networks,
		First: time.Unix(0, n.First).UTC(), Last: time.Unix(0, n.Last).UTC(), Model: p.model, Config: p.id,
	}
	for _, network := range n.Networks.Items() {
		h.Rank += weight(n.Tail, network.Count)
	}
	h.Rank = n.Networks.Scale(h.Rank)
	h.Expires = h.Last.Add(p.cfg.Name.TTL)
	h.Reasons = []string{
		scored(h.Score, h.Tail),
		fmt.Sprintf("seen %s times from %s networks in %s", grouped(h.Sightings), about(&n.Networks, networks), span(h.Last.Sub(h.First))),
	}
	return h, true
}

func (p *Policy) clientHit(c *evidence.Client) (Hit, bool) {
	all := c.Names.Items()
	flagged := make([]evidence.Item, 0, 8)
	for _, it := range all {
		if it.Tail <= p.threshold && it.Domain() != "" && p.Exempts(nameOf(it.Domain())) == NotExempt {
			flagged = append(flagged, it)
		}
	}
	if len(flagged) < p.cfg.Client.MinFlagged || float64(len(flagged)) <= p.cfg.Client.MinShare*float64(len(all)) ||
		p.ExemptClient(c.Prefix.Addr()) {
		return Hit{}, false
	}
	slices.SortFunc(flagged, func(a, b evidence.Item) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Domain(), b.Domain()))
	})
	top := flagged[0]
	h := Hit{
		Kind: KindClient, Client: c.Prefix, Score: top.Score, Tail: top.Tail,
		Flagged: count(&c.Names, len(flagged)), Distinct: c.Names.Distinct(), First: time.Unix(0, c.First).UTC(),
		Model: p.model, Config: p.id,
	}
	for i, it := range flagged {
		h.Rank += weight(it.Tail, it.Count)
		h.Sightings += uint64(it.Count)
		h.Last = maxTime(h.Last, time.Unix(int64(it.Seen), 0).UTC())
		if i < namesShown {
			h.Names = append(h.Names, it.Domain())
		}
	}
	h.Rank = c.Names.Scale(h.Rank)
	h.Expires = h.Last.Add(p.cfg.Client.TTL)
	h.Reasons = []string{
		fmt.Sprintf("%s of its %s distinct external names are flagged", about(&c.Names, h.Flagged), about(&c.Names, h.Distinct)),
		fmt.Sprintf("%s: %s", top.Domain(), scored(top.Score, top.Tail)),
		fmt.Sprintf("%s flagged requests in %s", grouped(h.Sightings), span(h.Last.Sub(h.First))),
	}
	return h, true
}

// maxDoublings bounds what one client or network adds to a rank: after 255 requests of the same name it adds no more.
const maxDoublings = 8

// weight is how much one name from one network, or one name from one client, adds to a rank: the certainty of the name,
// in powers of ten, times the doublings of the requests that carried it. So a rank grows with distinct networks and
// distinct names, and one sender can move it only so far.
func weight(tail float32, requests uint32) float64 {
	return -math.Log10(float64(tail)) * min(math.Log2(1+float64(requests)), maxDoublings)
}

func count(s *evidence.Sample, n int) int { return int(math.Round(s.Estimate(n))) }

func minTime(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func maxTime(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
