package training

import (
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// Bootstrap says how intervals were made: percentiles of so many resamples (Efron and Tibshirani, An Introduction to the
// Bootstrap, 1993, chapter 13). Each resample draws anew the clean names, which move the threshold, the families of a group, and the names of
// each family. With fewer than about ten families it says too little: there are no others to draw.
type Bootstrap struct {
	Resamples int    `json:"resamples"`
	Seed      uint64 `json:"seed"`
}

// DefaultBootstrap is enough for the ends of a 95 % interval to stand still to about half a point.
var DefaultBootstrap = Bootstrap{Resamples: 1000, Seed: 1}

// resampler draws. Nothing is copied to be drawn from: of names of which a share p is found, a resample finds a
// binomial number, and the k-th highest of resampled clean scores is a beta-distributed order statistic.
type resampler struct {
	Bootstrap
	source randomSource
	random *rand.Rand
}

// randomSource is what gonum draws from.
type randomSource struct{ *rand.PCG }

// Seed is there for the interface.
func (s randomSource) Seed(seed uint64) { s.PCG.Seed(seed, 0) }

func (b Bootstrap) resampler(stream uint64) *resampler {
	source := randomSource{rand.NewPCG(b.Seed, stream)}
	return &resampler{b, source, rand.New(source.PCG)}
}

// threshold is that of a false-positive rate in a resample of the clean scores, which are in descending order.
func (r *resampler) threshold(clean []float32, rate float64) float32 {
	n, k := len(clean), mayReach(rate, len(clean))
	if k >= n {
		return clean[n-1]
	}
	return above(clean[min(int(r.rank(k, n)*float64(n)), n-1)])
}

// rank is the share of n names that lie above the k+1st highest of as many drawn from them.
func (r *resampler) rank(k, n int) float64 {
	return distuv.Beta{Alpha: float64(k + 1), Beta: float64(n - k), Src: r.source}.Rand()
}

// tail is what a claimed tail may have been, had others of n clean names been held back to calibrate with.
func (r *resampler) tail(claimed float64, n int) float64 {
	k := mayReach(claimed, n+1) - 1
	if k < 0 || k >= n {
		return claimed
	}
	return r.rank(k, n)
}

// binomial is how many of n names are found of which each is with a probability.
func (r *resampler) binomial(n int, probability float64) int {
	switch {
	case n <= 0 || probability <= 0:
		return 0
	case probability >= 1:
		return n
	}
	return int(distuv.Binomial{N: float64(n), P: probability, Src: r.source}.Rand())
}

// found are the intervals of the average over families of the share found, at each rate. Scores of a family are in
// ascending order, clean ones in descending.
func (r *resampler) found(clean []float32, families [][]float32, rates []float64) []Interval {
	draws := make([][]float64, len(rates))
	picked := make([][]float32, len(families))
	for range r.Resamples {
		for i := range picked {
			picked[i] = families[r.random.IntN(len(families))]
		}
		for i, rate := range rates {
			at, sum := r.threshold(clean, rate), 0.0
			for _, scores := range picked {
				sum += float64(r.binomial(len(scores), reachSorted(scores, at).Share())) / float64(len(scores))
			}
			draws[i] = append(draws[i], sum/float64(len(families)))
		}
	}
	intervals := make([]Interval, len(rates))
	for i, d := range draws {
		intervals[i] = percentiles(d, 0.05)
	}
	return intervals
}

// average is the interval of the average of families' shares, whose thresholds stand.
func (r *resampler) average(families []Rate) Interval {
	draws := make([]float64, r.Resamples)
	for i := range draws {
		for range families {
			f := families[r.random.IntN(len(families))]
			draws[i] += float64(r.binomial(f.Names, f.Share())) / float64(f.Names) / float64(len(families))
		}
	}
	return percentiles(draws, 0.05)
}

// percentiles are what leaves half of a share of the draws on either side.
func percentiles(draws []float64, outside float64) Interval {
	slices.Sort(draws)
	tail := int(outside / 2 * float64(len(draws)))
	return Interval{draws[tail], draws[len(draws)-1-tail]}
}
