package main

import (
	"encoding/json"

	"referee/classifier"
	"referee/training"
)

type evaluateCommand struct {
	Model    string            `placeholder:"FILE" help:"The model; the one that is built in, if none is named."`
	Set      map[string]string `required:"" mapsep:"none" placeholder:"NAME=FILE" help:"A list and its name, which says what it is: benign_stable… and benign_tail… are clean and give the thresholds, benign… and hard… are other benign names, dga… generated ones with their family in the second column. Repeatable."`
	Families string            `placeholder:"FILE" help:"A table of families: the family, a tab and its kind, to tell word lists from the others."`
	Format   string            `enum:"text,json" default:"text" help:"text or json."`
}

func (c *evaluateCommand) Run(s streams) error {
	model, err := c.open()
	if err != nil {
		return err
	}
	var kinds training.Kinds
	if c.Families != "" {
		if kinds, err = training.ReadKinds(c.Families); err != nil {
			return err
		}
	}
	var drops training.Drops
	sets, err := readSets(c.Set, &drops)
	if err != nil {
		return err
	}
	tellDrops(s.err, drops)
	e, err := training.EvaluateModel(model, sets, kinds)
	if err != nil {
		return err
	}
	if c.Format == "json" {
		encoder := json.NewEncoder(s.out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(e)
	}
	return e.Text(s.out)
}

func (c *evaluateCommand) open() (*classifier.Model, error) {
	if c.Model == "" {
		return classifier.Default()
	}
	return classifier.Open(c.Model)
}
