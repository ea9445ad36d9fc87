package report

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"referee/classifier"
	"referee/evidence"
	"referee/features"
	"referee/ledger"
	"referee/policy"
	"referee/waf"
)

// How much a report lists at most.
const (
	maxHits        = 5000 // of each kind
	maxSaved       = 1000
	maxSample      = 20
	maxGenerations = 50
)

// Sources are what a report is made from.
type Sources struct {
	Ledger   *ledger.Ledger
	Policy   *policy.Policy    // that and the model are those in force: they say what is exempt today and what the confidence means
	Model    *classifier.Model //
	Evidence evidence.Config   // bounds what is restored of the ledger's evidence
	State    *evidence.State   // the evidence itself, where the caller has it; nil: the ledger's
	WAF      waf.Config        // how much the sets hold
}

// Build reads the ledger from since to now. mode is Shadow or Enforce. It takes about a second at the most evidence and hits that
// are kept, and 5 at most for what other settings would do.
func Build(ctx context.Context, src Sources, since, now time.Time, mode string) (*Report, error) {
	if mode != Shadow && mode != Enforce {
		return nil, fmt.Errorf("report: mode %q is neither %s nor %s", mode, Shadow, Enforce)
	}
	r := &Report{Generated: seconds(now), Since: seconds(since), Mode: mode}
	if err := r.settings(src.Policy, src.Model); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	l, p, st, said := src.Ledger, src.Policy, src.State, map[string]policy.Says{}
	var decisions []policy.Decision
	for _, part := range []func() error{
		func() (err error) {
			if st == nil {
				st, err = restore(ctx, l, src.Evidence, now)
			}
			return err
		},
		func() error { return r.totals(ctx, l) },
		func() (err error) { decisions, err = l.LastDecisions(ctx, since); return err },
		func() error { return r.hits(p, st, decisions, since, now) },
		func() error { return r.saved(ctx, l, p, since) },
		func() error { return r.sets(ctx, l) },
		func() error { return r.generations(ctx, l, since) },
		func() error { return r.labels(ctx, l, p, said) },
		func() error { return r.compare(ctx, l, p.Threshold(), since) },
		func() error { return r.details(ctx, &src, said) },
		func() error { return r.done(ctx, l, decisions, since) },
		func() error { return r.series(ctx, &src, since, now) },
		func() error { return r.whatIf(ctx, &src, st, said, now) },
		func() error { r.attacks(&src, st); return nil },
		func() error { return r.near(ctx, &src, st, now) },
		func() error { return r.readiness(ctx, &src, said, now) },
	} {
		if err := part(); err != nil {
			return nil, fmt.Errorf("report: %w", err)
		}
	}
	return r, nil
}

func (r *Report) settings(p *policy.Policy, m *classifier.Model) error {
	// The threshold is a float32; in its shortest form it is the number that was configured.
	tail, err := strconv.ParseFloat(strconv.FormatFloat(float64(p.Threshold()), 'g', -1, 32), 64)
	if err != nil {
		return err
	}
	confidence := classifier.Confidence(tail)
	score, err := m.Threshold(confidence)
	if err != nil {
		return err
	}
	info := m.Info()
	r.Settings = Settings{
		Model: m.ID(), Scorer: info.Scorer, Calibrated: info.Calibrated, Policy: p.ID(),
		Confidence: confidence.String(), BenignTail: tail, Score: float64(score), OneIn: oneIn(tail),
	}
	return nil
}

func (r *Report) totals(ctx context.Context, l *ledger.Ledger) error {
	hours, err := l.Hours(ctx, r.Since)
	if err != nil {
		return err
	}
	sum := map[string]uint64{}
	t := &r.Totals
	for _, h := range hours {
		for key, n := range h.Counts {
			sum[key] += n
		}
		if h.Counts["requests"] == 0 {
			continue
		}
		if t.Hours == 0 {
			t.First = h.Start
		}
		t.Hours++
	}
	t.Requests, t.Blocked, t.Dropped = sum["requests"], sum["blocked"], sum["dropped"]
	t.FlaggedKept, t.FlaggedLeftOut = sum[ledger.CountFlaggedKept], sum[ledger.CountFlaggedLeftOut]
	t.Verdicts, t.NoName, t.Saved = map[string]uint64{}, map[string]uint64{}, map[string]uint64{}
	for v := range policy.NumVerdicts {
		word := policy.Verdict(v).String()
		t.Verdicts[word] = sum["verdict."+word]
	}
	for i := int(features.Named) + 1; i < features.NumReasons; i++ {
		word := features.Reason(i).String()
		t.NoName[word] = sum["invalid."+word]
	}
	for e := int(policy.NotExempt) + 1; e < policy.NumExemptions; e++ {
		word := policy.Exemption(e).String()
		t.Saved[word] = sum["saved."+word]
	}
	return nil
}

// hits lists what was decided last of each, those that stand with the evidence that there is by now.
func (r *Report) hits(p *policy.Policy, st *evidence.State, decisions []policy.Decision, since, now time.Time) error {
	for _, d := range decisions {
		if d.Action == policy.Block || d.Action == policy.Extend {
			d.Hit = p.Current(st, d.Hit)
		}
		h := newHit(d, now)
		if h.State != Active && h.Expires.Before(since) && d.Time.Before(since) {
			continue // ended before, and nobody was there to release it
		}
		list := &r.Names
		if d.Hit.Kind == policy.KindClient {
			list = &r.Clients
		}
		if h.State == Active {
			list.Active++
		} else {
			list.Past++
		}
		list.List = append(list.List, h)
	}
	r.Names.cut()
	r.Clients.cut()
	return nil
}

func newHit(d policy.Decision, now time.Time) Hit {
	h := Hit{
		Name: d.Hit.Domain, State: Active, Why: d.Why, Decided: seconds(d.Time), Reasons: d.Hit.Reasons, FlaggedNames: d.Hit.Names,
		Score: d.Hit.Score, BenignTail: d.Hit.Tail, OneIn: oneIn(float64(d.Hit.Tail)),
		Sightings: d.Hit.Sightings, Networks: d.Hit.Networks, Flagged: d.Hit.Flagged, Distinct: d.Hit.Distinct, Rank: d.Hit.Rank,
		First: seconds(d.Hit.First), Last: seconds(d.Hit.Last), Expires: seconds(d.Hit.Expires),
		Model: d.Hit.Model, Policy: d.Hit.Config,
	}
	if d.Hit.Kind == policy.KindClient {
		h.Client = d.Hit.Client.String()
	}
	if h.Reasons == nil {
		h.Reasons = []string{}
	}
	switch released := d.Action == policy.Release || d.Action == policy.Spare; {
	case released && d.Hit.Expires.After(d.Time):
		h.State = Released
	case released || !d.Hit.Expires.After(now):
		h.State = Expired
	}
	return h
}

// cut orders the list and keeps what may be shown.
func (h *Hits) cut() {
	order := map[State]int{Active: 0, Expired: 1, Released: 1}
	slices.SortStableFunc(h.List, func(a, b Hit) int {
		return cmp.Or(cmp.Compare(order[a.State], order[b.State]), cmp.Compare(b.Rank, a.Rank))
	})
	h.List, h.LeftOut = cut(h.List, maxHits)
}

// cut keeps the first n of a list, which is then never nil, and says how many it left out.
func cut[T any](list []T, n int) ([]T, int) {
	if list == nil {
		list = []T{}
	}
	kept := min(len(list), n)
	return slices.Clip(list[:kept]), len(list) - kept
}

func (r *Report) saved(ctx context.Context, l *ledger.Ledger, p *policy.Policy, since time.Time) error {
	names, err := l.SavedNames(ctx, since)
	if err != nil {
		return err
	}
	list := []SavedName{}
	for _, n := range names {
		if n.Tail > p.Threshold() {
			continue // the confidence is stricter now: it would not be flagged
		}
		label, _, _ := strings.Cut(n.Domain, ".")
		list = append(list, SavedName{
			Name:      n.Domain,
			Exemption: p.Exempts(features.Name{Host: n.Domain, Domain: n.Domain, Label: label}).String(),
			Score:     n.Score, BenignTail: n.Tail, OneIn: oneIn(float64(n.Tail)), Sightings: n.Sightings,
			First: seconds(n.First), Last: seconds(n.Last),
		})
	}
	r.Saved.Names = len(list)
	r.Saved.List, r.Saved.LeftOut = cut(list, maxSaved)
	return nil
}

func (r *Report) sets(ctx context.Context, l *ledger.Ledger) error {
	latest, err := l.Latest(ctx)
	if err != nil {
		return err
	}
	r.Sets = []Set{}
	for _, g := range latest {
		sample, _ := cut(g.After, maxSample)
		r.Sets = append(r.Sets, Set{
			Set: g.Set, Generation: g.ID, Time: seconds(g.Time), Outcome: g.Outcome,
			Entries: len(g.Entries), Items: len(g.After), Sample: sample,
		})
	}
	order := []waf.SetKind{waf.SetNames, waf.SetIPv4, waf.SetIPv6}
	slices.SortStableFunc(r.Sets, func(a, b Set) int {
		return cmp.Compare(slices.Index(order, a.Set), slices.Index(order, b.Set))
	})
	return nil
}

func (r *Report) generations(ctx context.Context, l *ledger.Ledger, since time.Time) error {
	changes, err := l.Generations(ctx, since, maxGenerations)
	if err != nil {
		return err
	}
	r.Generations = []Generation{}
	for _, c := range changes {
		r.Generations = append(r.Generations, Generation{
			ID: c.ID, Time: seconds(c.Time), Set: c.Set, Outcome: c.Outcome, Error: c.Error, Why: c.Why,
			Items: c.Items, Added: c.Added, Removed: c.Removed, Model: c.Model, Policy: c.Config,
		})
	}
	return nil
}

// seconds is a time as a report shows it.
func seconds(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }
