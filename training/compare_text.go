package training

import (
	"fmt"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
)

// Text writes a comparison for people: the answer first.
func (c *Comparison) Text(w io.Writer) error {
	if _, err := fmt.Fprintln(w, c.Answer()+"\n"); err != nil {
		return err
	}
	sections := []section{c.sourceSection(), c.groupSection()}
	if changed := c.familySection(); changed.rows.Length() > 0 {
		sections = append(sections, changed)
	}
	if len(c.Newly) > 0 {
		sections = append(sections, c.newlySection())
	}
	return writeText(w, append(sections, c.costSection()))
}

// Answer says whether the new model may replace the old one, and if not why.
func (c *Comparison) Answer() string {
	if !c.Passes() {
		return fmt.Sprintf("FAIL: %s is worse than %s at a claimed tail of %s:\n- %s", c.New.ID, c.Old.ID, rateWords(c.Tail), strings.Join(c.Worse, "\n- "))
	}
	clean, groups := 0, 0
	for _, s := range c.Sources {
		if s.Role == Clean {
			clean++
		}
	}
	for _, g := range c.Groups {
		if gated(g.Group) {
			groups++
		}
	}
	return fmt.Sprintf("PASS: %s may replace %s: at a claimed tail of %s it flags no more names on any of %d clean sources, and finds no fewer in any of "+
		"%d groups of families, beyond chance.", c.New.ID, c.Old.ID, rateWords(c.Tail), clean, groups)
}

func mark(worse bool) string {
	if worse {
		return "WORSE"
	}
	return ""
}

func (c *Comparison) sourceSection() section {
	t := newTable("source", "names", "old flags", "new flags", "only old", "only new", "p", "")
	for _, s := range c.Sources {
		row := table.Row{printable(s.Source), s.Names, s.Old().Hits, s.New().Hits, s.OnlyOld, s.OnlyNew, "", "shown only"}
		if s.Role == Clean {
			row[6], row[7] = fmt.Sprintf("%.2g", s.P), mark(s.Worse)
		}
		t.AppendRow(row)
	}
	return section{
		"Benign names flagged",
		"Exact one-sided McNemar test of the names that one model flags and the other does not; p adjusted by Holm for the number of clean sources. Sets " +
			"that are not clean hold generated names too and stop nothing.",
		t,
	}
}

func (c *Comparison) groupSection() section {
	t := newTable("families", "number", "old finds", "new finds", "change in points", "")
	for _, g := range c.Groups {
		note := mark(g.Worse)
		if !gated(g.Group) {
			note = "shown only"
		}
		t.AppendRow(table.Row{
			g.Group, g.Families, percent(g.Old), percent(g.New),
			fmt.Sprintf("%+.1f (%+.1f to %+.1f)", 100*(g.New-g.Old), 100*g.Interval.Low, 100*g.Interval.High), note,
		})
	}
	return section{
		"Generated names found",
		"Average over families. The interval is a bootstrap's, over the names of these families and over the clean names that each model was calibrated " +
			"on, wide enough for 5 % of mistakes over all groups that count. Worse: all of it is below 0.",
		t,
	}
}

func (c *Comparison) familySection() section {
	t := newTable("family", "group", "names", "old finds", "new finds", "change in points", "p")
	for _, f := range c.Families {
		if f.P < significant {
			t.AppendRow(table.Row{
				printable(f.Family), f.Group, f.Names, percent(f.Old().Share()), percent(f.New().Share()),
				fmt.Sprintf("%+.1f", 100*f.change()), fmt.Sprintf("%.2g", f.P),
			})
		}
	}
	return section{
		"Families that changed beyond chance, the losers first",
		"Exact two-sided McNemar test, adjusted by Holm for the number of families. A family's loss alone stops nothing: its group's does.",
		t,
	}
}

func (c *Comparison) newlySection() section {
	t := newTable("name", "set", "source", "old tail", "new tail")
	for _, n := range c.Newly {
		t.AppendRow(table.Row{printable(n.Name), printable(n.Set), printable(n.Source), fmt.Sprintf("%.2g", n.Old), fmt.Sprintf("%.2g", n.New)})
	}
	return section{
		"Benign names newly flagged",
		fmt.Sprintf("The %d highest-scored of %d, clean or not. Machine-made ones are no mistakes: judge by eye.", len(c.Newly), c.NewlyAll),
		t,
	}
}

func (c *Comparison) costSection() section {
	t := newTable("", "old", "new", "ratio")
	t.AppendRow(table.Row{"file, bytes", c.Old.Bytes, c.New.Bytes, fmt.Sprintf("%.2f", float64(c.New.Bytes)/float64(max(c.Old.Bytes, 1)))})
	if before, after := c.Old.Speed, c.New.Speed; before != nil && after != nil {
		row := func(what string, old, young float64) {
			t.AppendRow(table.Row{what, fmt.Sprintf("%.0f", old), fmt.Sprintf("%.0f", young), fmt.Sprintf("%.2f", young/max(old, 1))})
		}
		row("a benign name, ns", before.Benign, after.Benign)
		row("a name that reads every stage, ns", before.EveryStage, after.EveryStage)
	}
	return section{"Cost", "Times on one core, the best of rounds that take turns: compare the ratios.", t}
}
