package sidecar

import (
	"context"
	"fmt"
	"hash/maphash"
	"math"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"referee/alert"
	"referee/classifier"
	"referee/evidence"
	"referee/ledger"
	"referee/policy"
)

const (
	driftHours = 24 // the window: audiences differ by the hour of the day
	// driftLeast is how many names must have been seen before the PSI says something: of 1,000 chance gives 0.01 and not 0.1.
	driftLeast = 1000
	// driftKept bounds the names known to be counted: 2 MB. A site with more distinct names a day is told by a share of them.
	driftKept = 65_536
	// driftOver: what was above the threshold is so until it is below this part of it, so that nobody is told at each turn.
	driftOver = 0.8
)

// drift compares the benign tails of live names with the calibration's, in the background. It counts each name once a
// day, and none of those that an attack would bring by the thousand: names that are exempt, labelled or hits, and names
// sent by clients that are. No decision looks at it.
type drift struct {
	model   string
	seed    maphash.Seed
	sparse  uint64                // of the names only those are counted whose hash has none of these bits: a fair sample
	counted map[uint64]int64      // in which hour a name was counted, of the last driftHours
	hours   map[int64]*tailCounts // by hours since 1970: the window
	fresh   tailCounts            // since the last take
	hour    int64                 // the present one
	raised  bool
	state   atomic.Pointer[driftPage]
	metrics driftMetrics
}

type tailCounts = classifier.TailCounts

// driftPage is what /model says about drift.
type driftPage struct {
	PSI       *float64         `json:"psi,omitempty"` // absent: too few names yet
	Head      *float64         `json:"head_ratio,omitempty"`
	Threshold float64          `json:"threshold,omitempty"` // above it there is an alert; 0: none
	Names     uint64           `json:"names"`               // distinct ones within 24 hours
	Least     uint64           `json:"least"`               // names that it takes
	Top       uint64           `json:"top"`                 // names with a tail of 0.001 or less, beside those
	Bins      []classifier.Bin `json:"bins,omitempty"`
}

// newDrift goes on where the ledger's hours end.
func newDrift(ctx context.Context, s *Sidecar) (*drift, error) {
	d := &drift{
		model: s.judging.Load().id(live), seed: maphash.MakeSeed(), counted: map[uint64]int64{}, hours: map[int64]*tailCounts{},
		metrics: newDriftMetrics(s.registry),
	}
	now := s.now()
	hours, err := s.ledger.Hours(ctx, now.Add(-(driftHours-1)*time.Hour))
	if err != nil {
		return nil, fmt.Errorf("restore the counts of names: %w", err)
	}
	for _, h := range hours {
		if c := h.TailCounts(d.model); c != (tailCounts{}) {
			d.hours[hourOf(h.Start)] = &c
		}
	}
	d.turn(now)
	return d, nil
}

func hourOf(t time.Time) int64 { return t.Unix() / 3600 }

// add counts the names of one drain.
func (d *drift) add(sightings []evidence.Sighting, j *judging, hits *policy.Hits, now time.Time) {
	d.turn(now)
	if id := j.id(live); id != d.model {
		d.model, d.fresh = id, tailCounts{}
		clear(d.counted)
		clear(d.hours)
		return // this drain still holds what the model before judged
	}
	this := d.hours[d.hour]
	if this == nil {
		this = new(tailCounts)
		d.hours[d.hour] = this
	}
	for i := range sightings {
		si := &sightings[i]
		if si.Exempt || si.Labelled || si.Result.Abstain || si.Result.Domain == "" {
			continue
		}
		key := maphash.String(d.seed, si.Result.Domain)
		if _, known := d.counted[key]; known || key&d.sparse != 0 || isHit(hits, si) {
			continue
		}
		d.counted[key] = d.hour
		if len(d.counted) > driftKept {
			d.thin()
		}
		bin := classifier.TailBin(si.Result.Tail)
		this[bin]++
		d.fresh[bin]++
	}
}

func isHit(hits *policy.Hits, si *evidence.Sighting) bool {
	if _, is := hits.Name(si.Result.Domain); is {
		return true
	}
	_, is := hits.Client(si.Client)
	return si.Client.IsValid() && is
}

// thin halves the share of names that is counted. Which ones stay depends on a secret hash alone: nobody chooses, and their
// tails are those of all.
func (d *drift) thin() {
	d.sparse = d.sparse<<1 | 1
	for key := range d.counted {
		if key&d.sparse != 0 {
			delete(d.counted, key)
		}
	}
}

// turn forgets what left the window as an hour begins. A name counted then is counted again when it is seen.
func (d *drift) turn(now time.Time) {
	hour := hourOf(now)
	if hour == d.hour {
		return
	}
	d.hour = hour
	for key, at := range d.counted {
		if at <= hour-driftHours || at > hour {
			delete(d.counted, key)
		}
	}
	for at := range d.hours {
		if at <= hour-driftHours || at > hour {
			delete(d.hours, at)
		}
	}
	if len(d.counted) < driftKept/4 {
		d.sparse >>= 1
	}
}

// take adds what was counted since the last call to counts.
func (d *drift) take(counts map[string]uint64) {
	for bin, n := range d.fresh {
		if n > 0 {
			counts[ledger.DriftCount(d.model, bin)] += n
		}
	}
	d.fresh = tailCounts{}
}

// tell shows how the window differs from the calibration, and raises an alert when that is much.
func (d *drift) tell(threshold float64, alerts *alert.Alerts) {
	var c tailCounts
	for _, hour := range d.hours {
		c.Add(*hour)
	}
	page := &driftPage{Threshold: threshold, Names: c.Names(), Least: driftLeast, Top: c[0]}
	psi, head := c.PSI(), c.Head()
	d.metrics.names.Set(float64(page.Names))
	if page.Names < driftLeast {
		d.metrics.psi.Set(math.NaN())
		d.metrics.head.Set(math.NaN())
	} else {
		d.metrics.psi.Set(psi)
		d.metrics.head.Set(head)
		page.PSI, page.Head, page.Bins = &psi, &head, c.Bins()
	}
	d.state.Store(page)
	limit := threshold
	if d.raised {
		limit *= driftOver
	}
	if d.raised = page.PSI != nil && threshold > 0 && psi > limit; !d.raised {
		alerts.Clear(alert.Drift, "model")
		return
	}
	alerts.Raise(alert.Alert{Kind: alert.Drift, Key: "model", Text: fmt.Sprintf("model drift: live names score unlike those that model %s was calibrated on: PSI %.2f over %d names of 24 hours, above %.2g\n"+
		"%s. Its confidence may not hold for your audience.\n"+
		"Look at what it flags (`referee report`) before you enforce, label what is wrong, and train on your own names: docs/models.md, Drift",
		d.model, psi, page.Names, threshold, headWords(head))})
}

// headWords says which way it went, where it matters.
func headWords(head float64) string {
	if head >= 1 {
		return fmt.Sprintf("%.1f times as many of them as expected score near those that are flagged: expect at least so many times the false positives", head)
	}
	return fmt.Sprintf("%.1f times as many of them as expected score near those that are flagged: expect no more false positives, and perhaps fewer finds", head)
}

// driftMetrics have no labels: one model judges.
type driftMetrics struct{ psi, head, names prometheus.Gauge }

func newDriftMetrics(reg prometheus.Registerer) driftMetrics {
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
		reg.MustRegister(g)
		return g
	}
	m := driftMetrics{
		psi: gauge("referee_model_drift_psi",
			"Population stability index of live names' benign tails against the model's calibration, over 24 hours; above 0.25 they differ much. NaN before 1,000 names."),
		head: gauge("referee_model_drift_head_ratio",
			"Live names with a benign tail of 0.001 to 0.01 over the number expected: the model errs at least so many times as often as its confidence says. NaN before 1,000 names."),
		names: gauge("referee_model_drift_names", "Distinct names of 24 hours that the model's drift is measured by."),
	}
	m.psi.Set(math.NaN())
	m.head.Set(math.NaN())
	return m
}
