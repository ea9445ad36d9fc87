package policy

import (
	"maps"
	"net/netip"
	"slices"
)

// Without returns hits that know nothing of one client, whom the owner wants forgotten: neither that it is a hit, nor that it
// was one, nor that it was spared.
func (h *Hits) Without(client netip.Prefix) *Hits {
	if h == nil {
		return nil
	}
	gone := Hit{Kind: KindClient, Client: client}
	_, is := h.clients[client]
	_, was := h.former[gone.Key()]
	_, spared := h.spared[client]
	if !is && !was && !spared {
		return h
	}
	next := NewHits(slices.DeleteFunc(slices.Clone(h.all), func(o Hit) bool { return compare(&o, &gone) == 0 }))
	next.former, next.spared = maps.Clone(h.former), maps.Clone(h.spared)
	delete(next.former, gone.Key())
	delete(next.spared, client)
	return next
}
