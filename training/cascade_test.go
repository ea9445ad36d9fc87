package training

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"runtime"
	"slices"
	"strings"
	"testing"

	"referee/classifier"
)

// smallRecipe makes a model of two stages in a second.
func smallRecipe() Recipe {
	network := smallNetwork()
	network.Epochs = 1
	return Recipe{Schedule: smallSchedule, Network: network, Synthetic: 0.3, Share: 0.6, Pass: 0.3, MinLength: 7}
}

// cascadeSum is for two stages what trainedSum is for the regression alone.
const cascadeSum = "d452d99f976f422527fd40be9e6d64fe883142a4ff0231fae7ddebf02682b805"

func TestTwoStagesHaveTheSameBytesWhateverGOMAXPROCS(t *testing.T) {
	train := func(procs int) string {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
		data, err := Train(context.Background(), smallCorpus(), smallRecipe(), noProgress)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(data)
		return hex.EncodeToString(sum[:])
	}
	one := train(1)
	if four := train(4); one != four {
		t.Errorf("one processor makes %s, four %s", one, four)
	}
	if runtime.GOARCH == "amd64" && one != cascadeSum {
		t.Errorf("the small model is %s, want %s", one, cascadeSum)
	}
}

func TestTheFirstStageClearsAllButItsShareOfCleanNames(t *testing.T) {
	c := smallCorpus()
	data, err := Train(context.Background(), c, smallRecipe(), noProgress)
	if err != nil {
		t.Fatal(err)
	}
	m, err := classifier.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	passed := Rate{}
	for _, l := range c.Calibration {
		passed.add(!m.Cleared(l.Label))
	}
	if passed.Share() > 0.32 || passed.Share() < 0.2 {
		t.Errorf("%d of %d clean names reach the second stage, want 30 %%", passed.Hits, passed.Names)
	}
	if _, err := m.Threshold(0.01); err != nil {
		t.Errorf("a tail of 1 %% is refused: %v", err)
	}
	if _, err := m.Threshold(0.2); err == nil {
		t.Error("a tail of 20 % was accepted, at which cleared names would be flagged")
	}
	if scorer := m.Info().Scorer; !strings.Contains(scorer, "network") {
		t.Errorf("its scorer is called %q", scorer)
	}
}

func TestBenignNamesOfNoisyListsThatLookGeneratedAreNotLearned(t *testing.T) {
	c := smallCorpus()
	c.Calibration = slices.Repeat(c.Calibration, 6)
	planted := c.Families[0].HeldBack[:5]
	for _, label := range planted {
		c.Benign = append(c.Benign, Labelled{label, "top list"})
	}
	trusted := c.Families[0].HeldBack[5]
	c.Benign = append(c.Benign, Labelled{trusted, c.Calibration[0].Source})
	before := len(c.Benign)
	dropped, err := c.DropMachineMade(context.Background(), smallSchedule, noProgress)
	if err != nil {
		t.Fatal(err)
	}
	if left := labelsOf(c.Benign); len(left) != before-dropped || !slices.Contains(left, trusted) {
		t.Errorf("%d of %d are left, %d were dropped", len(left), before, dropped)
	}
	found := 0
	for _, label := range planted {
		if !slices.Contains(labelsOf(c.Benign), label) {
			found++
		}
	}
	if found < 4 {
		t.Errorf("%d of 5 planted names were found", found)
	}
}

func TestARecipeThatCannotBeTrainedIsRefused(t *testing.T) {
	f := func(change func(*Recipe)) {
		t.Helper()
		r := smallRecipe()
		change(&r)
		if err := r.Validate(); err == nil {
			t.Errorf("%+v was accepted", r)
		}
	}
	f(func(r *Recipe) { r.Epochs = 0 })
	f(func(r *Recipe) { r.Synthetic = 1 })
	f(func(r *Recipe) { r.Share = 2 })
	f(func(r *Recipe) { r.Pass = 0.01 })
	f(func(r *Recipe) { r.Network.Filters = 20 })
	f(func(r *Recipe) { r.Network.Dense = 500 })
	f(func(r *Recipe) { r.Network.Dropout = 1 })
	f(func(r *Recipe) { r.Network.Rate = 0 })
	f(func(r *Recipe) { r.Network.Batch = 1 })
	if err := smallRecipe().Validate(); err != nil {
		t.Error(err)
	}
}

func TestNamesOfTheCalibrationAreLearnedAndScoredByModelsThatDidNot(t *testing.T) {
	c, r := smallCorpus(), smallRecipe()
	r.Network.Epochs = 0
	r.CrossFit = 3
	l, err := learn(context.Background(), c, c.Families, r, noProgress)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(l.benign), len(c.Benign)+len(c.Calibration); got != want {
		t.Errorf("%d labels learned, want %d", got, want)
	}
	if got, want := len(l.clean), len(r.judged(c)); got != want {
		t.Fatalf("%d labels scored, want %d", got, want)
	}
	mean := func(scores []float32) (sum float64) {
		for _, s := range scores {
			sum += float64(s) / float64(len(scores))
		}
		return sum
	}
	apart, learned := mean(l.clean), mean(scoreLabels(l.model, labelsOf(r.judged(c))))
	if apart <= learned {
		t.Errorf("models that did not learn the names score them %.3f on average, the one that did %.3f: want a higher score", apart, learned)
	}
}
