package evidence

import (
	"math/rand/v2"
	"runtime"
	"sync"
)

// Queue hands sightings from the goroutines that serve requests to the one that keeps the State.
//
// A buffered channel would do the same in fewer lines, but a send that finds a sleeping receiver wakes it, which may be
// a system call in the middle of a request, and all senders meet on one lock. Here senders spread over a few shards,
// each a fixed array behind a mutex that is only ever tried, so nobody sleeps on it and nobody has to be woken.
type Queue struct {
	shards []shard // a power of two of them
}

// shard is padded to two cache lines, because the hardware fetches lines in pairs: senders on different shards must not
// wait for each other's line.
type shard struct {
	mu    sync.Mutex
	n     int        // filled places of ring
	ring  []Sighting // what senders fill
	spare []Sighting // Drain's own: swapped with ring
	_     [128 - 8 - 8 - 2*24]byte
}

// maxShards is enough for 16 cores to hardly ever meet: a place is filled in about 10 ns.
const maxShards = 16

// NewQueue returns a Queue with room for at least size sightings, all allocated now (size × 88 bytes × 2).
func NewQueue(size int) *Queue {
	size = max(size, 1)
	n := 1
	for n < 2*runtime.GOMAXPROCS(0) && n < maxShards && n*2 <= size {
		n *= 2
	}
	q := &Queue{shards: make([]shard, n)}
	each := (size + n - 1) / n
	for i := range q.shards {
		q.shards[i].ring = make([]Sighting, each)
		q.shards[i].spare = make([]Sighting, each)
	}
	return q
}

// Offer hands s over. It never blocks, never allocates, makes no system call, and may be called from any number of
// goroutines. False: every shard is full, or busy at this very moment; s is dropped, and the caller counts it.
func (q *Queue) Offer(s Sighting) bool {
	mask := uint32(len(q.shards) - 1)
	at := rand.Uint32() // per thread: no shared counter to fight for
	for i := range mask + 1 {
		sh := &q.shards[(at+i)&mask]
		if !sh.mu.TryLock() {
			continue
		}
		ok := sh.n < len(sh.ring)
		if ok {
			sh.ring[sh.n] = s
			sh.n++
		}
		sh.mu.Unlock()
		if ok {
			return true
		}
	}
	return false
}

// Drain appends what is waiting to into and returns it: in order within a shard, in no order between shards. Only one
// goroutine may call it at a time. A sender waits for it no longer than two slices take to change places.
func (q *Queue) Drain(into []Sighting) []Sighting {
	for i := range q.shards {
		sh := &q.shards[i]
		// Lock would queue up as a waiter, and the sender that unlocks would have to wake it.
		for !sh.mu.TryLock() {
			runtime.Gosched()
		}
		full := sh.ring[:sh.n]
		sh.ring, sh.spare, sh.n = sh.spare, sh.ring, 0
		sh.mu.Unlock()
		into = append(into, full...)
		clear(full) // do not keep the names alive
	}
	return into
}
