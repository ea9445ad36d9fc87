package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"referee/ledger"
	"referee/report"
	"referee/waf"
)

type wafStatusCommand struct {
	Format string `default:"text" enum:"text,json" help:"text for a person, json for a program"`
}

// status is what waf status shows.
type status struct {
	Mode     waf.Mode                    `json:"mode"`
	Writer   bool                        `json:"writer"`
	Held     *waf.Order                  `json:"held,omitempty"`
	Requests []waf.Order                 `json:"requests"`
	Kept     map[string]waf.Order        `json:"kept_out"`
	Troubles map[waf.SetKind]waf.Trouble `json:"troubles"`
	Sets     []setStatus                 `json:"sets"`
	Errors   []string                    `json:"errors"`
}

type setStatus struct {
	Set        waf.SetKind     `json:"set"`
	Configured bool            `json:"configured"`
	Entries    int             `json:"entries"` // in it; where no set is configured, that would be
	Items      int             `json:"items"`
	Room       int             `json:"room"`
	Waiting    int             `json:"waiting"`
	Last       *waf.Generation `json:"last,omitempty"`    // without its lists
	Missing    []string        `json:"missing,omitempty"` // in the ledger and not in AWS
	Unknown    []string        `json:"unknown,omitempty"` // in AWS and not in the ledger
}

func (s *wafStatusCommand) Run(ctx context.Context, std *streams, c *wafCommand) error {
	l, err := c.reading(ctx)
	if err != nil {
		return err
	}
	defer l.Close()
	now := time.Now()
	orders, err := l.Orders(ctx, now)
	if err != nil {
		return err
	}
	troubles, err := l.Troubles(ctx)
	if err != nil {
		return err
	}
	latest, err := l.Latest(ctx)
	if err != nil {
		return err
	}
	standing := waf.Fold(orders, now)
	out := status{
		Mode: c.Mode, Writer: c.WAF.Writer, Held: standing.Held, Requests: standing.Requests, Kept: standing.Kept, Troubles: troubles,
	}
	plan, failed := c.look(ctx, l, now)
	if failed != nil {
		out.Errors = strings.Split(failed.Error(), "\n")
	}
	for i, changes := range plan.Changes {
		out.Sets = append(out.Sets, statusOf(changes, plan.Current[i], latest))
	}
	if s.Format == "json" {
		return errors.Join(failed, writeJSON(std.out, out))
	}
	out.write(std.out)
	return failed
}

// statusOf compares what AWS holds with what the newest generation says.
func statusOf(c waf.Changes, current waf.State, latest []waf.Generation) setStatus {
	s := setStatus{Set: c.Set, Configured: current.Sets > 0, Entries: c.Present, Items: len(c.Before), Room: c.Room, Waiting: len(c.Waiting)}
	if !s.Configured {
		s.Entries = len(c.Entries)
	}
	at := slices.IndexFunc(latest, func(g waf.Generation) bool { return g.Set == c.Set })
	if at < 0 {
		s.Unknown = c.Before
		return s
	}
	g := latest[at]
	expected := g.After
	if g.Outcome == waf.Shadow {
		expected = g.Before
	}
	without := func(all, these []string) (rest []string) {
		for _, item := range all {
			if !slices.Contains(these, item) {
				rest = append(rest, item)
			}
		}
		return rest
	}
	s.Missing, s.Unknown = without(expected, c.Before), without(c.Before, expected)
	g.Before, g.After, g.Entries = nil, nil, nil
	s.Last = &g
	return s
}

func (s status) write(w io.Writer) {
	fmt.Fprintf(w, "mode %s, writer %v\n", s.Mode, s.Writer)
	if s.Held != nil {
		fmt.Fprintf(w, "HELD   %s since %s%s: `referee waf resume` ends it\n", s.Held.Verb, at(s.Held.Time), inBrackets(s.Held.Why))
	}
	for _, o := range s.Requests {
		fmt.Fprintf(w, "WAITS  %s for approval since %s: referee waf approve %d\n", entries(len(o.Entries)), at(o.Time), o.ID)
	}
	for kind, t := range s.Troubles {
		if t.Class == waf.ClassHeld {
			if !time.Now().Before(t.Until) {
				continue // nobody has looked for an hour
			}
			fmt.Fprintf(w, "HELD   clients since %s: %s\n", at(t.Since), t.Error)
			continue
		}
		fmt.Fprintf(w, "BROKEN %s since %s, next try %s: %s\n", setName(kind), at(t.Since), at(t.Until), t.Error)
	}
	for _, set := range s.Sets {
		if !set.Configured {
			fmt.Fprintf(w, "%-15s no set is configured; %s would be in it\n", setName(set.Set), entries(set.Entries))
			continue
		}
		fmt.Fprintf(w, "%-15s %s, %d of %d places, %d waiting", setName(set.Set), entries(set.Entries), set.Items, set.Room, set.Waiting)
		if set.Last == nil {
			fmt.Fprintln(w, "; the ledger knows of no generation")
		} else {
			fmt.Fprintf(w, "; generation %d %s %s: %s\n", set.Last.ID, set.Last.Outcome, at(set.Last.Time), set.Last.Why)
		}
		for _, item := range set.Missing {
			fmt.Fprintf(w, "  drift: gone from AWS: %s\n", item)
		}
		for _, item := range set.Unknown {
			fmt.Fprintf(w, "  drift: in AWS, not of the last generation: %s\n", item)
		}
	}
	for _, value := range sortedKeys(s.Kept) {
		o := s.Kept[value]
		fmt.Fprintf(w, "kept out        %s until %s by order %d (%s)%s\n", value, at(o.Until), o.ID, o.Verb, inBrackets(o.Why))
	}
}

func inBrackets(s string) string {
	if s == "" {
		return ""
	}
	return fmt.Sprintf(" (%q)", s)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

type wafHistoryCommand struct {
	Generation int64  `arg:"" optional:"" help:"show all of this one"`
	Since      string `default:"7d" placeholder:"PERIOD" help:"how far back: 90m, 24h, 7d"`
	Format     string `default:"text" enum:"text,json" help:"text for a person, json for a program"`
}

func (h *wafHistoryCommand) Run(ctx context.Context, std *streams, c *wafCommand) error {
	period, err := report.ParsePeriod(h.Since)
	if err != nil {
		return err
	}
	l, err := c.reading(ctx)
	if err != nil {
		return err
	}
	defer l.Close()
	if h.Generation > 0 {
		g, err := l.Generation(ctx, h.Generation)
		if err != nil {
			return err
		}
		if h.Format == "json" {
			return writeJSON(std.out, g)
		}
		writeGeneration(std.out, g)
		return nil
	}
	since := time.Now().Add(-period)
	generations, err := l.Generations(ctx, since, 0)
	if err != nil {
		return err
	}
	orders, err := l.OrdersSince(ctx, since)
	if err != nil {
		return err
	}
	if h.Format == "json" {
		return writeJSON(std.out, struct {
			Generations []ledger.Change `json:"generations"`
			Orders      []waf.Order     `json:"orders"`
		}{generations, orders})
	}
	type line struct {
		time time.Time
		text string
	}
	var lines []line
	for _, g := range generations {
		text := fmt.Sprintf("generation %-5d %-15s %-8s %s", g.ID, setName(g.Set), g.Outcome, g.Why)
		if g.Error != "" {
			text += ": " + g.Error
		}
		lines = append(lines, line{g.Time, text})
	}
	for _, o := range orders {
		text := fmt.Sprintf("order      %-5d %s %s", o.ID, o.Verb, strings.Join(o.Values, " "))
		if len(o.Entries) > 0 {
			text += " " + entries(len(o.Entries))
		}
		lines = append(lines, line{o.Time, text + inBrackets(o.Why)})
	}
	slices.SortStableFunc(lines, func(a, b line) int { return b.time.Compare(a.time) })
	for _, line := range lines {
		fmt.Fprintf(std.out, "%s  %s\n", at(line.time), line.text)
	}
	return nil
}

func writeGeneration(w io.Writer, g waf.Generation) {
	fmt.Fprintf(w, "generation %d, %s, %s, %s: %s\nmodel %s, policy %s\n", g.ID, setName(g.Set), at(g.Time), g.Outcome, g.Why,
		cmp.Or(g.Model, "none"), cmp.Or(g.Config, "none"))
	if g.Error != "" {
		fmt.Fprintf(w, "error: %s\n", g.Error)
	}
	for _, item := range g.Before {
		if !slices.Contains(g.After, item) {
			fmt.Fprintf(w, "  - %s\n", item)
		}
	}
	for _, item := range g.After {
		mark := "+"
		if slices.Contains(g.Before, item) {
			mark = " "
		}
		fmt.Fprintf(w, "  %s %s\n", mark, item)
	}
}
