package training

import (
	"cmp"
	"math"
	"slices"

	"gonum.org/v1/gonum/mathext"
)

// A Rate is a share of names, with how many it was measured on.
type Rate struct {
	Hits  int `json:"hits"`
	Names int `json:"names"`
}

// Interval holds a figure with 95 % confidence, ends included.
type Interval struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// Share is Hits of Names, 0 for none.
func (r Rate) Share() float64 {
	if r.Names == 0 {
		return 0
	}
	return float64(r.Hits) / float64(r.Names)
}

// Upper is the exact one-sided 95 % upper bound of the rate (Clopper and Pearson, Biometrika 26, 1934). With no hit in n
// names it is about 3/n.
func (r Rate) Upper() float64 { return r.upper(0.95) }

// Lower is the one-sided 95 % lower bound: a rate that is claimed and lies below it was exceeded.
func (r Rate) Lower() float64 { return r.lower(0.95) }

// Interval is the two-sided 95 % interval of the same method.
func (r Rate) Interval() Interval { return Interval{r.lower(0.975), r.upper(0.975)} }

func (r Rate) upper(confidence float64) float64 {
	if r.Hits >= r.Names {
		return 1
	}
	return mathext.InvRegIncBeta(float64(r.Hits)+1, float64(r.Names-r.Hits), confidence)
}

func (r Rate) lower(confidence float64) float64 {
	if r.Hits == 0 {
		return 0
	}
	return mathext.InvRegIncBeta(float64(r.Hits), float64(r.Names-r.Hits)+1, 1-confidence)
}

// falsePositiveRates are where detection is measured: shares of clean benign names at or above the threshold.
var falsePositiveRates = [...]float64{1e-2, 1e-3, 1e-4}

// rarest is measured too where there are clean names enough for one of them to be flagged.
const rarest = 1e-5

// ratesFor are the rates to measure at with so many clean names.
func ratesFor(clean int) []float64 {
	rates := slices.Clone(falsePositiveRates[:])
	if mayReach(rarest, clean) >= 1 {
		rates = append(rates, rarest)
	}
	return rates
}

// mayReach is how many of n clean names a false-positive rate lets through. The nudge keeps 1e-5 of 100,000 from being 0.
func mayReach(rate float64, n int) int { return int(rate*float64(n) + 1e-9) }

// thresholds returns for each rate the least score that at most that share of the clean scores reaches.
func thresholds(clean []float32, rates []float64) []float32 {
	sorted := descending(clean)
	at := make([]float32, len(rates))
	for i, rate := range rates {
		at[i] = above(sorted[min(mayReach(rate, len(sorted)), len(sorted)-1)])
	}
	return at
}

func descending(scores []float32) []float32 {
	sorted := slices.Clone(scores)
	slices.SortFunc(sorted, func(a, b float32) int { return cmp.Compare(b, a) })
	return sorted
}

// above is the least score higher than another.
func above(score float32) float32 { return math.Nextafter32(score, float32(math.Inf(1))) }

// reach counts the scores at or above a threshold.
func reach(scores []float32, threshold float32) Rate {
	r := Rate{Names: len(scores)}
	for _, score := range scores {
		if score >= threshold {
			r.Hits++
		}
	}
	return r
}

// reachSorted is reach for scores in ascending order.
func reachSorted(scores []float32, threshold float32) Rate {
	below, _ := slices.BinarySearch(scores, threshold)
	return Rate{len(scores) - below, len(scores)}
}

// areaUnder is the area under the ROC curve: how often a generated name scores higher than a benign one, a tie counting half
// (Mann and Whitney, 1947). Clean scores are in ascending order.
func areaUnder(generated, clean []float32) float64 {
	if len(generated) == 0 || len(clean) == 0 {
		return 0
	}
	sum := 0.0
	for _, score := range generated {
		below, _ := slices.BinarySearch(clean, score)
		notAbove, _ := slices.BinarySearch(clean, above(score))
		sum += float64(below+notAbove) / 2
	}
	return sum / float64(len(generated)) / float64(len(clean))
}

// macro is the average of the shares: every family counts the same, however many names it has.
func macro(rates []Rate) float64 {
	if len(rates) == 0 {
		return 0
	}
	sum := 0.0
	for _, r := range rates {
		sum += r.Share()
	}
	return sum / float64(len(rates))
}

func (r *Rate) add(hit bool) {
	r.Names++
	if hit {
		r.Hits++
	}
}
