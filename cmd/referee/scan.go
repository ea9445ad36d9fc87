package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"referee/alert"
	"referee/evidence"
	"referee/intake"
	"referee/intake/logs"
	"referee/policy"
	"referee/scan"
	"referee/sidecar"
)

type scanCommand struct {
	Model    sidecar.ModelConfig `embed:"" prefix:"classifier-"`
	Policy   policy.Config       `embed:""`
	Evidence evidence.Config     `embed:"" prefix:"evidence-"`
	Fields   logs.Fields         `embed:"" prefix:"logs-json-"`

	TrustedProxies []string     `default:"127.0.0.0/8,::1/128,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7" help:"ranges whose X-Forwarded-For is believed, where a log has it; the client is the first other address from the right"`
	LogFormat      string       `default:"auto" enum:"auto,combined,json,cloudfront,waf,list" help:"format of the logs; auto looks at the first lines of each"`
	Format         string       `default:"text" enum:"text,json,tsv" help:"text for a terminal; json: all of it, the report too; tsv: rating, kind, name or client, score, benign tail, requests, networks or flagged names, first, last"`
	Report         string       `placeholder:"FILE" help:"write the report that a sidecar would have made: .html, .json, .csv or .txt"`
	Alert          alert.Config `embed:"" prefix:"alert-"`
	AlertAbove     string       `default:"none" enum:"none,low,medium,high,critical" help:"end with status 3, and tell alert.webhook and alert.sns-topic where they are set, if a name or a client is rated this or higher"`
	State          string       `placeholder:"FILE" help:"go on where the last scan with this file ended, and know what it knew: for logs that grow, and for S3"`
	Region         string       `help:"Region of the S3 bucket; by default what the AWS environment says"`
	EndpointURL    string       `name:"endpoint-url" help:"base URL of another S3 endpoint"`

	Sources []string `arg:"" name:"file" help:"logs: files, directories, globs, - for standard input, s3://bucket/prefix; plain, gzip or zstd"`
}

// alertShown bounds the names, and the clients, in an alert.
const alertShown = 10

// exitAlert is the status where something is rated so high that somebody must look.
const exitAlert exitCode = 3

func (c *scanCommand) Run(ctx context.Context, std *streams) error {
	render := map[string]func(*scan.Result, io.Writer) error{"text": (*scan.Result).Text, "json": (*scan.Result).JSON, "tsv": (*scan.Result).TSV}[c.Format]
	if err := reportName(c.Report); err != nil {
		return err
	}
	if err := errors.Join(c.Evidence.Validate(), c.Alert.Validate()); err != nil {
		return err
	}
	model, rules, err := openPolicy(c.Model, c.Policy)
	if err != nil {
		return err
	}
	proxies, err := intake.ParseProxies(c.TrustedProxies)
	if err != nil {
		return err
	}
	format := logs.Format(c.LogFormat)
	if c.LogFormat == "auto" {
		format = ""
	}
	progress := newScanProgress(std.err)
	result, failed := scan.Run(ctx, scan.Options{
		Model: model, Policy: rules, Evidence: c.Evidence, Cache: c.Model.Cache, Proxies: proxies,
		Format: format, Fields: logs.NewNames(c.Fields), State: c.State,
		S3: logs.S3Config{Region: c.Region, Endpoint: c.EndpointURL}, Stdin: std.in, Now: time.Now, Progress: progress.show,
		Report: c.Report != "" || c.Format == "json",
	}, c.Sources)
	progress.end()
	if result == nil || failed != nil && result.Lines == 0 {
		return failed
	}
	if err := errors.Join(render(result, std.out), writeReport(c.Report, result), failed); err != nil {
		return err
	}
	if result.Interrupted {
		return errors.New("scan: interrupted before all was read")
	}
	return c.alert(ctx, result, std)
}

// alert says what is rated so high as was asked for.
func (c *scanCommand) alert(ctx context.Context, r *scan.Result, std *streams) error {
	if c.AlertAbove == "none" {
		return nil
	}
	names, clients := r.AtLeast(scan.Rating(c.AlertAbove))
	if names+clients == 0 {
		return nil
	}
	text := fmt.Sprintf("%s and %s are rated %s or higher", counted(names, "name", "names"), counted(clients, "client", "clients"), c.AlertAbove)
	fmt.Fprintf(std.err, "referee: %s\n", text)
	var b strings.Builder
	fmt.Fprintf(&b, "scan of %s: %s", strings.Join(c.Sources, " "), text)
	for _, list := range [][]scan.Rated{r.Names, r.Clients} {
		for _, rated := range list[:min(len(list), alertShown)] {
			if rated.Rating.AtLeast(scan.Rating(c.AlertAbove)) {
				fmt.Fprintf(&b, "\n%s: %s, %d requests", rated.Rating, rated.What(), rated.Sightings)
			}
		}
	}
	host, err := os.Hostname()
	if err != nil {
		host = "scan"
	}
	alerts, err := alert.New(c.Alert, host, prometheus.NewRegistry(), slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		return err
	}
	alerts.Raise(alert.Alert{Kind: alert.Attack, Key: "scan", Text: b.String()})
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := alerts.Flush(ctx); err != nil {
		fmt.Fprintf(std.err, "referee: nobody was told: %v\n", err) // what was asked for is the status all the same
	}
	return exitAlert
}

// reportName refuses a file whose name says no format that a report has, before the work and not after it.
func reportName(path string) error {
	switch filepath.Ext(path) {
	case ".html", ".json", ".csv", ".txt":
		return nil
	}
	if path == "" {
		return nil
	}
	return fmt.Errorf("--report %s: name it .html, .json, .csv or .txt", path)
}

func writeReport(path string, r *scan.Result) error {
	if path == "" {
		return nil
	}
	var b bytes.Buffer
	render := map[string]func(io.Writer) error{".html": r.Report.HTML, ".json": r.Report.JSON, ".csv": r.Report.CSV, ".txt": r.Report.Text}[filepath.Ext(path)]
	err := render(&b)
	if err == nil {
		err = logs.WriteFile(path, b.Bytes())
	}
	if err != nil {
		return fmt.Errorf("--report: %w", err)
	}
	return nil
}

// scanProgress shows how many bytes were read: a bar on a terminal, a line now and then elsewhere.
type scanProgress struct {
	out  io.Writer
	bar  *progressbar.ProgressBar
	tty  bool
	told time.Time
}

func newScanProgress(out io.Writer) *scanProgress {
	file, ok := out.(*os.File)
	return &scanProgress{out: out, tty: ok && term.IsTerminal(int(file.Fd())), told: time.Now()}
}

func (p *scanProgress) show(done, total int64) {
	switch {
	case p.tty && p.bar == nil:
		if total == 0 {
			total = -1 // a spinner
		}
		p.bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(p.out), progressbar.OptionSetDescription("scan"),
			progressbar.OptionShowBytes(true), progressbar.OptionSetPredictTime(true), progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionClearOnFinish())
	case p.tty:
		_ = p.bar.Set64(done) // a bar that cannot be drawn stops nothing
	case time.Since(p.told) >= 10*time.Second:
		p.told = time.Now()
		if total > 0 {
			fmt.Fprintf(p.out, "scan: %d of %d MB, %d %%\n", done>>20, total>>20, 100*done/total)
		} else {
			fmt.Fprintf(p.out, "scan: %d MB\n", done>>20)
		}
	}
}

func (p *scanProgress) end() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}
