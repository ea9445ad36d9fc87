package report

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"referee/ledger"
	"referee/policy"
	"referee/waf"
)

// Readiness is whether to enforce, and why.
type Readiness struct {
	Ready  bool    `json:"ready"`  // every required check passes
	Answer string  `json:"answer"` // in a sentence
	Checks []Check `json:"checks"` // what it rests on; those that fail first, then the unknown ones
}

// CheckState is how a check ended.
type CheckState string

// A check that is not known is as good as failed where it is required: silence is no evidence.
const (
	Pass    CheckState = "pass"
	Fail    CheckState = "fail"
	Unknown CheckState = "unknown"
)

// Check is one line of the checklist.
type Check struct {
	ID       string     `json:"id"`    // one stable word
	Title    string     `json:"title"` // what is asked, in words
	State    CheckState `json:"state"`
	Required bool       `json:"required"`       // what is not required is for you to weigh
	Value    string     `json:"value"`          // what was measured
	Rule     string     `json:"rule"`           // when it passes
	Note     string     `json:"note,omitempty"` // what the value is and is not, or what to do
}

// What must have been seen before anything is to be enforced.
const (
	leastDays     = 7      // a week has its rhythm: people, campaigns and crawlers of a weekend are others
	leastRequests = 10_000 // with a name: at 1 flagged in 10,000 one benign name is to be expected by then
	leastNames    = 1_000
	mostFalse     = 1e-3 // of the clients observed, at the 95 % bound: about 3,000 without a block that you did not confirm
	mostDropped   = 1e-3 // of the sightings
	oldestModel   = 180 * 24 * time.Hour
	fullest       = 0.8 // of a set: an attack needs the rest
	oldestHours   = 30 * 24 * time.Hour
)

func (r *Report) readiness(ctx context.Context, src *Sources, said map[string]policy.Says, now time.Time) error {
	row, err := r.WhatIf.today()
	if err != nil {
		return err
	}
	days, err := observedDays(ctx, src.Ledger, now)
	if err != nil {
		return err
	}
	held, err := r.held(ctx, src.Ledger, now)
	if err != nil {
		return err
	}
	r.Ready.Checks = []Check{
		r.daysCheck(days), r.requestsCheck(), r.namesCheck(), r.falseCheck(row, said), r.savesCheck(),
		held, r.droppedCheck(), r.modelCheck(src.Model.Info().Made, now), capacityCheck(row),
	}
	order := []CheckState{Fail, Unknown, Pass}
	slices.SortStableFunc(r.Ready.Checks, func(a, b Check) int {
		return cmp.Compare(slices.Index(order, a.State), slices.Index(order, b.State))
	})
	var open []string
	for _, c := range r.Ready.Checks {
		if c.Required && c.State != Pass {
			open = append(open, c.Title)
		}
	}
	r.Ready.Ready = len(open) == 0
	switch {
	case r.Mode == Enforce && r.Ready.Ready:
		r.Ready.Answer = "Enforcing, and every check that it rests on passes."
	case r.Mode == Enforce:
		r.Ready.Answer = fmt.Sprintf("Enforcing, while %s not pass: %s.", checks(len(open)), strings.Join(open, ", "))
	case r.Ready.Ready:
		r.Ready.Answer = "Ready to enforce: every check that is required passes."
	default:
		r.Ready.Answer = fmt.Sprintf("Not ready to enforce: %s not pass: %s.", checks(len(open)), strings.Join(open, ", "))
	}
	return nil
}

func checks(n int) string {
	if n == 1 {
		return "1 check does"
	}
	return fmt.Sprintf("%d checks do", n)
}

// grade passes what is enough.
func grade(enough bool) CheckState {
	if enough {
		return Pass
	}
	return Fail
}

// observedDays counts the days, in UTC, with a request in the last 30.
func observedDays(ctx context.Context, l *ledger.Ledger, now time.Time) (int, error) {
	hours, err := l.Hours(ctx, now.Add(-oldestHours))
	if err != nil {
		return 0, err
	}
	days := map[string]bool{}
	for _, h := range hours {
		if h.Counts["requests"] > 0 {
			days[h.Start.Format(time.DateOnly)] = true
		}
	}
	return len(days), nil
}

func (r *Report) daysCheck(days int) Check {
	return Check{
		ID: "days", Title: "days observed", Required: true, State: grade(days >= leastDays), Value: count(days, "day") + " with traffic",
		Rule: fmt.Sprintf("%d days or more of the last 30", leastDays), Note: "A week has its rhythm; what a weekend brings is not known before one.",
	}
}

func (r *Report) requestsCheck() Check {
	named := r.Totals.Requests - min(r.Totals.Requests, r.Totals.Verdicts[policy.Invalid.String()])
	return Check{
		ID: "requests", Title: "requests with a name", Required: true, State: grade(named >= leastRequests),
		Value: fmt.Sprintf("%s of %s in the period", grouped(named), grouped(r.Totals.Requests)), Rule: grouped(leastRequests) + " or more",
	}
}

func (r *Report) namesCheck() Check {
	w := &r.WhatIf
	c := Check{
		ID: "names", Title: "unique names", State: grade(w.Names >= leastNames),
		Value: fmt.Sprintf("%s or more in the last %s", grouped(w.Names), span(time.Duration(w.Window)*time.Hour)),
		Rule:  grouped(leastNames) + " or more",
		Note:  "Distinct external names of the clients that are remembered. Fewer say little about the model on your audience.",
	}
	return c
}

func (r *Report) falseCheck(row *Row, said map[string]policy.Says) Check {
	// What stands may be more than the evidence of the window would make again.
	standing := 0
	for _, h := range r.Clients.List {
		if h.State == Active && !mostlyConfirmed(h.FlaggedNames, said) {
			standing++
		}
	}
	f := newRate(max(standing, row.FalseClients.Part), row.FalseClients.Whole)
	c := Check{
		ID: "false-blocks", Title: "clients that may be blocked by mistake", Required: true,
		Value: fmt.Sprintf("%s of %s, at most 1 in %s", grouped(f.Part), count(f.Whole, "client"), grouped(oneIn(f.High))),
		Rule:  fmt.Sprintf("the 95 %% upper bound is at most 1 in %s", grouped(oneIn(mostFalse))),
		Note: "Every client that would be blocked now counts as a mistake unless you labelled most of its names dga, so an attack that you have not " +
			"confirmed counts too. The bound (Clopper and Pearson) takes clients for independent, which readers of one site are not, and " +
			"is about those of the last " + span(time.Duration(r.WhatIf.Window)*time.Hour) + ", not about those that never came.",
	}
	switch {
	case f.Whole == 0:
		c.State, c.Value = Unknown, "no client was observed"
	case f.High <= mostFalse:
		c.State = Pass
	case f.Low > mostFalse:
		c.State = Fail
		c.Note = "Look at the clients below, and label their names dga if they are. " + c.Note
	default:
		c.State = Unknown
		c.Note = "Too few clients were seen to say. " + c.Note
	}
	if r.WhatIf.Full && f.Whole > 0 {
		c.Note += " More clients came than evidence.max-clients remembers: these are the latest."
	}
	return c
}

func (r *Report) savesCheck() Check {
	gone := 0
	for _, s := range r.Saved.List {
		if s.Exemption == policy.NotExempt.String() {
			gone++
		}
	}
	c := Check{
		ID: "saves", Title: "never-block saves", Required: true, State: grade(gone == 0),
		Value: fmt.Sprintf("%s, %s", count(r.Saved.Names, "name"), count(r.savedRequests(), "request")),
		Rule:  "every name that was spared is exempt still",
	}
	if gone > 0 {
		c.Note = fmt.Sprintf("%s would no longer be spared: see below, and complete your never-block lists.", count(gone, "name"))
	}
	return c
}

// held says what waits for the owner.
func (r *Report) held(ctx context.Context, l *ledger.Ledger, now time.Time) (Check, error) {
	c := Check{ID: "held", Title: "held plans", Required: true, State: Pass, Value: "none", Rule: "nothing is held, broken or waits for your approval"}
	orders, err := l.Orders(ctx, now)
	if err != nil {
		return c, err
	}
	troubles, err := l.Troubles(ctx)
	if err != nil {
		return c, err
	}
	standing := waf.Fold(orders, now)
	var held []string
	if standing.Held != nil {
		held = append(held, fmt.Sprintf("%s since %s", standing.Held.Verb, minute(standing.Held.Time)))
	}
	if n := len(standing.Requests); n > 0 {
		held = append(held, count(n, "request")+" for approval")
	}
	for _, set := range slices.Sorted(maps.Keys(troubles)) {
		if t := troubles[set]; t.Error != "" {
			held = append(held, fmt.Sprintf("%s: %s", setName(set), t.Class))
			r.Troubles = append(r.Troubles, Trouble{Set: string(set), Since: seconds(t.Since), Class: string(t.Class), Error: t.Error})
		}
	}
	if len(held) > 0 {
		c.State, c.Value, c.Note = Fail, strings.Join(held, "; "), "`referee waf status` says more, and what ends it."
	}
	return c, nil
}

func (r *Report) droppedCheck() Check {
	n, all := r.Totals.Dropped, r.Totals.Requests
	c := Check{
		ID: "dropped", Title: "sightings dropped", Required: true, Value: fmt.Sprintf("%s (%s)", grouped(n), share(n, all)),
		Rule: "at most 0.1 % of the requests", State: grade(float64(n) <= mostDropped*float64(all)),
	}
	if c.State != Pass {
		c.Note = "The queue was full, and what it dropped is in no figure here: raise evidence.queue."
	}
	return c
}

func (r *Report) modelCheck(made string, now time.Time) Check {
	c := Check{
		ID: "model-age", Title: "age of the model", State: Unknown, Value: "it does not say when it was made",
		Rule: "at most 180 days", Note: "Generators change; an old model finds fewer of them. It does not block more for it.",
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, made); err == nil {
			c.State, c.Value = grade(now.Sub(t) <= oldestModel), fmt.Sprintf("%s, made %s", count(int(now.Sub(t)/(24*time.Hour)), "day"), t.Format(time.DateOnly))
		}
	}
	return c
}

func capacityCheck(row *Row) Check {
	var parts []string
	for _, f := range row.Capacity {
		parts = append(parts, fmt.Sprintf("%s %s of %s", setName(f.Set), grouped(f.Items), grouped(f.Room)))
	}
	c := Check{
		ID: "capacity", Title: "room in the sets", State: grade(row.CapacityUsed <= fullest && row.CapacityShort == 0), Required: true,
		Value: strings.Join(parts, ", "), Rule: "every set is at most 80 % full, and nothing waits for a place",
	}
	if row.CapacityShort > 0 {
		c.Note = count(row.CapacityShort, "entry without a place") + "."
		if row.CapacityShort > 1 {
			c.Note = grouped(row.CapacityShort) + " entries have no place; those of the highest rank go first. More waf.names-set hold more names."
		}
	}
	return c
}
