package main

import (
	"bytes"
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
	Families  string `placeholder:"FILE" help:"A table of families: the family, a tab and its kind, to tell word lists from the others."`
	Resamples int    `default:"1000" help:"Bootstrap resamples for the intervals."`
	Targets   bool   `help:"Also compare with the project's targets and with peers: of its development lists alone."`
	Format    string `enum:"text,json" default:"text" help:"text or json."`
	JSON      string `name:"json" placeholder:"FILE" help:"Also write the figures there, as JSON."`
	HTML      string `name:"html" placeholder:"FILE" help:"Also write a page there, with ROC curves and a bar for each family; it needs neither script nor network."`
	Card      string `placeholder:"FILE" help:"Also renew the figures in this card of the same model."`
}

// Validate is what kong asks before anything is run.
func (c *evaluateCommand) Validate() error {
	if len(c.Set) == 0 {
		return errors.New("nothing to measure with: give a --set NAME=FILE")
	}
	if c.Resamples < leastResamples {
		return fmt.Errorf("resamples %d: want %d or more, for a 95 %% interval", c.Resamples, leastResamples)
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

func (c *evaluateCommand) Run(s streams) error {
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
	if err := c.write(e); err != nil {
		return err
	}
	if c.Format == "json" {
		return writeJSON(s.out, e)
	}
	return e.Text(s.out)
}

// write writes the files that were asked for.
func (c *evaluateCommand) write(e *training.Evaluation) error {
	for _, file := range []struct {
		path string
		to   func(io.Writer) error
	}{
		{c.JSON, func(w io.Writer) error { return writeJSON(w, e) }},
		{c.HTML, e.HTML},
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
	return nil
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
