package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"referee/classifier"
	"referee/evidence"
	"referee/features"
	"referee/policy"
	"referee/simulation"
	"referee/training"
)

type simulateCommand struct {
	sets        `embed:""`
	Families    string          `placeholder:"FILE" help:"A list of families with their kind and whether they are known, for groups to average over; without it all are one group."`
	Model       string          `placeholder:"FILE" help:"The model that judges; the one in the program by default."`
	Out         string          `required:"" placeholder:"FILE" help:"Where the page goes, in Markdown; its plots go into a folder of the same name beside it."`
	Clients     int             `default:"3000000" help:"People's clients in all at the last confidence, a fifth at the others: none blocked among three million shows a rate of at most 1 in a million."`
	MaxFamilies int             `default:"8" help:"Families of each group, at most, that attacks are played with."`
	Runs        int             `default:"2" help:"How often each attack is played with each of them."`
	Seed        uint64          `default:"1" help:"Of every draw: equal seeds make equal traffic."`
	Confidence  []string        `default:"0.99,sensitive,balanced" help:"Confidences to count errors at; attacks are played with the last."`
	Rules       policy.Config   `embed:"" prefix:"rules-" group:"Rules, as the sidecar's configuration has them"`
	Evidence    evidence.Config `embed:"" prefix:"evidence-" group:"Evidence, likewise"`
}

func (c *simulateCommand) Run(ctx context.Context, s streams) error {
	model, err := openModel(c.Model)
	if err != nil {
		return err
	}
	r := simulation.Result{Model: model.ID(), Seed: c.Seed}
	var world simulation.World
	var settings simulation.Settings
	for i, word := range c.Confidence {
		if c.Rules.Confidence, err = classifier.ParseConfidence(word); err != nil {
			return err
		}
		rules, err := policy.New(c.Rules, model)
		if err != nil {
			return err
		}
		if world.People == nil {
			if world, err = c.world(s.err, model, rules); err != nil {
				return err
			}
		}
		settings = simulation.Settings{Policy: rules, Evidence: c.Evidence, Seed: c.Seed, Clients: c.Clients, Families: c.MaxFamilies, Runs: c.Runs}
		if i < len(c.Confidence)-1 {
			settings.Clients /= 5
		}
		r.Policy, r.Confidence = rules.ID(), word
		measured, err := simulation.Measure(ctx, world, settings, word, c.progress(s.err, "people, "+word))
		if err != nil {
			return err
		}
		all := measured.All()
		fmt.Fprintf(s.out, "%s: of %d clients %d sent a flagged name, %d became hits, %d met the hit of a name\n",
			word, all.Clients, all.AnyFlagged, all.ByClient, all.ByName)
		r.Errors = append(r.Errors, measured)
	}
	for _, f := range model.Info().Figures {
		if f.Confidence == c.Rules.Confidence {
			r.TPR = f.Recall
		}
	}
	if r.Curves, err = simulation.Curves(ctx, world, settings, c.progress(s.err, "clients of generators")); err != nil {
		return err
	}
	if r.Detections, err = simulation.Detect(ctx, world, settings, c.progress(s.err, "attacks")); err != nil {
		return err
	}
	if r.Poisonings, err = simulation.Poison(ctx, world, settings, c.progress(s.err, "poisoning")); err != nil {
		return err
	}
	return c.write(s.out, &r)
}

func (c *simulateCommand) progress(w io.Writer, what string) func(done, total int) {
	bar := newProgress(w)
	return func(done, total int) { bar.show(what, done, total) }
}

// shownGroups are the groups whose names the attackers have.
var shownGroups = []string{"known random", "unseen random", "known wordlist"} //nolint:gochecknoglobals // never changed

const leastNames = 20 // of a family: fewer are no generator's

// world reads the lists and judges every name once.
func (c *simulateCommand) world(errs io.Writer, model *classifier.Model, rules *policy.Policy) (simulation.World, error) {
	var world simulation.World
	kinds, err := readKinds(c.Families)
	if err != nil {
		return world, err
	}
	lists, err := c.read(errs)
	if err != nil {
		return world, err
	}
	for _, group := range shownGroups {
		world.Groups = append(world.Groups, simulation.Group{Name: group})
	}
	known := training.Known(model.Info())
	var parser features.Parser
	for _, list := range lists {
		of := map[string]*simulation.Source{}
		var order []*simulation.Source
		for _, e := range list.Names {
			n, reason := parser.Bare([]byte(e.Domain))
			if reason != features.Named {
				continue
			}
			name := list.Name
			if list.Role == training.Generated {
				name = e.Group
			}
			if of[name] == nil {
				of[name] = &simulation.Source{Name: name}
				order = append(order, of[name])
			}
			of[name].Names = append(of[name].Names, simulation.Scored{Result: model.Judge(n), Exempt: rules.Exempts(n) != policy.NotExempt})
		}
		for _, source := range order {
			if list.Role != training.Generated {
				world.People = append(world.People, *source)
			} else if i := slices.Index(shownGroups, kinds.Group(source.Name, known)); i >= 0 && len(source.Names) >= leastNames {
				world.Groups[i].Families = append(world.Groups[i].Families, *source)
			}
		}
	}
	world.Groups = slices.DeleteFunc(world.Groups, func(g simulation.Group) bool { return len(g.Families) == 0 })
	if len(world.People) == 0 || len(world.Groups) == 0 {
		return world, fmt.Errorf("there are %d lists of people's names and %d groups of families: want at least one of each", len(world.People), len(world.Groups))
	}
	return world, nil
}

func (c *simulateCommand) write(out io.Writer, r *simulation.Result) error {
	plots := strings.TrimSuffix(c.Out, filepath.Ext(c.Out))
	if err := os.MkdirAll(plots, 0o755); err != nil {
		return err
	}
	for file, plot := range map[string]func() ([]byte, error){"errors.svg": r.ErrorsPlot, "detection.svg": r.DetectionPlot} {
		data, err := plot()
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if err := training.WriteFile(filepath.Join(plots, file), data); err != nil {
			return err
		}
	}
	var page bytes.Buffer
	if err := r.Markdown(&page, filepath.Base(plots)); err != nil {
		return err
	}
	if err := training.WriteFile(c.Out, page.Bytes()); err != nil {
		return err
	}
	_, err := fmt.Fprintln(out, "written:", c.Out)
	return err
}
