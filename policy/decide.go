package policy

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
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
//	yes     no      yes              moves less, twice the sightings   → extend   as the evidence is now, until then
//	yes     no      yes              moves less, and is ahead            –        stays as it is
//	yes     no      yes              moves less, is past, new is ahead → extend   as the evidence is now, until then
//	yes     no      yes              moves less, both are past         → release  none
//
// Two lines go before those with an expiry. A client for which a verified session speaks within the evidence's window is
// spared: it is no hit, and is decided about once. And where too little evidence is left, a hit that was seen Blocked since
// is extended as if it had been seen: what is blocked is there no longer to be seen otherwise.
//
// Of each kind the maxHits of the highest rank stand: what they outrank is released, or does not become a hit. While so many
// clients are active, one that ranks below all of them is not looked into; room that they leave is filled at the next call.
//
// The ttl is the rule's, doubled each time that a hit comes back after it expired, up to the rule's cap.
//
// Enough evidence, of a name: it is flagged (its tail is at most Threshold, or the owner labelled it dga), min-sightings
// requests carried it, they came from min-networks distinct networks, and, unless it is labelled, in min-suspects of these, in
// more than half, and in all but max-readers the client is suspicious for other names too, or part of an attack. Of a client: it
// sent min-flagged distinct flagged names, more than min-share of its distinct external names are flagged, and Wald's test says so; exempt names, and
// names that are an audience's, count as external and not as flagged. Of a client that is part of an attack (Attacks) one
// flagged name is enough, and no test. A hit is exempt too when the labels that it rested on are gone, or when what the owner
// labelled benign leaves too little.
func (p *Policy) Decide(active *Hits, st *evidence.State, now time.Time) (*Hits, []Decision) {
	return p.decider(active, st, now, maxHits).all()
}

type decider struct {
	p         *Policy
	st        *evidence.State
	attacks   map[cohort]*Attack
	now       time.Time
	active    *Hits
	renewed   map[string]bool // keys of the active hits that are extended
	hits      []*Hit
	decisions []Decision
	limit     int  // hits of each kind that may stand
	last      *Hit // the active client that a new one has to outrank; nil while there is room
}

func (p *Policy) decider(active *Hits, st *evidence.State, now time.Time, limit int) *decider {
	return &decider{
		p: p, st: st, now: now, active: active, renewed: map[string]bool{}, hits: make([]*Hit, 0, active.Len()+16),
		limit: limit, last: active.last(limit),
	}
}

// all decides about all that is remembered.
func (d *decider) all() (*Hits, []Decision) {
	d.join(d.p.Attacks(d.st))
	for n := range d.st.Names() {
		d.name(n)
	}
	for c := range d.st.Suspects() {
		d.client(c)
	}
	for i := range d.active.All() {
		d.review(&d.active.All()[i])
	}
	d.bound()
	if len(d.decisions) == 0 && d.active != nil {
		return d.active, nil
	}
	slices.SortFunc(d.decisions, func(a, b Decision) int {
		return cmp.Or(cmp.Compare(b.Hit.Rank, a.Hit.Rank), compare(&a.Hit, &b.Hit))
	})
	next := newHits(d.hits)
	if len(d.decisions) > 0 {
		d.p.remember(next, d.active, d.decisions)
	}
	return next, d.decisions
}

// name decides about one name. Most names end at the first line that asks something, the cheapest first: this runs each
// second over all that is remembered.
func (d *decider) name(n *evidence.Name) {
	rule := d.p.cfg.Name
	if !d.p.flags(n.Domain, n.Tail) || n.Sightings < uint64(rule.MinSightings) || n.Networks.Distinct() < rule.MinNetworks {
		return
	}
	old := d.active.name(n.Domain)
	returns := d.returns(old, func() string { return string(KindName) + ":" + n.Domain })
	if !d.matters(old, n.Last, d.p.ttl(KindName, returns), n.Sightings) || d.p.Exempts(nameOf(n.Domain)) != NotExempt {
		return
	}
	var why string
	if rule.MinSuspects > 0 && d.p.says(n.Domain) != SaysDGA {
		suspects, readers := d.witnesses(n)
		if suspects < rule.MinSuspects || float64(suspects) <= readers || readers > float64(rule.MaxReaders) {
			return
		}
		why = fmt.Sprintf("in %d networks the client is a suspect for other names too, in %.0f not", suspects, readers)
	}
	h := d.p.nameHit(n)
	if why != "" {
		h.Reasons = append(h.Reasons, why)
	}
	d.add(h, old, returns)
}

// witnesses counts the networks of a name whose client is suspicious for other names too, or part of an attack, in the sample;
// and estimates in how many of all the client is neither.
func (d *decider) witnesses(n *evidence.Name) (suspects int, readers float64) {
	suspects, asked := d.p.suspects(d.st, n, func(c *evidence.Client) bool { return d.attack(c) != nil })
	return suspects, n.Networks.Estimate(asked - suspects)
}

// join makes the clients of these attacks known by their cohorts.
func (d *decider) join(attacks []Attack) {
	d.attacks = make(map[cohort]*Attack, len(attacks))
	for i := range attacks {
		a := &attacks[i]
		d.attacks[cohort{a.Network, a.Agent, a.Path}] = a
	}
}

// minFlagged is how many flagged names are asked for of a client.
func (d *decider) minFlagged(c *evidence.Client) int {
	if d.attack(c) != nil {
		return 1
	}
	return d.p.cfg.Client.MinFlagged
}

// attack is the attack that a client is part of by its last interesting request, or nil.
func (d *decider) attack(c *evidence.Client) *Attack {
	if len(d.attacks) == 0 {
		return nil
	}
	if a := d.attacks[cohort{evidence.NetworkPrefix(c.Prefix.Addr()), c.Agent, c.Path}]; a != nil {
		return a
	}
	return d.attacks[cohort{agent: c.Agent, path: c.Path}]
}

// client decides about one client, as name does.
func (d *decider) client(c *evidence.Client) {
	old := d.active.client(c.Prefix)
	returns := d.returns(old, func() string { return string(KindClient) + ":" + c.Prefix.String() })
	ttl := d.p.ttl(KindClient, returns)
	if !d.matters(old, c.Last, ttl, c.Sightings) {
		return
	}
	items := c.Names.Items()
	attack, minFlagged := d.attack(c), d.minFlagged(c)
	enough := func(flagged int) bool { return flagged >= minFlagged && d.p.mostly(flagged, len(items)) }
	suspicious, last, rank := 0, uint32(0), 0.0
	for _, it := range items {
		if d.p.flags(it.Domain(), it.Tail) {
			suspicious++
			last = max(last, it.Seen)
			if d.last != nil {
				rank += d.p.weight(it.Tail, it.Count)
			}
		}
	}
	if !enough(suspicious) || old == nil && d.outranked(c.Prefix, c.Names.Scale(rank)) || !d.matters(old, int64(last)*int64(time.Second), ttl, c.Sightings) || d.p.ExemptClient(c.Prefix.Addr()) {
		return
	}
	weigh := d.p.weighing(d.st)
	flagged := flaggedOf(items, weigh)
	if !enough(len(flagged)) {
		return
	}
	sum, tested := d.p.wald.test(items, weigh)
	if !tested && attack == nil {
		return
	}
	h := d.p.clientHit(c, flagged, minFlagged)
	switch {
	case attack != nil:
		h.Reasons = append(h.Reasons, "part of an attack: "+attack.String())
	case d.p.wald.enough > 0:
		h.Reasons = append(h.Reasons, odds(sum))
	}
	switch {
	case !d.matters(old, h.Last.UnixNano(), ttl, h.Sightings):
	case c.Session == 0:
		d.add(h, old, returns)
	case old == nil && !d.active.Spared(h, d.now):
		d.decide(Spare, h, d.spared(c)+": "+strings.Join(h.Reasons, "; "))
	}
}

// spared is why a client with a session is no hit, in words.
func (d *decider) spared(c *evidence.Client) string {
	return fmt.Sprintf("spared: a verified session spoke for it %s ago", span(d.now.Sub(time.Unix(0, c.Session))))
}

// enough says whether so many flagged ones of a client's distinct external names are evidence against it.
func (p *Policy) enough(flagged, distinct int) bool {
	return flagged >= p.cfg.Client.MinFlagged && p.mostly(flagged, distinct)
}

// mostly says whether so many flagged ones are more than client.min-share of all.
func (p *Policy) mostly(flagged, distinct int) bool {
	return float64(flagged) > p.cfg.Client.MinShare*float64(distinct)
}

// matters says whether evidence of so many sightings that was last seen then can make a hit, or change an old one: make it last
// noticeably longer, or longer and be twice what it was decided on. Its rank among the others, where a set is full, and what its
// owner reads of it are those of its last decision.
func (d *decider) matters(old *Hit, last int64, ttl time.Duration, sightings uint64) bool {
	expires := time.Unix(0, last).Add(ttl)
	switch {
	case !expires.After(d.now):
		return false
	case old == nil || !old.Expires.After(d.now):
		return true
	case sightings >= 2*old.Sightings && expires.After(old.Expires):
		return true
	}
	return expires.Sub(old.Expires) > time.Duration(extendBy*float64(ttl))
}

// flaggedOf are those of a client's names that are flagged.
func flaggedOf(items []evidence.Item, weigh func(*evidence.Item) (float32, bool)) []evidence.Item {
	flagged := make([]evidence.Item, 0, len(items))
	for i := range items {
		if _, flags := weigh(&items[i]); flags {
			flagged = append(flagged, items[i])
		}
	}
	return flagged
}

// returns is how often a hit has come back: an active one says so itself.
func (d *decider) returns(old *Hit, key func() string) int {
	if old != nil {
		return old.Returns
	}
	return d.active.returns(key, d.now)
}

func (d *decider) add(h Hit, old *Hit, returns int) {
	if h.Returns = returns; returns > 0 {
		h.Expires = h.Last.Add(d.p.ttl(h.Kind, returns))
		h.Reasons = append(h.Reasons, fmt.Sprintf("it came back after it had expired, %d in a row: it stays %s", returns, span(h.Expires.Sub(h.Last))))
	}
	why := strings.Join(h.Reasons, "; ")
	if old == nil {
		d.decide(Block, h, why)
	} else {
		if old.First.Before(h.First) {
			h.First = old.First
		}
		d.renewed[h.Key()] = true
		d.decide(Extend, h, "seen again: "+why)
	}
	d.hits = append(d.hits, &h)
}

// review lets an active hit go, or keeps it.
func (d *decider) review(h *Hit) {
	if len(d.renewed) > 0 && d.renewed[h.Key()] {
		return
	}
	blocked, session := d.since(h)
	switch exempt := d.p.exemptHit(h); {
	case exempt != "":
		d.decide(Release, *h, exempt)
	case session != "":
		d.decide(Spare, *h, session)
	case d.matters(h, blocked, d.p.ttl(h.Kind, h.Returns), 0):
		next := *h
		next.Last = time.Unix(0, blocked).UTC()
		next.Expires = next.Last.Add(d.p.ttl(h.Kind, h.Returns))
		d.decide(Extend, next, fmt.Sprintf("still sent: a request that was blocked %s ago carried a flagged Referer", span(d.now.Sub(next.Last))))
		d.hits = append(d.hits, &next)
	case !h.Expires.After(d.now):
		d.decide(Release, *h, fmt.Sprintf("expired: last seen flagged %s ago", span(d.now.Sub(h.Last))))
	default:
		d.hits = append(d.hits, h)
	}
}

// since says when what is a hit was last seen blocked, in Unix nanoseconds, and whether a session speaks for it, in words.
func (d *decider) since(h *Hit) (blocked int64, session string) {
	if h.Kind == KindName {
		if n := d.st.Name(h.Domain); n != nil {
			blocked = n.Blocked
		}
		return blocked, ""
	}
	c := d.st.Client(h.Client.Addr())
	if c == nil {
		return 0, ""
	}
	if c.Session > 0 {
		session = d.spared(c)
	}
	return c.Blocked, session
}

func (d *decider) decide(a Action, h Hit, why string) {
	d.decisions = append(d.decisions, Decision{Time: d.now, Action: a, Hit: h, Why: why})
}

// maxHits is how many names, and how many clients, are hits at a time: two and a half times what an IP set of AWS holds, and
// about 40 MB. Without it a flood from ever new addresses would fill memory with hits that outlive their evidence.
const maxHits = 25_000

// outranked reports whether a client that is no hit would not stand as one, whose rank is at most this. In a flood from ever new
// addresses that is nearly all of them, each second anew.
func (d *decider) outranked(client netip.Prefix, rank float64) bool {
	return d.last != nil && (rank < d.last.Rank || rank == d.last.Rank && compare(&Hit{Kind: KindClient, Client: client}, d.last) > 0)
}

// bound keeps the hits of the highest rank. What was not a hit yet does not become one, and says nothing; what was is released.
func (d *decider) bound() {
	if len(d.hits) <= d.limit {
		return
	}
	slices.SortFunc(d.hits, func(a, b *Hit) int { return cmp.Or(cmp.Compare(b.Rank, a.Rank), compare(a, b)) })
	seen, outranked := map[Kind]int{}, map[string]bool{}
	d.hits = slices.DeleteFunc(d.hits, func(h *Hit) bool {
		seen[h.Kind]++
		if seen[h.Kind] <= d.limit {
			return false
		}
		outranked[h.Key()] = true
		return true
	})
	if len(outranked) == 0 {
		return
	}
	d.decisions = slices.DeleteFunc(d.decisions, func(made Decision) bool { return outranked[made.Hit.Key()] })
	for _, h := range d.active.All() {
		if outranked[h.Key()] {
			d.decide(Release, h, fmt.Sprintf("outranked: there is more evidence about %s others", grouped(uint64(d.limit))))
		}
	}
}

// ExemptHit reports whether a hit may not be blocked after all: the last look, at the moment of the push.
func (p *Policy) ExemptHit(h Hit) bool { return p.exemptHit(&h) != "" }

// exemptHit says in words why a hit must go at once, or "".
func (p *Policy) exemptHit(h *Hit) string {
	if h.Kind == KindClient {
		if p.ExemptClient(h.Client.Addr()) {
			return "now exempt: the client is in a range that is never blocked"
		}
		return p.unlabelled(h)
	}
	switch e := p.Exempts(nameOf(h.Domain)); e {
	case NotExempt:
		return p.unlabelled(h)
	case Labelled:
		return "now exempt: it is " + p.labels[h.Domain].String()
	default:
		return "now exempt: " + e.Words()
	}
}

// nameOf makes the Name of a bare domain again: one label and the public suffix behind it.
func nameOf(domain string) features.Name {
	label, _, _ := strings.Cut(domain, ".")
	return features.Name{Host: domain, Domain: domain, Label: label}
}

func (p *Policy) nameHit(n *evidence.Name) Hit {
	h := Hit{
		Kind: KindName, Domain: n.Domain, Score: n.Score, Tail: n.Tail, Sightings: n.Sightings, Networks: n.Networks.Distinct(),
		First: time.Unix(0, n.First).UTC(), Last: time.Unix(0, n.Last).UTC(), Model: p.model, Config: p.id,
	}
	h.Labelled = n.Tail > p.threshold
	for _, network := range n.Networks.Items() {
		h.Rank += p.weight(n.Tail, network.Count)
	}
	h.Rank = n.Networks.Scale(h.Rank)
	h.Expires = h.Last.Add(p.cfg.Name.TTL)
	h.Reasons = []string{
		p.because(h.Domain, h.Score, h.Tail),
		fmt.Sprintf("seen %s from %s in %s", counted(h.Sightings, "time"), plural(about(&n.Networks, h.Networks), "network"), span(h.Last.Sub(h.First))),
	}
	return h
}

// clientHit is the hit of a client with these flagged names, of which minFlagged were needed.
func (p *Policy) clientHit(c *evidence.Client, flagged []evidence.Item, minFlagged int) Hit {
	slices.SortFunc(flagged, func(a, b evidence.Item) int {
		return cmp.Or(cmp.Compare(a.Tail, b.Tail), cmp.Compare(b.Score, a.Score), cmp.Compare(a.Domain(), b.Domain()))
	})
	top := flagged[0]
	h := Hit{
		Kind: KindClient, Client: c.Prefix, Score: top.Score, Tail: top.Tail,
		Flagged: int(math.Round(c.Names.Estimate(len(flagged)))), Distinct: c.Names.Distinct(),
		First: time.Unix(0, c.First).UTC().Truncate(time.Second), Model: p.model, Config: p.id, // as exact as its names are
	}
	last, byScore := uint32(0), 0
	for i, it := range flagged {
		if it.Tail <= p.threshold {
			byScore++
		}
		h.Rank += p.weight(it.Tail, it.Count)
		h.Sightings += uint64(it.Count)
		last = max(last, it.Seen)
		if i < namesShown {
			h.Names = append(h.Names, it.Domain())
		}
	}
	h.Labelled = byScore < minFlagged || !p.mostly(byScore, len(c.Names.Items()))
	h.Rank = c.Names.Scale(h.Rank)
	h.Sightings = uint64(math.Round(c.Names.Scale(float64(h.Sightings))))
	h.Last = time.Unix(int64(last), 0).UTC()
	h.Expires = h.Last.Add(p.cfg.Client.TTL)
	h.Reasons = []string{
		fmt.Sprintf("flagged: %s of its %s", about(&c.Names, h.Flagged), plural(about(&c.Names, h.Distinct), "distinct external name")),
		fmt.Sprintf("%s: %s", top.Domain(), p.because(top.Domain(), top.Score, top.Tail)),
		fmt.Sprintf("%s in %s", counted(h.Sightings, "flagged request"), span(h.Last.Sub(h.First))),
	}
	return h
}

// maxDoublings bounds what one client or network adds to a rank: after 255 requests of the same name it adds no more.
const maxDoublings = 8

// weight is how much one name from one network, or one name from one client, adds to a rank: the certainty of the name,
// in powers of ten, times the doublings of the requests that carried it. So a rank grows with distinct networks and
// distinct names, and one sender can move it only so far. A name that the owner labelled is as certain as the threshold.
func (p *Policy) weight(tail float32, requests uint32) float64 {
	tail = min(tail, p.threshold)
	return -math.Log10(float64(tail)) * min(math.Log2(1+float64(requests)), maxDoublings)
}
