package main

import (
	"context"
	"fmt"
	"io"

	"referee/training"
)

// lesson is what a training is told, whatever becomes of the model: which names of the lists count, and the recipe.
type lesson struct {
	Sources  string   `placeholder:"FILE" help:"A SOURCES.md: only benign sources with ship = yes in its table are used, so that the model may be given away."`
	Exclude  []string `placeholder:"SOURCE" help:"Benign sources not to use; * matches any characters."`
	Families string   `placeholder:"FILE" help:"A table of families: the family, a tab and its kind, to tell word lists from the others. Needed to leave kinds out."`
	Without  []string `default:"wordlist" placeholder:"KIND" help:"Kinds of families not to learn: word lists cost the others more than they gain."`
	Clean    []string `placeholder:"SOURCE" help:"Benign sources without generated names among them, to calibrate with; * matches. All, if none is named."`
	HoldBack int      `default:"30" help:"Percent of the clean labels to calibrate with and not to learn: more support stricter confidences."`

	CrossFit int `default:"0" help:"Learn the labels held back too: calibrate with so many models, 2 or more, that each learned all parts of them but one. Takes as many trainings more."`

	Labels      []string `sep:"none" placeholder:"FILE" help:"What you know from your own traffic: a name, a tab and dga or benign, as referee report --export-labels writes it. It goes before the lists. Repeatable."`
	LabelWeight int      `default:"10" help:"How many times as much as a name of a list each of these counts, 1 to 1000."`

	MinLength int     `default:"7" help:"Shorter labels abstain: of 6 characters one in ten is found, with three times the mistakes."`
	Seed      uint64  `default:"1" help:"Of every draw: equal seeds and lists give equal bytes."`
	Bits      uint    `default:"20" help:"Size of the n-gram table, as a power of two."`
	Epochs    int     `default:"4" help:"Passes over the benign names."`
	Rate      float32 `default:"0.1" help:"Learning rate."`
	Batch     int     `default:"256" help:"Names between two updates."`
	Runs      int     `default:"1" help:"Regressions of each head whose weights are averaged: more take longer to train, not to score."`
	Synthetic float64 `default:"0.45" help:"Share of the generated names that are synthetic shapes and no family's: they stand for families that nobody has seen."`
	KeepAll   bool    `help:"Learn also from benign names that look generated; by default those of sources that are not clean are left out."`

	NetworkEpochs int     `default:"6" help:"Passes of the character network, the second stage; 0 for the regression alone."`
	Filters       int     `default:"64" help:"Filters of the network for each kernel width."`
	Dense         int     `default:"64" help:"Hidden units of the network."`
	Dropout       float32 `default:"0.2" help:"Share of its pooled features that the network does without in each example."`
	NetworkRate   float32 `default:"0.002" help:"Learning rate of the network."`
	NetworkBatch  int     `default:"512" help:"Names between two updates of the network."`
	Share         float32 `default:"0.7" help:"Weight of the regression in the score of a name that both stages read."`
	WordBits      uint    `default:"21" help:"Size of the n-gram table of the head for word lists, which learns the families left out above; 0 for no such head."`
	WordShare     float64 `default:"0.25" help:"Share of the benign names flagged that the head for word lists may flag."`
	Pass          float64 `default:"0.1" help:"Share of clean names that the first stage does not clear: less is faster, more finds more."`
}

func (l *lesson) recipe() (training.Recipe, error) {
	recipe := training.Recipe{
		Schedule: training.Schedule{Seed: l.Seed, Bits: l.Bits, Epochs: l.Epochs, Rate: l.Rate, Batch: l.Batch, Runs: l.Runs},
		Network: training.NetworkSchedule{
			Seed: l.Seed, Filters: l.Filters, Dense: l.Dense, Dropout: l.Dropout,
			Epochs: l.NetworkEpochs, Rate: l.NetworkRate, Batch: l.NetworkBatch,
		},
		Synthetic: l.Synthetic,
		Share:     l.Share,
		Pass:      l.Pass,
		WordBits:  l.WordBits,
		WordShare: l.WordShare,
		CrossFit:  l.CrossFit,
		MinLength: l.MinLength,
	}
	return recipe, recipe.Validate()
}

// corpus reads the lists, says what was left out of them, and cleans what is left.
func (l *lesson) corpus(ctx context.Context, errs io.Writer, bar *progress, benign, generated []string, r training.Recipe) (*training.Corpus, training.Kinds, error) {
	selection, err := l.selection()
	if err != nil {
		return nil, nil, err
	}
	bar.note("reading lists")
	if selection.Own, err = training.ReadOwn(l.Labels, l.LabelWeight); err != nil {
		return nil, nil, err
	}
	if len(l.Labels) > 0 {
		generated, benign := selection.Own.Count()
		fmt.Fprintf(errs, "%d labels of your own for generated names and %d for benign ones, each counted %d times\n", generated, benign, l.LabelWeight)
	}
	if len(generated) == 0 {
		fmt.Fprintln(errs, "no list of generated names: learning from synthetic shapes alone")
		selection.Shapes, selection.Seed = true, l.Seed
	}
	corpus, err := training.ReadCorpus(benign, generated, selection)
	if err != nil {
		return nil, nil, err
	}
	tell(errs, corpus)
	if l.KeepAll {
		return corpus, selection.Kinds, nil
	}
	dropped, err := corpus.DropMachineMade(ctx, r.Schedule, func(done, total int) { bar.show("cleaning", done, total) })
	if err != nil {
		return nil, nil, err
	}
	fmt.Fprintf(errs, "not used: %d, benign names of sources that are not clean that look generated\n", dropped)
	return corpus, selection.Kinds, nil
}

func (l *lesson) selection() (training.Selection, error) {
	selection := training.Selection{Exclude: l.Exclude, Without: l.Without, Clean: l.Clean, HoldBack: l.HoldBack}
	var err error
	if l.Sources != "" {
		if selection.Ship, err = training.ReadShipping(l.Sources); err != nil {
			return selection, err
		}
	}
	if l.Families != "" {
		selection.Kinds, err = training.ReadKinds(l.Families)
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
