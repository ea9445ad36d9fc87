package sidecar

import (
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"referee/evidence"
	"referee/ledger"
	"referee/policy"
)

// keeperMetrics show what goes through the keeper: how full the evidence is, what is decided, what the ledger takes. The
// keeper alone sets them, but for those of commits. Every series is there from the start, and no client adds one.
type keeperMetrics struct {
	sightings, leftOut prometheus.Counter
	queue              prometheus.Gauge
	remembered         *prometheus.GaugeVec
	evicted            *prometheus.CounterVec
	counted            *evidence.Sizes // what evicted has
	hits               *prometheus.GaugeVec
	attacks            prometheus.Gauge
	decisions, commits *prometheus.CounterVec
	seconds, rows      prometheus.Histogram
}

func newKeeperMetrics(reg prometheus.Registerer, bounds evidence.Config) keeperMetrics {
	gauge := func(name, help string, label string, values ...string) *prometheus.GaugeVec {
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{label})
		reg.MustRegister(v)
		for _, value := range values {
			v.WithLabelValues(value)
		}
		return v
	}
	counter := func(name, help string, label string, values ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
		reg.MustRegister(v)
		for _, value := range values {
			v.WithLabelValues(value)
		}
		return v
	}
	capacity := gauge("referee_evidence_capacity", "Names, clients and cohorts that may be remembered at a time: evidence.max-….", "of")
	capacity.WithLabelValues("names").Set(float64(bounds.MaxNames))
	capacity.WithLabelValues("clients").Set(float64(bounds.MaxClients))
	capacity.WithLabelValues("cohorts").Set(float64(bounds.MaxCohorts))
	m := keeperMetrics{
		sightings: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "referee_sightings_total", Help: "Sightings that evidence took in.",
		}),
		leftOut: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "referee_flagged_left_out_total",
			Help: "Flagged sightings that the ledger was not given one by one, because more than 10,000 came between two commits; evidence has them.",
		}),
		queue: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "referee_queue_used_ratio",
			Help: "Share of evidence.queue that was filled when it was last emptied, every 100 ms; at 1 sightings are dropped.",
		}),
		remembered: gauge("referee_evidence_entries", "Names, clients and cohorts remembered now; suspects are clients with a suspicious name.",
			"of", "names", "clients", "suspects", "cohorts"),
		evicted: counter("referee_evidence_evicted_total",
			"Names, clients and cohorts pushed out before their time: the bounds of evidence are too tight, or a flood goes on.",
			"of", "names", "clients", "cohorts"),
		counted: new(evidence.Sizes),
		hits: gauge("referee_hits", "Names and clients that are, or in shadow mode would be, blocked now.",
			"kind", string(policy.KindName), string(policy.KindClient)),
		attacks: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "referee_attacks", Help: "Attacks that go on: cohorts of many clients that look like one sender of generated names.",
		}),
		decisions: counter("referee_decisions_total", "Decisions that the ledger has, by what they do to a hit.",
			"action", string(policy.Block), string(policy.Extend), string(policy.Release), string(policy.Spare)),
		commits: counter("referee_ledger_commits_total", "Batches given to the ledger, one a second; a failed one is given again.",
			"outcome", "committed", "failed"),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "referee_ledger_commit_seconds", Help: "How long a batch took to be on disk.",
			Buckets: prometheus.ExponentialBucketsRange(0.001, 10, 9),
		}),
		rows: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "referee_ledger_commit_rows", Help: "Rows of evidence, flagged sightings and decisions in a batch.",
			Buckets: []float64{0, 1, 10, 100, 1000, 10_000, 100_000},
		}),
	}
	reg.MustRegister(m.sightings, m.leftOut, m.queue, m.attacks, m.seconds, m.rows)
	return m
}

// drained counts what came out of the queue.
func (m *keeperMetrics) drained(n, room int) {
	m.sightings.Add(float64(n))
	m.queue.Set(min(float64(n)/float64(max(room, 1)), 1)) // a place or two more than asked for, and those that come meanwhile
}

func (m *keeperMetrics) decided(decisions []policy.Decision) {
	for _, d := range decisions {
		m.decisions.WithLabelValues(string(d.Action)).Inc()
	}
}

// committed may be called beside the others.
func (m *keeperMetrics) committed(b *ledger.Batch, took time.Duration, err error) {
	if err != nil {
		m.commits.WithLabelValues("failed").Inc()
		return
	}
	m.commits.WithLabelValues("committed").Inc()
	m.seconds.Observe(took.Seconds())
	m.rows.Observe(float64(len(b.Rows) + len(b.Flagged) + len(b.Decisions) + len(b.Compared)))
}

func (m *keeperMetrics) observe(sizes evidence.Sizes, hits *policy.Hits) {
	m.remembered.WithLabelValues("names").Set(float64(sizes.Names))
	m.remembered.WithLabelValues("clients").Set(float64(sizes.Clients))
	m.remembered.WithLabelValues("suspects").Set(float64(sizes.Suspects))
	m.remembered.WithLabelValues("cohorts").Set(float64(sizes.Cohorts))
	m.evicted.WithLabelValues("names").Add(float64(sizes.EvictedNames - m.counted.EvictedNames))
	m.evicted.WithLabelValues("clients").Add(float64(sizes.EvictedClients - m.counted.EvictedClients))
	m.evicted.WithLabelValues("cohorts").Add(float64(sizes.EvictedCohorts - m.counted.EvictedCohorts))
	*m.counted = sizes
	count := map[policy.Kind]int{}
	for _, h := range hits.All() {
		count[h.Kind]++
	}
	for _, kind := range []policy.Kind{policy.KindName, policy.KindClient} {
		m.hits.WithLabelValues(string(kind)).Set(float64(count[kind]))
	}
}

// showLedger shows how large the ledger's files are, looked at when somebody asks. One in memory has none.
func showLedger(reg prometheus.Registerer, dir string) {
	for file, name := range map[string]string{"ledger": ledger.FileName, "log": ledger.FileName + "-wal"} {
		path := filepath.Join(dir, name)
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "referee_ledger_size_bytes", ConstLabels: prometheus.Labels{"file": file},
			Help: "Bytes of the ledger on disk, and of the log of writes that are not moved into it yet; 0 where it is in memory.",
		}, func() float64 {
			info, err := os.Stat(path)
			if dir == "" || err != nil {
				return 0
			}
			return float64(info.Size())
		}))
	}
}
