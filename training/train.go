package training

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"referee/classifier"
	"referee/features"
)

// Recipe is what a model is made by, apart from the names.
type Recipe struct {
	Schedule
	MinLength int    // shorter labels abstain
	Made      string // goes into the model's Info as it is; empty: equal inputs give equal bytes whenever they are trained
}

// Train makes a model: the bytes of its file.
func Train(ctx context.Context, c *Corpus, r Recipe, progress func(done, total int)) ([]byte, error) {
	l, err := learn(ctx, c.Benign, c.Families, r.Schedule, progress)
	if err != nil {
		return nil, err
	}
	info := classifier.Info{
		Scorer:    "n-gram regression",
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
		Info:   info,
		Linear: l,
		Clean:  scoreLabels(&l, labelsOf(judged)),
		Golden: golden(r.Seed),
	}
	if parts.Info.Figures, err = figures(parts, c.Families); err != nil {
		return nil, err
	}
	return classifier.Encode(parts)
}

// learn trains the regression and rounds it.
func learn(ctx context.Context, benign []Labelled, families []Family, s Schedule, progress func(done, total int)) (classifier.Linear, error) {
	names := make([][]string, len(families))
	for i, f := range families {
		names[i] = f.Labels
	}
	r := newRegression(s)
	if err := r.train(ctx, labelsOf(benign), names, progress); err != nil {
		return classifier.Linear{}, fmt.Errorf("train: %w", err)
	}
	return r.quantise(), nil
}

// figures says for each preset that the calibration supports what it asks for and what it finds.
func figures(p classifier.Parts, families []Family) ([]classifier.Figure, error) {
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
			recall := macro(familyRates(&p.Linear, families, threshold, false))
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
