package classifier

import "math"

// TailBins is the number of bins that TailCounts has.
const TailBins = 12

// tailEdges are the upper ends of the bins: tenths of the calibration names, the lowest tenth parted again, since what is
// blocked comes from there. The first bin is no part of a comparison.
var tailEdges = [TailBins]float32{1e-3, 0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1}

// TailCounts are numbers of distinct names by their benign tail. A tail is the share of calibration names that score at
// least as high, so names like those spread evenly over all tails, whatever the model; how unevenly live names do is how
// unlike the calibration they are. Names with a tail of 0.001 or less are counted and not compared: in traffic that is
// worth a Referee most of them are generated, and an attack is no drift.
type TailCounts [TailBins]uint64

// TailBin is the bin of a tail.
func TailBin(tail float32) int {
	for i, edge := range tailEdges[:TailBins-1] {
		if tail <= edge {
			return i
		}
	}
	return TailBins - 1
}

// Add adds other counts.
func (c *TailCounts) Add(other TailCounts) {
	for i, n := range other {
		c[i] += n
	}
}

// Names is how many names are compared.
func (c *TailCounts) Names() (n uint64) {
	for _, in := range c[1:] {
		n += in
	}
	return n
}

// Bin is one bin of a comparison.
type Bin struct {
	Above    float32 `json:"above"`    // tails above this
	UpTo     float32 `json:"up_to"`    // and up to this
	Expected float64 `json:"expected"` // share of names like those of the calibration
	Seen     float64 `json:"seen"`     // share of the names that were seen; 0 where there are none
}

// Bins returns the bins that are compared, from the highest scores to the lowest.
func (c *TailCounts) Bins() []Bin {
	bins, n := make([]Bin, 0, TailBins-1), max(c.Names(), 1)
	for i := 1; i < TailBins; i++ {
		bins = append(bins, Bin{tailEdges[i-1], tailEdges[i], expected(i), float64(c[i]) / float64(n)})
	}
	return bins
}

func expected(bin int) float64 {
	return (float64(tailEdges[bin]) - float64(tailEdges[bin-1])) / (1 - float64(tailEdges[0]))
}

// PSI is the population stability index of the names against the calibration: the sum over the bins of
// (seen − expected) · ln(seen / expected), 0 for names spread as expected. Siddiqi, Credit Risk Scorecards (2006), reads
// less than 0.1 as no change, up to 0.25 as a small one, above as a large one. Of n names like those of the calibration it
// is on average (11−1)/n by chance (Yurdakul and Naranjo, Statistical properties of the population stability index, Journal
// of Risk Model Validation 14(4), 2020), so that of 1,000 names chance does not reach 0.1. An empty bin counts as half a name.
func (c *TailCounts) PSI() float64 {
	n := float64(c.Names())
	if n == 0 {
		return 0
	}
	psi := 0.0
	for i := 1; i < TailBins; i++ {
		seen, want := max(float64(c[i]), 0.5)/n, expected(i)
		psi += (seen - want) * math.Log(seen/want)
	}
	return psi
}

// Head is how many times as many names as expected are in the compared bin of the highest scores, tails of 0.001 to 0.01; 1 is
// as calibrated. Above 1 the model errs at least so many times as often as its confidence says: the default model on lists of
// one kind erred more the further out, such as 25 times at 0.001 where this was 4 (Chinese names; docs/models.md).
func (c *TailCounts) Head() float64 {
	n := float64(c.Names())
	if n == 0 {
		return 1
	}
	return float64(c[1]) / n / expected(1)
}
