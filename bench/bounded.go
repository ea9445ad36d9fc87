//go:build linux

package main

import (
	"fmt"
	"strings"
	"time"
)

// memory compares what idle connections hold. Each has sent one request.
func (b *bench) memory() ([]Row, error) {
	var whole, added []float64
	var sums [2][2]float64
	for round := range b.Pairs {
		fmt.Fprintf(b.log, "memory: round %d of %d\n", round+1, b.Pairs)
		var idle, grown [2]float64
		for i, start := range []func() (*process, error){
			func() (*process, error) { return b.startYardstick(b.serving, "hello") },
			func() (*process, error) { return b.startReferee("") },
		} {
			p, err := start()
			if err != nil {
				return nil, err
			}
			before, after, err := b.idle(p)
			p.stop()
			if err != nil {
				return nil, err
			}
			idle[i], grown[i] = float64(after), float64(after-before)
			sums[i][0] += idle[i] / float64(b.Pairs)
			sums[i][1] += grown[i] / float64(b.Pairs)
		}
		whole = append(whole, idle[1]/idle[0])
		added = append(added, grown[1]/grown[0])
	}
	row := b.atMost(fmt.Sprintf("memory of %d idle connections", b.Idle), "1.2 × fasthttp hello", 1.2, added)
	row.Figures = []Figure{
		{"fasthttp hello, a connection", sums[0][1] / float64(b.Idle) / 1024, "KiB"},
		{"referee, a connection", sums[1][1] / float64(b.Idle) / 1024, "KiB"},
		{"fasthttp hello in all", sums[0][0] / (1 << 20), "MiB"},
		{"referee in all", sums[1][0] / (1 << 20), "MiB"},
	}
	row.Notes = []string{fmt.Sprintf("what resident memory grew by; the whole process with its model, lists and evidence: %.2f ×", median(whole))}
	return []Row{row}, nil
}

// idle opens the connections, sends one request over each, and looks at the memory before and some time after.
func (b *bench) idle(p *process) (before, after int64, err error) {
	t := usual(checkTarget, manyClients)
	few := &contestant{name: p.name, server: p, next: t.next}
	if _, err := b.window(few, load{lasts: b.Window}); err != nil { // what a server that works needs anyhow
		return 0, 0, err
	}
	if before, err = p.rss(); err != nil {
		return 0, 0, err
	}
	g, err := newGenerator(p.addr, b.Idle, t.next)
	if err != nil {
		return 0, 0, err
	}
	defer g.close()
	o, err := g.run(b.ctx, load{each: true})
	if err != nil {
		return 0, 0, err
	}
	if o.answered < b.Idle || o.lost() > 0 {
		return 0, 0, fmt.Errorf("%s: %d of %d idle connections were answered", p.name, o.answered, b.Idle)
	}
	if err := b.pause(afterwards); err != nil {
		return 0, 0, err
	}
	after, err = p.rss()
	return before, after, err
}

// flood has usual traffic first and then the flood, as fast as the sidecar takes it.
func (b *bench) flood() ([]Row, error) {
	p, err := b.startReferee("")
	if err != nil {
		return nil, err
	}
	defer p.stop()
	usualTimes := flood(checkTarget, 0)
	run := func(t *traffic, lasts time.Duration, meanwhile func()) (outcome, error) {
		g, err := newGenerator(p.addr, connections, t.next)
		if err != nil {
			return outcome{}, err
		}
		defer g.close()
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			tick := time.NewTicker(max(b.Flood/240, 10*time.Millisecond))
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
					meanwhile()
				case <-stop:
					return
				}
			}
		}()
		o, err := g.run(b.ctx, load{lasts: lasts})
		close(stop)
		<-stopped
		return o, err
	}
	fmt.Fprintf(b.log, "flood: %s of usual traffic, then %s of flood\n", b.Flood/4, b.Flood)
	if _, err := run(usualTimes, b.Flood/4, func() {}); err != nil {
		return nil, err
	}
	before, err := p.metrics(b)
	if err != nil {
		return nil, err
	}
	var rss []int64
	attack := flood(checkTarget, floodShare)
	o, err := run(attack, b.Flood, func() {
		if n, err := p.rss(); err == nil {
			rss = append(rss, n)
		}
	})
	if err != nil {
		return nil, err
	}
	after, err := p.metrics(b)
	if err != nil {
		return nil, err
	}
	if len(rss) < 6 {
		return nil, fmt.Errorf("only %d looks at the memory: the flood is too short", len(rss))
	}
	third := len(rss) / 3
	middle, last := peak(rss[third:2*third]), peak(rss[2*third:])
	hits := (after["referee_cache_hits_total"] - before["referee_cache_hits_total"]) / float64(attack.made)
	dropped := after["referee_sightings_dropped_total"] - before["referee_sightings_dropped_total"]
	name := fmt.Sprintf("flood of unique referers, %s", b.Flood)
	growth := Row{
		Case: name, Must: "resident memory flat: at most 1.05 × from the second third to the last", Limit: 1.05, Median: last / middle, Bound: last / middle,
		Bounded: true, N: 1, Unit: "×",
		Figures: []Figure{
			{"peak in the first third", peak(rss[:third]) / (1 << 20), "MiB"},
			{"in the second", middle / (1 << 20), "MiB"},
			{"in the last", last / (1 << 20), "MiB"},
		},
		Notes: []string{fmt.Sprintf("%d requests, %.0f a second, %d %% of them with a new name", o.sent, float64(o.answered)/o.took.Seconds(), floodShare)},
	}
	growth.judge()
	benign := Row{
		Case: name, Must: "75 % of the usual names' requests found in the cache", Limit: -0.75, Median: -hits, Bound: -hits, Bounded: true, N: 1, Unit: "share",
		Notes: []string{fmt.Sprintf("%d requests for %d usual names, after %d before the flood", attack.made, cacheNames, usualTimes.made)},
	}
	benign.judge()
	benign.Limit, benign.Median, benign.Bound = 0.75, hits, hits
	lost := Row{
		Case: name, Must: "no request lost", Median: float64(o.lost()), Bound: float64(o.lost()), Bounded: true, N: 1, Unit: "requests",
		Notes: []string{strings.TrimSpace(fmt.Sprintf("%.0f sightings dropped and counted, because the queue was full", dropped))},
	}
	lost.judge()
	return []Row{growth, benign, lost}, nil
}

func peak(x []int64) float64 {
	most := int64(0)
	for _, n := range x {
		most = max(most, n)
	}
	return float64(most)
}
