package policy

import (
	"cmp"
	"net/netip"
	"slices"

	"referee/evidence"
)

// Hits is what is to be blocked now. It is immutable and safe for concurrent use; the nil *Hits is empty.
type Hits struct {
	all     []Hit // by rank
	names   map[string]int
	clients map[netip.Prefix]int
}

// NewHits makes a Hits of a list. Of two hits for one name or client the one that expires later stays.
func NewHits(list []Hit) *Hits {
	// Sorted by pointer: under attack there are tens of thousands of hits, of some 300 bytes each.
	best := make([]*Hit, 0, len(list))
	h := &Hits{names: map[string]int{}, clients: map[netip.Prefix]int{}}
	for i := range list {
		hit := &list[i]
		if at, found := h.find(hit); !found {
			h.index(hit, len(best))
			best = append(best, hit)
		} else if hit.Expires.After(best[at].Expires) {
			best[at] = hit
		}
	}
	slices.SortFunc(best, func(a, b *Hit) int { return cmp.Or(cmp.Compare(b.Rank, a.Rank), compare(a, b)) })
	h.all = make([]Hit, len(best))
	for i, hit := range best {
		h.all[i] = *hit
		h.index(hit, i)
	}
	return h
}

func (h *Hits) find(hit *Hit) (at int, found bool) {
	if hit.Kind == KindClient {
		at, found = h.clients[hit.Client]
	} else {
		at, found = h.names[hit.Domain]
	}
	return at, found
}

func (h *Hits) index(hit *Hit, at int) {
	if hit.Kind == KindClient {
		h.clients[hit.Client] = at
	} else {
		h.names[hit.Domain] = at
	}
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

func value(h *Hit) (Hit, bool) {
	if h == nil {
		return Hit{}, false
	}
	return *h, true
}
