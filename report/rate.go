package report

import "math"

// Rate is a share that was counted, with its one-sided 95 % bounds (Clopper and Pearson, Biometrika 26, 1934). It takes what
// was counted for independent draws.
type Rate struct {
	Part  int     `json:"part"`
	Whole int     `json:"whole"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"` // 1 where nothing was counted; with no part in n it is about 3/n
}

func newRate(part, whole int) Rate {
	r := Rate{Part: min(part, whole), Whole: whole, High: 1}
	if r.Part > 0 {
		r.Low = solve(func(p float64) bool { return 1-atMost(r.Part-1, whole, p) > 0.05 })
	}
	if r.Part < whole {
		r.High = solve(func(p float64) bool { return atMost(r.Part, whole, p) < 0.05 })
	}
	return r
}

// solve finds where a condition on a share begins to hold.
func solve(holds func(p float64) bool) float64 {
	low, high := 0.0, 1.0
	for range 60 {
		if middle := (low + high) / 2; holds(middle) {
			high = middle
		} else {
			low = middle
		}
	}
	return high
}

// atMost is the probability of at most k successes in n draws.
func atMost(k, n int, p float64) float64 {
	if p <= 0 {
		return 1
	}
	if p >= 1 {
		return 0
	}
	// The terms from k down, each from the one above it, until they no longer matter.
	all, _ := math.Lgamma(float64(n) + 1)
	some, _ := math.Lgamma(float64(k) + 1)
	others, _ := math.Lgamma(float64(n-k) + 1)
	if float64(k) > p*float64(n) { // the other side has fewer terms that matter
		sum := 0.0
		for i, term := k+1, 0.0; i <= n; i++ {
			if i == k+1 {
				term = math.Exp(all - some - others + math.Log(float64(n-k)/float64(k+1)) + float64(i)*math.Log(p) + float64(n-i)*math.Log1p(-p))
			} else {
				term *= float64(n-i+1) / float64(i) * p / (1 - p)
			}
			if sum += term; term < sum*1e-17 || term == 0 {
				break
			}
		}
		return 1 - sum
	}
	sum, term := 0.0, math.Exp(all-some-others+float64(k)*math.Log(p)+float64(n-k)*math.Log1p(-p))
	for i := k; i >= 0; i-- {
		if sum += term; term < sum*1e-17 || term == 0 {
			break
		}
		term *= float64(i) / float64(n-i+1) * (1 - p) / p
	}
	return sum
}
