package training

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/sjwhitworth/golearn/evaluation"
)

// Fold is what one training without some families reaches: macro averages of the share of names found, at the
// false-positive rates of falsePositiveRates over half of the clean names held back.
type Fold struct {
	LeftOut   []string                         `json:"left_out"`
	Known     [len(falsePositiveRates)]float64 `json:"known"`     // held-back names of the families taught, word lists apart
	Unseen    [len(falsePositiveRates)]float64 `json:"unseen"`    // names of the families left out, word lists apart
	Families  []FoldFamily                     `json:"families"`  // of the real families left out
	Confusion Confusion                        `json:"confusion"` // of the families left out and of the other half of the clean names, at 0.1 %
}

// FoldFamily is what is found of a family by a model that was not taught it.
type FoldFamily struct {
	Family string `json:"family"`
	Kind   string `json:"kind"`
	Rates  []Rate `json:"rates"`
}

// CrossValidate trains k times, each time without every k-th family, and measures both what the families taught and
// those left out give away. A simulated family (sim-x) is left out together with the real one that it imitates, and is
// not measured. This is how a schedule is chosen: never on the lists that it is judged by.
func CrossValidate(ctx context.Context, c *Corpus, r Recipe, k int, progress func(fold, done, total int)) ([]Fold, error) {
	r.CrossFit = 0 // the clean names stay held back: they are what each fold is measured on
	all := slices.Clone(c.Families)
	apart := func(f Family) bool { return r.WordBits > 0 && f.Kind == Wordlist } // taught to the head for words
	for _, f := range c.LeftOut {
		if apart(f) {
			all = append(all, f)
		}
	}
	assigned := assignFolds(all, k)
	var forThreshold, forMatrix []string
	for _, label := range labelsOf(c.Calibration) {
		if heldBack(label+"/", 50) {
			forThreshold = append(forThreshold, label)
		} else {
			forMatrix = append(forMatrix, label)
		}
	}
	if len(forThreshold) == 0 || len(forMatrix) == 0 {
		return nil, fmt.Errorf("folds: %d clean names are too few to set a threshold and to measure it", len(c.Calibration))
	}
	var folds []Fold
	for fold := range k {
		var taught, left []Family
		for _, f := range all {
			if assigned[original(f.Name)] == fold {
				left = append(left, f)
			} else {
				taught = append(taught, f)
			}
		}
		if len(left) == 0 {
			return nil, fmt.Errorf("folds: %d are more than there are families", k)
		}
		l := &learner{
			ctx: ctx, corpus: c, recipe: r,
			progress: func(done, total int) { progress(fold, done, total) },
			threshold: func(model scorer) float32 {
				return thresholds(scoreLabels(model, forThreshold), falsePositiveRates[:])[1]
			},
		}
		out, err := l.fold(taught, left, forMatrix)
		if err != nil {
			return nil, err
		}
		known := slices.DeleteFunc(slices.Clone(taught), apart)
		unseen := slices.DeleteFunc(slices.Clone(left), apart)
		for i, at := range thresholds(scoreLabels(l.model, forThreshold), falsePositiveRates[:]) {
			out.Known[i] = macro(familyRates(l.model, known, at, false))
			out.Unseen[i] = macro(familyRates(l.model, unseen, at, true))
			for j := range out.Families {
				f := &out.Families[j]
				place := slices.IndexFunc(left, func(g Family) bool { return g.Name == f.Family })
				f.Rates = append(f.Rates, reach(scoreLabels(l.model, slices.Concat(left[place].HeldBack, left[place].Labels)), at))
			}
		}
		folds = append(folds, out)
	}
	return folds, nil
}

// fold fits and predicts as golearn's cross-validation does, on whole families instead of rows at random.
func (l *learner) fold(taught, left []Family, clean []string) (Fold, error) {
	var out Fold
	var train, test []int
	add := func(rows *[]int, n tableName) {
		*rows = append(*rows, len(l.table))
		l.table = append(l.table, n)
	}
	for _, b := range l.corpus.Benign {
		add(&train, tableName{label: b.Label, group: b.Source})
	}
	for _, label := range clean {
		add(&test, tableName{label: label})
	}
	benign := len(l.table)
	for _, f := range taught {
		for _, label := range f.Labels {
			add(&train, tableName{label, f.Name, f.Kind})
		}
	}
	for _, f := range left {
		out.LeftOut = append(out.LeftOut, f.Name)
		if f.Name != original(f.Name) || len(f.Labels)+len(f.HeldBack) < leastNames {
			continue
		}
		out.Families = append(out.Families, FoldFamily{Family: f.Name, Kind: f.Kind})
		for _, label := range slices.Concat(f.HeldBack, f.Labels) {
			add(&test, tableName{label, f.Name, f.Kind})
		}
	}
	generated := func(row int) bool { return row >= benign }
	lessons, err := nameGrid(train, generated)
	if err != nil {
		return out, fmt.Errorf("folds: %w", err)
	}
	if err := l.Fit(lessons); err != nil {
		return out, err
	}
	exam, err := nameGrid(test, generated)
	if err != nil {
		return out, fmt.Errorf("folds: %w", err)
	}
	told, err := l.Predict(exam)
	if err != nil {
		return out, fmt.Errorf("folds: %w", err)
	}
	matrix, err := evaluation.GetConfusionMatrix(exam, told)
	if err != nil {
		return out, fmt.Errorf("folds: %w", err)
	}
	out.Confusion = confusionOf(matrix)
	return out, nil
}

// Sample keeps a percentage of the labels to learn from, by hash, and of no family fewer than it takes to be drawn as
// often as any other. The clean names held back stay: they cost no training.
func (c *Corpus) Sample(percent int) {
	c.Benign = slices.DeleteFunc(c.Benign, func(l Labelled) bool { return !heldBack(l.Label+"%", percent) })
	for _, families := range [][]Family{c.Families, c.LeftOut} {
		for i := range families {
			f := &families[i]
			kept := slices.DeleteFunc(slices.Clone(f.Labels), func(label string) bool { return !heldBack(label+"%", percent) })
			if len(kept) < fullFamily {
				kept = every(f.Labels, fullFamily)
			}
			f.Labels = kept
		}
	}
}

// every takes n evenly spaced labels of a sorted list.
func every(labels []string, n int) []string {
	if len(labels) <= n {
		return labels
	}
	taken := make([]string, n)
	for i := range taken {
		taken[i] = labels[i*len(labels)/n]
	}
	return taken
}

// original is the family that a simulated one imitates, or itself.
func original(family string) string { return strings.TrimPrefix(family, "sim-") }

// assignFolds deals the families out, kind by kind, so that each fold has some of each.
func assignFolds(families []Family, k int) map[string]int {
	sorted := slices.Clone(families)
	slices.SortStableFunc(sorted, func(a, b Family) int {
		return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(original(a.Name), original(b.Name)))
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
