package classifier

import (
	"hash/maphash"
	"runtime"
	"sync/atomic"

	lru "github.com/hashicorp/golang-lru/v2"

	"referee/features"
)

// Cache keeps the Results of names that are seen again. It holds LRU caches, each behind a doorkeeper (Einziger, Friedman and
// Manes, TinyLFU, ACM Transactions on Storage 2017): a name is kept from the second time on, so that a flood of names that
// are seen once pushes out none, and costs little. It belongs to one model: a new model gets a new Cache. It is safe for
// concurrent use.
//
// The key is a 64-bit hash under a secret of the process, so that nobody outside can aim at a collision; the Domain kept
// with the Result is compared, so that a collision costs a score and never gives a wrong one. (A string key would not
// do: golang-lru keeps the key that a Get was made with when it promotes an entry, and ours is a view of a buffer.)
type Cache struct {
	model  *Model
	seed   maphash.Seed
	mask   uint64
	shards []shard
}

type shard struct {
	results      *lru.Cache[uint64, Result]
	seen         []atomic.Uint64 // halves of the two last keys of each slot
	hits, misses atomic.Uint64
	_            [16]byte // one cache line each
}

const (
	maxShards     = 32
	minShardNames = 64
)

// news says whether a key was not seen lately, which is until two others have come into its slot.
func (s *shard) news(key uint64) bool {
	slot, half := &s.seen[key%uint64(len(s.seen))], uint32(key>>32)
	last := slot.Load()
	if uint32(last) == half || uint32(last>>32) == half {
		return false
	}
	slot.Store(last<<32 | uint64(half))
	return true
}

// NewCache makes a cache of about size names, at least 64 for each of its shards: one up to two CPUs, then the next power of two of
// GOMAXPROCS, at most 32. A name takes about 250 bytes, with 8 of the doorkeeper's.
func NewCache(m *Model, size int) *Cache {
	n := 1
	if procs := runtime.GOMAXPROCS(0); procs > 2 {
		for n < procs && n < maxShards {
			n *= 2
		}
	}
	c := &Cache{model: m, seed: maphash.MakeSeed(), mask: uint64(n - 1), shards: make([]shard, n)}
	for i := range c.shards {
		names := max(size/n, minShardNames)
		c.shards[i].results, _ = lru.New[uint64, Result](names) // it fails for sizes below 1 only
		c.shards[i].seen = make([]atomic.Uint64, names)
	}
	return c
}

// Judge is Model.Judge, remembered. It does not allocate where the name was seen at least twice before; the first two
// times it is scored.
func (c *Cache) Judge(n features.Name) Result {
	key := maphash.String(c.seed, n.Domain)
	s := &c.shards[key>>32&c.mask]
	if r, ok := s.results.Get(key); ok && r.Domain == n.Domain {
		s.hits.Add(1)
		return r
	}
	s.misses.Add(1)
	r := c.model.Judge(n)
	if !s.news(key) {
		s.results.Add(key, r)
	}
	return r
}

// Model is the model whose results are kept.
func (c *Cache) Model() *Model { return c.model }

// Stats counts the names that were found and that were not, since the cache was made.
func (c *Cache) Stats() (hits, misses uint64) {
	for i := range c.shards {
		hits += c.shards[i].hits.Load()
		misses += c.shards[i].misses.Load()
	}
	return hits, misses
}

// Len is the number of names kept.
func (c *Cache) Len() int {
	n := 0
	for i := range c.shards {
		n += c.shards[i].results.Len()
	}
	return n
}
