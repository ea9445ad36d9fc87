package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"referee/features"
	"referee/training"
	"referee/training/shapes"
)

type shapesCommand struct {
	Out       string    `required:"" placeholder:"FILE" help:"Where the names go: a name a line, after a tab its family (shape-hex), as train reads it; packed if it ends in .gz."`
	Kind      []string  `placeholder:"KIND" help:"Kinds to make: random, hex, base32, pronounceable, chain, permutation, words, dated. All, if none is named; chain and words only with --words."`
	Count     int       `default:"20000" help:"Names of each kind."`
	PerFamily int       `default:"25" help:"Names between two draws of a kind's parameters (alphabet, lengths, syllables), as if by another author."`
	Seed      uint64    `default:"1" help:"Of every draw: equal seeds make equal names."`
	Words     string    `placeholder:"FILE" help:"A word list, a word a line: the kind words joins them, the kind chain follows their pairs of letters."`
	TLD       []string  `name:"tld" placeholder:"SUFFIX" help:"Public suffixes to put behind the labels; those that malware likes, if none is named."`
	Date      time.Time `format:"2006-01-02" placeholder:"YYYY-MM-DD" help:"The first day of the kind dated, whose names follow from their day; 2026-01-01 by default."`
}

// Validate is kong's hook after parsing: what it refuses is wrong usage.
func (c *shapesCommand) Validate() error {
	if _, err := c.kinds(); err != nil {
		return err
	}
	if c.Count < 1 || c.PerFamily < 1 {
		return fmt.Errorf("count %d, %d for each family: want 1 or more", c.Count, c.PerFamily)
	}
	var parser features.Parser
	for i, suffix := range c.TLD {
		c.TLD[i] = strings.TrimPrefix(suffix, ".")
		if name, reason := parser.Bare([]byte("kq3v9z." + c.TLD[i])); reason != features.Named || name.Label != "kq3v9z" {
			return fmt.Errorf("%q is no public suffix", suffix)
		}
	}
	return nil
}

func (c *shapesCommand) Run(ctx context.Context, s streams) error {
	kinds, err := c.kinds()
	if err != nil {
		return err
	}
	var words []string
	if c.Words != "" {
		if words, err = training.ReadWords(c.Words); err != nil {
			return err
		}
	}
	suffixes := rand.New(rand.NewPCG(c.Seed, 0x746c64))
	bar := newProgress(s.err)
	var before *shapes.Family
	done, total := 0, c.Count*len(kinds)
	err = writeList(ctx, c.Out, func(line func(name, group string)) {
		training.EachShape(kinds, c.Count, c.PerFamily, c.Seed, words, func(family string, made *shapes.Family) {
			if made != before && !c.Date.IsZero() {
				made.On(c.Date)
			}
			before = made
			if len(c.TLD) > 0 {
				line(made.Label()+"."+c.TLD[suffixes.IntN(len(c.TLD))], family)
			} else {
				line(made.Domain(), family)
			}
			if done++; done%10000 == 0 || done == total {
				bar.show("shapes", done, total)
			}
		})
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "%d names: %s\n", total, joined(kinds))
	return err
}

// kinds are those asked for.
func (c *shapesCommand) kinds() ([]shapes.Kind, error) {
	var kinds []shapes.Kind
	for _, kind := range c.Kind {
		if !slices.Contains(shapes.Kinds(), shapes.Kind(kind)) {
			return nil, fmt.Errorf("kind %q: want one of %s", kind, joined(shapes.Kinds()))
		}
		if c.Words == "" && needsWords(shapes.Kind(kind)) {
			return nil, fmt.Errorf("kind %s needs a word list: --words FILE", kind)
		}
		kinds = append(kinds, shapes.Kind(kind))
	}
	if len(kinds) > 0 {
		return kinds, nil
	}
	return slices.DeleteFunc(shapes.Kinds(), func(k shapes.Kind) bool { return c.Words == "" && needsWords(k) }), nil
}

// joined is the kinds in a line.
func joined(kinds []shapes.Kind) string {
	names := make([]string, len(kinds))
	for i, kind := range kinds {
		names[i] = string(kind)
	}
	return strings.Join(names, ", ")
}

func needsWords(kind shapes.Kind) bool { return kind == shapes.Words || kind == shapes.Chain }
