package training

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestTheUpperBoundOfARateIsExact(t *testing.T) {
	f := func(hits, names int, want float64) {
		t.Helper()
		if got := (Rate{hits, names}).Upper(); math.Abs(got-want) > 5e-5 {
			t.Errorf("%d of %d: %.5f, want %.4f", hits, names, got, want)
		}
	}
	f(0, 100, 0.0295) // 1 - 0.05^(1/100)
	f(0, 30000, 0.0001)
	f(5, 100, 0.1023) // qbeta(0.95, 6, 95) of R
	f(1, 2, 0.9747)
	f(2, 2, 1)
	f(0, 0, 1)
}

func TestAThresholdLetsNoMoreCleanNamesThroughThanItsRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		clean := rapid.SliceOfN(rapid.Float32Range(-5, 5), 1, 3000).Draw(t, "clean")
		for i, at := range thresholds(clean) {
			rate := reach(clean, at)
			if rate.Share() > falsePositiveRates[i] {
				t.Fatalf("%d of %d reach the threshold of %v", rate.Hits, rate.Names, falsePositiveRates[i])
			}
			lower := reach(clean, math.Nextafter32(at, -10))
			if lower.Share() <= falsePositiveRates[i] {
				t.Fatalf("a lower threshold than that of %v would do", falsePositiveRates[i])
			}
		}
	})
}

func TestAMacroAverageCountsFamiliesAndNotNames(t *testing.T) {
	if got := macro([]Rate{{100, 100}, {0, 1}}); got != 0.5 {
		t.Errorf("%v, want 0.5", got)
	}
	if got := macro(nil); got != 0 {
		t.Errorf("%v of no family, want 0", got)
	}
}
