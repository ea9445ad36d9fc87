package training

import (
	"fmt"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// section is a table under a heading, with a sentence of explanation.
type section struct {
	title string
	about string
	rows  table.Writer
}

// Text writes an evaluation for people.
func (e *Evaluation) Text(w io.Writer) error {
	for _, s := range e.sections() {
		s.rows.SetStyle(table.StyleLight)
		s.rows.Style().Format.Header = text.FormatDefault
		if _, err := fmt.Fprintf(w, "%s\n%s\n%s\n\n", s.title, s.about, s.rows.Render()); err != nil {
			return err
		}
	}
	return nil
}

// markdown writes the same as sections of a document.
func (e *Evaluation) markdown() string {
	var b strings.Builder
	for _, s := range e.sections() {
		fmt.Fprintf(&b, "### %s\n\n%s\n\n%s\n\n", s.title, s.about, s.rows.RenderMarkdown())
	}
	return strings.TrimSpace(b.String())
}

func (e *Evaluation) sections() []section {
	sections := []section{e.groupSection(), e.lengthSection(), e.benignSection()}
	if len(e.Claims) > 0 {
		sections = append(sections, e.claimSection())
	}
	return append(sections, e.confusionSection(), e.familySection())
}

func newTable(header ...any) table.Writer {
	t := table.NewWriter()
	t.AppendHeader(table.Row(header))
	return t
}

func percent(share float64) string { return fmt.Sprintf("%.1f %%", 100*share) }

func (s Shares) cells() table.Row {
	var row table.Row
	for _, share := range s {
		row = append(row, percent(share))
	}
	return row
}

func (e *Evaluation) groupSection() section {
	t := newTable("families", "number", "names", "at 1 %", "at 0.1 %", "at 0.01 %")
	for _, g := range e.Groups {
		t.AppendRow(append(table.Row{g.Group, g.Families, g.Names}, g.Found.cells()...))
	}
	return section{
		"Generated names found",
		fmt.Sprintf("Average over families of the share of names found, at the thresholds (%.2f, %.2f, %.2f) that 1 %%, 0.1 %% and 0.01 %% of the %d clean "+
			"benign names reach. All lengths, by score alone.", e.Thresholds[0], e.Thresholds[1], e.Thresholds[2], e.CleanNames),
		t,
	}
}

func (e *Evaluation) lengthSection() section {
	t := newTable("characters", "clean", "flagged at 0.1 %", "at 0.01 %",
		"known random", "found at 0.1 %", "at 0.01 %", "unseen random", "found at 0.1 %", "at 0.01 %")
	for _, l := range e.Lengths {
		t.AppendRow(table.Row{
			fmt.Sprintf("%d–%d", l.From, l.To),
			l.Clean[1].Names, l.Clean[1].Hits, l.Clean[2].Hits,
			l.Known[1].Names, percent(l.Known[1].Share()), percent(l.Known[2].Share()),
			l.Unseen[1].Names, percent(l.Unseen[1].Share()), percent(l.Unseen[2].Share()),
		})
	}
	return section{"By length of the label", "At the same thresholds; every name counts the same.", t}
}

func (e *Evaluation) benignSection() section {
	t := newTable("source", "names", "at 1 %", "at 0.1 %", "95 % bound", "at 0.01 %", "95 % bound")
	for _, b := range e.Benign {
		t.AppendRow(table.Row{
			b.Source, b.Names, b.Rates[0].Hits,
			b.Rates[1].Hits, fmt.Sprintf("%.3f %%", 100*b.Rates[1].Upper()),
			b.Rates[2].Hits, fmt.Sprintf("%.3f %%", 100*b.Rates[2].Upper()),
		})
	}
	return section{
		"Benign names flagged, by source",
		"Names at or above the same thresholds, and the one-sided upper bound of their share (Clopper and Pearson). Sets that are not clean hold " +
			"generated names too.",
		t,
	}
}

func (e *Evaluation) claimSection() section {
	header := []any{"confidence", "claimed tail", "threshold", "clean names judged", "flagged", "share", "95 % bound"}
	for _, g := range e.Claims[0].Groups {
		header = append(header, g.Group)
	}
	t := newTable(header...)
	for _, c := range e.Claims {
		row := table.Row{
			c.Confidence.String(), fmt.Sprintf("%.3f %%", 100*float64(c.Confidence)), fmt.Sprintf("%.2f", c.Threshold),
			c.Clean.Names, c.Clean.Hits, fmt.Sprintf("%.3f %%", 100*c.Clean.Share()), fmt.Sprintf("%.3f %%", 100*c.Clean.Upper()),
		}
		for _, g := range c.Groups {
			row = append(row, percent(g.Found))
		}
		t.AppendRow(row)
	}
	return section{
		"What the model claims, and what was measured",
		"At the model's own thresholds, from its calibration. Labels that it abstains from count as not flagged and not found.",
		t,
	}
}

func (e *Evaluation) confusionSection() section {
	t := newTable("", "told generated", "told benign")
	c := e.Confusion
	t.AppendRow(table.Row{"generated (known random)", c.Generated.Hits, c.Generated.Names - c.Generated.Hits})
	t.AppendRow(table.Row{"clean benign", c.Benign.Hits, c.Benign.Names - c.Benign.Hits})
	return section{
		"Confusion matrix at 0.1 %",
		fmt.Sprintf("Precision %.4f and F1 %.4f, at the mixture of these sets; that of real traffic is another.", c.Precision, c.F1),
		t,
	}
}

func (e *Evaluation) familySection() section {
	t := newTable("family", "kind", "group", "names", "at 1 %", "at 0.1 %", "at 0.01 %")
	for _, f := range e.Families {
		t.AppendRow(append(table.Row{f.Family, f.Kind, f.Group, f.Names}, f.Found.cells()...))
	}
	return section{"By family", "Share of names found at the same thresholds.", t}
}
