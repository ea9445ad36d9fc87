package classifier

import (
	"hash/maphash"
	"runtime"
	"sync/atomic"

	lru "github.com/hashicorp/golang-lru/v2"

	"referee/features"
)

// Cache keeps the Results of recent names, so that a name that is seen often is scored once. It holds 2Q caches
// (Johnson and Shasha, VLDB 1994): a flood of names that are seen once cannot push out those that are seen again.
// It belongs to one model: a new model gets a new Cache. It is safe for concurrent use.
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
	results      *lru.TwoQueueCache[uint64, Result]
	hits, misses atomic.Uint64
	_            [40]byte // one cache line each
}

const (
	maxShards     = 32
	minShardNames = 64 // 2Q divides its size into a quarter and a half
)

// NewCache makes a cache of about size names, at least 64 for each of its shards: one up to two CPUs, then the next power of two of
// GOMAXPROCS, at most 32. A name takes about 250 bytes.
func NewCache(m *Model, size int) *Cache {
	n := 1
	if procs := runtime.GOMAXPROCS(0); procs > 2 {
		for n < procs && n < maxShards {
			n *= 2
		}
	}
	c := &Cache{model: m, seed: maphash.MakeSeed(), mask: uint64(n - 1), shards: make([]shard, n)}
	for i := range c.shards {
		// It fails for sizes below 2 only.
		c.shards[i].results, _ = lru.New2Q[uint64, Result](max(size/n, minShardNames))
	}
	return c
}

// Judge is Model.Judge, remembered. It does not allocate where the name was seen at least twice before; the first two
// times it clones what it keeps.
func (c *Cache) Judge(n features.Name) Result {
	key := maphash.String(c.seed, n.Domain)
	s := &c.shards[key>>32&c.mask]
	if r, ok := s.results.Get(key); ok && r.Domain == n.Domain {
		s.hits.Add(1)
		return r
	}
	s.misses.Add(1)
	r := c.model.Judge(n)
	s.results.Add(key, r)
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
