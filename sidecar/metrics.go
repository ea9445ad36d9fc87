package sidecar

import (
	"github.com/prometheus/client_golang/prometheus"

	"referee/evidence"
	"referee/policy"
)

// keeperMetrics show how full the evidence is and what would be blocked. They are set each second by the keeper alone.
type keeperMetrics struct {
	remembered, evicted, hits *prometheus.GaugeVec
}

func newKeeperMetrics(reg prometheus.Registerer) keeperMetrics {
	vec := func(name, help string, label string) *prometheus.GaugeVec {
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{label})
		reg.MustRegister(v)
		return v
	}
	return keeperMetrics{
		remembered: vec("referee_evidence_entries", "Names and clients remembered now; suspects are clients with a suspicious name.", "of"),
		evicted:    vec("referee_evidence_evicted", "Names and clients pushed out before their time since the start: the bounds of evidence are too tight, or a flood goes on.", "of"),
		hits:       vec("referee_hits", "Names and clients that are, or in shadow mode would be, blocked now.", "kind"),
	}
}

func (m keeperMetrics) observe(sizes evidence.Sizes, hits *policy.Hits) {
	m.remembered.WithLabelValues("names").Set(float64(sizes.Names))
	m.remembered.WithLabelValues("clients").Set(float64(sizes.Clients))
	m.remembered.WithLabelValues("suspects").Set(float64(sizes.Suspects))
	m.evicted.WithLabelValues("names").Set(float64(sizes.EvictedNames))
	m.evicted.WithLabelValues("clients").Set(float64(sizes.EvictedClients))
	count := map[policy.Kind]int{}
	for _, h := range hits.All() {
		count[h.Kind]++
	}
	for _, kind := range []policy.Kind{policy.KindName, policy.KindClient} {
		m.hits.WithLabelValues(string(kind)).Set(float64(count[kind]))
	}
}
