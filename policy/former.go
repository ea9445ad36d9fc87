package policy

import (
	"iter"
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
	if before != nil {
		hits.former, hits.spared = before.former, before.spared
	}
	m := memory{p: p, hits: hits}
	for i := range decisions {
		m.take(&decisions[i])
	}
}

// Remember returns hits that also know which hits expired lately and which clients were spared, from the decisions on them in the order
// in which they were made, those that only extend a hit left out or not: what a process takes up at its start. It stops at the
// first error.
func (p *Policy) Remember(h *Hits, decisions iter.Seq2[Decision, error]) (*Hits, error) {
	next := *h
	m := memory{p: p, hits: &next}
	for d, err := range decisions {
		if err != nil {
			return nil, err
		}
		m.take(&d)
	}
	return &next, nil
}

// memory is what hits remember, in the making: maps that they share with the hits before them are copied at the first change.
type memory struct {
	p                      *Policy
	hits                   *Hits
	ownsFormer, ownsSpared bool
}

func (m *memory) take(d *Decision) {
	m.takeSpared(d)
	key := d.Hit.Key()
	switch expired := d.Action == Release && !d.Hit.Expires.After(d.Time); {
	case expired && m.p.remembered(d.Hit.Kind) > 0:
		if f := m.former(d.Time); len(f) < maxFormer {
			f[key] = former{d.Hit.Returns, d.Time.Add(m.p.remembered(d.Hit.Kind))}
		}
	case d.Action == Block && d.Hit.Returns > 0:
		delete(m.former(d.Time), key)
	}
}

// former is the map to change: a copy without what is over.
func (m *memory) former(now time.Time) map[string]former {
	if !m.ownsFormer {
		next := make(map[string]former, len(m.hits.former)+16)
		for key, f := range m.hits.former {
			if now.Before(f.until) {
				next[key] = f
			}
		}
		m.hits.former, m.ownsFormer = next, true
	}
	return m.hits.former
}

// takeSpared keeps which clients a session speaks for as long as an entry of such a client may stand in a set.
func (m *memory) takeSpared(d *Decision) {
	_, was := m.hits.spared[d.Hit.Client]
	if d.Hit.Kind != KindClient || d.Action != Spare && !(d.Action == Block && was) {
		return
	}
	if !m.ownsSpared {
		next := make(map[netip.Prefix]time.Time, len(m.hits.spared)+1)
		for prefix, until := range m.hits.spared {
			if d.Time.Before(until) {
				next[prefix] = until
			}
		}
		m.hits.spared, m.ownsSpared = next, true
	}
	if d.Action == Block {
		delete(m.hits.spared, d.Hit.Client)
	} else if len(m.hits.spared) < maxFormer {
		m.hits.spared[d.Hit.Client] = d.Time.Add(max(m.p.cfg.Client.TTL, m.p.cfg.Client.TTLCap))
	}
}

// Memory is how far back the decisions that Remember wants go.
func (p *Policy) Memory() time.Duration {
	return max(p.cfg.Client.TTL, p.cfg.Client.TTLCap, p.cfg.Name.TTLCap)
}
