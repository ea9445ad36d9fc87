package sidecar

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"referee/classifier"
	"referee/evidence"
	"referee/features"
	"referee/ledger"
	"referee/policy"
)

// pair is a judging with two models, of which the candidate is the one built in.
func pair(t testing.TB, live *classifier.Model) *judging {
	t.Helper()
	m, err := classifier.Default()
	if err != nil {
		t.Fatal(err)
	}
	rules, err := policy.New(testPolicy(), live)
	if err != nil {
		t.Fatal(err)
	}
	return &judging{cache: classifier.NewCache(live, 100), policy: rules, candidate: m}
}

// ramp is a model that finds all names the same.
func ramp(t testing.TB, seed uint64) *classifier.Model {
	t.Helper()
	data, err := classifier.Encode(flatParts(seed))
	if err != nil {
		t.Fatal(err)
	}
	m, err := classifier.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func unseen(domain string) evidence.Sighting {
	return evidence.Sighting{Result: classifier.Result{Domain: domain, Score: -1, Tail: 0.5}, Time: time.Unix(1, 0).UnixNano()}
}

func TestAComparisonIsBoundedAndBeginsAnewWithAnotherModel(t *testing.T) {
	c := newComparison(prometheus.NewRegistry())
	one, two := pair(t, ramp(t, 1)), pair(t, ramp(t, 2))
	counts := map[string]uint64{}
	f := func(j *judging, what string, want uint64) {
		t.Helper()
		if got := counts[ledger.CandidateCount(j.id(live), j.id(candidate), what)]; got != want {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	flood := make([]evidence.Sighting, 3*comparedEach)
	for i := range flood {
		flood[i] = unseen(fmt.Sprintf("wohnungen-%d.com", i))
	}
	c.add(flood[:10], one) // what the model before judged may be among these
	c.add(flood, one)
	c.add([]evidence.Sighting{
		{Exempt: true, Result: classifier.Result{Domain: "google.com", Tail: 1e-6}},
		{Labelled: true, Result: classifier.Result{Domain: "told.com", Tail: 1}},
		{Session: true},
		{Result: classifier.Result{Domain: "hvijsn1y3mlu012cnec114yq312.com", Score: -1, Tail: 0.5}},
		{Result: classifier.Result{Domain: "bakkerij.com", Tail: 1e-6}},
	}, one)
	c.add(flood[:10], two) // ends the first; nothing of it is lost
	c.add([]evidence.Sighting{unseen("hvijsn1y3mlu012cnec114yq312.com")}, two)
	rows := c.take(counts)
	f(one, "names.neither", comparedEach)
	f(one, "requests.neither", comparedEach)
	f(one, "skipped", 2*comparedEach)
	f(one, "names.candidate", 1)
	f(one, "names.live", 1)
	f(two, "names.candidate", 1)
	f(two, "names.neither", 0)
	if len(rows) != 3 {
		t.Errorf("%d names differ, want one of the candidate and one of the live model, and one of the second comparison: %+v", len(rows), rows)
	}
	if again := c.take(map[string]uint64{}); len(again) != 0 {
		t.Errorf("given twice: %+v", again)
	}
	same := *one
	same.candidate = one.cache.Model()
	c.add(flood, &same)
	if next := map[string]uint64{}; c.take(next) != nil || len(next) != 0 {
		t.Errorf("a model was compared with itself: %v", next)
	}
}

// BenchmarkComparison is what the background pays for a sighting while there is a candidate.
func BenchmarkComparison(b *testing.B) {
	j := pair(b, ramp(b, 1))
	drain := func(n int, domain func(i int) string) []evidence.Sighting {
		s := make([]evidence.Sighting, n)
		for i := range s {
			s[i] = unseen(domain(i))
		}
		return s
	}
	run := func(name string, sightings []evidence.Sighting, forget bool) {
		b.Run(name, func(b *testing.B) {
			c := newComparison(prometheus.NewRegistry())
			c.add(nil, j)
			for b.Loop() {
				if forget {
					c.known.Purge()
				}
				c.add(sightings, j)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(sightings)), "ns/sighting")
		})
	}
	run("names that came before", drain(1000, func(i int) string { return fmt.Sprintf("bakkerij-%d.com", i%100) }), false)
	run("new names", drain(1000, func(i int) string { return fmt.Sprintf("bakkerij-%d.com", i) }), true)
}

func flatParts(seed uint64) classifier.Parts {
	p := classifier.Parts{
		Info:   classifier.Info{Scorer: "flat", Seed: seed, MinLength: 5},
		Linear: classifier.Linear{Bits: 1, Scale: 1, Weights: make([]int8, features.NumBins+2)},
		Clean:  make([]float32, 20_000),
	}
	for i := range p.Clean {
		p.Clean[i] = float32(i)
	}
	return p
}
