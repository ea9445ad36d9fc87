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
		for i, at := range thresholds(clean, falsePositiveRates[:]) {
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

func TestTheIntervalOfARateIsExact(t *testing.T) {
	f := func(hits, names int, low, high float64) {
		t.Helper()
		got := Rate{hits, names}.Interval()
		if math.Abs(got.Low-low) > 5e-5 || math.Abs(got.High-high) > 5e-5 {
			t.Errorf("%d of %d: %.5f to %.5f, want %.4f to %.4f", hits, names, got.Low, got.High, low, high)
		}
	}
	f(5, 100, 0.0164, 0.1128) // binom.test(5, 100) of R
	f(0, 10, 0, 0.3085)
	f(10, 10, 0.6915, 1)
	f(1, 2, 0.0126, 0.9874)
}

func TestTheAreaUnderACurveCountsTiesHalf(t *testing.T) {
	f := func(generated, clean []float32, want float64) {
		t.Helper()
		if got := areaUnder(generated, clean); math.Abs(got-want) > 1e-12 {
			t.Errorf("%v over %v: %v, want %v", generated, clean, got, want)
		}
	}
	f([]float32{1, 2}, []float32{-1, 0}, 1)
	f([]float32{-1, 0}, []float32{1, 2}, 0)
	f([]float32{1, 1}, []float32{1, 1, 1}, 0.5)
	f([]float32{1, 3}, []float32{0, 1, 2}, (1.5+3)/6)
	f(nil, []float32{1}, 0)
}

func TestTheRarestRateIsMeasuredWhereThereAreNamesEnough(t *testing.T) {
	f := func(clean, want int) {
		t.Helper()
		if got := ratesFor(clean); len(got) != want {
			t.Errorf("%d clean names: %v, want %d rates", clean, got, want)
		}
	}
	f(99_999, 3)
	f(100_000, 4)
	f(100, 3)
	for _, rate := range curveRates(52_108) {
		if mayReach(rate, 52_108) < 1 {
			t.Errorf("a curve of 52,108 names has a point at %v", rate)
		}
	}
	if on := curveRates(1_000_000); on[0] != 1e-5 || on[len(on)-1] != 1 {
		t.Errorf("%v", on)
	}
}
