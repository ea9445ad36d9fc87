package evidence

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"testing"
	"unique"

	"github.com/dchest/siphash"
	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// same compares samples by what they hold; oldest is only a bound.
var same = gocmp.Options{
	gocmp.AllowUnexported(Sample{}, Item{}),
	gocmp.Comparer(func(a, b unique.Handle[string]) bool { return a == b }),
	cmpopts.IgnoreFields(Sample{}, "oldest"),
	cmpopts.EquateEmpty(),
	cmpopts.EquateComparable(Client{}.Prefix),
}

const testK = 8

// anItem draws from few hashes, so that things meet again.
func anItem() *rapid.Generator[Item] {
	return rapid.Custom(func(t *rapid.T) Item {
		it := Item{
			Hash:  uint64(rapid.IntRange(1, 40).Draw(t, "hash")) << 40,
			Seen:  uint32(rapid.IntRange(0, 5).Draw(t, "seen")),
			Count: uint32(rapid.IntRange(1, 3).Draw(t, "count")),
			Tail:  rapid.SampledFrom([]float32{1e-5, 0.5}).Draw(t, "tail"),
			Score: rapid.SampledFrom([]float32{-1, 7}).Draw(t, "score"),
		}
		if it.Tail < 0.01 {
			it.domain = unique.Make(rapid.SampledFrom([]string{"a.com", "b.com"}).Draw(t, "domain"))
		}
		return it
	})
}

func sampleOf(items []Item) (s Sample) {
	for _, it := range items {
		s.add(it, testK)
	}
	return s
}

func merged(samples ...Sample) (m Sample) {
	for _, s := range samples {
		m.merge(&s, testK)
	}
	return m
}

// aSample may have been pruned, so that its limit is lower than its items explain.
func aSample() *rapid.Generator[Sample] {
	return rapid.Custom(func(t *rapid.T) Sample {
		s := sampleOf(rapid.SliceOfN(anItem(), 0, 30).Draw(t, "items"))
		s.prune(uint32(rapid.IntRange(0, 3).Draw(t, "since")))
		return s
	})
}

func TestASampleIsTheSameInWhateverOrderItIsFilled(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		items := rapid.SliceOfN(anItem(), 0, 60).Draw(t, "items")
		other := rapid.Permutation(items).Draw(t, "other order")
		if d := gocmp.Diff(sampleOf(items), sampleOf(other), same); d != "" {
			t.Fatal(d)
		}
	})
}

func TestASampleHoldsTheLowestHashesAndKnowsWhereItEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		items := rapid.SliceOfN(anItem(), 0, 60).Draw(t, "items")
		s := sampleOf(items)
		var hashes []uint64
		for _, it := range items {
			hashes = append(hashes, it.Hash)
		}
		slices.Sort(hashes)
		hashes = slices.Compact(hashes)
		var limit uint64
		if len(hashes) > testK {
			limit, hashes = hashes[testK], hashes[:testK]
		}
		var got []uint64
		for _, it := range s.Items() {
			got = append(got, it.Hash)
		}
		if !slices.Equal(got, hashes) || s.limit != limit || s.Exact() != (limit == 0) {
			t.Fatalf("holds %d below %d, want %d below %d", got, s.limit, hashes, limit)
		}
		if cap(s.items) > 2*testK {
			t.Fatalf("room for %d items", cap(s.items))
		}
	})
}

func TestMergingSamplesIsCommutativeAndAssociative(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := aSample().Draw(t, "a"), aSample().Draw(t, "b"), aSample().Draw(t, "c")
		if d := gocmp.Diff(merged(a, b), merged(b, a), same); d != "" {
			t.Fatal("a+b is not b+a", d)
		}
		if d := gocmp.Diff(merged(merged(a, b), c), merged(a, merged(b, c)), same); d != "" {
			t.Fatal("(a+b)+c is not a+(b+c)", d)
		}
	})
}

func TestMergingASampleWithItselfAddsCountsAndNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := aSample().Draw(t, "a")
		if d := gocmp.Diff(merged(a, a), a, same, cmpopts.IgnoreFields(Item{}, "Count")); d != "" {
			t.Fatal(d)
		}
	})
}

func TestMergingPartsIsSamplingTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		items := rapid.SliceOfN(anItem(), 0, 60).Draw(t, "items")
		cut := rapid.IntRange(0, len(items)).Draw(t, "cut")
		if d := gocmp.Diff(merged(sampleOf(items[:cut]), sampleOf(items[cut:])), sampleOf(items), same); d != "" {
			t.Fatal(d)
		}
	})
}

func TestASampleForgetsByAge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		items := rapid.SliceOfN(anItem(), 0, 60).Draw(t, "items")
		since := uint32(rapid.IntRange(0, 6).Draw(t, "since"))
		s := sampleOf(items)
		limit := s.limit
		s.prune(since)
		var young uint32 // the youngest that was left out
		for _, it := range items {
			if limit != 0 && it.Hash >= limit {
				young = max(young, it.Seen)
			}
		}
		if s.Exact() != (limit == 0 || young < since) {
			t.Fatalf("exact: %v, with things up to %d left out and %d forgotten", s.Exact(), young, since)
		}
		for _, it := range s.Items() {
			if it.Seen < since {
				t.Fatalf("still holds %+v from before %d", it, since)
			}
		}
	})
}

// hashes are those of the numbers from 0 to n−1 under a key.
func hashes(key uint64, n int) []uint64 {
	h := make([]uint64, n)
	var b [8]byte
	for i := range h {
		binary.LittleEndian.PutUint64(b[:], uint64(i))
		h[i] = siphash.Hash(key, ^key, b[:])
	}
	return h
}

func TestAnEstimateIsUnbiasedAndAsPreciseAsItsComment(t *testing.T) {
	f := func(k, distinct, flagged int) {
		t.Helper()
		const keys = 300
		var sum, squares, share float64
		for key := range uint64(keys) {
			var s Sample
			for i, h := range hashes(key, distinct) {
				it := Item{Hash: h, Count: 1}
				if i < flagged {
					it.Tail = 1e-5
				}
				s.add(it, k)
			}
			n := 0
			for _, it := range s.Items() {
				if it.Tail > 0 {
					n++
				}
			}
			e := s.Estimate(len(s.Items()))/float64(distinct) - 1
			sum += e
			squares += e * e
			share += s.Estimate(n)
		}
		deviation := 1 / math.Sqrt(float64(k-1))
		if mean := sum / keys; math.Abs(mean) > 4*deviation/math.Sqrt(keys) {
			t.Errorf("k=%d, %d distinct: off by %.1f %% on average", k, distinct, 100*mean)
		}
		if rms := math.Sqrt(squares / keys); rms > 1.2*deviation {
			t.Errorf("k=%d, %d distinct: standard error %.1f %%, want at most %.1f %%", k, distinct, 100*rms, 100*deviation)
		}
		if mean := share / keys; math.Abs(mean/float64(flagged)-1) > 0.1 {
			t.Errorf("k=%d: %d of %d have the property, estimated as %.1f", k, flagged, distinct, mean)
		}
	}
	f(namesKept, 100, 40)
	f(namesKept, 3_000, 600)
	f(networksKept, 33, 20)
	f(networksKept, 1_000, 500)
}

func TestASampleIsExactWhileItIsSmall(t *testing.T) {
	var s Sample
	for i, h := range hashes(1, namesKept) {
		for range 3 {
			s.add(Item{Hash: h, Count: 1}, namesKept)
		}
		if !s.Exact() || s.Distinct() != i+1 {
			t.Fatalf("%d distinct things are counted as %d, exactly: %v", i+1, s.Distinct(), s.Exact())
		}
	}
	if !slices.IsSortedFunc(s.Items(), func(a, b Item) int { return cmp.Compare(a.Hash, b.Hash) }) {
		t.Error("not in order")
	}
}

func TestCountsDoNotOverflow(t *testing.T) {
	it := Item{Hash: 1, Count: math.MaxUint32 - 1}
	s := sampleOf([]Item{it, it, it})
	if got := s.Items()[0].Count; got != math.MaxUint32 {
		t.Errorf("%d", got)
	}
}
