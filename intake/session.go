package intake

import (
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"referee/classifier"
	"referee/evidence"
)

// SessionHeader is the name of a header as a Snapshot wants it; of none for "".
func SessionHeader(name string) []byte {
	if name == "" {
		return nil
	}
	return []byte(http.CanonicalHeaderKey(name))
}

// sessionHeader is the name of the header that marks a verified session on requests from this peer: nil where there is none,
// and where the peer is not one whose word is believed, because any client can write a header.
func (j *Judge) sessionHeader(peer netip.Addr) []byte {
	s := j.snapshot.Load()
	if s == nil || len(s.Session) == 0 || !s.Proxies.trusts(peer) {
		return nil
	}
	return s.Session
}

// isSession reads the marker's value. What an upstream sends for a session that it did not verify is none: an empty value, 0, false.
func isSession(value []byte) bool {
	value = trimSpace(value)
	return len(value) > 0 && !(len(value) == 1 && value[0] == '0') && !equalFold(value, "false")
}

// trusts reports whether a peer is a trusted proxy.
func (p *Proxies) trusts(peer netip.Addr) bool {
	peer = peer.WithZone("").Unmap()
	return p != nil && peer.IsValid() && p.ranges.contain(peer)
}

// vouch offers the Sighting that a session spoke for a client, once a minute.
func (j *Judge) vouch(client netip.Addr, seen time.Time) {
	if j.vouched.news(client, seen) {
		j.offer(evidence.Sighting{Result: classifier.Result{Tail: 1}, Client: client, Time: seen.UnixNano(), Session: true})
	}
}

// vouchedSlots is 256 KiB: as many clients with a session within one minute hardly meet.
const vouchedSlots = 1 << 16

// vouched remembers which clients a session has spoken for within this minute, so that people who are logged in, most of
// whose requests have no external name, do not fill the queue with saying so. Where two clients share a slot one of them
// is told more often.
type vouched [vouchedSlots]atomic.Uint32

// news says whether a client was not told within this minute. It does not allocate.
func (v *vouched) news(client netip.Addr, now time.Time) bool {
	b := client.As16()
	var h uint64 = 14695981039346656037 // FNV-1a: who forges collisions is told of more often, and nothing else
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	slot := &v[uint16(h>>48)]
	is := uint32(h>>16)&^0xffff | uint32(now.Unix()/60)&0xffff
	if slot.Load() == is {
		return false
	}
	slot.Store(is)
	return true
}
