package training

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/sjwhitworth/golearn/evaluation"
)

func TestAFamilyThatWasLeftOutIsMeasuredByTheModelThatWasNotTaughtIt(t *testing.T) {
	c := smallCorpus()
	recipe := Recipe{Schedule: smallSchedule, WordBits: 12, WordShare: 0.2, MinLength: 7}
	c.LeftOut[0].Labels = labelsOf(c.Benign[:40]) // a family of words
	folds, err := CrossValidate(context.Background(), c, recipe, 3, func(int, int, int) {})
	if err != nil {
		t.Fatal(err)
	}
	again, err := CrossValidate(context.Background(), c, recipe, 3, func(int, int, int) {})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(folds, again); diff != "" {
		t.Errorf("two runs differ\n%s", diff)
	}
	v := Summarise(recipe, folds, Bootstrap{200, 1})
	if len(v.Groups) != 2 || v.Groups[0].Families != 6 || v.Groups[1].Families != 1 || v.Groups[1].Group != "left out, wordlist" {
		t.Errorf("%+v", v.Groups)
	}
	names, hits := 0, 0
	for _, f := range folds {
		names += f.Confusion.Generated.Names
		hits += f.Confusion.Generated.Hits
		if f.Confusion.Benign.Names < 500 || f.Confusion.Benign.Share() > 0.02 {
			t.Errorf("%d of %d clean names at 0.1 %%", f.Confusion.Benign.Hits, f.Confusion.Benign.Names)
		}
		recall := evaluation.GetRecall(generatedWord, f.Confusion.matrix())
		if want := f.Confusion.Generated.Share(); math.Abs(recall-want) > 1e-12 {
			t.Errorf("golearn's recall %v, want %v", recall, want)
		}
	}
	byFamily := Rate{}
	for _, f := range v.families() {
		byFamily.Names += f.Rates[1].Names
		byFamily.Hits += f.Rates[1].Hits
	}
	if (Rate{hits, names}) != byFamily {
		t.Errorf("the matrices count %d of %d, the families %v", hits, names, byFamily)
	}
	if v.Recall.Mean < 0.3 || v.F1.Deviation < 0 || v.Groups[0].Intervals[1].Low > v.Groups[0].Found[1] {
		t.Errorf("%+v", v)
	}
	var text, page strings.Builder
	if err := v.Text(&text); err != nil {
		t.Fatal(err)
	}
	if err := v.HTML(&page); err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{text.String(), page.String()} {
		if !strings.Contains(s, "left out, random") || !strings.Contains(s, "family3") || strings.Contains(s, "NaN") || strings.Contains(s, "%!") {
			t.Error(s)
		}
	}
}

func TestMoreFoldsThanFamiliesAreRefused(t *testing.T) {
	_, err := CrossValidate(context.Background(), smallCorpus(), Recipe{Schedule: smallSchedule}, 9, func(int, int, int) {})
	if err == nil || !strings.Contains(err.Error(), "more than there are families") {
		t.Error(err)
	}
}

func TestGolearnFitsAndAsksTheTrainer(t *testing.T) {
	c := smallCorpus()
	l := &learner{
		ctx: context.Background(), corpus: c, recipe: Recipe{Schedule: smallSchedule}, progress: noProgress,
		threshold: func(model scorer) float32 { return thresholdAt(scoreLabels(model, labelsOf(c.Calibration)), 0.01) },
	}
	for _, b := range c.Benign {
		l.table = append(l.table, tableName{b.Label, b.Source, ""})
	}
	benign := len(l.table)
	for _, f := range c.Families {
		for _, label := range f.Labels {
			l.table = append(l.table, tableName{label, f.Name, f.Kind})
		}
	}
	rows := make([]int, len(l.table))
	for i := range rows {
		rows[i] = i
	}
	grid, err := nameGrid(rows, func(row int) bool { return row >= benign })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Predict(grid); err == nil {
		t.Error("it predicts before it is fitted")
	}
	// golearn's own cross-validation, which leaves rows out at random.
	matrices, err := evaluation.GenerateCrossFoldValidationConfusionMatrices(grid, l, 2)
	if err != nil {
		t.Fatal(err)
	}
	if recall, _ := evaluation.GetCrossValidatedMetric(matrices, func(m evaluation.ConfusionMatrix) float64 {
		return evaluation.GetRecall(generatedWord, m)
	}); recall < 0.9 {
		t.Errorf("recall %v of families that it was taught", recall)
	}
	direct, err := learn(context.Background(), c, c.Families, l.recipe, noProgress)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Fit(grid); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(scoreLabels(direct.model, golden(1)), scoreLabels(l.model, golden(1))) {
		t.Error("trained through golearn it is another model")
	}
}

func TestASampleKeepsSmallFamiliesWhole(t *testing.T) {
	c := smallCorpus()
	for i := range c.Families[0].Labels {
		c.Families[1].Labels = append(c.Families[1].Labels, c.Families[0].Labels[i]+"x", c.Families[0].Labels[i]+"y", c.Families[0].Labels[i]+"z", c.Families[0].Labels[i]+"w")
	}
	slices.Sort(c.Families[1].Labels)
	benign, small, held := len(c.Benign), len(c.Families[0].Labels), len(c.Calibration)
	c.Sample(20)
	if got := float64(len(c.Benign)) / float64(benign); got < 0.17 || got > 0.23 {
		t.Errorf("%.2f of the benign labels are left, want 0.2", got)
	}
	if len(c.Families[0].Labels) != small || len(c.Calibration) != held || len(c.Families[1].Labels) != fullFamily {
		t.Errorf("%d of %d labels of a small family, %d of a large one", len(c.Families[0].Labels), small, len(c.Families[1].Labels))
	}
}
