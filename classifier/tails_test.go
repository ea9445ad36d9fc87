package classifier

import (
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// naiveTail is the definition.
func naiveTail(clean []float32, score float32) float64 {
	k := 0
	for _, c := range clean {
		if c >= score {
			k++
		}
	}
	return float64(k+1) / float64(len(clean)+1)
}

func TestATailIsExactFarOutAndNeverFlattersFurtherIn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Some scores repeat, as those of integers do.
		clean := rapid.SliceOfN(rapid.Float32Range(-50, 50), 1, 200).Draw(t, "clean")
		copies := rapid.IntRange(1, 60).Draw(t, "copies")
		clean = slices.Repeat(clean, copies)
		for i := range clean {
			if i%3 == 0 {
				clean[i] += float32(i) / 1000
			}
		}
		tails, err := newTails(clean)
		if err != nil {
			t.Fatal(err)
		}
		score := rapid.OneOf(rapid.Float32Range(-60, 60), rapid.SampledFrom(clean)).Draw(t, "score")
		got, want := float64(tails.tail(score)), naiveTail(clean, score)
		if got < want*(1-1e-6) {
			t.Fatalf("tail of %v is %v, the definition says %v: it flatters", score, got, want)
		}
		if k := want*float64(len(clean)+1) - 1; k < exactSteps && math.Abs(got-want) > 1e-6*want {
			t.Fatalf("tail of %v is %v, want exactly %v", score, got, want)
		}
		if got > want*1.02+float64(copies)/float64(len(clean)) {
			t.Fatalf("tail of %v is %v, the definition says %v: too far", score, got, want)
		}
	})
}

func TestAHigherScoreNeverHasALargerTail(t *testing.T) {
	clean := make([]float32, 30000)
	for i := range clean {
		clean[i] = float32(math.Sin(float64(i))*10 + float64(i%7))
	}
	tails, err := newTails(clean)
	if err != nil {
		t.Fatal(err)
	}
	if len(tails.steps) > 3000 {
		t.Errorf("%d steps for 30,000 names", len(tails.steps))
	}
	before := float32(1)
	for score := float32(-20); score < 20; score += 0.003 {
		now := tails.tail(score)
		if now > before || now <= 0 {
			t.Fatalf("tail of %v is %v after %v", score, now, before)
		}
		before = now
	}
}

func TestTheEndsOfTheScale(t *testing.T) {
	tails, err := newTails([]float32{1, 2, 3, 4})
	if err != nil {
		t.Fatal(err)
	}
	f := func(score float64, want float32) {
		t.Helper()
		if got := tails.tail(float32(score)); got != want {
			t.Errorf("tail of %v is %v, want %v", score, got, want)
		}
	}
	f(math.Inf(-1), 1)
	f(1, 1)
	f(1.5, 4./5)
	f(4, 2./5)
	f(4.1, 1./5)
	f(math.Inf(1), 1./5)
	f(math.NaN(), 1)
}

func TestAThresholdIsTheLeastScoreOfItsTail(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		clean := rapid.SliceOfN(rapid.Float32Range(-50, 50), 20, 5000).Draw(t, "clean")
		tails, err := newTails(clean)
		if err != nil {
			t.Fatal(err)
		}
		c := Confidence(rapid.Float64Range(1./float64(len(clean)), 0.49).Draw(t, "confidence"))
		threshold, err := tails.threshold(c)
		if err != nil {
			t.Fatal(err)
		}
		if got := tails.tail(threshold); got > float32(c) {
			t.Fatalf("tail of the threshold of %v is %v", c, got)
		}
		if got := tails.tail(math.Nextafter32(threshold, -100)); got <= float32(c) {
			t.Fatalf("a lower score than the threshold of %v has the tail %v too", c, got)
		}
	})
}

func TestAConfidenceThatTheCalibrationCannotSupportIsRefused(t *testing.T) {
	tails, err := newTails(make([]float32, 9999))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tails.threshold(1e-4); err != nil {
		t.Errorf("1e-4 of 9,999 names: %v", err)
	}
	_, err = tails.threshold(9.9e-5)
	if err == nil || !strings.Contains(err.Error(), "9999 clean names") || !strings.Contains(err.Error(), "0.0001") {
		t.Errorf("9.9e-5 of 9,999 names: %v, want an error that says which is the least", err)
	}
	if _, err := tails.threshold(0); err == nil {
		t.Error("a confidence of 0 was accepted")
	}
}
