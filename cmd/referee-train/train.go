package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"referee/classifier"
	"referee/training"
)

type trainCommand struct {
	Benign []string `required:"" sep:"none" placeholder:"FILE" help:"A list of benign names, plain or gzip: a name a line, after a tab its source. Repeatable."`
	DGA    []string `required:"" name:"dga" sep:"none" placeholder:"FILE" help:"A list of generated names: a name a line, after a tab its family. Repeatable."`
	Out    string   `required:"" placeholder:"FILE" help:"Where the model goes."`
	Card   string   `placeholder:"FILE" help:"Where the model card goes."`

	Sources  string   `placeholder:"FILE" help:"A SOURCES.md: only benign sources with ship = yes in its table are used, so that the model may be given away."`
	Exclude  []string `placeholder:"SOURCE" help:"Benign sources not to use; * matches any characters."`
	Families string   `placeholder:"FILE" help:"A table of families: the family, a tab and its kind. Needed to leave kinds out."`
	Without  []string `default:"wordlist" placeholder:"KIND" help:"Kinds of families not to learn: word lists cost the others more than they gain."`
	Clean    []string `placeholder:"SOURCE" help:"Benign sources without generated names among them, to calibrate with; * matches. All, if none is named."`
	HoldBack int      `default:"30" help:"Percent of the clean labels to calibrate with and not to learn: more support stricter confidences."`

	MinLength int     `default:"7" help:"Shorter labels abstain: of 6 characters one in ten is found, with three times the mistakes."`
	Seed      uint64  `default:"1" help:"Of every draw: equal seeds and lists give equal bytes."`
	Bits      uint    `default:"20" help:"Size of the n-gram table, as a power of two."`
	Epochs    int     `default:"4" help:"Passes over the benign names."`
	Rate      float32 `default:"0.1" help:"Learning rate."`
	Batch     int     `default:"256" help:"Names between two updates."`
	Synthetic float64 `default:"0.3" help:"Share of the generated names that are synthetic shapes and no family's: they stand for families that nobody has seen."`
	KeepAll   bool    `help:"Learn also from benign names that look generated; by default those of sources that are not clean are left out."`

	NetworkEpochs int     `default:"4" help:"Passes of the character network, the second stage; 0 for the regression alone."`
	Filters       int     `default:"64" help:"Filters of the network for each kernel width."`
	Dense         int     `default:"64" help:"Hidden units of the network."`
	Dropout       float32 `default:"0.2" help:"Share of its pooled features that the network does without in each example."`
	NetworkRate   float32 `default:"0.002" help:"Learning rate of the network."`
	NetworkBatch  int     `default:"512" help:"Names between two updates of the network."`
	Share         float32 `default:"0.7" help:"Weight of the regression in the score of a name that both stages read."`
	WordBits      uint    `default:"21" help:"Size of the n-gram table of the head for word lists, which learns the families left out above; 0 for no such head."`
	WordShare     float64 `default:"0.2" help:"Share of the benign names flagged that the head for word lists may flag."`
	Pass          float64 `default:"0.1" help:"Share of clean names that the first stage does not clear: less is faster, more finds more."`

	Made string `placeholder:"TEXT" help:"When or by whom, for the card; left out by default, so that equal runs give equal files."`

	Folds int               `default:"0" help:"Also train so many times, each without every n-th family, and show what is found of families never seen."`
	Set   map[string]string `mapsep:"none" placeholder:"NAME=FILE" help:"Lists to measure with, for the card: see evaluate. Repeatable."`
}

func (c *trainCommand) Run(ctx context.Context, s streams) error {
	recipe := training.Recipe{
		Schedule: training.Schedule{Seed: c.Seed, Bits: c.Bits, Epochs: c.Epochs, Rate: c.Rate, Batch: c.Batch},
		Network: training.NetworkSchedule{
			Seed: c.Seed, Filters: c.Filters, Dense: c.Dense, Dropout: c.Dropout,
			Epochs: c.NetworkEpochs, Rate: c.NetworkRate, Batch: c.NetworkBatch,
		},
		Synthetic: c.Synthetic,
		Share:     c.Share,
		Pass:      c.Pass,
		WordBits:  c.WordBits,
		WordShare: c.WordShare,
		MinLength: c.MinLength,
		Made:      c.Made,
	}
	if err := recipe.Validate(); err != nil {
		return err
	}
	if c.Folds < 0 || c.Folds == 1 {
		return fmt.Errorf("folds %d: want 0 for none, or 2 and more", c.Folds)
	}
	selection, err := c.selection()
	if err != nil {
		return err
	}
	bar := newProgress(s.err)
	bar.note("reading lists")
	corpus, err := training.ReadCorpus(c.Benign, c.DGA, selection)
	if err != nil {
		return err
	}
	tell(s.err, corpus)
	if !c.KeepAll {
		dropped, err := corpus.DropMachineMade(ctx, recipe.Schedule, func(done, total int) { bar.show("cleaning", done, total) })
		if err != nil {
			return err
		}
		fmt.Fprintf(s.err, "not used: %d, benign names of sources that are not clean that look generated\n", dropped)
	}
	var drops training.Drops
	sets, err := readSets(c.Set, &drops)
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
		if err := measure(&card, corpus, sets, selection.Kinds, c.Seed); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return c.write(s, card, data)
}

func (c *trainCommand) selection() (training.Selection, error) {
	selection := training.Selection{Exclude: c.Exclude, Without: c.Without, Clean: c.Clean, HoldBack: c.HoldBack}
	var err error
	if c.Sources != "" {
		if selection.Ship, err = training.ReadShipping(c.Sources); err != nil {
			return selection, err
		}
	}
	if c.Families != "" {
		selection.Kinds, err = training.ReadKinds(c.Families)
	}
	return selection, err
}

// tell reports what was read and what was left out.
func tell(w io.Writer, corpus *training.Corpus) {
	fmt.Fprintf(w, "%d benign labels to learn, %d clean ones held back, %d families to learn, %d left out\n",
		len(corpus.Benign), len(corpus.Calibration), len(corpus.Families), len(corpus.LeftOut))
	tellDrops(w, corpus.Drops)
}

func tellDrops(w io.Writer, drops training.Drops) {
	for _, d := range drops {
		fmt.Fprintf(w, "not used: %d, %s, first at %s\n", d.Count, d.Reason, d.First)
	}
}

// measure evaluates the model and the baseline on the same sets.
func measure(card *training.Card, corpus *training.Corpus, sets []training.Set, kinds training.Kinds, seed uint64) (err error) {
	if card.Dev, err = training.EvaluateModel(card.Model, sets, kinds); err != nil {
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
func readSets(files map[string]string, drops *training.Drops) ([]training.Set, error) {
	var sets []training.Set
	for _, name := range slices.Sorted(maps.Keys(files)) {
		set, err := training.ReadSet(name, files[name], drops)
		if err != nil {
			return nil, err
		}
		sets = append(sets, set)
	}
	return sets, nil
}
