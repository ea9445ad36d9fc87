package intake

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"time"
)

// The last hour, in slices: what was counted in the oldest is forgotten when the next begins.
const (
	trafficSlices = 4
	trafficSlice  = 15 * time.Minute
	trafficSlots  = 1 << 16
)

// traffic counts the requests without a flagged Referer by client, for what blocking a client would hit besides. It is
// a row of a count-mean sketch (Deng and Rafiei, New estimation algorithms for streaming data: Count-min can do more,
// 2007): 1 MiB however many clients there are. Two clients may share a slot; that is taken off on average, so that the sum
// over many clients is right however large the noise of one is.
type traffic struct {
	seed    uint64
	current atomic.Uint32
	known   [trafficSlices]atomic.Uint64 // requests whose client is known: those in slots
	others  [trafficSlices]atomic.Uint64
	slots   [trafficSlices][trafficSlots]atomic.Uint32
	turned  time.Time // the background's: when the current slice began
}

func newTraffic() *traffic { return &traffic{seed: rand.Uint64()} }

// slot of a client, by a hash that clients cannot foresee. It does not allocate.
func (t *traffic) slot(a netip.Addr) int {
	b := a.As16()
	key := binary.LittleEndian.Uint64(b[:8]) // a /64
	if a.Is4() || a.Is4In6() {
		key = uint64(binary.LittleEndian.Uint32(b[12:]))
	}
	hi, lo := bits.Mul64(key^t.seed, 0x9e3779b97f4a7c15)
	hi, lo = bits.Mul64(hi^lo^t.seed, 0xd6e8feb86659fd93)
	return int((hi ^ lo) >> 48)
}

// add counts a request of a client; the zero Addr counts as one of everybody's. It does not allocate.
func (t *traffic) add(a netip.Addr) {
	now := t.current.Load()
	if !a.IsValid() {
		t.others[now].Add(1)
		return
	}
	t.known[now].Add(1)
	t.slots[now][t.slot(a)].Add(1)
}

// of estimates a client's requests within the last 45 to 60 minutes, below zero where others' are over-estimated, and
// counts those of everybody.
func (t *traffic) of(a netip.Addr) (client, all float64) {
	slot := t.slot(a)
	var seen, known, others uint64
	for i := range t.slots {
		seen += uint64(t.slots[i][slot].Load())
		known += t.known[i].Load()
		others += t.others[i].Load()
	}
	// Only requests that are in the slots can be in a wrong one.
	return float64(seen) - float64(known-min(seen, known))/(trafficSlots-1), float64(known + others)
}

// turn begins a new slice when it is time. What was counted since the last turn stays for another slice at least, however
// long ago that was: nobody knows when within that time it came, and without it a share of the traffic would be one of nothing.
func (t *traffic) turn(now time.Time) {
	if t.turned.IsZero() || now.Before(t.turned) {
		t.turned = now
	}
	over := now.Sub(t.turned) / trafficSlice
	t.turned = t.turned.Add(over * trafficSlice)
	for range min(over, trafficSlices-1) {
		next := (t.current.Load() + 1) % trafficSlices
		for i := range t.slots[next] {
			t.slots[next][i].Store(0)
		}
		t.known[next].Store(0)
		t.others[next].Store(0)
		t.current.Store(next)
	}
}

// Tick forgets the traffic of more than an hour ago. One goroutine calls it each second or so, whether or not anybody asks
// for Traffic.
func (j *Judge) Tick() { j.traffic.turn(j.now()) }

// Traffic estimates how many requests without a flagged Referer came from a client within about the last hour, and
// counts those of everybody: what blocking it would hit besides. It is safe for concurrent use.
func (j *Judge) Traffic(client netip.Prefix) (unflagged, all float64) {
	return j.traffic.of(client.Addr())
}
