package evidence

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

func TestAQueueHandsOverWhatItTook(t *testing.T) {
	q := NewQueue(100)
	var want []int64
	for i := range int64(1000) {
		s := sighting("kq3v9z.com", 1e-5, "198.51.100.1", 0)
		s.Time = i
		if q.Offer(s) {
			want = append(want, i)
		}
	}
	if len(want) < 100 || len(want) > 100+maxShards {
		t.Errorf("a queue of 100 took %d", len(want))
	}
	var got []int64
	for _, s := range q.Drain(nil) {
		got = append(got, s.Time)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("took %d, gave %d", len(want), len(got))
	}
	if n := len(q.Drain(nil)); n != 0 {
		t.Errorf("%d are given twice", n)
	}
	if !q.Offer(Sighting{}) {
		t.Error("a drained queue is full")
	}
}

func TestAQueueOfOneHoldsOne(t *testing.T) {
	q := NewQueue(0)
	if !q.Offer(Sighting{Time: 1}) || q.Offer(Sighting{Time: 2}) {
		t.Error("want one taken and one refused")
	}
	if got := q.Drain(make([]Sighting, 1)); len(got) != 2 || got[1].Time != 1 {
		t.Errorf("%+v", got)
	}
}

func TestOfferDoesNotWaitForABusyShard(t *testing.T) {
	q := NewQueue(64)
	for i := range q.shards {
		q.shards[i].mu.Lock()
	}
	if q.Offer(Sighting{}) {
		t.Error("taken by a queue whose shards are all busy")
	}
	q.shards[0].mu.Unlock()
	if !q.Offer(Sighting{}) {
		t.Error("refused, although one shard is free")
	}
}

func TestManySendersLoseNothingThatWasTaken(t *testing.T) {
	q := NewQueue(256)
	const senders, each = 8, 5_000
	var taken, given atomic.Int64 // sums of Time
	var wg sync.WaitGroup
	for n := range int64(senders) {
		wg.Go(func() {
			for i := range int64(each) {
				if v := n*each + i + 1; q.Offer(Sighting{Time: v}) {
					taken.Add(v)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	var buf []Sighting
	drain := func() {
		for _, s := range q.Drain(buf[:0]) {
			given.Add(s.Time)
		}
	}
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		drain()
	}
	drain()
	if taken.Load() != given.Load() || taken.Load() == 0 {
		t.Errorf("took sightings that sum up to %d, gave %d", taken.Load(), given.Load())
	}
}

func TestOfferDoesNotAllocate(t *testing.T) {
	q := NewQueue(64)
	s := sighting("kq3v9z.com", 1e-5, "198.51.100.1", 0)
	if n := testing.AllocsPerRun(1000, func() { q.Offer(s) }); n != 0 { // mostly into a full queue
		t.Errorf("%v allocations", n)
	}
	q = NewQueue(4096)
	if n := testing.AllocsPerRun(1000, func() { q.Offer(s) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
