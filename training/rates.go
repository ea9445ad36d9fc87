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

// Share is Hits of Names, 0 for none.
func (r Rate) Share() float64 {
	if r.Names == 0 {
		return 0
	}
	return float64(r.Hits) / float64(r.Names)
}

// Upper is the exact one-sided 95 % upper bound of the rate (Clopper and Pearson, Biometrika 26, 1934). With no hit in n
// names it is about 3/n.
func (r Rate) Upper() float64 {
	if r.Hits >= r.Names {
		return 1
	}
	return mathext.InvRegIncBeta(float64(r.Hits)+1, float64(r.Names-r.Hits), 0.95)
}

// falsePositiveRates are where detection is measured: shares of clean benign names at or above the threshold.
var falsePositiveRates = [...]float64{1e-2, 1e-3, 1e-4}

// thresholds returns for each rate the least score that at most that share of the clean scores reaches.
func thresholds(clean []float32) [len(falsePositiveRates)]float32 {
	sorted := slices.Clone(clean)
	slices.SortFunc(sorted, func(a, b float32) int { return cmp.Compare(b, a) })
	var at [len(falsePositiveRates)]float32
	for i, rate := range falsePositiveRates {
		k := int(rate * float64(len(sorted))) // so many may reach it
		at[i] = math.Nextafter32(sorted[min(k, len(sorted)-1)], float32(math.Inf(1)))
	}
	return at
}

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
