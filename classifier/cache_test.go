package classifier_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"unsafe"

	lru "github.com/hashicorp/golang-lru/v2"

	"referee/classifier"
	"referee/features"
)

func TestACacheSaysWhatTheModelSays(t *testing.T) {
	m := load(t)
	c := classifier.NewCache(m, 1000)
	for range 3 {
		for _, n := range benignNames() {
			if got, want := c.Judge(n), m.Judge(n); got != want {
				t.Fatalf("%+v, want %+v", got, want)
			}
		}
	}
	// From the second time on a name is kept, but for those few that two others have made forgotten.
	n := uint64(len(benignNames()))
	if hits, misses := c.Stats(); hits+misses != 3*n || hits < n*3/4 || hits > n {
		t.Errorf("%d hits and %d misses of %d names", hits, misses, n)
	}
	if hits, _ := c.Stats(); c.Len() < int(hits) || c.Model() != m {
		t.Errorf("%d names of model %s", c.Len(), c.Model().ID())
	}
}

func TestNamesAreViewsOfABufferThatIsUsedAgain(t *testing.T) {
	c := classifier.NewCache(load(t), 100)
	buffer := []byte("kq3v9zx7w1jt.com")
	view := features.Name{Host: unsafe.String(&buffer[0], 16), Domain: unsafe.String(&buffer[0], 16), Label: unsafe.String(&buffer[0], 12)}
	var kept []classifier.Result
	for range 3 { // the first is scored, the second kept, the third found
		kept = append(kept, c.Judge(view))
	}
	copy(buffer, "stackoverflo.org")
	other := c.Judge(view)
	for _, r := range kept {
		if r.Domain != "kq3v9zx7w1jt.com" {
			t.Errorf("a Result that was kept now says %s", r.Domain)
		}
	}
	if other.Domain != "stackoverflo.org" || other.Score == kept[0].Score {
		t.Errorf("the next name in the buffer is judged as %+v", other)
	}
	if again := c.Judge(name("kq3v9zx7w1jt.com", "kq3v9zx7w1jt")); again != kept[0] {
		t.Errorf("%+v, want %+v", again, kept[0])
	}
}

func TestAScoreAndACachedJudgementDoNotAllocate(t *testing.T) {
	m := load(t)
	c := classifier.NewCache(m, 100)
	n := name("kq3v9zx7w1jt.com", "kq3v9zx7w1jt")
	f := func(what string, want float64, do func()) {
		t.Helper()
		if got := testing.AllocsPerRun(1000, do); got != want {
			t.Errorf("%s: %v allocations, want %v", what, got, want)
		}
	}
	f("Model.Score", 0, func() { m.Score(n) })
	f("Model.Tail", 0, func() { m.Tail(3) })
	f("Model.Judge", 1, func() { m.Judge(n) })
	c.Judge(n)
	c.Judge(n)
	f("Cache.Judge", 0, func() { c.Judge(n) })
}

// A bad day: nineteen of twenty requests bring a Referer that was never seen and never comes back, the twentieth one of
// the site's usual ones, which are as unequally frequent as words are (Zipf). There are as many of those as the cache holds.
func TestAFloodOfUniqueNamesLeavesTheUsualOnesInTheCache(t *testing.T) {
	const (
		size     = 5_000
		requests = 400_000
	)
	zipf := rand.NewZipf(rand.New(rand.NewPCG(1, 1)), 1.1, 1, size-1)
	names := make([]features.Name, size)
	for i := range names {
		label := fmt.Sprintf("usual-%d", i)
		names[i] = name(label+".com", label)
	}
	cache := classifier.NewCache(load(t), size)
	recent, err := lru.New[string, float32](size) // what a plain LRU of the same size keeps
	if err != nil {
		t.Fatal(err)
	}
	judged, found, foundRecent := 0, 0, 0
	for i := range requests {
		if i%20 != 0 {
			label := fmt.Sprintf("flood%d", i)
			cache.Judge(name(label+".com", label))
			recent.Add(label, 0)
			continue
		}
		n := names[zipf.Uint64()]
		before, _ := cache.Stats()
		cache.Judge(n)
		after, _ := cache.Stats()
		_, ok := recent.Get(n.Label)
		recent.Add(n.Label, 0)
		if i > requests/2 {
			judged++
			found += int(after - before)
			if ok {
				foundRecent++
			}
		}
	}
	share, plain := float64(found)/float64(judged), float64(foundRecent)/float64(judged)
	t.Logf("%.1f %% of the usual names found; a plain LRU finds %.1f %%", 100*share, 100*plain)
	if share < 0.75 || share < plain+0.1 {
		t.Errorf("%.1f %% of the usual names were found, want 75 %% at least and more than the %.1f %% of a plain LRU", 100*share, 100*plain)
	}
	if cache.Len() > size {
		t.Errorf("%d names kept of %d", cache.Len(), size)
	}
}

func TestACacheOfNoSizeWorks(t *testing.T) {
	c := classifier.NewCache(load(t), 0)
	for _, n := range benignNames() {
		c.Judge(n)
		c.Judge(n)
	}
	if c.Len() == 0 {
		t.Error("nothing is kept")
	}
}

func TestACacheServesManyGoroutines(t *testing.T) {
	m := load(t)
	c := classifier.NewCache(m, 64)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 2000 {
				label := fmt.Sprintf("name-%d", i%200)
				n := name(label+".com", label)
				if got := c.Judge(n); got.Domain != n.Domain || got.Score != m.Score(n) {
					t.Errorf("%+v for %s", got, n.Domain)
					return
				}
			}
		})
	}
	wg.Wait()
	if hits, misses := c.Stats(); hits+misses != 16000 {
		t.Errorf("%d hits and %d misses of 16,000", hits, misses)
	}
}
