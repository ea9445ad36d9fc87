package training

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"referee/classifier"
	"referee/features"
)

func trainSmall(t *testing.T, c *Corpus) *classifier.Model {
	t.Helper()
	data, err := Train(context.Background(), c, Recipe{Schedule: smallSchedule, MinLength: 7}, noProgress)
	if err != nil {
		t.Fatal(err)
	}
	m, err := classifier.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestAModelKnowsWhatItWasMadeFrom(t *testing.T) {
	c := smallCorpus()
	c.Calibration = append(c.Calibration, Labelled{"short", "words"}, Labelled{"xn--bcher-kva", "words"})
	m := trainSmall(t, c)
	info := m.Info()
	if total(info.Benign) != len(c.Benign) || len(info.Families) != len(c.Families) || sourceNames(info.LeftOut) != "words" {
		t.Errorf("%+v", info)
	}
	judged := 0
	for _, l := range c.Calibration {
		if len(l.Label) >= 7 && !strings.HasPrefix(l.Label, "xn--") {
			judged++
		}
	}
	if info.Calibrated != judged || total(info.Clean) != judged {
		t.Errorf("calibrated on %d names, want the %d that it judges", info.Calibrated, judged)
	}
	if len(info.Figures) != 1 || info.Figures[0].Confidence != classifier.Sensitive {
		t.Errorf("figures %+v, want those of the one preset that %d names support", info.Figures, judged)
	}
}

func TestATailIsTheShareOfHeldBackNames(t *testing.T) {
	c := smallCorpus()
	m := trainSmall(t, c)
	for _, confidence := range []classifier.Confidence{0.1, 0.01} {
		threshold, err := m.Threshold(confidence)
		if err != nil {
			t.Fatal(err)
		}
		rate := Rate{}
		for _, l := range c.Calibration {
			if len(l.Label) >= 7 {
				rate.add(m.Score(features.Name{Label: l.Label}) >= threshold)
			}
		}
		if rate.Share() > float64(confidence) || rate.Share() < float64(confidence)*0.7 {
			t.Errorf("%v: %d of %d names reach the threshold", confidence, rate.Hits, rate.Names)
		}
	}
}

func TestEachFamilyIsLeftOutOnceTogetherWithItsImitation(t *testing.T) {
	c := smallCorpus()
	imitation := c.Families[2]
	imitation.Name = "sim-" + c.Families[2].Name
	c.Families = append(c.Families, imitation)
	folds, err := CrossValidate(context.Background(), c, Recipe{Schedule: smallSchedule}, 3, func(int, int, int) {})
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, f := range folds {
		left = append(left, f.LeftOut...)
		if slices.Contains(f.LeftOut, "family2") != slices.Contains(f.LeftOut, "sim-family2") {
			t.Errorf("a family and its imitation are in different folds: %v", f.LeftOut)
		}
		if f.Known[0] < 0.9 || f.Known[0] < f.Known[2] || f.Unseen[0] == 0 {
			t.Errorf("%+v", f)
		}
	}
	slices.Sort(left)
	want := []string{"family0", "family1", "family2", "family3", "family4", "family5", "sim-family2"}
	if diff := cmp.Diff(want, left); diff != "" {
		t.Errorf("left out (-want +got)\n%s", diff)
	}
}

func TestTheForestIsTheSameEachTimeAndBetterThanChance(t *testing.T) {
	c := smallCorpus()
	var before []float32
	for range 2 {
		f, err := TrainForest(c, 1, 3)
		if err != nil {
			t.Fatal(err)
		}
		var scores []float32
		for _, l := range c.Calibration {
			scores = append(scores, f.Score(l.Label))
		}
		at := thresholds(scores, falsePositiveRates[:])[0]
		if rate := reach(forestScores(f, c.Families[1].HeldBack), at); rate.Share() < 0.5 {
			t.Errorf("%d of %d hexadecimal names found at 1 %%", rate.Hits, rate.Names)
		}
		if before != nil && !slices.Equal(before, scores) {
			t.Error("two forests of the same corpus and seed differ")
		}
		before = scores
	}
}

func forestScores(f *Forest, labels []string) []float32 {
	scores := make([]float32, len(labels))
	for i, label := range labels {
		scores[i] = f.Score(label)
	}
	return scores
}

// smallSets are sets to measure the small corpus with.
func smallSets(c *Corpus) []Set {
	clean := Set{Name: "benign_tail_small", Role: Clean}
	for _, l := range c.Calibration {
		clean.Names = append(clean.Names, Entry{Domain: l.Label + ".com", Label: l.Label, Group: l.Source})
	}
	generated := Set{Name: "dga_small", Role: Generated}
	for _, f := range c.Families {
		for _, label := range f.HeldBack {
			generated.Names = append(generated.Names, Entry{Domain: label + ".com", Label: label, Group: f.Name})
		}
	}
	return []Set{clean, generated}
}

func TestEqualRunsWriteEqualCardsWithoutPathsOrTimes(t *testing.T) {
	write := func() string {
		c := smallCorpus()
		card := Card{Model: trainSmall(t, c), Bytes: 1000, HoldBack: 30, Drops: c.Drops}
		var err error
		if card.Folds, err = CrossValidate(context.Background(), c, Recipe{Schedule: smallSchedule}, 2, func(int, int, int) {}); err != nil {
			t.Fatal(err)
		}
		if card.Dev, err = EvaluateModel(card.Model, smallSets(c), Kinds{"family1": "hex"}, Bootstrap{100, 1}); err != nil {
			t.Fatal(err)
		}
		forest, err := TrainForest(c, 1, 3)
		if err != nil {
			t.Fatal(err)
		}
		if card.Baseline, err = Evaluate(forest.Score, smallSets(c), nil, Known(card.Model.Info())); err != nil {
			t.Fatal(err)
		}
		text, err := card.Markdown()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	card := write()
	if diff := cmp.Diff(card, write()); diff != "" {
		t.Errorf("two cards differ\n%s", diff)
	}
	for _, want := range []string{"# Model card: ", "| no registrable name (relative) | 3 |", "Left out: words.", "| **mean** |", "| known random |", "| all clean |"} {
		if !strings.Contains(card, want) {
			t.Errorf("no %q in the card", want)
		}
	}
	for _, unwanted := range []string{"list.tsv", "<nil>", "NaN", "%!"} {
		if strings.Contains(card, unwanted) {
			t.Errorf("%q in the card", unwanted)
		}
	}
}

func TestAModelIsMeasuredByFamilyLengthAndSource(t *testing.T) {
	// A scorer whose answers are known: the number in the label.
	score := func(label string) float32 {
		var n float32
		if _, err := fmt.Sscanf(label, "n%f", &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	entries := func(group string, from, to, step int) (out []Entry) {
		for i := from; i < to; i += step {
			out = append(out, Entry{Label: fmt.Sprintf("n%d", i), Group: group})
		}
		return out
	}
	sets := []Set{
		{Name: "benign_tail_a", Role: Clean, Names: entries("a", 0, 10000, 1)},
		{Name: "hard_b", Role: Benign, Names: slices.Concat(entries("b", 9000, 10000, 2), entries("few", 9000, 9010, 1))},
		{Name: "dga_c", Role: Generated, Names: slices.Concat(
			entries("necurs", 9800, 10000, 1), entries("matsnu", 0, 100, 1), entries("fresh", 9999, 10001, 1), entries("sim-x", 0, 10, 1))},
	}
	e, err := Evaluate(score, sets, Kinds{"matsnu": Wordlist}, []string{"necurs", "matsnu"})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []float32{9899, 9989, 9998} {
		if got := e.Thresholds[i]; got <= want || got > want+1 {
			t.Errorf("threshold %d is %v, want just above %v", i, got, want)
		}
	}
	groups := map[string]Shares{}
	for _, g := range e.Groups {
		groups[g.Group] = g.Found
	}
	wantGroups := map[string]Shares{
		"known random":             {0.5, 0.05, 0.005},
		"known wordlist":           {0, 0, 0},
		"unseen random":            {1, 1, 1},
		"unseen random, simulated": {0, 0, 0},
		overall:                    {1.5 / 3, 1.05 / 3, 1.005 / 3},
	}
	if diff := cmp.Diff(wantGroups, groups, cmpopts.EquateApprox(0, 1e-12)); diff != "" {
		t.Errorf("groups (-want +got)\n%s", diff)
	}
	if g := e.Groups[0]; g.Families != 1 || g.Names != 200 || math.Abs(g.AUC-0.99) > 1e-9 {
		t.Errorf("%+v", g)
	}
	wantBenign := []BenignRow{
		{"all clean", Clean, 10000, []Rate{{100, 10000}, {10, 10000}, {1, 10000}}, 0},
		{"benign_tail_a", Clean, 10000, []Rate{{100, 10000}, {10, 10000}, {1, 10000}}, 0},
		{"hard_b", Benign, 510, []Rate{{50, 510}, {5, 510}, {0, 510}}, 0},
		{"hard_b / b", Benign, 500, []Rate{{50, 500}, {5, 500}, {0, 500}}, 0},
	}
	if diff := cmp.Diff(wantBenign, e.Benign); diff != "" {
		t.Errorf("benign (-want +got)\n%s", diff)
	}
	want := Confusion{Generated: Rate{10, 200}, Benign: Rate{10, 10000}, Precision: 0.5, F1: 2 * 0.5 * 0.05 / 0.55}
	if diff := cmp.Diff(want, e.Confusion); diff != "" {
		t.Errorf("confusion (-want +got)\n%s", diff)
	}
	if e.Lengths[0].Clean[0].Names != 10000 || e.Lengths[1].Clean[0].Names != 0 {
		t.Errorf("lengths %+v", e.Lengths)
	}
	if _, err := Evaluate(score, sets[1:], nil, nil); err == nil || !strings.Contains(err.Error(), "no clean benign names") {
		t.Errorf("without clean names: %v", err)
	}
}

func TestWhatASetIsForFollowsFromItsName(t *testing.T) {
	path := file(t, "list", "kq3v9z.com\na.example\nkq3v9z.com\n")
	f := func(name string, want Role) {
		t.Helper()
		var drops Drops
		s, err := ReadSet(name, path, CleanSets, &drops)
		if err != nil || s.Role != want || len(s.Names) != 2 || len(drops) != 1 {
			t.Errorf("%s: %+v, %v, dropped %v", name, s, err, drops)
		}
	}
	f("benign_stable_2026", Clean)
	f("benign_tail", Clean)
	f("benign_gov", Benign)
	f("hard_short", Benign)
	f("dga_known", Generated)
	if _, err := ReadSet("mine", path, CleanSets, new(Drops)); err == nil || !strings.Contains(err.Error(), "benign_stable") {
		t.Errorf("a name that says nothing: %v", err)
	}
}
