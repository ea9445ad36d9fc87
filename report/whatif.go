package report

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"

	"referee/classifier"
	"referee/evidence"
	"referee/ledger"
	"referee/policy"
	"referee/waf"
)

// WhatIf is what other settings would block, by the evidence that is remembered now.
type WhatIf struct {
	Window   int    `json:"window_hours"` // how far that evidence reaches back
	Clients  int    `json:"clients"`      // clients in it
	Names    int    `json:"names"`        // distinct external names that they sent, about
	Requests uint64 `json:"requests"`     // requests with an external name that they sent
	Full     bool   `json:"full"`         // clients were pushed out: these are not all
	Rows     []Row  `json:"rows"`         // by confidence, then by evidence; today's among them
	LeftOut  int    `json:"left_out"`     // settings for which there was no time
}

// Row is one setting and what it would block.
type Row struct {
	Confidence    string     `json:"confidence"`
	BenignTail    float64    `json:"benign_tail"`
	Evidence      string     `json:"evidence"` // "half", "today", "twice"
	Rules         string     `json:"rules"`    // what that asks for, in words
	Today         bool       `json:"today"`    // the setting in force
	Names         int        `json:"names"`
	Clients       int        `json:"clients"`
	Requests      uint64     `json:"requests"`       // that carry these names or come from these clients, about
	Share         float64    `json:"share"`          // of the requests with an external name
	ByChance      float64    `json:"by_chance"`      // benign names that the model flags by chance at this confidence, at most and before any evidence
	Unconfirmed   int        `json:"unconfirmed"`    // names and clients that you have not labelled dga: what may be mistakes, at most
	FalseClients  Rate       `json:"false_clients"`  // unconfirmed clients of all that were observed
	Capacity      []waf.Fill `json:"capacity"`       // of empty sets
	CapacityUsed  float64    `json:"capacity_used"`  // of the fullest
	CapacityShort int        `json:"capacity_short"` // names and clients without a place
}

// whatIfTime bounds how long other settings are tried out: 12 of them take some 100 ms each at the most evidence that is kept.
const whatIfTime = 5 * time.Second

// restore is the evidence of the ledger. Rows that are damaged are left out, as at a start of the sidecar.
func restore(ctx context.Context, l *ledger.Ledger, cfg evidence.Config, now time.Time) (*evidence.State, error) {
	key, err := l.EvidenceKey(ctx)
	if err != nil {
		if l.ReadOnly() { // there is none before the first evidence
			return evidence.New(cfg, evidence.Key{}), nil
		}
		return nil, err
	}
	st := evidence.New(cfg, key)
	for row, err := range l.Evidence(ctx) {
		if err != nil {
			return nil, err
		}
		_ = st.Restore(row)
	}
	st.Expire(now)
	return st, nil
}

// asked is one setting to try out.
type asked struct {
	evidence string
	rules    policy.Rules
}

// around are today's rules and those around them.
func around(today policy.Rules) (all []asked) {
	confidences := []classifier.Confidence{classifier.Sensitive, classifier.Balanced, classifier.Strict, today.Confidence}
	slices.SortFunc(confidences, func(a, b classifier.Confidence) int {
		switch {
		case float32(a) > float32(b):
			return -1
		case float32(a) < float32(b):
			return 1
		}
		return 0
	})
	confidences = slices.CompactFunc(confidences, func(a, b classifier.Confidence) bool { return float32(a) == float32(b) })
	for _, c := range confidences {
		half, same, twice := today, today, today
		half.Confidence, same.Confidence, twice.Confidence = c, c, c
		half.Name.MinNetworks, half.Name.MinSightings = max(2, today.Name.MinNetworks/2), max(1, today.Name.MinSightings/2)
		half.Name.MinSuspects = today.Name.MinSuspects / 2
		half.Client.MinFlagged, half.Client.Alpha = max(2, today.Client.MinFlagged/2), math.Sqrt(min(1e-4, today.Client.Alpha))
		twice.Name.MinNetworks, twice.Name.MinSightings = 2*today.Name.MinNetworks, 2*today.Name.MinSightings
		twice.Name.MinSuspects = max(1, 2*today.Name.MinSuspects)
		twice.Client.MinFlagged, twice.Client.Alpha = 2*today.Client.MinFlagged, today.Client.Alpha*today.Client.Alpha
		all = append(all, asked{"half", half}, asked{"today", same}, asked{"twice", twice})
	}
	return all
}

// ruleWords says what rules ask for.
func ruleWords(r policy.Rules) string {
	name := fmt.Sprintf("name: %s, %s", count(r.Name.MinNetworks, "network"), count(r.Name.MinSightings, "request"))
	if r.Name.MinSuspects > 0 {
		name += fmt.Sprintf(", %s", count(r.Name.MinSuspects, "suspect"))
	}
	client := fmt.Sprintf("client: %s", count(r.Client.MinFlagged, "flagged name"))
	if r.Client.Alpha > 0 {
		client += fmt.Sprintf(", alpha %.0e", r.Client.Alpha)
	}
	return name + "; " + client
}

// traffic is what the evidence says of all clients.
type traffic struct {
	clients  int
	names    int
	requests uint64
}

// observe counts the clients, and estimates the distinct names over all their samples: those below the lowest limit of
// any sample are a uniform sample of all.
func observe(st *evidence.State) traffic {
	var t traffic
	distinct := map[uint64]struct{}{}
	largest := 0 // of the samples that left some out
	for c := range st.Clients() {
		t.clients++
		t.requests += c.Sightings
		if !c.Names.Exact() {
			largest = max(largest, c.Names.Distinct())
		}
		for _, it := range c.Names.Items() {
			distinct[it.Hash] = struct{}{}
		}
	}
	t.names = max(len(distinct), largest)
	return t
}

func (r *Report) whatIf(ctx context.Context, src *Sources, st *evidence.State, said map[string]policy.Says, now time.Time) error {
	t, sizes := observe(st), st.Sizes()
	w := &r.WhatIf
	*w = WhatIf{
		Window: int(src.Evidence.Window.Hours()), Clients: t.clients, Names: t.names, Requests: t.requests,
		Full: sizes.Clients >= sizes.ClientsCapacity, Rows: []Row{},
	}
	began := time.Now()
	today := src.Policy.Rules()
	order := around(today)
	// Today's first: it must be there however long the others take.
	slices.SortStableFunc(order, func(a, b asked) int { return isToday(b, today) - isToday(a, today) })
	for i, a := range order {
		if i > 0 && time.Since(began) > whatIfTime {
			w.LeftOut = len(order) - i
			break
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		p, err := src.Policy.Under(a.rules, src.Model)
		if err != nil {
			if i == 0 {
				return err
			}
			continue // the model's calibration does not support it
		}
		hits, _ := p.Decide(nil, st, now)
		row := Row{
			Confidence: a.rules.Confidence.String(), BenignTail: float64(a.rules.Confidence), Evidence: a.evidence, Rules: ruleWords(a.rules),
			Today: i == 0, ByChance: float64(a.rules.Confidence) * float64(t.names),
		}
		row.fill(hits.All(), st, t, said)
		row.Capacity = src.WAF.Fill(hits.All(), now)
		for _, f := range row.Capacity {
			row.CapacityUsed = max(row.CapacityUsed, float64(f.Items)/float64(f.Room))
			row.CapacityShort += f.Waiting
		}
		w.Rows = append(w.Rows, row)
	}
	slices.SortStableFunc(w.Rows, func(a, b Row) int {
		switch {
		case a.BenignTail > b.BenignTail:
			return -1
		case a.BenignTail < b.BenignTail:
			return 1
		}
		return slices.Index(strength, a.Evidence) - slices.Index(strength, b.Evidence)
	})
	return nil
}

var strength = []string{"half", "today", "twice"}

func isToday(a asked, today policy.Rules) int {
	if a.evidence == "today" && float32(a.rules.Confidence) == float32(today.Confidence) {
		return 1
	}
	return 0
}

// fill counts hits, and the requests that they would stop: none twice that both a name and its client would.
func (row *Row) fill(hits []policy.Hit, st *evidence.State, t traffic, said map[string]policy.Says) {
	names := map[string]bool{}
	for i := range hits {
		if h := &hits[i]; h.Kind == policy.KindName {
			names[h.Domain] = true
			row.Names++
			row.Requests += h.Sightings
			if said[h.Domain] != policy.SaysDGA {
				row.Unconfirmed++
			}
		}
	}
	unconfirmed := 0
	for i := range hits {
		h := &hits[i]
		if h.Kind != policy.KindClient {
			continue
		}
		row.Clients++
		if !mostlyConfirmed(h.Names, said) {
			unconfirmed++
		}
		row.Requests += beyond(st, h.Client, names)
	}
	row.Unconfirmed += unconfirmed
	row.FalseClients = newRate(unconfirmed, t.clients)
	if t.requests > 0 {
		row.Share = min(1, float64(row.Requests)/float64(t.requests))
	}
}

// mostlyConfirmed says whether more than half of the flagged names of a client that are kept are labelled dga.
func mostlyConfirmed(names []string, said map[string]policy.Says) bool {
	n := 0
	for _, name := range names {
		if said[name] == policy.SaysDGA {
			n++
		}
	}
	return 2*n > len(names)
}

// beyond is how many requests of a client carry none of these names.
func beyond(st *evidence.State, client netip.Prefix, names map[string]bool) uint64 {
	c := st.Client(client.Addr())
	if c == nil {
		return 0
	}
	with := 0.0
	for _, it := range c.Names.Items() {
		if names[it.Domain()] {
			with += float64(it.Count)
		}
	}
	return c.Sightings - min(c.Sightings, uint64(c.Names.Scale(with)))
}

// errNoToday is what must not happen: today's setting is always tried.
var errNoToday = errors.New("today's setting was not tried")

// today is the row of the setting in force.
func (w *WhatIf) today() (*Row, error) {
	for i := range w.Rows {
		if w.Rows[i].Today {
			return &w.Rows[i], nil
		}
	}
	return nil, errNoToday
}
