package training

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"referee/classifier"
	"referee/features"
)

func TestThePairedTestIsExact(t *testing.T) {
	f := func(onlyOld, onlyNew int, more float64) {
		t.Helper()
		p := Paired{Names: 1000, OnlyOld: onlyOld, OnlyNew: onlyNew}
		if got := p.more(); math.Abs(got-more) > 1e-9 {
			t.Errorf("%d only old, %d only new: p = %v, want %v", onlyOld, onlyNew, got, more)
		}
	}
	f(0, 0, 1)
	f(5, 0, 1)
	f(0, 5, 1./32)
	f(1, 9, 11./1024) // binom.test(9, 10, alternative = "greater") of R
	f(3, 3, 42./64)
	rapid.Check(t, func(t *rapid.T) {
		old, young := rapid.IntRange(0, 500).Draw(t, "old"), rapid.IntRange(0, 500).Draw(t, "new")
		p := Paired{OnlyOld: old, OnlyNew: young}
		if q := (Paired{OnlyOld: young, OnlyNew: old}); p.more() != q.fewer() {
			t.Fatal("the two sides are not alike")
		}
		if worse := (Paired{OnlyOld: old, OnlyNew: young + 1}); worse.more() > p.more() {
			t.Fatalf("one more newly flagged name made p rise from %v to %v", p.more(), worse.more())
		}
	})
}

func TestPValuesAreAdjustedByHolm(t *testing.T) {
	got := holm([]float64{0.01, 0.04, 0.03, 0.005})
	for i, want := range []float64{0.03, 0.06, 0.06, 0.02} { // p.adjust(…, "holm") of R
		if math.Abs(got[i]-want) > 1e-12 {
			t.Errorf("%v", got)
		}
	}
	if len(holm(nil)) != 0 {
		t.Error("something of nothing")
	}
}

// Equal models that flag different names by chance pass nineteen times in twenty, and more often, as the test is of counts.
func TestTheGateSeldomStopsAnEqualModel(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	const runs = 4000
	stopped := 0
	for range runs {
		var p []float64
		for range 8 {
			var source Paired
			for range 40 {
				source.add(random.IntN(2) == 0, random.IntN(2) == 0)
			}
			p = append(p, source.more())
		}
		if slices.Min(holm(p)) < significant {
			stopped++
		}
	}
	if share := float64(stopped) / runs; share > 0.05 || share < 0.005 {
		t.Errorf("%.3f of equal models were stopped", share)
	}
}

func TestALossOfAGroupIsOutsideItsIntervalAndChanceIsNot(t *testing.T) {
	families := func(gain int) (all []Paired) {
		random := rand.New(rand.NewPCG(4, 4))
		for range 12 {
			all = append(all, Paired{Names: 500, Both: 300, OnlyOld: 20 + random.IntN(10), OnlyNew: 20 + random.IntN(10) + gain})
		}
		return all
	}
	r := Bootstrap{1000, 1}.resampler(0)
	changes := func(gain int) Interval { return percentiles(r.changes(families(gain)), 0.1) }
	if i := changes(0); i.Low > 0 || i.High < 0 {
		t.Errorf("equal models: %v", i)
	}
	if i := changes(-18); i.High >= 0 || i.Low < -0.05 {
		t.Errorf("18 of 500 names lost: %v", i)
	}
	if i := changes(40); i.Low <= 0 {
		t.Errorf("40 of 500 names gained: %v", i)
	}
}

func TestAModelThatFlagsMoreOrFindsLessMayNotReplaceAnother(t *testing.T) {
	c := smallCorpus()
	sets := append(smallSets(c), Set{Name: "hard_small", Role: Benign, Names: []Entry{{Domain: "a<b.com", Label: c.Families[0].HeldBack[0], Group: "x\x1b[31m"}}})
	model := func(c *Corpus, r Recipe) *classifier.Model {
		data, err := Train(context.Background(), c, r, noProgress)
		if err != nil {
			t.Fatal(err)
		}
		m, err := classifier.Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	compare := func(a, b *classifier.Model) (*Comparison, string) {
		result, err := Compare(a, b, 0.01, sets, nil, Bootstrap{1000, 1})
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		if err := result.Text(&text); err != nil || strings.ContainsRune(text.String(), '\x1b') || strings.Contains(text.String(), "%!") {
			t.Errorf("%v\n%s", err, text.String())
		}
		return result, text.String()
	}
	recipe := Recipe{Schedule: smallSchedule, MinLength: 7}
	good := model(c, recipe)
	if same, text := compare(good, good); !same.Passes() || same.NewlyAll != 0 || !strings.HasPrefix(text, "PASS: ") {
		t.Errorf("a model is worse than itself: %v\n%s", same.Worse, text)
	}

	// Calibrated without the clean names that look most generated, it claims more than it keeps.
	tame := *c
	tame.Calibration = slices.Clone(c.Calibration)
	slices.SortFunc(tame.Calibration, func(a, b Labelled) int {
		return cmp.Compare(good.Score(features.Name{Label: a.Label}), good.Score(features.Name{Label: b.Label}))
	})
	tame.Calibration = tame.Calibration[:len(tame.Calibration)*9/10]
	bold, text := compare(good, model(&tame, recipe))
	if bold.Passes() || bold.NewlyAll < 100 || len(bold.Newly) != topNames || !bold.Sources[0].Worse || !strings.HasPrefix(text, "FAIL: ") {
		t.Errorf("%d newly flagged, %+v", bold.NewlyAll, bold.Sources[0])
	}
	for _, s := range bold.Sources {
		if s.Role != Clean && s.Worse {
			t.Errorf("%s stops a model, and is not clean", s.Source)
		}
	}
	for _, g := range bold.Groups {
		if g.Worse {
			t.Errorf("%s: called worse, %.3f after %.3f", g.Group, g.New, g.Old)
		}
	}

	weak, text := compare(good, model(c, Recipe{Schedule: Schedule{Seed: 1, Bits: 8, Epochs: 1, Rate: 0.01, Batch: 512}, MinLength: 7}))
	if weak.Passes() || !weak.Groups[0].Worse || !strings.Contains(text, "WORSE") {
		t.Errorf("%+v\n%s", weak.Groups, text)
	}
}
