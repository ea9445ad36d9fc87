package evidence

import (
	"cmp"
	"math"
	"math/bits"
	"net/netip"
	"slices"
	"unique"
)

// Item is one distinct thing in a Sample: a network that a name was seen from, an external name that a client or a cohort
// sent, or the shape of an agent or a path that came with a name.
type Item struct {
	Hash  uint64  // keyed hash of the thing: uniform, and unknown to clients
	Seen  uint32  // last seen, Unix seconds
	Count uint32  // sightings of it, up to the largest uint32
	Tail  float32 // of a name: its benign tail when last seen, 1 if it was exempt or the model abstained; else 0
	Score float32 // of a name: its score when last seen, 0 if it was exempt or the model abstained; else 0

	domain unique.Handle[string] // of a name that was interesting when last seen; one copy, however many clients sent it
	client clientKey             // of a network: who was last seen there
}

// Domain is the name itself if it was interesting (Config.Interest) when last seen, else "": nobody will ask for it.
func (it Item) Domain() string {
	if it.domain == (unique.Handle[string]{}) {
		return ""
	}
	return it.domain.Value()
}

// named is 1 if it has a domain, else 0.
func (it *Item) named() uint32 {
	if it.domain == (unique.Handle[string]{}) {
		return 0
	}
	return 1
}

// Client is, of a network, the client that was last seen there: a witness that can be asked what else it sent. The zero
// Prefix for anything else.
func (it Item) Client() netip.Prefix {
	if it.client == 0 {
		return netip.Prefix{}
	}
	return it.client.prefix()
}

// Sample holds distinct things: all of them while they are few, and above that a uniform sample from which their
// number, and the share of those with a property, can be estimated. It is a bottom-k sample (Cohen and Kaplan 2007;
// "theta sketch" at Apache DataSketches): of all hashes ever put in, those below a limit are kept, and the limit falls
// so that at most k are. Things leave it again by age. Merging is commutative and associative, and idempotent for
// everything but Count, which adds up.
//
// The zero Sample is empty and exact.
type Sample struct {
	items   []Item // ascending by Hash, all below limit
	limit   uint64 // 0: nothing was ever left out
	dropped uint32 // when a thing at or above limit was last seen, Unix seconds
	oldest  uint32 // no item was last seen before this, Unix seconds
	named   uint32 // how many items have a domain
}

// Items returns what is in the sample, ascending by Hash. It must not be changed.
func (s *Sample) Items() []Item { return s.items }

// Exact says whether the sample holds all that there is, so that every count of it is exact.
func (s *Sample) Exact() bool { return s.limit == 0 }

// Estimate turns a number of items with some property into the number of things that have it: the same number if
// the sample is exact, else the unbiased estimate n/p, where p is the share of all hashes that is below the limit. Its
// relative standard error is at most 1/√(k−1) for all items: 18 % at k = 32, 13 % at 64.
func (s *Sample) Estimate(n int) float64 { return s.Scale(float64(n)) }

// Scale is Estimate for any sum over items.
func (s *Sample) Scale(sum float64) float64 {
	if s.Exact() {
		return sum
	}
	return sum * math.Exp2(64) / float64(s.limit)
}

// Distinct is the number of distinct things, estimated if the sample is not exact, rounded.
func (s *Sample) Distinct() int { return int(math.Round(s.Estimate(len(s.items)))) }

// add puts one thing in, or one more sighting of it, and keeps at most k.
func (s *Sample) add(it Item, k int) {
	if s.limit != 0 && it.Hash >= s.limit {
		s.dropped = max(s.dropped, it.Seen)
		return
	}
	i, found := s.find(it.Hash)
	if found {
		joined := join(s.items[i], it)
		s.named += joined.named() - s.items[i].named()
		s.items[i] = joined
		return
	}
	if i == k { // full, and it is the first that does not fit
		s.limit, s.dropped = it.Hash, max(s.dropped, it.Seen)
		return
	}
	s.trim(k - 1) // make room first: the slice must not grow beyond k
	if len(s.items) == 0 {
		s.oldest = it.Seen
	}
	s.oldest = min(s.oldest, it.Seen)
	s.named += it.named()
	s.items = slices.Insert(s.items, i, it)
}

// find is where a hash below limit is, or belongs. Hashes are uniform, so one at a third of what lies below the limit is at about a third of
// the items: two or three steps from there, where a binary search would wait for memory at six places.
func (s *Sample) find(hash uint64) (int, bool) {
	i := s.guess(hash)
	for i > 0 && s.items[i-1].Hash >= hash {
		i--
	}
	for i < len(s.items) && s.items[i].Hash < hash {
		i++
	}
	return i, i < len(s.items) && s.items[i].Hash == hash
}

func (s *Sample) guess(hash uint64) int {
	if s.limit != 0 {
		hash, _ = bits.Div64(hash, 0, s.limit)
	}
	guess, _ := bits.Mul64(hash, uint64(len(s.items)))
	return int(guess)
}

// trim lowers the limit until at most k items are below it.
func (s *Sample) trim(k int) {
	if len(s.items) > k {
		s.limit = s.items[k].Hash
	}
	for n := len(s.items); n > 0 && s.limit != 0 && s.items[n-1].Hash >= s.limit; n-- {
		s.dropped = max(s.dropped, s.items[n-1].Seen)
		s.named -= s.items[n-1].named()
		s.items[n-1] = Item{} // let its domain go
		s.items = s.items[:n-1]
	}
}

// merge puts all of o in.
func (s *Sample) merge(o *Sample, k int) {
	if o.limit != 0 && (s.limit == 0 || o.limit < s.limit) {
		s.limit = o.limit
	}
	s.dropped = max(s.dropped, o.dropped)
	s.trim(k)
	for _, it := range o.items {
		s.add(it, k)
	}
}

// join is what is known of one thing from two sources: counts add, the rest is the newer's. Where both are of the same
// second the more suspicious wins, so that the order of joining does not matter.
func join(a, b Item) Item {
	newer := a
	if b.Seen > a.Seen || b.Seen == a.Seen && cmp.Or(cmp.Compare(b.Tail, a.Tail), cmp.Compare(a.Score, b.Score),
		cmp.Compare(a.Domain(), b.Domain()), cmp.Compare(a.client, b.client)) < 0 {
		newer = b
	}
	newer.Count = addCapped(a.Count, b.Count)
	return newer
}

func addCapped[T uint32 | uint64](a, b T) T {
	if a+b < a {
		return ^T(0)
	}
	return a + b
}

// prune forgets what was last seen before since. Once all that was ever left out is that old, the sample is exact again.
func (s *Sample) prune(since uint32) {
	if s.limit != 0 && s.dropped < since {
		s.limit, s.dropped = 0, 0
	}
	if s.oldest >= since || len(s.items) == 0 {
		return
	}
	s.items = slices.DeleteFunc(s.items, func(it Item) bool { return it.Seen < since })
	s.count()
}

// count finds out anew what is known of all items.
func (s *Sample) count() {
	s.oldest, s.named = math.MaxUint32, 0
	for i := range s.items {
		s.oldest = min(s.oldest, s.items[i].Seen)
		s.named += s.items[i].named()
	}
}
