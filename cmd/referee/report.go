package main

import (
	"context"
	"io"
	"time"

	"referee/evidence"
	"referee/ledger"
	"referee/policy"
	"referee/report"
	"referee/sidecar"
	"referee/waf"
)

type reportCommand struct {
	Mode    string              `default:"auto" enum:"auto,shadow,enforce" help:"how the sidecar runs, which decides the report's words; auto asks the ledger whether the sets were written"`
	DataDir string              `default:"referee-data" placeholder:"DIR" help:"where the sidecar's ledger lives"`
	Model   sidecar.ModelConfig `embed:"" prefix:"classifier-" group:"Configuration"`
	Policy  policy.Config       `embed:"" group:"Configuration"`

	Evidence evidence.Config `embed:"" prefix:"evidence-" group:"Configuration"`
	WAF      waf.Config      `embed:"" prefix:"waf-" group:"Configuration"`

	Since  string `default:"7d" placeholder:"PERIOD" help:"how far back: 90m, 24h, 7d"`
	Format string `default:"text" enum:"text,json,html,csv" help:"text for a terminal, json for a program, html for a browser, csv for a spreadsheet: the names and clients alone"`

	ExportLabels bool `help:"print the labels that stand, whenever they were given, in place of the report: name, dga or benign, time, apart by tabs, as referee-train train --labels reads them; only what was said with referee label, never what Referee itself found"`
}

func (c *reportCommand) Run(ctx context.Context, std *streams) error {
	period, err := report.ParsePeriod(c.Since)
	if err != nil {
		return err
	}
	model, rules, err := openPolicy(c.Model, c.Policy)
	if err != nil {
		return err
	}
	l, err := ledger.OpenReadOnly(ctx, c.DataDir)
	if err != nil {
		return err
	}
	defer l.Close()
	if c.ExportLabels {
		return exportLabels(ctx, l, std.out)
	}
	if rules, err = labelled(ctx, l, rules); err != nil {
		return err
	}
	if c.Mode == "auto" {
		if c.Mode, err = modeOf(ctx, l); err != nil {
			return err
		}
	}
	now := time.Now()
	r, err := report.Build(ctx, report.Sources{Ledger: l, Policy: rules, Model: model, Evidence: c.Evidence, WAF: c.WAF}, now.Add(-period), now, c.Mode)
	if err != nil {
		return err
	}
	render := map[string]func(io.Writer) error{"text": r.Text, "json": r.JSON, "html": r.HTML, "csv": r.CSV}[c.Format]
	return render(std.out)
}

// modeOf is the mode that the newest generation of the sets was made in.
func modeOf(ctx context.Context, l *ledger.Ledger) (string, error) {
	latest, err := l.Generations(ctx, time.Time{}, 1)
	if err != nil || len(latest) == 0 || latest[0].Outcome == waf.Shadow {
		return report.Shadow, err
	}
	return report.Enforce, nil
}
