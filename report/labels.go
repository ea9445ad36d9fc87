package report

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"referee/ledger"
	"referee/policy"
)

const maxLabels = 1000

// Labels are the owner's words on single names that stand now, whenever they were said.
type Labels struct {
	Names   int     `json:"names"`
	LeftOut int     `json:"left_out"` // how many are not listed
	List    []Label `json:"list"`     // the newest first; at most 1,000
}

// Label is what the owner said of a name.
type Label struct {
	Name      string      `json:"name"`
	Label     policy.Says `json:"label"` // "dga" or "benign"
	Time      time.Time   `json:"time"`
	Who       string      `json:"who,omitempty"`
	Reason    string      `json:"reason,omitempty"`
	Exemption string      `json:"exemption,omitempty"` // of a name labelled dga: the never-block list that overrules it
}

// labels lists what stands, and tells said of it.
func (r *Report) labels(ctx context.Context, l *ledger.Ledger, p *policy.Policy, said map[string]policy.Says) error {
	labels, err := l.Labels(ctx)
	if err != nil {
		return err
	}
	for _, one := range labels {
		said[one.Name] = one.Says
		label := Label{Name: one.Name, Label: one.Says, Time: seconds(one.Time), Who: one.Who, Reason: one.Reason}
		if e := p.NeverBlocks(one.Name); one.Says == policy.SaysDGA && e != policy.NotExempt {
			label.Exemption = e.String()
		}
		r.Labels.List = append(r.Labels.List, label)
	}
	slices.SortStableFunc(r.Labels.List, func(a, b Label) int { return b.Time.Compare(a.Time) })
	r.Labels.Names = len(labels)
	r.Labels.List, r.Labels.LeftOut = cut(r.Labels.List, maxLabels)
	return nil
}

// Effect is what a label does, in words.
func (l Label) Effect() string {
	switch {
	case l.Exemption != "":
		return "none: " + exemption(l.Exemption)
	case l.Label == policy.SaysBenign:
		return "never blocked"
	}
	return "flagged whatever its score"
}

func (r *Report) textLabels(w *strings.Builder) {
	if r.Labels.Names == 0 {
		return
	}
	heading(w, "Labelled by you: "+count(r.Labels.Names, "name"))
	t := newTable("name", "label", "since", "by", "effect")
	shown := r.Labels.List[:min(len(r.Labels.List), textRows)]
	var notes []string
	for _, l := range shown {
		t.AppendRow(table.Row{printable(l.Name), printable(string(l.Label)), day(l.Time), printable(l.Who), l.Effect()})
		notes = append(notes, printable(l.Reason))
	}
	render(w, t, notes...)
	more(w, r.Labels.Names-len(shown))
}
