package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"referee/classifier"
	"referee/training"
)

type trainCommand struct {
	Benign []string `required:"" sep:"none" placeholder:"FILE" help:"A list of benign names, plain, gzip, zstd or zip: a name a line, after a tab its source; or a ranking list as it is published. Repeatable."`
	DGA    []string `name:"dga" sep:"none" placeholder:"FILE" help:"A list of generated names: a name a line, after a tab its family. Repeatable. Without one, synthetic shapes are all that is learned."`
	Out    string   `required:"" placeholder:"FILE" help:"Where the model goes."`
	Card   string   `placeholder:"FILE" help:"Where the model card goes."`

	lesson

	Made string `placeholder:"TEXT" help:"When or by whom, for the card; left out by default, so that equal runs give equal files."`

	Folds int               `default:"0" help:"Also train so many times, each without every n-th family, and show what is found of families never seen."`
	Set   map[string]string `mapsep:"none" placeholder:"NAME=FILE" help:"Lists to measure with, for the card: see evaluate. Repeatable."`

	Targets bool `help:"Also compare, in the card, with the project's targets and with peers: of its development lists alone."`
}

func (c *trainCommand) Run(ctx context.Context, s streams) error {
	recipe, err := c.recipe()
	if err != nil {
		return err
	}
	recipe.Made = c.Made
	if c.Folds < 0 || c.Folds == 1 {
		return fmt.Errorf("folds %d: want 0 for none, or 2 and more", c.Folds)
	}
	bar := newProgress(s.err)
	corpus, kinds, err := c.corpus(ctx, s.err, bar, c.Benign, c.DGA, recipe)
	if err != nil {
		return err
	}
	var drops training.Drops
	sets, err := readSets(c.Set, training.CleanSets, &drops)
	if err != nil {
		return err
	}
	card := training.Card{Recipe: recipe, HoldBack: c.HoldBack, Drops: corpus.Drops}
	if c.Folds > 0 {
		card.Folds, err = training.CrossValidate(ctx, corpus, recipe, c.Folds, func(fold, done, total int) {
			bar.show(fmt.Sprintf("fold %d of %d", fold+1, c.Folds), done, total)
		})
		if err != nil {
			return err
		}
	}
	data, err := training.Train(ctx, corpus, recipe, func(done, total int) { bar.show("training", done, total) })
	if err != nil {
		return err
	}
	if card.Model, err = classifier.Parse(data); err != nil {
		return err
	}
	card.Bytes = len(data)
	if len(sets) > 0 {
		bar.note("measuring")
		if err := measure(&card, corpus, sets, kinds, c.Seed); err != nil {
			return err
		}
		if c.Targets {
			card.Dev.CompareTargets()
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return c.write(s, card, data)
}

// measure evaluates the model and the baseline on the same sets.
func measure(card *training.Card, corpus *training.Corpus, sets []training.Set, kinds training.Kinds, seed uint64) (err error) {
	if card.Dev, err = training.EvaluateModel(card.Model, sets, kinds, training.DefaultBootstrap); err != nil {
		return err
	}
	known := training.Known(card.Model.Info())
	regression, network := card.Model.Alone()
	alone := func(name string, score func(label string) float32) error {
		e, err := training.Evaluate(score, sets, kinds, known)
		card.Alone = append(card.Alone, training.Alone{Name: name, Evaluation: e})
		return err
	}
	if network != nil {
		if err := errors.Join(alone("n-gram regression alone", regression), alone("network alone", network)); err != nil {
			return err
		}
	}
	forest, err := training.TrainForest(corpus, seed, training.ForestTrees)
	if err != nil {
		return err
	}
	card.Baseline, err = training.Evaluate(forest.Score, sets, kinds, known)
	return err
}

func (c *trainCommand) write(s streams, card training.Card, data []byte) error {
	if c.Card != "" {
		text, err := card.Markdown()
		if err != nil {
			return err
		}
		if err := training.WriteFile(c.Card, []byte(text)); err != nil {
			return err
		}
	}
	if err := training.WriteFile(c.Out, data); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "model %s: %d bytes, calibrated on %d names\n", card.Model.ID(), len(data), card.Model.Info().Calibrated)
	for _, f := range card.Model.Info().Figures {
		fmt.Fprintf(s.out, "%s: tail %g, score from %.2f, finds %.1f %% of held-back names\n",
			f.Confidence, float64(f.Confidence), f.Threshold, 100*f.Recall)
	}
	return nil
}

// readSets reads the lists of --set, by name.
func readSets(files map[string]string, clean []string, drops *training.Drops) ([]training.Set, error) {
	var sets []training.Set
	for _, name := range slices.Sorted(maps.Keys(files)) {
		set, err := training.ReadSet(name, files[name], clean, drops)
		if err != nil {
			return nil, err
		}
		sets = append(sets, set)
	}
	return sets, nil
}
