// Command referee judges the Referer of each request beside an AWS ALB ingress and keeps AWS WAF sets filled with what it
// is sure of.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/alecthomas/kong"
)

// version is set by the linker.
var version = "dev"

// Exit codes, the same for every command but waf plan: see exitChanges.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, &streams{in: os.Stdin, out: os.Stdout, err: os.Stderr, args: os.Args[1:]}))
}

type commandLine struct {
	Config string `placeholder:"FILE" help:"YAML configuration; a flag wins over its REFEREE_ variable, that over the file, and that over the default"`

	Serve   serveCommand   `cmd:"" help:"Run the sidecar."`
	Demo    demoCommand    `cmd:"" help:"Show everything at work on this machine: traffic, judgement, an emulated AWS WAF, the report."`
	Score   scoreCommand   `cmd:"" help:"Score Referers or names, one a line, from files or standard input."`
	Scan    scanCommand    `cmd:"" help:"Judge recorded traffic: access logs, CloudFront and AWS WAF logs, from files, pipes and S3."`
	Report  reportCommand  `cmd:"" help:"Show what was, or would have been, blocked, and why."`
	Label   labelCommand   `cmd:"" help:"Say of one name that it is benign or dga: a running sidecar follows, and training may learn from it."`
	Model   modelCommand   `cmd:"" help:"Inspect or verify a model file."`
	WAF     wafCommand     `cmd:"" name:"waf" help:"Look at the AWS WAF sets, plan, and tell a running sidecar: hold, unblock, roll back."`
	Ledger  ledgerCommand  `cmd:"" help:"Look after the ledger: check, verify, back up, export, forget a client."`
	Doctor  doctorCommand  `cmd:"" help:"Check the configuration, the model, the ledger and AWS, and say what is off."`
	Version versionCommand `cmd:"" help:"Print the version."`
}

// streams are where a command reads and writes: results to out, everything else to err.
type streams struct {
	in       io.Reader
	out, err io.Writer
	args     []string // as given; SIGHUP parses them again
	plain    bool     // no REFEREE_ variables: the demo is the same everywhere
}

// run is main without the process: it returns the exit code. Only --help ends the process from inside.
func run(ctx context.Context, std *streams) int {
	var line commandLine
	parsed, err := line.parse(std)
	if err == nil {
		parsed.BindTo(ctx, (*context.Context)(nil))
		err = parsed.Run(std)
	}
	if err == nil {
		return exitDone
	}
	if code, ok := errors.AsType[exitCode](err); ok {
		return int(code)
	}
	fmt.Fprintf(std.err, "referee: %v\n", err)
	var usage *kong.ParseError
	if errors.As(err, &usage) && !planning(std.args) {
		return exitUsage
	}
	return exitFailed
}

// planning says whether waf plan was asked for, understood or not: its 2 means that there is something to do, so whatever
// is wrong is its 1.
func planning(args []string) bool {
	return slices.Contains(args, "waf") && slices.Contains(args, "plan")
}

// prefix is what the names of the environment's variables begin with.
func (s *streams) prefix() string {
	if s.plain {
		return "REFEREE_DEMO"
	}
	return "REFEREE"
}

// parse fills the command line from arguments, variables, the configuration file and defaults, in that order.
func (c *commandLine) parse(std *streams) (*kong.Context, error) {
	parser, err := kong.New(c,
		kong.Name("referee"),
		kong.Description("Judges the Referer of each request and keeps AWS WAF sets filled with what it is sure of. "+
			"It starts in shadow mode: it says what it would block, and writes nothing."),
		variables(std.prefix()),
		kong.Writers(std.out, std.err),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	if err != nil {
		return nil, err
	}
	return parser.Parse(std.args)
}
