package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"referee/classifier"
	"referee/training"
)

type evaluateCommand struct {
	Model string `placeholder:"FILE" help:"The model; the one that is built in, if none is named."`
	sets
	Resamples int    `default:"1000" help:"Bootstrap resamples for the intervals."`
	Targets   bool   `help:"Also compare with the project's targets and with peers: of its development lists alone."`
	Format    string `enum:"text,json" default:"text" help:"text or json."`
	JSON      string `name:"json" placeholder:"FILE" help:"Also write the figures there, as JSON."`
	HTML      string `name:"html" placeholder:"FILE" help:"Also write a page there, with ROC curves and a bar for each family; it needs neither script nor network."`
	Card      string `placeholder:"FILE" help:"Also renew the figures in this card of the same model."`

	Folds  int      `placeholder:"K" help:"Measure a recipe instead of a model: train K models, each without every K-th family, and show what each finds of the families that it was not taught. Takes lists to train on, as train does."`
	Benign []string `sep:"none" placeholder:"FILE" help:"With --folds: a list of benign names. Repeatable."`
	DGA    []string `name:"dga" sep:"none" placeholder:"FILE" help:"With --folds: a list of generated names. Repeatable."`
	Sample int      `default:"100" placeholder:"PERCENT" help:"With --folds: learn from so many percent of the labels; 10 take a tenth of the time."`
	lesson `group:"Training, with --folds (see train)"`
}

// Validate is what kong asks before anything is run.
func (c *evaluateCommand) Validate() error {
	trains := len(c.Benign) > 0 || len(c.DGA) > 0
	switch {
	case c.Resamples < leastResamples:
		return fmt.Errorf("resamples %d: want %d or more, for a 95 %% interval", c.Resamples, leastResamples)
	case c.Folds == 0 && trains:
		return errors.New("--benign and --dga are lists to train on: they go with --folds")
	case c.Folds == 0 && len(c.Set) == 0:
		return errors.New("nothing to measure with: give a --set NAME=FILE, or --folds with lists to train on")
	case c.Folds == 0:
		return nil
	case c.Folds < 2:
		return fmt.Errorf("folds %d: want 2 or more", c.Folds)
	case len(c.Set) > 0 || c.Model != "" || c.Card != "" || c.Targets:
		return errors.New("--folds measures a recipe on lists to train on, and no model: it goes without --model, --set, --card and --targets")
	case len(c.Benign) == 0 || len(c.DGA) == 0:
		return errors.New("--folds needs lists to train on: --benign FILE and --dga FILE")
	case c.Sample < 1 || c.Sample > 100:
		return fmt.Errorf("sample %d: want 1 to 100 percent", c.Sample)
	}
	return nil
}

const leastResamples = 100

// sets are the lists to measure with.
type sets struct {
	Set      map[string]string `mapsep:"none" placeholder:"NAME=FILE" help:"A list and its name, which says what it is: benign_stable… and benign_tail… are clean and give the thresholds, benign… and hard… are other benign names, dga… generated ones with their family in the second column. Repeatable."`
	CleanSet []string          `default:"${clean_sets}" placeholder:"PATTERN" help:"Names of the sets that are clean; * matches any characters. (${default})"`
}

// read reads the lists and says what was left out of them.
func (s *sets) read(errs io.Writer) ([]training.Set, error) {
	var drops training.Drops
	lists, err := readSets(s.Set, s.CleanSet, &drops)
	tellDrops(errs, drops)
	return lists, err
}

func (c *evaluateCommand) Run(ctx context.Context, s streams) error {
	if c.Folds > 0 {
		return c.runFolds(ctx, s)
	}
	model, err := openModel(c.Model)
	if err != nil {
		return err
	}
	kinds, err := readKinds(c.Families)
	if err != nil {
		return err
	}
	lists, err := c.read(s.err)
	if err != nil {
		return err
	}
	e, err := training.EvaluateModel(model, lists, kinds, training.Bootstrap{Resamples: c.Resamples, Seed: training.DefaultBootstrap.Seed})
	if err != nil {
		return err
	}
	if c.Targets {
		e.CompareTargets()
	}
	if c.Card != "" {
		if err := renew(c.Card, e); err != nil {
			return err
		}
	}
	e.Speed = training.Time(lists, time.Now, model)[0]
	return c.write(s, e)
}

// runFolds trains, leaving families out, and shows what is found of them.
func (c *evaluateCommand) runFolds(ctx context.Context, s streams) error {
	recipe, err := c.recipe()
	if err != nil {
		return err
	}
	bar := newProgress(s.err)
	corpus, _, err := c.corpus(ctx, s.err, bar, c.Benign, c.DGA, recipe)
	if err != nil {
		return err
	}
	if c.Sample < 100 {
		corpus.Sample(c.Sample)
		fmt.Fprintf(s.err, "%d benign labels are sampled\n", len(corpus.Benign))
	}
	folds, err := training.CrossValidate(ctx, corpus, recipe, c.Folds, func(fold, done, total int) {
		bar.show(fmt.Sprintf("%d folds", c.Folds), fold*total+done, c.Folds*total)
	})
	if err != nil {
		return err
	}
	return c.write(s, training.Summarise(recipe, folds, training.Bootstrap{Resamples: c.Resamples, Seed: training.DefaultBootstrap.Seed}))
}

// figures are what evaluate shows.
type figures interface {
	Text(w io.Writer) error
	HTML(w io.Writer) error
}

// write prints figures and writes the files that were asked for.
func (c *evaluateCommand) write(s streams, f figures) error {
	for _, file := range []struct {
		path string
		to   func(io.Writer) error
	}{
		{c.JSON, func(w io.Writer) error { return writeJSON(w, f) }},
		{c.HTML, f.HTML},
	} {
		if file.path == "" {
			continue
		}
		var b bytes.Buffer
		if err := file.to(&b); err != nil {
			return err
		}
		if err := training.WriteFile(file.path, b.Bytes()); err != nil {
			return err
		}
	}
	if c.Format == "json" {
		return writeJSON(s.out, f)
	}
	return f.Text(s.out)
}

// renew puts the figures into a card in place of the older ones.
func renew(path string, e *training.Evaluation) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("card: %w", err)
	}
	card, err := e.RenewCard(string(old))
	if err != nil {
		return fmt.Errorf("card %s: %w", path, err)
	}
	return training.WriteFile(path, []byte(card))
}

func writeJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

// openModel reads a model file; without a name it is the model that is built in.
func openModel(path string) (*classifier.Model, error) {
	if path == "" {
		return classifier.Default()
	}
	return classifier.Open(path)
}

func readKinds(path string) (training.Kinds, error) {
	if path == "" {
		return nil, nil
	}
	return training.ReadKinds(path)
}
