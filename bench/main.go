//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

type commandLine struct {
	Ingress   ingressCommand   `cmd:"" default:"withargs" help:"Measure the ways in, beside yardsticks, and print a table of what must be and what is."`
	Yardstick yardstickCommand `cmd:"" hidden:"" help:"Run one of the servers that Referee is measured beside."`
}

// streams are where a command writes: results to out, everything else to err.
type streams struct{ out, err io.Writer }

func run(ctx context.Context, args []string, out, errs io.Writer) int {
	var line commandLine
	parser, err := kong.New(&line, kong.Name("bench"), kong.Writers(out, errs), kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Description("Measures what a request costs in the real sidecar, beside bare fasthttp servers and nginx."),
		kong.Vars{"rows": strings.Join(rowKeys(), ",")},
		kong.Bind(streams{out, errs}), kong.BindTo(ctx, (*context.Context)(nil)))
	if err == nil {
		var parsed *kong.Context
		if parsed, err = parser.Parse(args); err == nil {
			err = parsed.Run()
		}
	}
	if err == nil {
		return 0
	}
	fmt.Fprintln(errs, "bench:", err)
	if _, wrong := errors.AsType[*kong.ParseError](err); wrong {
		return 2
	}
	return 1
}

type ingressCommand struct {
	Referee string        `default:"bin/referee" type:"existingfile" help:"The program that is measured."`
	Nginx   string        `default:"nginx" help:"The nginx that is measured beside it; its rows are skipped where there is none."`
	Pairs   int           `default:"10" help:"How often each server is measured in turn. Below 5 no bound is known, and no row passes."`
	Window  time.Duration `default:"2s" help:"How long each server is measured in a round."`
	Flood   time.Duration `default:"60s" help:"How long the flood of unique referers lasts."`
	Idle    int           `default:"10000" help:"Idle connections of the memory row."`
	Quick   bool          `help:"A look in less than a minute: 3 pairs of 300 ms, 5 s of flood, 1,000 idle connections."`
	Rows    []string      `default:"${rows}" enum:"${rows}" help:"Which rows to measure: ${rows}."`
	Profile string        `placeholder:"DIR" help:"Take a CPU profile of the sidecar under the load of check, new and proxy through its admin listener, instead of measuring."`
	Format  string        `default:"text" enum:"text,json" help:"How to print the table: text or json."`
}

func (c *ingressCommand) Run(ctx context.Context, std streams) error {
	if c.Quick {
		c.Pairs, c.Window, c.Flood, c.Idle = 3, 300*time.Millisecond, 5*time.Second, 1000
	}
	if c.Pairs < 1 || c.Window <= 0 || c.Flood <= 0 || c.Idle < 1 || c.Idle > 10_000 {
		return errors.New("--pairs, --window, --flood and --idle must be positive, and --idle at most 10000, which is max-connections")
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	referee, err := filepath.Abs(c.Referee)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "referee-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{ingressCommand: c, ctx: ctx, self: self, referee: referee, dir: dir, log: std.err}
	if b.serving, b.loading, err = chooseCores(); err != nil {
		return err
	}
	if err := pinSelf(b.loading); err != nil {
		return err
	}
	before := loadAverage()
	if c.Profile != "" {
		return b.profile()
	}
	t := &Table{Machine: Machine{
		CPUs: runtime.NumCPU(), Go: runtime.Version(), Arch: runtime.GOARCH, LoadBefore: before,
		Pairs: c.Pairs, Window: c.Window.String(), Settings: strings.Join(goSettings, " "),
		ServingCore: b.serving, LoadingCore: b.loading, Began: time.Now().UTC().Truncate(time.Second),
	}}
	if t.Rows, err = b.measure(); err != nil {
		return err
	}
	t.Machine.LoadAfter = loadAverage()
	if c.Format == "json" {
		e := json.NewEncoder(std.out)
		e.SetIndent("", "  ")
		return e.Encode(t)
	}
	return t.Text(std.out)
}

// bench is one run.
type bench struct {
	*ingressCommand
	ctx              context.Context
	self, referee    string
	dir              string
	log              io.Writer
	serving, loading int // cores
	count            int // servers started, for the names of their folders
}
