package intake

import (
	"math"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"referee/features"
	"referee/policy"
)

// counter has a cache line of its own: two that are counted on two cores must not share one.
type counter struct {
	atomic.Uint64
	_ [56]byte
}

// counts are what the hot path counts. Every request adds to exactly one of verdicts.
type counts struct {
	verdicts [numVias][policy.NumVerdicts]counter
	reasons  [features.NumReasons]counter  // of the invalid ones
	saved    [policy.NumExemptions]counter // would have been flagged, were they not exempt
	tails    [NumDecades]counter           // of names that neither are exempt nor too short, by decade of their benign tail
	blocked  [numVias]counter
	dropped  counter // sightings that found the queue full
	panics   counter

	mu   sync.Mutex
	last map[string]uint64 // what Counts returned up to now, in all
}

// NumDecades is the number of decades that benign tails are counted by: more than calibrations tell apart.
const NumDecades = 8

// Decade is d for benign tails above 10^-(d+1) and up to 10^-d; the last has all below, too.
func Decade(tail float32) (d int) {
	for _, edge := range [NumDecades - 1]float32{1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7} {
		if tail <= edge {
			d++
		}
	}
	return d
}

// Counts returns what was counted since the last call: "requests", "verdict.dga" and so on for each Verdict,
// "invalid.empty" for each Reason, "saved.popular" for each Exemption, "blocked", "dropped" (sightings that found the
// queue full) and "panics"; and "tail.0" to "tail.7" for names that neither are exempt nor too short: those with a benign
// tail above 0.1, above 0.01, and so on, the last with all below. What did not happen is left out. Only one caller gets each count.
func (j *Judge) Counts() map[string]uint64 {
	c := &j.counts
	now := map[string]uint64{"dropped": c.dropped.Load(), "panics": c.panics.Load()}
	for via := range c.verdicts {
		for v := range c.verdicts[via] {
			n := c.verdicts[via][v].Load()
			now["requests"] += n
			now["verdict."+policy.Verdict(v).String()] += n
		}
		now["blocked"] += c.blocked[via].Load()
	}
	for r := range c.reasons {
		now["invalid."+features.Reason(r).String()] = c.reasons[r].Load()
	}
	for e := range c.saved {
		now["saved."+policy.Exemption(e).String()] = c.saved[e].Load()
	}
	for d := range c.tails {
		now["tail."+strconv.Itoa(d)] = c.tails[d].Load()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	since := make(map[string]uint64)
	for key, n := range now {
		if n > c.last[key] {
			since[key] = n - c.last[key]
		}
	}
	c.last = now
	return since
}

// tailLabel is the upper end of a decade: 1, 0.1, 0.01, 0.001, 0.0001, 1e-05 …
func tailLabel(decade int) string { return strconv.FormatFloat(math.Pow10(-decade), 'g', -1, 64) }

// register shows the counts to Prometheus. The labels are all ours: no client chooses one.
func (j *Judge) register(reg prometheus.Registerer) {
	counted := func(name, help string, n func() uint64, labels prometheus.Labels) {
		reg.MustRegister(prometheus.NewCounterFunc(
			prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels},
			func() float64 { return float64(n()) },
		))
	}
	c := &j.counts
	for via := range numVias {
		for v := range c.verdicts[via] {
			counted("referee_requests_total", "Requests judged.", c.verdicts[via][v].Load,
				prometheus.Labels{"intake": via.String(), "verdict": policy.Verdict(v).String()})
		}
		counted("referee_blocked_total", "Requests answered 403, because the name or the client is a current hit.",
			c.blocked[via].Load, prometheus.Labels{"intake": via.String()})
	}
	for r := features.Named + 1; int(r) < features.NumReasons; r++ {
		counted("referee_invalid_referers_total", "Requests without a name in the Referer.",
			c.reasons[r].Load, prometheus.Labels{"reason": r.String()})
	}
	for e := policy.NotExempt + 1; int(e) < policy.NumExemptions; e++ {
		counted("referee_saved_total", "Requests whose name would have been flagged were it not exempt.",
			c.saved[e].Load, prometheus.Labels{"exemption": e.String()})
	}
	for d := range c.tails {
		counted("referee_requests_by_tail_total", "Requests with a name that is neither exempt nor too short, by the decade of its benign tail: "+
			"up to the label and above a tenth of it, the last with all below.",
			c.tails[d].Load, prometheus.Labels{"tail": tailLabel(d)})
	}
	counted("referee_sightings_dropped_total", "Sightings that found the queue full.", c.dropped.Load, nil)
	counted("referee_panics_total", "Panics recovered on the data path; the requests went on.", c.panics.Load, nil)

	cache := func() (hits, misses uint64, size int) {
		s := j.snapshot.Load()
		if s == nil || s.Cache == nil {
			return 0, 0, 0
		}
		hits, misses = s.Cache.Stats()
		return hits, misses, s.Cache.Len()
	}
	counted("referee_cache_hits_total", "Names whose score was in the cache, since the model was loaded.",
		func() uint64 { hits, _, _ := cache(); return hits }, nil)
	counted("referee_cache_misses_total", "Names that had to be scored, since the model was loaded.",
		func() uint64 { _, misses, _ := cache(); return misses }, nil)
	reg.MustRegister(prometheus.NewGaugeFunc(
		prometheus.GaugeOpts{Name: "referee_cache_names", Help: "Names in the cache."},
		func() float64 { _, _, size := cache(); return float64(size) },
	))
}
