package training

import (
	"cmp"
	"context"
	"math"
	"slices"
)

// machineMade is the tail from which a benign label is taken for a generated one that got into its list: one in 10,000
// clean names scores so high.
const machineMade = 1e-4

// DropMachineMade leaves out of the benign names to learn from what was probably generated, by a rule without an eye on any one
// name: top lists of live DNS traffic hold the names that infected machines ask for. A label of a source that is not
// clean, nor the owner's, goes if a regression that did not learn from it (it saw the other half of the benign names) scores it as high as
// one in 10,000 of the clean names held back. It returns how many it
// left out: none where fewer than 10,000 clean names are held back.
func (c *Corpus) DropMachineMade(ctx context.Context, s Schedule, progress func(done, total int)) (int, error) {
	if float64(len(c.Calibration))*machineMade < 1 {
		return 0, nil // too few clean names to say what one in 10,000 of them scores
	}
	trusted := map[string]bool{}
	for _, l := range c.Calibration {
		trusted[l.Source] = true
	}
	trusted[c.own] = true // the owner has looked
	s.Runs = 1
	halves := [2][]Labelled{}
	for _, l := range c.Benign {
		h := 0
		if heldBack(l.Label+".", 50) {
			h = 1
		}
		halves[h] = append(halves[h], l)
	}
	suspect := map[string]bool{}
	for h, half := range halves {
		model, err := trainHeads(ctx, labelsOf(halves[1-h]), c.Families, nil, Recipe{Schedule: s}, func(done, total int) { progress(h*total+done, 2*total) })
		if err != nil {
			return 0, err
		}
		l := &model.Linear
		limit := thresholdAt(scoreLabels(l, labelsOf(c.Calibration)), machineMade)
		for _, b := range half {
			if !trusted[b.Source] && l.Score(b.Label) >= limit {
				suspect[b.Label] = true
			}
		}
	}
	before := len(c.Benign)
	c.Benign = slices.DeleteFunc(c.Benign, func(l Labelled) bool { return suspect[l.Label] })
	dropped := before - len(c.Benign)
	if dropped > 0 {
		c.Drops = append(c.Drops, Drop{Reason: "benign label of a source that is not clean that looks generated", Count: dropped})
	}
	return dropped, nil
}

// thresholdAt is the least score that at most a share of the scores reaches.
func thresholdAt(scores []float32, share float64) float32 {
	sorted := slices.Clone(scores)
	slices.SortFunc(sorted, func(a, b float32) int { return cmp.Compare(b, a) })
	return math.Nextafter32(sorted[min(int(share*float64(len(sorted))), len(sorted)-1)], float32(math.Inf(1)))
}
