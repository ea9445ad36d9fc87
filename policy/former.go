package policy

import (
	"maps"
	"net/netip"
	"time"
)

// former is what is remembered of a hit that expired: whoever comes back stays longer.
type former struct {
	returns int
	until   time.Time // when it is forgotten
}

// maxFormer bounds how many are remembered, 5 MB: whoever comes when so many are does not stay longer.
const maxFormer = 50_000

// longer is how long a hit lasts that has come back so often: the rule's time doubled each time, up to its cap. A cap
// below the time itself doubles nothing.
func longer(ttl, most time.Duration, returns int) time.Duration {
	for range returns {
		if 2*ttl > most {
			return max(ttl, most)
		}
		ttl *= 2
	}
	return ttl
}

func (p *Policy) ttl(k Kind, returns int) time.Duration {
	if k == KindClient {
		return longer(p.cfg.Client.TTL, p.cfg.Client.TTLCap, returns)
	}
	return longer(p.cfg.Name.TTL, p.cfg.Name.TTLCap, returns)
}

// remembered is how long a hit is after it expired: as long as the longest one lasts.
func (p *Policy) remembered(k Kind) time.Duration {
	if k == KindClient {
		return p.cfg.Client.TTLCap
	}
	return p.cfg.Name.TTLCap
}

// returns counts how often what has this key has come back, if it is a hit again now.
func (h *Hits) returns(key func() string, now time.Time) int {
	if h == nil || len(h.former) == 0 {
		return 0
	}
	if f, found := h.former[key()]; found && now.Before(f.until) {
		return f.returns + 1
	}
	return 0
}

// remember gives hits the memory of the hits before them, and of what these decisions let expire. A hit that is exempt is
// not remembered. It changes hits, which are new, and no others.
func (p *Policy) remember(hits, before *Hits, decisions []Decision) {
	var old map[string]former
	if before != nil {
		old, hits.spared = before.former, before.spared
	}
	hits.former = old
	p.rememberSpared(hits, decisions)
	copied := false
	change := func() map[string]former {
		if !copied {
			hits.former, copied = make(map[string]former, len(old)+16), true
			for key, f := range old {
				if decisions[0].Time.Before(f.until) {
					hits.former[key] = f
				}
			}
		}
		return hits.former
	}
	for i := range decisions {
		d := &decisions[i]
		key := d.Hit.Key()
		switch expired := d.Action == Release && !d.Hit.Expires.After(d.Time); {
		case expired && p.remembered(d.Hit.Kind) > 0:
			if f := change(); len(f) < maxFormer {
				f[key] = former{d.Hit.Returns, d.Time.Add(p.remembered(d.Hit.Kind))}
			}
		case d.Action == Block && d.Hit.Returns > 0:
			delete(change(), key)
		}
	}
}

// rememberSpared keeps which clients a session speaks for as long as an entry of such a client may stand in a set.
func (p *Policy) rememberSpared(hits *Hits, decisions []Decision) {
	copied := false
	for i := range decisions {
		d := &decisions[i]
		_, was := hits.spared[d.Hit.Client]
		if d.Hit.Kind != KindClient || d.Action != Spare && !(d.Action == Block && was) {
			continue
		}
		if !copied {
			next := make(map[netip.Prefix]time.Time, len(hits.spared)+1)
			for prefix, until := range hits.spared {
				if d.Time.Before(until) {
					next[prefix] = until
				}
			}
			hits.spared, copied = next, true
		}
		if d.Action == Block {
			delete(hits.spared, d.Hit.Client)
		} else if len(hits.spared) < maxFormer {
			hits.spared[d.Hit.Client] = d.Time.Add(max(p.cfg.Client.TTL, p.cfg.Client.TTLCap))
		}
	}
}

// Remember returns hits that also know which hits expired lately and which clients were spared, from the decisions on them in the order in which they
// were made: what a process takes up at its start.
func (p *Policy) Remember(h *Hits, decisions []Decision) *Hits {
	next := *h
	next.former = maps.Clone(h.former)
	for i := range decisions {
		p.remember(&next, &Hits{former: next.former, spared: next.spared}, decisions[i:i+1])
	}
	return &next
}

// Memory is how far back the decisions that Remember wants go.
func (p *Policy) Memory() time.Duration {
	return max(p.cfg.Client.TTL, p.cfg.Client.TTLCap, p.cfg.Name.TTLCap)
}
