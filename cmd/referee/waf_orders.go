package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
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
	To  int64  `placeholder:"GENERATION" help:"bring all sets back to what they were right after it (see waf history); by default to what they were before the last change, of whichever sets"`
	For string `default:"30d" placeholder:"PERIOD" help:"how long what came since is kept out"`
}

// Run orders the way from what stands now back to what stood then. The sidecar checks each entry's expiry and never-block
// again before it puts it back.
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
	all, err := l.Generations(ctx, time.Time{}, 0)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(g ledger.Change) bool { return g.Outcome != waf.Written })
	to, err := r.target(ctx, std, l, all)
	if err != nil {
		return err
	}
	then, err := stoodAfter(ctx, l, all, to)
	if err != nil {
		return err
	}
	current, err := stoodAfter(ctx, l, all, math.MaxInt64)
	if err != nil {
		return err
	}
	orders, err := l.Orders(ctx, now)
	if err != nil {
		return err
	}
	hits, exempt, err := c.hits(ctx, l, now)
	if err != nil {
		return err
	}
	standing := waf.Fold(orders, now)
	back := waf.RollBack(then, current, standing, hits, exempt, now)
	if len(back.Leave)+len(back.Out)+len(back.Back) == 0 {
		fmt.Fprintf(std.out, "nothing to roll back: the sets hold what they held %s, as far as it has not expired; "+
			"`referee waf history` shows what came before\n", afterGeneration(to))
		return nil
	}
	for _, v := range back.Leave {
		fmt.Fprintf(std.out, "  - %s\n", v)
	}
	for _, v := range back.Out {
		fmt.Fprintf(std.out, "  … %s stays out\n", v)
	}
	for _, e := range back.Back {
		until := "as long as it is a hit"
		if !e.Expires.IsZero() {
			until = "until " + at(e.Expires)
		}
		fmt.Fprintf(std.out, "  + %s %s\n", e.Value, until)
	}
	o := back.Order(standing, now.Add(period))
	done := fmt.Sprintf("back to what stood %s: %d to leave and %d more to stay out until %s, %d to come back",
		afterGeneration(to), len(back.Leave), len(back.Out), at(o.Until), len(back.Back))
	if standing.Held != nil && len(back.Back) > 0 {
		done += " after `referee waf resume`"
	}
	if c.WAF.Approve == "manual" && len(back.Back) > 0 {
		done += " (what was not approved, or no longer is, asks first)"
	}
	return c.order(ctx, std, o, done)
}

func afterGeneration(id int64) string {
	if id == 0 {
		return "before the first generation"
	}
	return fmt.Sprintf("after generation %d", id)
}

// target is the generation to go back to: the one that was asked for, or the one before the last tick that changed a set. All
// generations of a tick have its time.
func (r *wafRollbackCommand) target(ctx context.Context, std *streams, l *ledger.Ledger, written []ledger.Change) (int64, error) {
	if r.To > 0 {
		g, err := l.Generation(ctx, r.To)
		if err == nil && g.Outcome != waf.Written {
			err = fmt.Errorf("generation %d is %s: it never stood in AWS; `referee waf history` shows which did", r.To, g.Outcome)
		}
		return r.To, err
	}
	last := slices.IndexFunc(written, func(g ledger.Change) bool { return g.Added+g.Removed > 0 })
	if last < 0 {
		return 0, errors.New("no generation was ever written that changed a set: there is nothing to roll back")
	}
	to := written[last].ID - 1
	fmt.Fprintf(std.out, "the last change, of %s:\n", at(written[last].Time))
	for _, g := range written[last:] {
		if g.Time.Equal(written[last].Time) {
			fmt.Fprintf(std.out, "  generation %d, %s: %s\n", g.ID, setName(g.Set), g.Why)
			to = g.ID - 1
		}
	}
	return to, nil
}

// stoodAfter are the generations that stood right after one, at most one of each set, from all that were written, the newest
// first. Where the ledger has none that old of a set, what was found there before the oldest stands for it.
func stoodAfter(ctx context.Context, l *ledger.Ledger, written []ledger.Change, id int64) ([]waf.Generation, error) {
	newest, oldest := map[waf.SetKind]int64{}, map[waf.SetKind]int64{}
	for _, g := range written {
		oldest[g.Set] = g.ID
		if g.ID <= id && newest[g.Set] == 0 {
			newest[g.Set] = g.ID
		}
	}
	var stood []waf.Generation
	for kind, first := range oldest {
		g, err := l.Generation(ctx, cmp.Or(newest[kind], first))
		if err != nil {
			return nil, err
		}
		if newest[kind] == 0 {
			g = waf.Generation{Set: kind, After: g.Before}
		}
		stood = append(stood, g)
	}
	return stood, nil
}
