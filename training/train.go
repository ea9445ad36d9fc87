package training

import (
	"context"
	"fmt"
	"math/rand/v2"

	"referee/classifier"
	"referee/features"
)

// Recipe is what a model is made by, apart from the names.
type Recipe struct {
	Schedule
	Network   NetworkSchedule // 0 epochs: none, the regression alone
	Synthetic float64         // share of the generated names that are shapes and no family's, from 0 to less than 1
	Share     float32         // of the regression in the score of a name that both stages read
	Pass      float64         // share of the clean names that the first stage does not clear
	WordBits  uint            // of the hash of the head for word lists, 0: no such head
	WordShare float64         // of the benign names flagged, how many that head may flag: above 0, below 1
	CrossFit  int             // into how many parts the clean names held back are divided, to learn from them all the same; below 2: not
	MinLength int             // shorter labels abstain
	Made      string          // goes into the model's Info as it is; empty: equal inputs give equal bytes whenever they are trained
}

// Train makes a model: the bytes of its file.
func Train(ctx context.Context, c *Corpus, r Recipe, progress func(done, total int)) ([]byte, error) {
	if len(r.judged(c)) == 0 {
		return nil, fmt.Errorf("no clean benign label has %d characters or more: nothing to calibrate with", r.MinLength)
	}
	learned, err := learn(ctx, c, c.Families, r, progress)
	if err != nil {
		return nil, err
	}
	model := learned.model
	info := classifier.Info{
		Scorer:    r.scorer(),
		Recipe:    r.String(),
		Made:      r.Made,
		Seed:      r.Seed,
		MinLength: r.MinLength,
		Benign:    counted(learned.benign),
		Clean:     counted(r.judged(c)),
		Families:  sizes(c.Families),
		LeftOut:   sizes(c.LeftOut),
	}
	parts := classifier.Parts{
		Info:    info,
		Linear:  model.Linear,
		Network: model.Network,
		Words:   model.Words,
		Stages:  model.Stages,
		Clean:   learned.clean,
		Golden:  golden(r.Seed),
	}
	if parts.Info.Figures, err = figures(parts, model, c.Families); err != nil {
		return nil, err
	}
	return classifier.Encode(parts)
}

// scorer is what gives labels scores.
type scorer interface{ Score(label string) float32 }

// scorer names what the recipe makes.
func (r Recipe) scorer() string {
	name := "n-gram regression"
	if r.Network.Epochs > 0 {
		name += ", then a character network"
	}
	if r.WordBits > 0 {
		name += ", beside a regression for names of words"
	}
	return name
}

// String is the recipe in a line.
func (r Recipe) String() string {
	text := r.Schedule.String()
	if r.Network.Epochs > 0 {
		text += fmt.Sprintf("; then of what %g %% of clean names reach the mean with %g of it and a network: %s", 100*r.Pass, r.Share, r.Network)
	}
	if r.WordBits > 0 {
		text += fmt.Sprintf("; for names of words a regression over n-grams of %d to %d characters hashed to %d bits, which may flag %g %% of the benign "+
			"names flagged", features.MinLongGram, features.MaxLongGram, r.WordBits, 100*r.WordShare)
	}
	if r.CrossFit > 1 {
		text += fmt.Sprintf("; the clean names are learned too, and scored for the calibration by %d models that each learned all parts of them but one", r.CrossFit)
	}
	if r.Synthetic > 0 {
		text += fmt.Sprintf("; %g %% of the generated names are synthetic shapes", 100*r.Synthetic)
	}
	return text
}

// Validate refuses what no training can have.
func (r Recipe) Validate() error {
	if err := r.Schedule.Validate(); err != nil {
		return err
	}
	if !(r.Synthetic >= 0 && r.Synthetic < 1) {
		return fmt.Errorf("synthetic %v: want 0 or more and less than 1", r.Synthetic)
	}
	if r.CrossFit < 0 || r.CrossFit > 20 {
		return fmt.Errorf("cross-fit %d: want 0 for none, or 2 to 20", r.CrossFit)
	}
	if r.WordBits > 0 {
		if err := r.wordSchedule().Validate(); err != nil {
			return fmt.Errorf("head for words: %w", err)
		}
		if !(r.WordShare > 0 && r.WordShare < 1) {
			return fmt.Errorf("word share %v: want above 0 and below 1", r.WordShare)
		}
	}
	if r.Network.Epochs == 0 {
		return nil
	}
	switch {
	case !(r.Share >= 0 && r.Share <= 1):
		return fmt.Errorf("share %v: want 0 to 1", r.Share)
	case !(r.Pass > loosest && r.Pass <= 1):
		return fmt.Errorf("pass %v: want above %v and at most 1", r.Pass, loosest)
	}
	return r.Network.Validate()
}

func (r Recipe) wordSchedule() Schedule {
	s := r.Schedule
	s.Bits = r.WordBits
	return s
}

// taught are the labels of families to learn from.
func taught(families []Family) [][]string {
	names := make([][]string, len(families))
	for i, f := range families {
		names[i] = f.Labels
	}
	return names
}

// figures says for each preset that the calibration supports what it asks for and what it finds.
func figures(p classifier.Parts, model scorer, families []Family) ([]classifier.Figure, error) {
	data, err := classifier.Encode(p)
	if err != nil {
		return nil, err
	}
	m, err := classifier.Parse(data)
	if err != nil {
		return nil, err
	}
	var figures []classifier.Figure
	for _, c := range presets {
		if threshold, err := m.Threshold(c); err == nil {
			recall := macro(familyRates(model, families, threshold, false))
			figures = append(figures, classifier.Figure{Confidence: c, Threshold: threshold, Recall: recall})
		}
	}
	return figures, nil
}

func sizes(families []Family) []classifier.Source {
	var s []classifier.Source
	for _, f := range families {
		s = append(s, classifier.Source{Name: f.Name, Names: len(f.Labels)})
	}
	return s
}

// golden makes a label of each length, to be scored now and checked when the model is loaded.
func golden(seed uint64) []string {
	const characters = "abcdefghijklmnopqrstuvwxyz0123456789-"
	random := rand.New(rand.NewPCG(seed, 1))
	var labels []string
	for n := range features.MaxLabel + 1 {
		label := make([]byte, n)
		for i := range label {
			label[i] = characters[random.IntN(len(characters))]
		}
		labels = append(labels, string(label))
	}
	return labels
}
