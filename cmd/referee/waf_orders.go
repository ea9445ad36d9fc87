package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"referee/ledger"
	"referee/report"
	"referee/waf"
)

type wafUnblockCommand struct {
	Entry string `arg:"" help:"a name or a client: kq3v9z.com, a whole Referer, 81.2.69.142, 2a02:1234::/64"`
	For   string `default:"30d" placeholder:"PERIOD" help:"how long it is kept out: 24h, 30d"`
	Why   string `placeholder:"TEXT" help:"kept with the order"`
}

func (u *wafUnblockCommand) Run(ctx context.Context, std *streams, c *wafCommand) error {
	value, _, err := entryValue(u.Entry)
	if err != nil {
		return err
	}
	period, err := report.ParsePeriod(u.For)
	if err != nil {
		return err
	}
	until := time.Now().Add(period).UTC()
	return c.order(ctx, std, waf.Order{Verb: waf.OrderUnblock, Values: []string{value}, Until: until, Why: u.Why},
		fmt.Sprintf("%s leaves, and stays out until %s", value, at(until)))
}

type wafHoldCommand struct {
	Why string `placeholder:"TEXT" help:"kept with the order, and shown wherever something is held"`
}

func (h *wafHoldCommand) Run(ctx context.Context, std *streams, c *wafCommand) error {
	return c.order(ctx, std, waf.Order{Verb: waf.OrderHold, Why: h.Why}, "nothing is added until `referee waf resume`")
}

type wafResumeCommand struct{}

func (*wafResumeCommand) Run(ctx context.Context, std *streams, c *wafCommand) error {
	return c.order(ctx, std, waf.Order{Verb: waf.OrderResume}, "additions go on")
}

type wafWithdrawCommand struct {
	Why string `placeholder:"TEXT" help:"kept with the order, and shown wherever something is held"`
}

func (w *wafWithdrawCommand) Run(ctx context.Context, std *streams, c *wafCommand) error {
	return c.order(ctx, std, waf.Order{Verb: waf.OrderWithdraw, Why: w.Why}, "every entry of Referee's leaves, and none comes until `referee waf resume`")
}

type wafApproveCommand struct {
	ID int64 `arg:"" help:"the request, as the webhook and waf status show it"`
}

func (a *wafApproveCommand) Run(ctx context.Context, std *streams, c *wafCommand) error {
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
	requests := waf.Fold(orders, now).Requests
	at := slices.IndexFunc(requests, func(o waf.Order) bool { return o.ID == a.ID })
	if at < 0 {
		var ids []string
		for _, o := range requests {
			ids = append(ids, fmt.Sprint(o.ID))
		}
		if len(ids) == 0 {
			return fmt.Errorf("nothing waits for approval under %d, nor under any other id", a.ID)
		}
		return fmt.Errorf("nothing waits for approval under %d: there is %s", a.ID, strings.Join(ids, ", "))
	}
	return c.order(ctx, std, waf.Order{Verb: waf.OrderApprove, Of: a.ID, Until: requests[at].Until},
		entries(len(requests[at].Entries))+" may come in")
}

type wafRollbackCommand struct {
	To  int64  `placeholder:"GENERATION" help:"bring the sets back to what they were after it; by default after the last but one that was written (see waf history)"`
	For string `default:"30d" placeholder:"PERIOD" help:"how long what came since is kept out"`
}

// Run orders the difference between then and now. The sidecar checks each entry's expiry and never-block before it puts
// it back.
func (r *wafRollbackCommand) Run(ctx context.Context, std *streams, c *wafCommand) error {
	period, err := report.ParsePeriod(r.For)
	if err != nil {
		return err
	}
	l, err := c.reading(ctx)
	if err != nil {
		return err
	}
	defer l.Close()
	now := time.Now().UTC()
	to, err := r.target(ctx, l)
	if err != nil {
		return err
	}
	then, err := entriesAfter(ctx, l, to)
	if err != nil {
		return err
	}
	current, err := entriesAfter(ctx, l, 1<<62)
	if err != nil {
		return err
	}
	o := waf.Order{Verb: waf.OrderRollback, Until: now.Add(period)}
	for value, e := range current {
		if _, was := then[value]; !was && !e.Foreign {
			o.Values = append(o.Values, value)
		}
	}
	for value, e := range then {
		if _, is := current[value]; !is && !e.Foreign && now.Before(e.Expires) {
			o.Entries = append(o.Entries, e)
			if e.Expires.After(o.Until) {
				o.Until = e.Expires
			}
		}
	}
	if len(o.Values)+len(o.Entries) == 0 {
		fmt.Fprintf(std.out, "nothing to roll back: the sets hold what they held after generation %d, as far as it has not expired\n", to)
		return nil
	}
	slices.Sort(o.Values)
	slices.SortFunc(o.Entries, func(a, b waf.Entry) int { return strings.Compare(a.Value, b.Value) })
	for _, v := range o.Values {
		fmt.Fprintf(std.out, "  - %s\n", v)
	}
	for _, e := range o.Entries {
		fmt.Fprintf(std.out, "  + %s until %s\n", e.Value, at(e.Expires))
	}
	return c.order(ctx, std, o, fmt.Sprintf("back to generation %d: %d leave and stay out until %s, %d come back", to, len(o.Values), at(o.Until), len(o.Entries)))
}

// target is the generation to go back to.
func (r *wafRollbackCommand) target(ctx context.Context, l *ledger.Ledger) (int64, error) {
	if r.To > 0 {
		g, err := l.Generation(ctx, r.To)
		if err == nil && g.Outcome != waf.Written {
			err = fmt.Errorf("generation %d is %s: it never stood in AWS; `referee waf history` shows which did", r.To, g.Outcome)
		}
		return r.To, err
	}
	generations, err := l.Generations(ctx, time.Time{}, 0)
	if err != nil {
		return 0, err
	}
	for _, g := range generations {
		if g.Outcome == waf.Written {
			return g.ID - 1, nil
		}
	}
	return 0, errors.New("no generation was ever written: there is nothing to roll back")
}

// entriesAfter are the entries that stood in all sets after a generation, by value.
func entriesAfter(ctx context.Context, l *ledger.Ledger, id int64) (map[string]waf.Entry, error) {
	generations, err := l.Generations(ctx, time.Time{}, 0)
	if err != nil {
		return nil, err
	}
	entries, seen := map[string]waf.Entry{}, map[waf.SetKind]bool{}
	for _, g := range generations {
		if g.ID > id || g.Outcome != waf.Written || seen[g.Set] {
			continue
		}
		seen[g.Set] = true
		whole, err := l.Generation(ctx, g.ID)
		if err != nil {
			return nil, err
		}
		for _, e := range whole.Entries {
			entries[e.Value] = e
		}
	}
	return entries, nil
}
