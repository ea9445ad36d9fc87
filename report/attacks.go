package report

import (
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"referee/evidence"
)

// maxAttacks is how many attacks a report lists at most.
const maxAttacks = 100

// Attacks are the cohorts whose names were generated: many clients that look like one sender.
type Attacks struct {
	LeftOut int      `json:"left_out"` // how many are not listed
	List    []Attack `json:"list"`     // those with the most flagged names first
}

// Attack is one of them.
type Attack struct {
	Network   string    `json:"network,omitempty"` // "198.51.100.0/24", an IPv6 /48; absent: from anywhere
	What      string    `json:"what"`              // one sentence
	Clients   int       `json:"clients"`
	Flagged   int       `json:"flagged"`   // distinct flagged names
	Distinct  int       `json:"distinct"`  // distinct external names
	Sightings uint64    `json:"sightings"` // requests with an external name
	Names     []string  `json:"names"`     // some of the flagged ones
	First     time.Time `json:"first"`
	Last      time.Time `json:"last"`
}

func (r *Report) attacks(src *Sources, st *evidence.State) {
	var all []Attack
	for _, a := range src.Policy.Attacks(st) {
		one := Attack{
			What: a.String(), Clients: a.Clients, Flagged: a.Flagged, Distinct: a.Distinct, Sightings: a.Sightings,
			Names: a.Names, First: seconds(a.First), Last: seconds(a.Last),
		}
		if a.Network.IsValid() {
			one.Network = a.Network.String()
		}
		all = append(all, one)
	}
	r.Attacks.List, r.Attacks.LeftOut = cut(all, maxAttacks)
}

func (r *Report) textAttacks(w *strings.Builder) {
	if len(r.Attacks.List) == 0 {
		return
	}
	heading(w, "Attacks: "+count(len(r.Attacks.List)+r.Attacks.LeftOut, "cohort")+" of clients that look like one sender")
	t := newTable("from", "clients", "flagged names", "requests", "first", "last")
	right(t, 2, 3, 4)
	shown := r.Attacks.List[:min(len(r.Attacks.List), textRows)]
	var notes []string
	for _, a := range shown {
		from := a.Network
		if from == "" {
			from = "any network"
		}
		t.AppendRow(table.Row{from, grouped(uint64(a.Clients)), grouped(uint64(a.Flagged)), grouped(a.Sightings), day(a.First), day(a.Last)})
		notes = append(notes, printable(a.What))
	}
	render(w, t, notes...)
	more(w, len(r.Attacks.List)+r.Attacks.LeftOut-len(shown))
}
