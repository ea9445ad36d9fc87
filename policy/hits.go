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

// NewHits makes a Hits of a list. Of two hits with one key the one that expires later stays.
func NewHits(list []Hit) *Hits {
	all := slices.Clone(list)
	slices.SortFunc(all, func(a, b Hit) int {
		return cmp.Or(cmp.Compare(a.Key(), b.Key()), b.Expires.Compare(a.Expires), cmp.Compare(b.Rank, a.Rank))
	})
	all = slices.CompactFunc(all, func(a, b Hit) bool { return a.Key() == b.Key() })
	slices.SortStableFunc(all, func(a, b Hit) int { return cmp.Compare(b.Rank, a.Rank) })
	h := &Hits{all: all, names: map[string]int{}, clients: map[netip.Prefix]int{}}
	for i := range all {
		if all[i].Kind == KindClient {
			h.clients[all[i].Client] = i
		} else {
			h.names[all[i].Domain] = i
		}
	}
	return h
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
func (h *Hits) Name(domain string) (Hit, bool) {
	if h == nil {
		return Hit{}, false
	}
	i, found := h.names[domain]
	if !found {
		return Hit{}, false
	}
	return h.all[i], true
}

// Client returns the hit for the client with this address, if there is one. It does not allocate.
func (h *Hits) Client(a netip.Addr) (Hit, bool) {
	if h == nil || len(h.clients) == 0 {
		return Hit{}, false
	}
	i, found := h.clients[evidence.ClientPrefix(a)]
	if !found {
		return Hit{}, false
	}
	return h.all[i], true
}
