package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"referee/ledger"
	"referee/policy"
	"referee/report"
)

type ledgerExportCommand struct {
	What   string `arg:"" enum:"decisions,hours,hits" help:"decisions, the oldest first; hours, with every count, and days where only they are kept; hits, those that stand"`
	Since  string `default:"365d" placeholder:"PERIOD" help:"how far back decisions and hours go: 24h, 30d"`
	Format string `default:"json" enum:"json,csv" help:"one JSON object a line, or CSV with a header"`
}

func (e *ledgerExportCommand) Run(ctx context.Context, std *streams, c *ledgerCommand) error {
	period, err := report.ParsePeriod(e.Since)
	if err != nil {
		return err
	}
	l, err := c.reading(ctx)
	if err != nil {
		return err
	}
	defer l.Close()
	now := time.Now()
	out := bufio.NewWriter(std.out)
	write := map[string]func(context.Context, *ledger.Ledger, io.Writer, time.Time) error{
		"decisions": e.decisions, "hours": e.hours,
		"hits": func(ctx context.Context, l *ledger.Ledger, out io.Writer, _ time.Time) error {
			return e.hits(ctx, l, out, now)
		},
	}[e.What]
	if err := write(ctx, l, out, now.Add(-period)); err != nil {
		return err
	}
	if err := l.Skipped(); err != nil {
		fmt.Fprintf(std.err, "referee: %v\n", err)
	}
	return out.Flush()
}

// hitColumns are those of a hit in CSV.
var hitColumns = []string{
	"kind", "subject", "score", "tail", "sightings", "networks", "flagged", "distinct", "rank", "first", "last", "expires", "model", "config", "reasons",
}

func hitFields(h policy.Hit) []string {
	_, subject, _ := strings.Cut(h.Key(), ":")
	number := func(n uint64) string { return strconv.FormatUint(n, 10) }
	float := func(f float64) string { return strconv.FormatFloat(f, 'g', 6, 64) }
	return []string{
		string(h.Kind), subject, float(float64(h.Score)), float(float64(h.Tail)), number(h.Sightings), number(uint64(h.Networks)), number(uint64(h.Flagged)),
		number(uint64(h.Distinct)), float(h.Rank), instant(h.First), instant(h.Last), instant(h.Expires), h.Model, h.Config, strings.Join(h.Reasons, "; "),
	}
}

func instant(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func (e *ledgerExportCommand) decisions(ctx context.Context, l *ledger.Ledger, out io.Writer, since time.Time) error {
	line, end := e.lines(out, append([]string{"id", "time", "action", "why"}, hitColumns...))
	for d, err := range l.AllDecisions(ctx, since) {
		if err != nil {
			return err
		}
		err := line(d, func() []string {
			return append([]string{strconv.FormatInt(d.ID, 10), instant(d.Time), string(d.Action), d.Why}, hitFields(d.Hit)...)
		})
		if err != nil {
			return err
		}
	}
	return end()
}

func (e *ledgerExportCommand) hits(ctx context.Context, l *ledger.Ledger, out io.Writer, now time.Time) error {
	hits, err := l.ActiveHits(ctx, now)
	if err != nil {
		return err
	}
	line, end := e.lines(out, hitColumns)
	for _, h := range hits {
		if err := line(h, func() []string { return hitFields(h) }); err != nil {
			return err
		}
	}
	return end()
}

// hourCount is one count of one hour.
type hourCount struct {
	Start   time.Time `json:"start"`
	Span    string    `json:"span"` // hour or day
	Counter string    `json:"counter"`
	Count   uint64    `json:"count"`
}

func (e *ledgerExportCommand) hours(ctx context.Context, l *ledger.Ledger, out io.Writer, since time.Time) error {
	hours, err := l.Hours(ctx, since)
	if err != nil {
		return err
	}
	line, end := e.lines(out, []string{"start", "span", "counter", "count"})
	for _, h := range hours {
		span := "hour"
		if h.Day {
			span = "day"
		}
		for _, counter := range slices.Sorted(maps.Keys(h.Counts)) {
			c := hourCount{h.Start, span, counter, h.Counts[counter]}
			err := line(c, func() []string { return []string{instant(c.Start), c.Span, c.Counter, strconv.FormatUint(c.Count, 10)} })
			if err != nil {
				return err
			}
		}
	}
	return end()
}

// lines returns how a line is written in the chosen format, and how the last one is followed.
func (e *ledgerExportCommand) lines(out io.Writer, columns []string) (line func(v any, fields func() []string) error, end func() error) {
	if e.Format == "json" {
		encoder := json.NewEncoder(out)
		return func(v any, _ func() []string) error { return encoder.Encode(v) }, func() error { return nil }
	}
	w := csv.NewWriter(out)
	err := w.Write(columns)
	line = func(_ any, fields func() []string) error {
		if err == nil {
			err = w.Write(fields())
		}
		return err
	}
	return line, func() error { w.Flush(); return w.Error() }
}
