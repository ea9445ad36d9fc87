// Command referee-train makes and measures the models of Referee, offline: it trains on lists of benign and of generated
// names, calibrates, evaluates, and writes the model card.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"referee/training"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// version is set at link time.
var version string //nolint:gochecknoglobals // the linker's -X needs a variable

// commandLine is what referee-train understands.
type commandLine struct {
	Fetch      fetchCommand      `cmd:"" help:"Download a public ranking list, clean it, and write the benign names to train on."`
	Shapes     shapesCommand     `cmd:"" help:"Make synthetic generated names, with their kinds for families."`
	Train      trainCommand      `cmd:"" help:"Train a model on lists of names, calibrate it, and write its card."`
	Evaluate   evaluateCommand   `cmd:"" help:"Measure a model on sets of names: what it finds, by family and length, and whom it flags by mistake."`
	Compare    compareCommand    `cmd:"" help:"The gate for replacing a model: fails if a new one is worse than an old one beyond chance."`
	Simulate   simulateCommand   `cmd:"" help:"Play traffic against the evidence rules: how often people would be blocked, and how soon an attack is."`
	NeverBlock neverBlockCommand `cmd:"" help:"Make the never-block filter of popular names that the sidecar embeds."`
	Version    versionCommand    `cmd:"" help:"Print the version."`
}

// streams are where a command writes: results to out, everything else to err.
type streams struct{ out, err io.Writer }

// Exit statuses.
const (
	done   = 0
	failed = 1
	usage  = 2
)

// exit is how kong's --help leaves the parser.
type exit int

func run(ctx context.Context, args []string, out, errs io.Writer) (status int) {
	defer func() {
		if r := recover(); r != nil {
			code, ok := r.(exit)
			if !ok {
				panic(r)
			}
			status = int(code)
		}
	}()
	var line commandLine
	parser, err := kong.New(&line,
		kong.Name("referee-train"),
		kong.Description("Train and measure the models that tell generated referer domains from human ones."),
		kong.Writers(out, errs),
		kong.Exit(func(code int) { panic(exit(code)) }),
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Vars{"clean_sets": strings.Join(training.CleanSets, ",")},
		kong.Bind(streams{out, errs}),
		kong.BindTo(ctx, (*context.Context)(nil)),
	)
	if err != nil {
		fmt.Fprintln(errs, "referee-train:", err)
		return failed
	}
	command, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintln(errs, "referee-train:", err)
		fmt.Fprintln(errs, "try: referee-train --help")
		return usage
	}
	switch err := command.Run(); {
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(errs, "referee-train: interrupted; nothing was written")
		return failed
	case err != nil:
		fmt.Fprintln(errs, "referee-train:", err)
		return failed
	}
	return done
}

type versionCommand struct{}

func (versionCommand) Run(s streams) error {
	_, err := fmt.Fprintln(s.out, "referee-train", programVersion())
	return err
}

func programVersion() string {
	v := version
	if info, ok := debug.ReadBuildInfo(); ok && v == "" {
		v = info.Main.Version
	}
	return v
}
