package training

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sync"

	"referee/classifier"
	"referee/features"
)

// presets are the confidences that have a name.
var presets = []classifier.Confidence{classifier.Sensitive, classifier.Balanced, classifier.Strict}

func isPreset(tail float64) bool { return slices.Contains(presets, classifier.Confidence(tail)) }

// calibrationTails are where what a model claims is compared with what is measured.
var calibrationTails = []classifier.Confidence{1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5}

// EvaluateModel is Evaluate for a model, with intervals, ROC curves, its highest-scored benign names, and what it claims
// beside what is measured.
func EvaluateModel(m *classifier.Model, sets []Set, kinds Kinds, b Bootstrap) (*Evaluation, error) {
	info := m.Info()
	score := func(label string) float32 { return m.Score(features.Name{Label: label}) }
	e, err := newEvaluator(score, sets, kinds, Known(info))
	if err != nil {
		return nil, err
	}
	e.abstains = info.Abstains
	out, err := e.evaluation()
	if err != nil {
		return nil, err
	}
	out.Model, out.Bootstrap = m.ID(), b
	e.intervals(out)
	out.Claims = e.claims(m, out.Families)
	out.Calibration = e.calibration(m)
	out.Top = e.top(m)
	return out, nil
}

// pointsPerDecade are the points of a curve between a false-positive rate and ten times it.
const pointsPerDecade = 5

// curveRates are the false-positive rates of a curve: from 1 down to the least that n clean names can show.
func curveRates(n int) []float64 {
	var rates []float64
	for i := range 5*pointsPerDecade + 1 {
		rate := math.Pow(10, -float64(i)/pointsPerDecade)
		if i%pointsPerDecade == 0 {
			rate = 1 / math.Round(1/rate) // 0.001 and not 0.0010000000000000002
		}
		if mayReach(rate, n) >= 1 {
			rates = append(rates, rate)
		}
	}
	slices.Reverse(rates)
	return rates
}

// intervals gives the groups their intervals and curves, each from draws of its own, whatever GOMAXPROCS.
func (e *evaluator) intervals(out *Evaluation) {
	on := curveRates(len(e.clean))
	at := thresholds(e.cleanScores, on)
	out.Curves = make([]Curve, len(out.Groups))
	var work sync.WaitGroup
	for i := range out.Groups {
		work.Go(func() {
			g := &out.Groups[i]
			var families [][]float32
			for _, f := range out.Families {
				if isIn(f.Group, g.Group) {
					families = append(families, e.families[f.Family])
				}
			}
			draws := out.Bootstrap.resampler(uint64(slices.Index(groupNames, g.Group)))
			found := draws.found(e.cleanScores, families, slices.Concat(e.rates, on))
			g.Intervals = found[:len(e.rates)]
			curve := Curve{Group: g.Group}
			for j, rate := range on {
				var rates []Rate
				for _, scores := range families {
					rates = append(rates, reachSorted(scores, at[j]))
				}
				curve.Points = append(curve.Points, CurvePoint{rate, macro(rates), found[len(e.rates)+j]})
			}
			out.Curves[i] = curve
		})
	}
	work.Wait()
}

func (e *evaluator) claims(m *classifier.Model, families []FamilyRow) []ClaimRow {
	var rows []ClaimRow
	for _, c := range presets {
		threshold, err := m.Threshold(c)
		if err != nil {
			continue // the calibration does not support it; its n is in Info
		}
		row := ClaimRow{Confidence: c, Threshold: threshold, Clean: e.judged(e.clean, threshold)}
		found := map[string]*Rate{}
		for _, n := range e.generated {
			if found[n.Group] == nil {
				found[n.Group] = &Rate{}
			}
			found[n.Group].add(!e.abstains(n.Label) && n.score >= threshold)
		}
		for _, name := range groupNames {
			var rates []Rate
			for _, f := range families {
				if isIn(f.Group, name) {
					rates = append(rates, *found[f.Family])
				}
			}
			if len(rates) > 0 {
				row.Groups = append(row.Groups, GroupClaim{name, macro(rates)})
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// judged is how many of the names that the model does not abstain from reach a threshold.
func (e *evaluator) judged(names []scored, threshold float32) Rate {
	var r Rate
	for _, n := range names {
		if !e.abstains(n.Label) {
			r.add(n.score >= threshold)
		}
	}
	return r
}

func (e *evaluator) calibration(m *classifier.Model) []CalibrationRow {
	of := e.sources()
	for _, band := range lengthBands {
		of = append(of, named{fmt.Sprintf("clean, %d–%d characters", band[0], band[1]), Clean, ofLength(e.clean, band)})
	}
	var rows []CalibrationRow
	for _, s := range of {
		row := CalibrationRow{Source: s.source, Role: s.role, Judged: len(s.names) - e.abstained(s.names)}
		if row.Judged == 0 {
			continue
		}
		for _, c := range calibrationTails {
			if threshold, err := m.Threshold(c); err == nil {
				rate := e.judged(s.names, threshold)
				row.Points = append(row.Points, CalibrationPoint{float64(c), rate, rate.Interval()})
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// topNames is how many of a set's names are listed.
const topNames = 50

// top lists the highest-scored clean names, and of the other benign sets those at the threshold of 0.01 %.
func (e *evaluator) top(m *classifier.Model) []TopNames {
	limit := e.at[len(falsePositiveRates)-1]
	list := func(set string, names []scored, least float32) TopNames {
		sorted := slices.SortedFunc(slices.Values(names), func(a, b scored) int {
			return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.Domain, b.Domain))
		})
		t := TopNames{Set: set, Flagged: reach(scoresOf(names), limit).Hits}
		for _, n := range sorted[:min(topNames, len(sorted))] {
			if n.score >= least {
				t.Names = append(t.Names, TopName{n.Domain, n.Group, n.score, m.Tail(n.score)})
			}
		}
		return t
	}
	lists := []TopNames{list("all clean", e.clean, float32(math.Inf(-1)))}
	for _, set := range e.sets {
		if set.role == Benign {
			lists = append(lists, list(set.name, set.names, limit))
		}
	}
	return lists
}
