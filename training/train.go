package training

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

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
	MinLength int             // shorter labels abstain
	Made      string          // goes into the model's Info as it is; empty: equal inputs give equal bytes whenever they are trained
}

// Train makes a model: the bytes of its file.
func Train(ctx context.Context, c *Corpus, r Recipe, progress func(done, total int)) ([]byte, error) {
	model, err := learn(ctx, c, c.Families, r, progress)
	if err != nil {
		return nil, err
	}
	info := classifier.Info{
		Scorer:    r.scorer(),
		Recipe:    r.String(),
		Made:      r.Made,
		Seed:      r.Seed,
		MinLength: r.MinLength,
		Benign:    counted(c.Benign),
		Families:  sizes(c.Families),
		LeftOut:   sizes(c.LeftOut),
	}
	judged := slices.DeleteFunc(slices.Clone(c.Calibration), func(x Labelled) bool { return info.Abstains(x.Label) })
	if len(judged) == 0 {
		return nil, fmt.Errorf("no clean benign label has %d characters or more: nothing to calibrate with", r.MinLength)
	}
	info.Clean = counted(judged)
	parts := classifier.Parts{
		Info:    info,
		Linear:  model.Linear,
		Network: model.Network,
		Words:   model.Words,
		Stages:  model.Stages,
		Clean:   scoreLabels(model, labelsOf(judged)),
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

// networkWork is how many times longer a name takes the network's training than the regression's, for progress.
const networkWork = 10

// learn trains the heads and rounds them to integers; where the first stage ends, and where the second head's scores lie,
// follows from the clean names held back.
func learn(ctx context.Context, c *Corpus, families []Family, r Recipe, progress func(done, total int)) (*classifier.Cascade, error) {
	benign, generated := labelsOf(c.Benign), withShapes(taught(families), labelsOf(c.Benign), r.Synthetic, r.Seed)
	words := taught(slices.DeleteFunc(slices.Clone(c.LeftOut), func(f Family) bool { return f.Kind != Wordlist }))
	perEpoch := newSampler(r.Seed, benign, generated).perEpoch()
	total, before := (r.Epochs+networkWork*r.Network.Epochs)*perEpoch, 0
	part := func(work int) func(done, _ int) {
		return func(done, _ int) { progress(before+work*done, total) }
	}
	first := newRegression(r.Schedule)
	if err := first.train(ctx, benign, generated, part(1)); err != nil {
		return nil, fmt.Errorf("train the regression: %w", err)
	}
	before = r.Epochs * perEpoch
	model := &classifier.Cascade{Linear: first.quantise()}
	clean := labelsOf(slices.DeleteFunc(slices.Clone(c.Calibration), func(l Labelled) bool { return r.abstains(l.Label) }))
	if r.Network.Epochs > 0 {
		second := newNetwork(r.Network)
		if err := second.train(ctx, benign, generated, part(networkWork)); err != nil {
			return nil, fmt.Errorf("train the network: %w", err)
		}
		network, err := second.quantise()
		if err != nil {
			return nil, fmt.Errorf("round the network: %w", err)
		}
		model.Network, model.Stages = network, stages(model.Linear, network, clean, r)
	}
	if r.WordBits > 0 && len(words) > 0 {
		head := newRegression(r.wordSchedule())
		head.long = true
		if err := head.train(ctx, benign, words, func(int, int) {}); err != nil {
			return nil, fmt.Errorf("train the head for words: %w", err)
		}
		join(model, head.quantise(), clean, r.WordShare)
	}
	return model, nil
}

// taught are the labels of families to learn from.
func taught(families []Family) [][]string {
	names := make([][]string, len(families))
	for i, f := range families {
		names[i] = f.Labels
	}
	return names
}

func (r Recipe) abstains(label string) bool {
	info := classifier.Info{MinLength: r.MinLength}
	return info.Abstains(label)
}

// join adds the head for words. Its scores are moved, in a straight line, so that at one in 1,000 and at one in 10,000 of
// the clean names it flags its share of them and the first head the rest.
func join(model *classifier.Cascade, words classifier.Linear, clean []string, share float64) {
	random := scoreLabels(model, clean)
	long := scoreLabels(&words, slices.DeleteFunc(slices.Clone(clean), func(label string) bool { return len(label) < classifier.MinWords }))
	part := float64(len(clean)) / float64(len(long)+1)
	at := func(tail float64) (first, second float32) {
		return thresholdAt(random, tail*(1-share)), thresholdAt(long, tail*share*part)
	}
	near, nearWords := at(1e-3)
	far, farWords := at(1e-4)
	model.Words = &words
	model.WordScale = max(far-near, 0.1) / max(farWords-nearWords, 0.1)
	model.WordShift = near - float32(model.WordScale*nearWords)
}

// loosest is the largest benign tail at which a model of two stages may flag: cleared names stay below it.
const loosest = 0.02

// stages are where the first stage clears all but a share of the clean names, and the score below which cleared names stay.
func stages(first classifier.Linear, network *classifier.Network, clean []string, r Recipe) classifier.Stages {
	both := classifier.Cascade{
		Linear: first, Network: network,
		Stages: classifier.Stages{Share: r.Share, Exit: float32(math.Inf(-1))},
	}
	return classifier.Stages{
		Share: r.Share,
		Exit:  thresholdAt(scoreLabels(&first, clean), r.Pass),
		Top:   thresholdAt(scoreLabels(&both, clean), loosest),
	}
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
