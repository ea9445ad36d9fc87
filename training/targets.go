package training

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
)

// TargetRow is what the default model is to reach, and what it does.
type TargetRow struct {
	Group    string   `json:"group"`
	Rate     float64  `json:"false_positive_rate"`
	Target   float64  `json:"target"`
	Found    float64  `json:"found"`
	Interval Interval `json:"interval"`
}

// Met says whether the figure itself reaches the target, wherever its interval ends.
func (t TargetRow) Met() bool { return t.Found >= t.Target }

// targets were set before the model was made, for the development lists of the project.
var targets = []TargetRow{
	{Group: "known random", Rate: 1e-3, Target: 0.88},
	{Group: "known wordlist", Rate: 1e-3, Target: 0.70},
	{Group: "unseen random", Rate: 1e-3, Target: 0.78},
	{Group: "known random", Rate: 1e-4, Target: 0.78},
	{Group: "known wordlist", Rate: 1e-4, Target: 0.45},
	{Group: "unseen random", Rate: 1e-4, Target: 0.68},
}

// CompareTargets puts the project's targets beside what was measured. They mean something for its development lists alone.
func (e *Evaluation) CompareTargets() {
	for _, t := range targets {
		for _, g := range e.Groups {
			for i, rate := range e.Rates {
				if g.Group == t.Group && rate == t.Rate {
					t.Found, t.Interval = g.Found[i], g.Intervals[i]
					e.Targets = append(e.Targets, t)
				}
			}
		}
	}
}

// peer is what another classifier finds at 1 %, 0.1 % and 0.01 % of known random, known wordlist, unseen random and unseen
// wordlist families, in percent; -1 where it reaches no such rate.
type peer struct {
	name  string
	found [3][4]int
	cost  string // microseconds a name on one core
}

// peers were measured once on the development families and 133,000 benign names, their own weights and defaults.
var peers = []peer{
	{"COSSAS dgad, LSTM", [3][4]int{{78, 5, 69, 7}, {41, 1, 45, 2}, {9, 0, 6, 0}}, "881"},
	{"dga-intel, CNN and LSTM", [3][4]int{{76, 2, 65, 4}, {56, 0, 43, 0}, {27, 0, 16, 0}}, "384"},
	{"CPEN, recurrent of 32 units", [3][4]int{{63, 6, 56, 2}, {40, 2, 32, 0}, {17, 0, 10, 0}}, "3.7"},
	{"nDPI 4.2, yes or no, at 1.25 %", [3][4]int{{53, 3, 42, 2}, {-1, -1, -1, -1}, {-1, -1, -1, -1}}, "0.2–2"},
}

// peerGroups are the groups of peer.found.
var peerGroups = [...]string{"known random", "known wordlist", "unseen random", "unseen wordlist"}

func (e *Evaluation) targetSection() section {
	t := newTable("families", "false positives", "target", "found", "95 % interval", "")
	for _, r := range e.Targets {
		verdict := "met"
		if !r.Met() {
			verdict = fmt.Sprintf("%.2g points short", 100*(r.Target-r.Found))
		}
		t.AppendRow(table.Row{r.Group, rateWords(r.Rate), fmt.Sprintf("%.0f %%", 100*r.Target), percent(r.Found), r.Interval.between(), verdict})
	}
	return section{"Targets", "Set before the model was made. Average over families of the share of names found; the interval is the bootstrap's, below.", t}
}

func (e *Evaluation) peerSection() section {
	header := []any{"classifier"}
	for _, rate := range falsePositiveRates {
		header = append(header, "at "+rateWords(rate))
	}
	t := newTable(append(header, "µs a name")...)
	ours := table.Row{"this model"}
	for i := range falsePositiveRates {
		var cells []string
		for _, group := range peerGroups {
			cell := "–"
			if found := e.Group(group); found != nil {
				cell = fmt.Sprintf("%.0f", 100*found[i])
			}
			cells = append(cells, cell)
		}
		ours = append(ours, strings.Join(cells, " / "))
	}
	t.AppendRow(append(ours, "see docs/performance.md"))
	for _, p := range peers {
		row := table.Row{p.name}
		for _, found := range p.found {
			var cells []string
			for _, share := range found {
				if share >= 0 {
					cells = append(cells, strconv.Itoa(share))
				}
			}
			row = append(row, strings.Join(cells, " / "))
		}
		t.AppendRow(append(row, p.cost))
	}
	return section{
		"Beside peers",
		"Percent found of " + strings.Join(peerGroups[:], " / ") + " families. The peers were measured once on the same families, at thresholds of " +
			"a set of 133,000 benign names that holds some generated ones: read them as sizes.",
		t,
	}
}
