package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"referee/ledger"
	"referee/sidecar"
	"referee/waf"
)

type wafPlanCommand struct {
	Format string `default:"text" enum:"text,json" help:"text for a person, json for a program"`
}

func (p *wafPlanCommand) Run(ctx context.Context, std *streams, c *wafCommand) error {
	l, err := c.reading(ctx)
	if err != nil {
		return err
	}
	defer l.Close()
	plan, err := c.look(ctx, l, time.Now())
	if refused := (*waf.Error)(nil); err != nil && !(errors.As(err, &refused) && refused.Class == waf.ClassRefused && len(plan.Changes) == 3) {
		return err
	}
	if p.Format == "json" {
		if err := writeJSON(std.out, plan); err != nil {
			return err
		}
	} else {
		writePlan(std.out, plan)
		if c.Mode != waf.ModeEnforce || !c.WAF.Writer {
			fmt.Fprintf(std.out, "Nothing of this is written: mode is %s and waf.writer %v.\n", c.Mode, c.WAF.Writer)
		}
	}
	for _, changes := range plan.Changes {
		if changes.Changed() {
			return exitChanges
		}
	}
	return nil
}

// planned counts what a plan does, over all sets.
type planned struct{ add, remove, waiting, postponed, dropped int }

// writePlan shows a plan as a diff, one line an entry.
func writePlan(w io.Writer, plan waf.Plan) {
	var n planned
	for _, c := range plan.Changes {
		if c.Why() == "nothing changed" {
			continue
		}
		fmt.Fprintf(w, "%s: %d in it, %d of %d places taken after this\n", setName(c.Set), c.Present, len(c.After), c.Room)
		for _, e := range c.Add {
			fmt.Fprintf(w, "  + %-40s until %s, rank %.1f\n", e.Value, at(e.Expires), e.Rank)
		}
		for _, e := range c.Adopt {
			fmt.Fprintf(w, "  ~ %-40s found in it: stays until %s\n", e.Value, at(e.Expires))
		}
		for _, r := range c.Remove {
			fmt.Fprintf(w, "  - %-40s %s\n", r.Value, r.Cause)
		}
		for i, e := range c.Waiting {
			if i == 10 {
				fmt.Fprintf(w, "  … %d more: the set is full of higher ranks\n", len(c.Waiting)-i)
				break
			}
			fmt.Fprintf(w, "  … %-40s waits: the set is full of higher ranks (its own is %.1f)\n", e.Value, e.Rank)
		}
		for _, p := range c.Postponed {
			fmt.Fprintf(w, "  … %-40s %s\n", p.Value, p.Why)
		}
		for _, d := range c.Dropped {
			fmt.Fprintf(w, "  ! %-40s left out: %s\n", d.Value, d.Why)
		}
		if c.Refused != "" {
			fmt.Fprintf(w, "  ! %s\n", c.Refused)
		}
		n.add, n.remove, n.waiting = n.add+len(c.Add), n.remove+len(c.Remove), n.waiting+len(c.Waiting)
		n.postponed, n.dropped = n.postponed+len(c.Postponed), n.dropped+len(c.Dropped)
	}
	for _, d := range plan.Dropped {
		fmt.Fprintf(w, "%s: %s left out: %s\n", setName(d.Set), d.Value, d.Why)
	}
	if n.dropped += len(plan.Dropped); n == (planned{}) {
		fmt.Fprintln(w, "Nothing to change: the sets are as they should be.")
		return
	}
	fmt.Fprintf(w, "Plan: %d to add, %d to remove; %d waiting for room, %d postponed, %d left out.\n", n.add, n.remove, n.waiting, n.postponed, n.dropped)
}

type wafSyncCommand struct {
	Force  bool   `help:"let this tick take out what nothing explains, even if that empties a set"`
	Format string `default:"text" enum:"text,json" help:"text for a person, json for a program"`
}

// Run does a tick itself where it can own the data directory; else a sidecar runs there, and does it.
func (s *wafSyncCommand) Run(ctx context.Context, std *streams, c *wafCommand) error {
	force := waf.Order{Verb: waf.OrderForce, Until: time.Now().Add(time.Hour)}
	l, err := ledger.Open(ctx, c.DataDir)
	if errors.Is(err, ledger.ErrInUse) {
		if s.Force {
			return c.order(ctx, std, force, "one tick takes out what nothing explains")
		}
		fmt.Fprintf(std.out, "a sidecar runs on this data directory and looks at the sets each %v: there is nothing to do\n", c.WAF.Interval)
		return nil
	}
	if err != nil {
		return err
	}
	defer l.Close()
	now := time.Now()
	if s.Force {
		force.Time = now
		if _, err := l.Order(ctx, force); err != nil {
			return err
		}
	}
	cfg := c.WAF
	cfg.Mode = c.Mode
	log := newLogger(std.err, c.Log, new(slog.LevelVar))
	alerts, err := sidecar.NewAlerts(c.Config, prometheus.NewRegistry(), log, time.Now)
	if err != nil {
		return err
	}
	plan, err := c.tick(ctx, cfg, l, l, log, sidecar.Notify(alerts), now)
	_ = alerts.Flush(ctx) // what could not be sent is on the log
	if s.Format == "json" {
		err = errors.Join(err, writeJSON(std.out, plan))
	} else {
		writePlan(std.out, plan)
		for _, changes := range plan.Changes {
			switch {
			case changes.Outcome == waf.Written:
				fmt.Fprintf(std.out, "%s: written\n", setName(changes.Set))
			case changes.Held != "" && changes.Changed():
				fmt.Fprintf(std.out, "%s: not written: %s\n", setName(changes.Set), changes.Held)
			}
		}
	}
	return err
}
