package training

import (
	gocmp "cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// normal are scores with a mean.
func normal(n int, mean float64, seed uint64) []float32 {
	random := rand.New(rand.NewPCG(seed, 0))
	scores := make([]float32, n)
	for i := range scores {
		scores[i] = float32(random.NormFloat64() + mean)
	}
	slices.Sort(scores)
	return scores
}

func TestAResampledThresholdIsThatOfDrawingTheNamesAnew(t *testing.T) {
	clean := descending(normal(2000, 0, 1))
	r := Bootstrap{1, 7}.resampler(0)
	random := rand.New(rand.NewPCG(9, 9))
	var quick, slow []float64
	for range 2000 {
		quick = append(quick, float64(r.threshold(clean, 0.01)))
		drawn := make([]float32, len(clean))
		for i := range drawn {
			drawn[i] = clean[random.IntN(len(clean))]
		}
		slow = append(slow, float64(thresholds(drawn, []float64{0.01})[0]))
	}
	a, b := percentiles(quick, 0.1), percentiles(slow, 0.1)
	if math.Abs(a.Low-b.Low) > 0.03 || math.Abs(a.High-b.High) > 0.03 {
		t.Errorf("90 %% of the order statistics lie in %v, of redrawn lists in %v", a, b)
	}
}

func TestAnIntervalOfOneFamilyIsThatOfItsNames(t *testing.T) {
	// A threshold that does not move: all clean scores are equal.
	clean := make([]float32, 100)
	family := append(make([]float32, 600), slices.Repeat([]float32{1}, 400)...)
	got := Bootstrap{2000, 1}.resampler(0).found(clean, [][]float32{family}, []float64{0.01})[0]
	want := Rate{400, 1000}.Interval()
	if math.Abs(got.Low-want.Low) > 0.005 || math.Abs(got.High-want.High) > 0.005 {
		t.Errorf("bootstrap %v, Clopper and Pearson %v", got, want)
	}
}

func TestIntervalsHoldTheFigureAndAreTheSameEachTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		clean := descending(normal(500, 0, seed))
		var families [][]float32
		for i := range rapid.IntRange(1, 6).Draw(t, "families") {
			families = append(families, normal(rapid.IntRange(1, 200).Draw(t, fmt.Sprint("names", i)), float64(i), seed+uint64(i)))
		}
		rates := []float64{0.5, 0.1, 0.01}
		b := Bootstrap{200, seed}
		got := b.resampler(3).found(clean, families, rates)
		if diff := cmp.Diff(got, b.resampler(3).found(clean, families, rates)); diff != "" {
			t.Fatal(diff)
		}
		for i, at := range thresholds(clean, rates) {
			var each []Rate
			for _, scores := range families {
				each = append(each, reachSorted(scores, at))
			}
			if m := macro(each); got[i].Low > m || got[i].High < m || got[i].Low < 0 || got[i].High > 1 {
				t.Fatalf("found %v at %v, interval %v", m, rates[i], got[i])
			}
		}
	})
}

func TestAModelsIntervalsDoNotDependOnGOMAXPROCS(t *testing.T) {
	c := smallCorpus()
	m := trainSmall(t, c)
	measure := func(procs int) *Evaluation {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
		e, err := EvaluateModel(m, smallSets(c), nil, Bootstrap{100, 1})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	one := measure(1)
	if diff := cmp.Diff(one, measure(4)); diff != "" {
		t.Error(diff)
	}
	if len(one.Curves) != len(one.Groups) || len(one.Top) != 1 || len(one.Top[0].Names) != topNames || len(one.Calibration) < 3 {
		t.Errorf("%d curves, %d groups, %d lists, %d calibrations", len(one.Curves), len(one.Groups), len(one.Top), len(one.Calibration))
	}
	for _, curve := range one.Curves {
		if !slices.IsSortedFunc(curve.Points, func(a, b CurvePoint) int { return gocmp.Compare(a.Found, b.Found) }) {
			t.Errorf("%s: a curve that falls: %v", curve.Group, curve.Points)
		}
	}
}
