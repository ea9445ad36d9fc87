package training

import (
	"cmp"
	"slices"

	"gonum.org/v1/gonum/mathext"
)

// Paired counts the same names under two models: those that only one of them flags are all that tells them apart
// (McNemar, Psychometrika 12, 1947).
type Paired struct {
	Names   int `json:"names"`
	Both    int `json:"both"`
	OnlyOld int `json:"only_old"`
	OnlyNew int `json:"only_new"`
}

func (p *Paired) add(before, after bool) {
	p.Names++
	switch {
	case before && after:
		p.Both++
	case before:
		p.OnlyOld++
	case after:
		p.OnlyNew++
	}
}

// Old and New are what each model flags.
func (p Paired) Old() Rate { return Rate{p.Both + p.OnlyOld, p.Names} }

// New is what the new model flags.
func (p Paired) New() Rate { return Rate{p.Both + p.OnlyNew, p.Names} }

// change is by how much the new model's share is higher.
func (p Paired) change() float64 { return p.New().Share() - p.Old().Share() }

// atLeast is the exact chance that of so many differing names a number or more would be on one side, were either side as
// likely: the one-sided binomial test.
func atLeast(number, differing int) float64 {
	if number <= 0 {
		return 1
	}
	return mathext.RegIncBeta(float64(number), float64(differing-number)+1, 0.5)
}

// more is the one-sided p-value of the new model flagging more.
func (p Paired) more() float64 { return atLeast(p.OnlyNew, p.OnlyNew+p.OnlyOld) }

// fewer is that of it flagging fewer.
func (p Paired) fewer() float64 { return atLeast(p.OnlyOld, p.OnlyNew+p.OnlyOld) }

// holm adjusts p-values for their number, so that one in twenty comparisons of equal models has any below 0.05 (Holm,
// Scandinavian Journal of Statistics 6, 1979). The tests may depend on each other, as those of a set and its sources do.
func holm(p []float64) []float64 {
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p[a], p[b]) })
	adjusted, least := make([]float64, len(p)), 0.0
	for rank, i := range order {
		least = max(least, min(1, float64(len(p)-rank)*p[i]))
		adjusted[i] = least
	}
	return adjusted
}

// changes draws the average change over families anew, their names resampled; the families stay, as the question is whether
// a model is worse on these.
func (r *resampler) changes(families []Paired) []float64 {
	draws := make([]float64, r.Resamples)
	for i := range draws {
		for _, f := range families {
			gained := r.binomial(f.Names, Rate{f.OnlyNew, f.Names}.Share())
			lost := r.binomial(f.Names-gained, Rate{f.OnlyOld, f.Names - f.OnlyNew}.Share())
			draws[i] += float64(gained-lost) / float64(f.Names) / float64(len(families))
		}
	}
	return draws
}
