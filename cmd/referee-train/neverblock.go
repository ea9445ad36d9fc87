package main

import (
	"fmt"

	"referee/policy"
	"referee/training"
)

type neverBlockCommand struct {
	List []string `required:"" sep:"none" placeholder:"FILE" help:"A list of popular names, plain or gzip, a name a line. Repeatable."`
	Out  string   `required:"" placeholder:"FILE" help:"Where the filter goes."`
}

func (c *neverBlockCommand) Run(s streams) error {
	var names []string
	var drops training.Drops
	for _, file := range c.List {
		if err := training.ReadList(file, &drops, func(e training.Entry) { names = append(names, e.Domain) }); err != nil {
			return err
		}
	}
	tellDrops(s.err, drops)
	filter, err := policy.BuildPopular(names)
	if err != nil {
		return err
	}
	if err := training.WriteFile(c.Out, filter); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "never-block filter: %d names, %d bytes\n", len(names), len(filter))
	return err
}
