//go:build linux

package main

import (
	"math"
	"slices"
)

// upperBound is the upper 95 % bound of the median of what x are drawn from: the least order statistic that is at or above that median
// with a probability of 95 % or more, which is binomial whatever the distribution. False for fewer than five: even the
// largest of four is below it in one case of sixteen.
func upperBound(x []float64) (float64, bool) {
	n := len(x)
	x = slices.Sorted(slices.Values(x))
	// P(x[k] is below the median) = P(k+1 or more of n are below it).
	below := math.Pow(0.5, float64(n)) // that all are
	combinations := 1.0
	bound, found := 0.0, false
	for k := n - 1; k >= 0 && below <= 0.05; k-- {
		bound, found = x[k], true
		combinations *= float64(k+1) / float64(n-k)
		below += combinations * math.Pow(0.5, float64(n))
	}
	return bound, found
}

func median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	n := len(x)
	if n == 0 {
		return math.NaN()
	}
	return (x[(n-1)/2] + x[n/2]) / 2
}
