package main

import (
	"context"

	"referee/demo"
)

type demoCommand struct {
	Once bool   `help:"end after the summary: 0 if Referee did what it says, 1 if not"`
	Seed uint64 `default:"2016" help:"of the traffic; the same seed makes the same requests"`
}

func (c *demoCommand) Run(ctx context.Context, std *streams) error {
	var line commandLine // what serve would start with
	if _, err := line.parse(&streams{in: std.in, out: std.out, err: std.err, args: []string{"serve"}, plain: true}); err != nil {
		return err
	}
	return demo.Run(ctx, demo.Options{Config: line.Serve.Config, Once: c.Once, Seed: c.Seed, Out: std.out, Err: std.err})
}
