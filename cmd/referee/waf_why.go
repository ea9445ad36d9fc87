package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"referee/classifier"
	"referee/features"
	"referee/ledger"
	"referee/policy"
	"referee/waf"
)

type wafWhyCommand struct {
	Entry  string `arg:"" help:"a name or a client: kq3v9z.com, a whole Referer, 81.2.69.142, 2a02:1234::/64"`
	Format string `default:"text" enum:"text,json" help:"text for a person, json for a program"`
}

// why is all that the ledger, the policy and the model know of an entry.
type why struct {
	Entry      string                  `json:"entry"`
	Hit        *policy.Hit             `json:"hit,omitempty"` // a current one
	Sets       []whySet                `json:"sets"`          // that have it
	KeptOut    *waf.Order              `json:"kept_out,omitempty"`
	Label      *policy.Label           `json:"label,omitempty"`
	NeverBlock bool                    `json:"never_block"`
	Model      string                  `json:"model,omitempty"` // that explains a name
	Explain    *classifier.Explanation `json:"explanation,omitempty"`
	Decisions  []policy.Decision       `json:"decisions"` // the oldest first
	Sightings  []whySighting           `json:"sightings"` // flagged ones, the newest first
}

type whySet struct {
	Set        waf.SetKind `json:"set"`
	Outcome    waf.Outcome `json:"outcome"`
	Foreign    bool        `json:"foreign,omitempty"`
	Adopted    bool        `json:"adopted,omitempty"`
	Generation int64       `json:"generation"`
	Since      time.Time   `json:"since"` // at the latest
	Until      time.Time   `json:"until"`
}

type whySighting struct {
	Time   time.Time  `json:"time"`
	Name   string     `json:"name"`
	Client netip.Addr `json:"client,omitzero"`
	Score  float32    `json:"score"`
}

// whySightings is how many flagged sightings are shown.
const whySightings = 10

func (y *wafWhyCommand) Run(ctx context.Context, std *streams, c *wafCommand) error {
	value, kind, err := entryValue(y.Entry)
	if err != nil {
		return err
	}
	model, rules, err := openPolicy(c.Model, c.Policy)
	if err != nil {
		return err
	}
	l, err := c.reading(ctx)
	if err != nil {
		return err
	}
	defer l.Close()
	if rules, err = labelled(ctx, l, rules); err != nil {
		return err
	}
	out := why{Entry: value}
	hit := policy.Hit{Kind: policy.KindName, Domain: value}
	if kind != waf.SetNames {
		hit = policy.Hit{Kind: policy.KindClient}
		if hit.Client, err = netip.ParsePrefix(value); err != nil {
			return err
		}
	}
	if label, found := rules.Labelled(hit.Domain); found {
		out.Label = &label
	}
	out.NeverBlock = rules.ExemptHit(hit)
	if kind == waf.SetNames && !strings.HasPrefix(value, "^") {
		var parser features.Parser
		if name, reason := parser.Bare([]byte(value)); reason == features.Named {
			explanation := model.Explain(name)
			out.Model, out.Explain = model.ID(), &explanation
		}
	}
	if err := out.read(ctx, l, hit, time.Now()); err != nil {
		return err
	}
	if y.Format == "json" {
		return writeJSON(std.out, out)
	}
	out.write(std.out)
	return nil
}

// read reads what the ledger has of a hit.
func (y *why) read(ctx context.Context, l *ledger.Ledger, hit policy.Hit, now time.Time) error {
	hits, err := l.ActiveHits(ctx, now)
	if err != nil {
		return err
	}
	if at := slices.IndexFunc(hits, func(h policy.Hit) bool { return h.Key() == hit.Key() }); at >= 0 {
		y.Hit = &hits[at]
	}
	latest, err := l.Latest(ctx)
	if err != nil {
		return err
	}
	for _, g := range latest {
		for _, e := range g.Entries {
			if e.Value == y.Entry {
				y.Sets = append(y.Sets, whySet{g.Set, g.Outcome, e.Foreign, e.Adopted, g.ID, g.Time, e.Expires})
			}
		}
	}
	orders, err := l.Orders(ctx, now)
	if err != nil {
		return err
	}
	if order, kept := waf.Fold(orders, now).Kept[y.Entry]; kept {
		y.KeptOut = &order
	}
	decisions, err := l.Decisions(ctx, time.Time{}, 0)
	if err != nil {
		return err
	}
	for _, d := range slices.Backward(decisions) {
		if d.Hit.Key() == hit.Key() {
			y.Decisions = append(y.Decisions, d)
		}
	}
	sightings, err := l.FlaggedSightings(ctx, hit.Domain, hit.Client, whySightings)
	for _, s := range sightings {
		y.Sightings = append(y.Sightings, whySighting{time.Unix(0, s.Time).UTC(), s.Result.Domain, s.Client, s.Result.Score})
	}
	return err
}

func (y *why) write(w io.Writer) {
	fmt.Fprintln(w, y.Entry)
	if y.Hit != nil {
		fmt.Fprintf(w, "  a hit until %s: %s\n", at(y.Hit.Expires), strings.Join(y.Hit.Reasons, "; "))
	} else {
		fmt.Fprintln(w, "  not a hit now")
	}
	for _, s := range y.Sets {
		fmt.Fprintf(w, "  %s %s since generation %d of %s at the latest, until %s\n", s.where(), setName(s.Set), s.Generation, at(s.Since), at(s.Until))
	}
	if o := y.KeptOut; o != nil {
		fmt.Fprintf(w, "  kept out until %s by order %d (%s)%s\n", at(o.Until), o.ID, o.Verb, inBrackets(o.Why))
	}
	if y.Label != nil {
		fmt.Fprintf(w, "  %s since %s\n", printable(y.Label.String()), at(y.Label.Time))
	}
	if y.NeverBlock {
		fmt.Fprintln(w, "  never-block: it is exempt, and is not pushed whatever speaks against it")
	}
	if y.Explain != nil {
		parts := strings.ReplaceAll(strings.TrimSpace(y.Explain.String()), "\n", "\n    ")
		fmt.Fprintf(w, "  model %s says of %s\n", y.Model, parts)
	}
	for _, d := range y.Decisions {
		fmt.Fprintf(w, "  %s %s: %s\n", at(d.Time), d.Action, d.Why)
	}
	for _, s := range y.Sightings {
		fmt.Fprintf(w, "  %s seen: %s from %s, score %.3g\n", at(s.Time), s.Name, s.from(), s.Score)
	}
	if len(y.Decisions) == 0 && len(y.Sightings) == 0 {
		fmt.Fprintln(w, "  no sighting of it is kept, and nothing was decided on it")
	}
}

// from is whom it came from, in words: a request whose address could not be trusted, or is kept no more, has no client.
func (s whySighting) from() string {
	if !s.Client.IsValid() {
		return "an unknown client"
	}
	return s.Client.String()
}

func (s whySet) where() string {
	switch {
	case s.Foreign:
		return "another writer's entry in the set of"
	case s.Adopted:
		return "found in and adopted into the set of"
	}
	switch s.Outcome {
	case waf.Written:
		return "in the set of"
	case waf.Planned:
		return "about to be in the set of"
	}
	return "in the plan (not written) for"
}
