package report

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"referee/classifier"
	"referee/features"
	"referee/ledger"
	"referee/policy"
)

// How much is told of single hits at most: those that stand, of the highest rank, first.
const (
	maxExplained = 500 // of each kind
	maxExampled  = 500
	examples     = 3
	maxParts     = 6
	maxOrders    = 200
	maxAlerts    = 200
	maxSpared    = 500
)

// Explanation is what made a name's score, in words: the weights of the model in force.
type Explanation struct {
	Form  string `json:"form,omitempty"` // random, hex, pronounceable, wordlist; absent where it is not distinct
	Parts []Part `json:"parts"`          // the strongest first, at most 6
}

// Part is one reason and the log-odds it added: above 0 towards generated.
type Part struct {
	What   string  `json:"what"`
	Effect float32 `json:"effect"`
}

// Example is a request that the hit rests on. Referer, agent and path are what a client sent: hostile bytes, cut at 256.
type Example struct {
	Time    time.Time `json:"time"`
	Name    string    `json:"name"`
	Client  string    `json:"client,omitempty"` // absent where none could be trusted, or none is kept
	Referer string    `json:"referer"`
	Agent   string    `json:"agent,omitempty"`
	Path    string    `json:"path,omitempty"` // without its query
}

// Spared is a client that would have been blocked, were there not a verified session.
type Spared struct {
	Client string    `json:"client"`
	Time   time.Time `json:"time"`
	Why    string    `json:"why"`
}

// Order is what the owner said about the sets.
type Order struct {
	ID     int64     `json:"id"`
	Time   time.Time `json:"time"`
	Verb   string    `json:"verb"` // hold, resume, withdraw, unblock, rollback, approve, …
	Values []string  `json:"values"`
	Until  time.Time `json:"until,omitzero"`
	Why    string    `json:"why,omitempty"`
}

// Trouble is a set that is left alone for now, and why.
type Trouble struct {
	Set   string    `json:"set"`
	Since time.Time `json:"since"`
	Class string    `json:"class"`
	Error string    `json:"error"`
}

// Alert is one that the owner was told.
type Alert struct {
	Time time.Time `json:"time"`
	Kind string    `json:"kind"` // attack, held, approval, breaker, saved, drift, ledger, model, aws, test
	Text string    `json:"text"` // its first line
}

// details adds to hits what a person asks next: why the model thinks so, who sent it, and what was said of it.
func (r *Report) details(ctx context.Context, src *Sources, said map[string]policy.Says) error {
	for i := range r.Names.List {
		h := &r.Names.List[i]
		h.Label = said[h.Name]
		if i < maxExplained {
			h.Explanation = explain(src.Model, h.Name)
		}
		if i < maxExampled {
			if err := h.exampled(ctx, src.Ledger, policy.Hit{Kind: policy.KindName, Domain: h.Name}.Key()); err != nil {
				return err
			}
		}
	}
	for i := range r.Clients.List {
		h := &r.Clients.List[i]
		if i < maxExplained && len(h.FlaggedNames) > 0 {
			h.Explanation = explain(src.Model, h.FlaggedNames[0]) // of its strongest name
		}
		if prefix, err := netip.ParsePrefix(h.Client); err == nil && i < maxExampled {
			if err := h.exampled(ctx, src.Ledger, policy.Hit{Kind: policy.KindClient, Client: prefix}.Key()); err != nil {
				return err
			}
		}
	}
	return nil
}

// explain takes a name's score apart.
func explain(m *classifier.Model, domain string) *Explanation {
	label, _, _ := strings.Cut(domain, ".")
	e := m.Explain(features.Name{Host: domain, Domain: domain, Label: label})
	out := &Explanation{Form: string(e.Kind), Parts: []Part{}}
	for _, p := range e.Parts[:min(len(e.Parts), maxParts)] {
		out.Parts = append(out.Parts, Part{p.What, p.Effect})
	}
	return out
}

func (h *Hit) exampled(ctx context.Context, l *ledger.Ledger, key string) error {
	kept, err := l.Examples(ctx, key, examples)
	if err != nil {
		return err
	}
	for _, e := range kept {
		shown := Example{Time: seconds(e.Time), Name: e.Domain, Referer: e.Referer, Agent: e.Agent, Path: e.Path}
		if e.Client.IsValid() {
			shown.Client = e.Client.String()
		}
		h.Examples = append(h.Examples, shown)
	}
	return nil
}

// done is what sessions spared, what the owner ordered and what he was told within the period.
func (r *Report) done(ctx context.Context, l *ledger.Ledger, decisions []policy.Decision, since time.Time) error {
	r.Spared, r.Orders, r.Troubles, r.Alerts = []Spared{}, []Order{}, []Trouble{}, []Alert{}
	for _, d := range decisions {
		if d.Action == policy.Spare && d.Hit.Kind == policy.KindClient && !d.Time.Before(since) && len(r.Spared) < maxSpared {
			r.Spared = append(r.Spared, Spared{Client: d.Hit.Client.String(), Time: seconds(d.Time), Why: d.Why})
		}
	}
	orders, err := l.OrdersSince(ctx, since)
	if err != nil {
		return err
	}
	for _, o := range orders[:min(len(orders), maxOrders)] {
		values := slices.Clone(o.Values)
		for _, e := range o.Entries {
			values = append(values, e.Value)
		}
		values, _ = cut(values, maxSample)
		r.Orders = append(r.Orders, Order{ID: o.ID, Time: seconds(o.Time), Verb: string(o.Verb), Values: values, Until: o.Until, Why: o.Why})
	}
	alerts, err := l.Alerts(ctx, since, maxAlerts)
	for _, a := range alerts {
		r.Alerts = append(r.Alerts, Alert{seconds(a.Time), a.Kind, a.Text})
	}
	return err
}
