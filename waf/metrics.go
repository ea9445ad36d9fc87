package waf

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of all sets. Their labels are ours: sets, outcomes and classes.
type metrics struct {
	entries     *prometheus.GaugeVec // set, state
	capacity    *prometheus.GaugeVec // set
	generations *prometheus.CounterVec
	errors      *prometheus.CounterVec
	success     prometheus.Gauge
	breaker     *prometheus.GaugeVec // set
	held        *prometheus.GaugeVec // why
	collateral  prometheus.Gauge
}

// newMetrics registers them, with every series that there can be.
func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		entries: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "referee_waf_entries",
			Help: "Entries of a WAF set: planned for it, applied: in it after the tick, waiting for room, postponed by a limit or the owner, dropped as not acceptable.",
		}, []string{"set", "state"}),
		capacity: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "referee_waf_set_used_ratio",
			Help: "Items planned for a WAF set over the number that AWS allows in it.",
		}, []string{"set"}),
		generations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "referee_waf_generations_total",
			Help: "Generations of a WAF set, by how they ended.",
		}, []string{"set", "outcome"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "referee_waf_errors_total",
			Help: "Ticks that a WAF set could not be brought to its desired state, by class.",
		}, []string{"class"}),
		breaker: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "referee_waf_breaker_open",
			Help: "1 while a WAF set is left alone because of an error that no repetition mends.",
		}, []string{"set"}),
		held: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "referee_waf_held",
			Help: "1 while additions are held back: by the owner's word, for his approval, by max-adds or by max-share.",
		}, []string{"by"}),
		collateral: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "referee_waf_collateral_ratio",
			Help: "Share of the last hour's requests without a flagged Referer that came from the clients to be blocked.",
		}),
		success: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "referee_waf_last_success_timestamp_seconds",
			Help: "Unix time of the last tick without an error in any set.",
		}),
	}
	err := errors.Join(
		register(reg, &m.entries), register(reg, &m.capacity), register(reg, &m.generations),
		register(reg, &m.errors), register(reg, &m.success), register(reg, &m.breaker), register(reg, &m.held),
		register(reg, &m.collateral))
	for _, class := range classes() {
		m.errors.WithLabelValues(string(class))
	}
	for _, by := range []string{"owner", "approval", "max-adds", "max-share"} {
		m.held.WithLabelValues(by)
	}
	for _, set := range kinds() {
		for _, state := range []string{"planned", "applied", "waiting", "postponed", "dropped"} {
			m.entries.WithLabelValues(string(set), state)
		}
		for _, outcome := range []Outcome{Shadow, Written, Failed} {
			m.generations.WithLabelValues(string(set), string(outcome))
		}
		m.capacity.WithLabelValues(string(set))
		m.breaker.WithLabelValues(string(set))
	}
	return m, err
}

// register takes over a collector that an Updater before this one registered: a reload makes a new Updater.
func register[C prometheus.Collector](reg prometheus.Registerer, c *C) error {
	err := reg.Register(*c)
	if there, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		if same, ok := there.ExistingCollector.(C); ok {
			*c = same
			return nil
		}
	}
	return err
}

func (m *metrics) observe(c Changes) {
	set := func(state string, n int) { m.entries.WithLabelValues(string(c.Set), state).Set(float64(n)) }
	applied := c.Present
	if c.Outcome == Written {
		applied = len(c.Entries)
	}
	set("planned", len(c.Entries))
	set("applied", applied)
	set("waiting", len(c.Waiting))
	set("postponed", len(c.Postponed))
	set("dropped", len(c.Dropped))
	m.capacity.WithLabelValues(string(c.Set)).Set(float64(len(c.After)) / float64(c.Room))
}
