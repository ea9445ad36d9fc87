package report

import (
	"context"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"referee/evidence"
	"referee/policy"
)

const maxNear = 500

// Near is what a rule kept from being blocked, by the evidence that is remembered now. What never-block saved is in Saved.
type Near struct {
	Names   int        `json:"names"`
	Clients int        `json:"clients"`
	LeftOut int        `json:"left_out"` // how many of both are not listed
	List    []NearMiss `json:"list"`     // what comes nearest first; at most 500
}

// NearMiss is a flagged name, or a client that sent several, and the first rule that stopped it.
type NearMiss struct {
	Name       string    `json:"name,omitempty"`
	Client     string    `json:"client,omitempty"`
	Rule       string    `json:"rule"` // the key of its setting: "name.min-networks", "client.min-share", …
	Why        string    `json:"why"`
	BenignTail float32   `json:"benign_tail"`
	OneIn      uint64    `json:"one_in"`
	Sightings  uint64    `json:"sightings"`
	Last       time.Time `json:"last"`
}

func (r *Report) near(ctx context.Context, src *Sources, st *evidence.State, now time.Time) error {
	const most = 20_000 // all that Held gathers
	active, err := src.Ledger.ActiveHits(ctx, now)
	if err != nil {
		return err
	}
	n := &r.Near
	for _, h := range src.Policy.Held(st, policy.NewHits(active), now, most) {
		miss := NearMiss{
			Name: h.Domain, Rule: string(h.Rule), Why: h.Why, BenignTail: h.Tail, OneIn: oneIn(float64(h.Tail)), Sightings: h.Sightings, Last: seconds(h.Last),
		}
		switch {
		case h.Kind == policy.KindClient:
			miss.Client = h.Client.String()
			n.Clients++
		case h.Rule == policy.RuleNeverBlock:
			continue
		default:
			n.Names++
		}
		n.List = append(n.List, miss)
	}
	n.List, n.LeftOut = cut(n.List, maxNear)
	return nil
}

func (r *Report) textNear(w *strings.Builder) {
	if len(r.Near.List) == 0 {
		return
	}
	heading(w, "Near misses: "+count(r.Near.Names, "name")+" and "+count(r.Near.Clients, "client")+" that a rule stopped")
	t := newTable("name or client", "1 in", "seen", "last", "stopped by")
	right(t, 2, 3)
	shown := r.Near.List[:min(len(r.Near.List), textRows)]
	var notes []string
	for _, n := range shown {
		t.AppendRow(table.Row{printable(n.Name + n.Client), grouped(n.OneIn), grouped(n.Sightings), day(n.Last), printable(n.Rule)})
		notes = append(notes, printable(n.Why))
	}
	render(w, t, notes...)
	more(w, r.Near.Names+r.Near.Clients-len(shown))
}
