package sidecar

import (
	"fmt"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/prometheus/client_golang/prometheus"

	"referee/classifier"
	"referee/evidence"
	"referee/features"
	"referee/ledger"
)

const (
	// comparedEach bounds what a candidate costs: so many new names each drainEvery, 10,000 a second, take a sixth of one core
	// at 15 µs, the slowest of names. Names beyond it wait for their next sighting.
	comparedEach = 1000
	// comparedKept is how many names are known to be compared, the last ones seen: about 10 MB. One that is forgotten counts
	// as a name once more.
	comparedKept = 65_536
	// comparedRows bounds the names of one commit of which the models say different things.
	comparedRows = 10_000
)

// comparison scores a candidate model on what was seen, in the background: requests never wait for it, and no decision
// looks at it. It is between two models at one confidence, and begins anew when one of these changes.
type comparison struct {
	live, other string // ids
	model       *classifier.Model
	threshold   float32
	known       *lru.Cache[string, opinion] // by domain

	// since the last take
	names, requests [len(flaggedBy)]uint64
	skipped         uint64
	differ          map[string]*ledger.Compared
	ended           ledger.Batch // counts and names of a comparison that ended meanwhile

	metrics comparisonMetrics
}

// flaggedBy are the outcomes: the words are metric labels and parts of counts.
var flaggedBy = [...]string{byNeither: "neither", byLive: "live", byCandidate: "candidate", byBoth: "both"}

const (
	byNeither   = 0
	byLive      = 1
	byCandidate = 2
	byBoth      = byLive | byCandidate
)

// opinion is what both models say of a name.
type opinion struct {
	by          uint8   // whom it is flagged by
	score, tail float32 // of the candidate
}

func newComparison(reg prometheus.Registerer) *comparison {
	known, _ := lru.New[string, opinion](comparedKept) // it fails for sizes below 1 only
	return &comparison{known: known, differ: map[string]*ledger.Compared{}, metrics: newComparisonMetrics(reg)}
}

// add compares the sightings of one drain. Names that are exempt or labelled are left out: of those neither model decides.
func (c *comparison) add(sightings []evidence.Sighting, j *judging) {
	if j.candidate == nil || j.id(candidate) == j.id(live) {
		return
	}
	if c.live != j.id(live) || c.other != j.id(candidate) || c.threshold != j.policy.Threshold() {
		c.end()
		c.live, c.other, c.model, c.threshold = j.id(live), j.id(candidate), j.candidate, j.policy.Threshold()
		return // this drain still holds what the model before judged
	}
	room := comparedEach
	for i := range sightings {
		si := &sightings[i]
		if si.Exempt || si.Labelled || si.Result.Domain == "" {
			continue
		}
		o, known := c.known.Get(si.Result.Domain)
		if !known {
			if room == 0 {
				c.skipped++
				continue
			}
			room--
			o = c.judge(si.Result)
			c.known.Add(si.Result.Domain, o)
			c.names[o.by]++
		}
		c.requests[o.by]++
		if o.by == byLive || o.by == byCandidate {
			c.note(si, o)
		}
	}
}

func (c *comparison) judge(r classifier.Result) opinion {
	label, _, _ := strings.Cut(r.Domain, ".")
	other := c.model.Judge(features.Name{Host: r.Domain, Domain: r.Domain, Label: label})
	o := opinion{score: other.Score, tail: claimed(other)}
	if claimed(r) <= c.threshold {
		o.by |= byLive
	}
	if o.tail <= c.threshold {
		o.by |= byCandidate
	}
	return o
}

// claimed is a result's tail, 1 where the model abstains.
func claimed(r classifier.Result) float32 {
	if r.Abstain {
		return 1
	}
	return r.Tail
}

// note keeps a name that one model alone flags.
func (c *comparison) note(si *evidence.Sighting, o opinion) {
	n, at := c.differ[si.Result.Domain], time.Unix(0, si.Time).UTC()
	if n == nil {
		if len(c.differ) == comparedRows {
			return
		}
		n = &ledger.Compared{Live: c.live, Candidate: c.other, Domain: si.Result.Domain, First: at}
		c.differ[n.Domain] = n
	}
	n.Last = at
	n.Sightings++
	n.LiveScore, n.LiveTail, n.CandidateScore, n.CandidateTail = si.Result.Score, claimed(si.Result), o.score, o.tail
}

// end closes a comparison: what comes is another one.
func (c *comparison) end() {
	counts := map[string]uint64{}
	rows := c.take(counts)
	c.ended = ledger.Batch{Counts: counts, Compared: rows}
	c.known.Purge()
}

// take adds what was counted since the last call to counts, and returns the names that one model alone flags. The
// models' ids are in the counts' names, so that no hour mixes two comparisons.
func (c *comparison) take(counts map[string]uint64) []ledger.Compared {
	add := func(what string, n uint64) {
		if n > 0 {
			counts[ledger.CandidateCount(c.live, c.other, what)] += n
		}
	}
	for by, word := range flaggedBy {
		add("names."+word, c.names[by])
		add("requests."+word, c.requests[by])
		c.metrics.names.WithLabelValues(word).Add(float64(c.names[by]))
		c.metrics.requests.WithLabelValues(word).Add(float64(c.requests[by]))
	}
	add("skipped", c.skipped)
	c.metrics.skipped.Add(float64(c.skipped))
	for key, n := range c.ended.Counts {
		counts[key] += n
	}
	rows := c.ended.Compared
	for _, n := range c.differ {
		rows = append(rows, *n)
	}
	clear(c.names[:])
	clear(c.requests[:])
	clear(c.differ)
	c.skipped, c.ended = 0, ledger.Batch{}
	return rows
}

// comparisonMetrics show what a candidate would do. Their labels are ours.
type comparisonMetrics struct {
	names, requests *prometheus.CounterVec
	skipped         prometheus.Counter
}

func newComparisonMetrics(reg prometheus.Registerer) comparisonMetrics {
	vec := func(what, help string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: fmt.Sprintf("referee_candidate_%s_total", what),
			Help: help + ", by which of both models flags: both, neither, the candidate alone, the live one alone.",
		}, []string{"flagged_by"})
		reg.MustRegister(v)
		for _, word := range flaggedBy {
			v.WithLabelValues(word)
		}
		return v
	}
	m := comparisonMetrics{
		names:    vec("names", "Distinct names that the candidate model was compared on"),
		requests: vec("requests", "Requests with a name that it was compared on"),
		skipped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "referee_candidate_skipped_total",
			Help: "Requests whose name the candidate was not asked about, as too many new names came at once.",
		}),
	}
	reg.MustRegister(m.skipped)
	return m
}
