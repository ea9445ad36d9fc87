package policy

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"referee/evidence"
)

// Hits is what is to be blocked now. It is immutable and safe for concurrent use; the nil *Hits is empty.
type Hits struct {
	all     []Hit // by rank
	names   map[string]int
	clients map[netip.Prefix]int
	former  map[string]former          // by key: hits that expired lately
	spared  map[netip.Prefix]time.Time // clients that a session was decided to speak for, and until when that is remembered
}

// NewHits makes a Hits of a list. Of two hits for one name or client the one that expires later stays.
func NewHits(list []Hit) *Hits {
	all := make([]*Hit, len(list))
	for i := range list {
		all[i] = &list[i]
	}
	h := newHits(all)
	if len(h.names)+len(h.clients) < len(all) {
		slices.SortFunc(all, func(a, b *Hit) int { return cmp.Or(compare(a, b), b.Expires.Compare(a.Expires)) })
		h = newHits(slices.CompactFunc(all, func(a, b *Hit) bool { return compare(a, b) == 0 }))
	}
	return h
}

// newHits sorts pointers: in a large attack there are tens of thousands of hits, of some 300 bytes each, and another list
// of them each second.
func newHits(list []*Hit) *Hits {
	slices.SortFunc(list, func(a, b *Hit) int { return cmp.Or(cmp.Compare(b.Rank, a.Rank), compare(a, b)) })
	names := 0
	for _, hit := range list {
		if hit.Kind != KindClient {
			names++
		}
	}
	h := &Hits{all: make([]Hit, len(list)), names: make(map[string]int, names), clients: make(map[netip.Prefix]int, len(list)-names)}
	for i, hit := range list {
		h.all[i] = *hit
		if hit.Kind == KindClient {
			h.clients[hit.Client] = i
		} else {
			h.names[hit.Domain] = i
		}
	}
	return h
}

// compare orders hits by what they are about, as their keys would, without making the keys.
func compare(a, b *Hit) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Domain, b.Domain), a.Client.Addr().Compare(b.Client.Addr()),
		cmp.Compare(a.Client.Bits(), b.Client.Bits()))
}

// All returns the hits, the highest rank first. It must not be changed.
func (h *Hits) All() []Hit {
	if h == nil {
		return nil
	}
	return h.all
}

// Len is the number of hits.
func (h *Hits) Len() int { return len(h.All()) }

// Name returns the hit for a domain, if there is one. It does not allocate.
func (h *Hits) Name(domain string) (Hit, bool) { return value(h.name(domain)) }

// Client returns the hit for the client with this address, if there is one. It does not allocate.
func (h *Hits) Client(a netip.Addr) (Hit, bool) {
	if h == nil || len(h.clients) == 0 {
		return Hit{}, false
	}
	return value(h.client(evidence.ClientPrefix(a)))
}

// Spared reports whether a verified session was the reason that a client is no hit: an entry of it in a set may leave at once.
func (h *Hits) Spared(hit Hit, now time.Time) bool {
	return h != nil && hit.Kind == KindClient && now.Before(h.spared[hit.Client])
}

func (h *Hits) name(domain string) *Hit {
	if h == nil {
		return nil
	}
	if i, found := h.names[domain]; found {
		return &h.all[i]
	}
	return nil
}

func (h *Hits) client(p netip.Prefix) *Hit {
	if h == nil {
		return nil
	}
	if i, found := h.clients[p]; found {
		return &h.all[i]
	}
	return nil
}

// last returns the client of the lowest rank where there are as many as limit; else nil.
func (h *Hits) last(limit int) *Hit {
	if h == nil || len(h.clients) < limit {
		return nil
	}
	for i := len(h.all) - 1; i >= 0; i-- {
		if h.all[i].Kind == KindClient {
			return &h.all[i]
		}
	}
	return nil
}

func value(h *Hit) (Hit, bool) {
	if h == nil {
		return Hit{}, false
	}
	return *h, true
}
