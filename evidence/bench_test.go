package evidence

import (
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"referee/classifier"
	"referee/features"
)

// BenchmarkOffer measures one hand-over, with as many senders as processors and always room: the queue; a buffered channel
// that is emptied now and then, as the queue is; and a buffered channel whose receiver waits at it, as one would write it.
func BenchmarkOffer(b *testing.B) {
	const batch = 1 << 14 // of each sender
	senders := runtime.GOMAXPROCS(0)
	s := sighting("kq3v9z.com", 1e-5, "198.51.100.1", 0)
	run := func(name string, offer func() bool, drain func()) {
		b.Run(name, func(b *testing.B) {
			var dropped atomic.Int64
			for b.Loop() {
				var wg sync.WaitGroup
				for range senders {
					wg.Go(func() {
						for range batch {
							if !offer() {
								dropped.Add(1)
							}
						}
					})
				}
				wg.Wait()
				b.StopTimer()
				drain()
				b.StartTimer()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(batch*senders), "ns/offer")
			b.ReportMetric(100*float64(dropped.Load())/float64(b.N)/float64(batch*senders), "%dropped")
		})
	}
	q := NewQueue(2 * batch * senders)
	buf := make([]Sighting, 0, 2*batch*senders)
	run("queue", func() bool { return q.Offer(s) }, func() { q.Drain(buf) })

	c := make(chan Sighting, 2*batch*senders)
	send := func() bool {
		select {
		case c <- s:
			return true
		default:
			return false
		}
	}
	run("channel", send, func() {
		for range len(c) {
			<-c
		}
	})
	go func() {
		for range c {
		}
	}()
	run("channel with a waiting receiver", send, func() {})
	close(c)
}

func BenchmarkAdd(b *testing.B) {
	run := func(name string, at func(i int) Sighting) {
		b.Run(name, func(b *testing.B) {
			all := make([]Sighting, 1<<16)
			for i := range all {
				all[i] = at(i)
			}
			s := New(testConfig(), Key{1})
			for _, si := range all { // start full
				s.Add(si)
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				s.Add(all[i&(1<<16-1)])
				i++
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "sightings/s")
		})
	}
	v6 := func(i int) string { return fmt.Sprintf("2001:db8:%x:%x::1", i>>4, i&15) }
	looks := func(s Sighting, agent, path int) Sighting {
		s.Agent, s.Path = uint32(agent)+1, uint32(path)+1
		return s
	}
	run("ordinary: 10,000 clients, 1,000 names", func(i int) Sighting {
		return looks(sighting(fmt.Sprintf("shop-%d.com", i*7919%1000), 0.3, v6(i%10_000), 0), i%20, i%50)
	})
	run("ordinary in known cohorts", func(i int) Sighting {
		tail := float32(0.3)
		if i < 40 {
			tail = 0.005 // begins them
		}
		return looks(sighting(fmt.Sprintf("shop-%d.com", i*7919%1000), tail, v6(i%10_000), 0), i%20, 0)
	})
	run("attack: 1,000 clients, 10,000 flagged names", func(i int) Sighting {
		return looks(sighting(fmt.Sprintf("kq%dv9z.com", i*7919%10_000), 1e-5, v6(i%1000), 0), i%20, i%50)
	})
	run("flood: every client and flagged name new", func(i int) Sighting {
		return looks(sighting(fmt.Sprintf("kq%dv9z.com", i), 1e-5, v6(i), 0), i, i)
	})
}

// BenchmarkChanges measures one row, given out and taken in.
func BenchmarkChanges(b *testing.B) {
	s := New(testConfig(), Key{1})
	const clients = 10_000
	var rows []Row
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		for i := range clients {
			s.Add(sighting(fmt.Sprintf("shop-%d.com", i%5), 0.3, numbered(i), 0))
		}
		b.StartTimer()
		rows = s.Changes()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(rows)), "ns/row")
}

// BenchmarkRescore is what a swap of models costs the background once: evidence as full as it gets by default, every client
// with three suspicious names.
func BenchmarkRescore(b *testing.B) {
	s := New(Config{Window: 24 * time.Hour, MaxNames: 20_000, MaxClients: 100_000, Interest: 0.01, Queue: 64}, Key{1})
	for i := range 100_000 {
		client := netip.AddrFrom4([4]byte{8, byte(i >> 16), byte(i >> 8), byte(i)})
		for j := range 3 {
			s.Add(Sighting{
				Result: classifier.Result{Domain: fmt.Sprintf("kq3v9z%d.com", (i*3+j)%20_000), Score: 9, Tail: 1e-4}, Client: client, Time: int64(1e18),
			})
		}
	}
	m, err := classifier.Default()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s.Rescore(func(domain string) classifier.Result {
			label, _, _ := strings.Cut(domain, ".")
			return m.Judge(features.Name{Host: domain, Domain: domain, Label: label})
		})
	}
	sizes := s.Sizes()
	b.ReportMetric(float64(sizes.Names), "names")
	b.ReportMetric(float64(sizes.Clients), "clients")
}
