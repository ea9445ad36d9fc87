package training

import (
	"context"
	"slices"
	"strings"
)

// Fold is what one training without some families reaches: macro averages of the share of names found, at the
// false-positive rates of falsePositiveRates over the clean names held back.
type Fold struct {
	LeftOut []string                         `json:"left_out"`
	Known   [len(falsePositiveRates)]float64 `json:"known"`  // held-back names of the families taught
	Unseen  [len(falsePositiveRates)]float64 `json:"unseen"` // names of the families left out
}

// CrossValidate trains k times, each time without every k-th family, and measures both what the families taught and
// those left out give away. A simulated family (sim-x) is left out together with the real one that it imitates, and is
// not measured. This is how a schedule is chosen: never on the lists that it is judged by.
func CrossValidate(ctx context.Context, c *Corpus, r Recipe, k int, progress func(fold, done, total int)) ([]Fold, error) {
	assigned := assignFolds(c.Families, k)
	var folds []Fold
	for fold := range k {
		var taught, left []Family
		for _, f := range c.Families {
			if assigned[original(f.Name)] == fold {
				left = append(left, f)
			} else {
				taught = append(taught, f)
			}
		}
		l, err := learn(ctx, c, taught, r, func(done, total int) { progress(fold, done, total) })
		if err != nil {
			return nil, err
		}
		at := thresholds(l.clean, falsePositiveRates[:])
		out := Fold{}
		for i := range at {
			out.Known[i] = macro(familyRates(l.model, taught, at[i], false))
			out.Unseen[i] = macro(familyRates(l.model, left, at[i], true))
		}
		for _, f := range left {
			out.LeftOut = append(out.LeftOut, f.Name)
		}
		folds = append(folds, out)
	}
	return folds, nil
}

// original is the family that a simulated one imitates, or itself.
func original(family string) string { return strings.TrimPrefix(family, "sim-") }

// assignFolds deals the families out, kind by kind, so that each fold has some of each.
func assignFolds(families []Family, k int) map[string]int {
	sorted := slices.Clone(families)
	slices.SortStableFunc(sorted, func(a, b Family) int {
		return strings.Compare(a.Kind+" "+original(a.Name), b.Kind+" "+original(b.Name))
	})
	assigned := map[string]int{}
	for _, f := range sorted {
		if _, ok := assigned[original(f.Name)]; !ok {
			assigned[original(f.Name)] = len(assigned) % k
		}
	}
	return assigned
}

// leastNames is how many names of a family it takes to measure it.
const leastNames = 20

// familyRates are the shares found of each real family: of its held-back names, or of all.
func familyRates(l scorer, families []Family, threshold float32, all bool) []Rate {
	var rates []Rate
	for _, f := range families {
		labels := f.HeldBack
		if all {
			labels = slices.Concat(f.HeldBack, f.Labels)
		}
		if f.Name == original(f.Name) && len(labels) >= leastNames {
			rates = append(rates, reach(scoreLabels(l, labels), threshold))
		}
	}
	return rates
}

func scoreLabels(l scorer, labels []string) []float32 {
	scores := make([]float32, len(labels))
	for i, label := range labels {
		scores[i] = l.Score(label)
	}
	return scores
}

func labelsOf(labelled []Labelled) []string {
	labels := make([]string, len(labelled))
	for i, l := range labelled {
		labels[i] = l.Label
	}
	return labels
}
