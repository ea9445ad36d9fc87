package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"referee/classifier"
	"referee/training"
)

type compareCommand struct {
	Old string `arg:"" placeholder:"OLD" help:"The model that is in use."`
	New string `arg:"" placeholder:"NEW" help:"The model that is to replace it."`
	sets
	Families string                `placeholder:"FILE" help:"A table of families: the family, a tab and its kind, to tell word lists from the others."`
	FPR      classifier.Confidence `name:"fpr" default:"1e-4" help:"The false-positive rate to compare at: a benign tail that each model claims by its own calibration, or a preset's word."`
	Format   string                `enum:"text,json" default:"text" help:"text or json."`
}

// Help is shown by compare --help.
func (compareCommand) Help() string {
	return "Exits with 0 if NEW may replace OLD, with 1 if it flags more names of a clean set or source, or finds fewer names of a group of " +
		"families, beyond chance (or if it cannot be said), with 2 on wrong usage. With few clean names little is beyond chance: it takes at " +
		"least six newly flagged names, with none lost, and more with more sources."
}

// Validate is what kong asks before anything is run.
func (c *compareCommand) Validate() error {
	if len(c.Set) == 0 {
		return errors.New("nothing to compare on: give a --set NAME=FILE")
	}
	return c.FPR.Validate()
}

func (c *compareCommand) Run(s streams) error {
	var models [2]*classifier.Model
	var bytes [2]int64
	for i, path := range []string{c.Old, c.New} {
		file, err := os.Stat(path)
		if err != nil {
			return fmt.Errorf("model: %w", err)
		}
		bytes[i] = file.Size()
		if models[i], err = classifier.Open(path); err != nil {
			return err
		}
	}
	kinds, err := readKinds(c.Families)
	if err != nil {
		return err
	}
	lists, err := c.read(s.err)
	if err != nil {
		return err
	}
	comparison, err := training.Compare(models[0], models[1], c.FPR, lists, kinds, training.Bootstrap{Resamples: 4000, Seed: 1})
	if err != nil {
		return err
	}
	speeds := training.Time(lists, time.Now, models[:]...)
	comparison.Old.Bytes, comparison.Old.Speed = bytes[0], speeds[0]
	comparison.New.Bytes, comparison.New.Speed = bytes[1], speeds[1]
	if c.Format == "json" {
		err = writeJSON(s.out, comparison)
	} else {
		err = comparison.Text(s.out)
	}
	if err == nil && !comparison.Passes() {
		err = fmt.Errorf("compare: %s is worse than %s in %d places, above", comparison.New.ID, comparison.Old.ID, len(comparison.Worse))
	}
	return err
}
