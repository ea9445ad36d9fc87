package training

import (
	"fmt"
	"io"
	"strconv"
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
	return writeText(w, append(e.sections(), e.localSections()...))
}

func writeText(w io.Writer, sections []section) error {
	for _, s := range sections {
		s.rows.SetStyle(table.StyleLight)
		s.rows.Style().Format.Header = text.FormatDefault
		if _, err := fmt.Fprintf(w, "%s\n%s\n%s\n\n", s.title, s.about, s.rows.Render()); err != nil {
			return err
		}
	}
	return nil
}

// markdown writes what is equal in equal runs, and holds no names of lists, as sections of a document.
func (e *Evaluation) markdown() string {
	var b strings.Builder
	for _, s := range e.sections() {
		fmt.Fprintf(&b, "### %s\n\n%s\n\n%s\n\n", s.title, s.about, s.rows.RenderMarkdown())
	}
	return strings.TrimSpace(b.String())
}

func (e *Evaluation) sections() []section {
	var sections []section
	if len(e.Targets) > 0 {
		sections = append(sections, e.targetSection(), e.peerSection())
	}
	sections = append(sections, e.groupSection(), e.lengthSection(), e.benignSection())
	if len(e.Claims) > 0 {
		sections = append(sections, e.claimSection())
	}
	if len(e.Calibration) > 0 {
		sections = append(sections, e.calibrationSection())
	}
	return append(sections, e.confusionSection(), e.familySection())
}

// localSections are of this machine and these lists: no card holds them.
func (e *Evaluation) localSections() []section {
	var sections []section
	for _, t := range e.Top {
		if len(t.Names) > 0 {
			sections = append(sections, t.section())
		}
	}
	if e.Speed != nil {
		sections = append(sections, e.Speed.section())
	}
	return sections
}

func newTable(header ...any) table.Writer {
	t := table.NewWriter()
	t.AppendHeader(table.Row(header))
	return t
}

func percent(share float64) string { return fmt.Sprintf("%.1f %%", 100*share) }

// rateWords is a false-positive rate: 0.01 %.
func rateWords(rate float64) string { return strconv.FormatFloat(100*rate, 'g', 4, 64) + " %" }

func thousandths(share float64) string { return fmt.Sprintf("%.3f %%", 100*share) }

// between are the ends of an interval, in percent.
func (i Interval) between() string { return fmt.Sprintf("%.1f–%.1f", 100*i.Low, 100*i.High) }

// printable makes text of a list fit to be shown: what is no graphic character is quoted.
func printable(s string) string { return strings.Trim(strconv.QuoteToGraphic(s), `"`) }

// atRates are the headers of columns, one for each rate.
func (e *Evaluation) atRates() []any {
	var header []any
	for _, rate := range e.Rates {
		header = append(header, "at "+rateWords(rate))
	}
	return header
}

func (s Shares) cells() table.Row {
	var row table.Row
	for _, share := range s {
		row = append(row, percent(share))
	}
	return row
}

func (e *Evaluation) groupSection() section {
	header := []any{"families", "number", "names", "AUC"}
	for _, at := range e.atRates() {
		header = append(header, at)
		if e.Bootstrap.Resamples > 0 {
			header = append(header, "interval")
		}
	}
	if e.Bootstrap.Resamples > 0 {
		header = append(header, "abstained")
	}
	t := newTable(header...)
	for _, g := range e.Groups {
		row := table.Row{g.Group, g.Families, g.Names, fmt.Sprintf("%.4f", g.AUC)}
		for i, found := range g.Found {
			row = append(row, percent(found))
			if e.Bootstrap.Resamples > 0 {
				row = append(row, g.Intervals[i].between())
			}
		}
		if e.Bootstrap.Resamples > 0 {
			row = append(row, percent(g.Abstained))
		}
		t.AppendRow(row)
	}
	var at []string
	for i, rate := range e.Rates {
		at = append(at, fmt.Sprintf("%.2f for %s", e.Thresholds[i], rateWords(rate)))
	}
	about := fmt.Sprintf("Average over families of the share of names found, at the thresholds that so many of the %d clean benign names reach (%s). "+
		"All lengths, by score alone.", e.CleanNames, strings.Join(at, ", "))
	if e.Bootstrap.Resamples > 0 {
		about += fmt.Sprintf(" The 95 %% intervals are of %d bootstrap resamples (seed %d) over families, their names, and the clean names that set the "+
			"thresholds; of under ten families they say too little.", e.Bootstrap.Resamples, e.Bootstrap.Seed)
	}
	return section{"Generated names found", about, t}
}

func (e *Evaluation) lengthSection() section {
	t := newTable("characters", "clean", "flagged at 0.1 %", "95 % bound", "at 0.01 %", "95 % bound",
		"known random", "found at 0.1 %", "at 0.01 %", "unseen random", "found at 0.1 %", "at 0.01 %")
	for _, l := range e.Lengths {
		t.AppendRow(table.Row{
			fmt.Sprintf("%d–%d", l.From, l.To),
			l.Clean[1].Names, l.Clean[1].Hits, thousandths(l.Clean[1].Upper()), l.Clean[2].Hits, thousandths(l.Clean[2].Upper()),
			l.Known[1].Names, percent(l.Known[1].Share()), percent(l.Known[2].Share()),
			l.Unseen[1].Names, percent(l.Unseen[1].Share()), percent(l.Unseen[2].Share()),
		})
	}
	return section{"By length of the label", "At the same thresholds; every name counts the same.", t}
}

func (e *Evaluation) benignSection() section {
	header := []any{"source", "names", "at 1 %"}
	for _, at := range e.atRates()[1:] {
		header = append(header, at, "95 % bound")
	}
	t := newTable(append(header, "abstained")...)
	for _, b := range e.Benign {
		row := table.Row{printable(b.Source), b.Names, b.Rates[0].Hits}
		for _, rate := range b.Rates[1:] {
			row = append(row, rate.Hits, thousandths(rate.Upper()))
		}
		t.AppendRow(append(row, percent(Rate{b.Abstained, b.Names}.Share())))
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
			c.Confidence.String(), thousandths(float64(c.Confidence)), fmt.Sprintf("%.2f", c.Threshold),
			c.Clean.Names, c.Clean.Hits, thousandths(c.Clean.Share()), thousandths(c.Clean.Upper()),
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

func (e *Evaluation) calibrationSection() section {
	header := []any{"benign names", "judged"}
	for _, p := range e.Calibration[0].Points {
		if isPreset(p.Tail) {
			header = append(header, "claimed "+rateWords(p.Tail), "95 % bound")
		}
	}
	t := newTable(header...)
	for _, c := range e.Calibration {
		row := table.Row{printable(c.Source), c.Judged}
		for _, p := range c.Points {
			if !isPreset(p.Tail) {
				continue
			}
			measured := thousandths(p.Share())
			if p.Exceeded() {
				measured += " !"
			}
			row = append(row, measured, thousandths(p.Upper()))
		}
		t.AppendRow(row)
	}
	return section{
		"Calibration, by source and length",
		"Share of the names that the model judges at the thresholds of its claimed tails, and its one-sided upper bound; ! where the lower bound is " +
			"above the claim. A tail is claimed for a mixture of registered names: a source of one language or of few letters may lie above it.",
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
	t := newTable(append(append([]any{"family", "kind", "group", "names", "AUC"}, e.atRates()...), "interval at 0.1 %")...)
	for _, f := range e.Families {
		row := append(table.Row{printable(f.Family), printable(f.Kind), f.Group, f.Names, fmt.Sprintf("%.4f", f.AUC)}, f.Found.cells()...)
		t.AppendRow(append(row, f.Rates[1].Interval().between()))
	}
	return section{"By family", "Share of names found at the same thresholds; the interval is that of Clopper and Pearson over the names.", t}
}

func (n TopNames) section() section {
	t := newTable("", "name", "source", "score", "tail")
	for i, name := range n.Names {
		t.AppendRow(table.Row{i + 1, printable(name.Name), printable(name.Source), fmt.Sprintf("%.2f", name.Score), fmt.Sprintf("%.2g", name.Tail)})
	}
	return section{
		"Highest-scored benign names: " + printable(n.Set),
		fmt.Sprintf("%d reach the threshold of 0.01 %%. Machine-made ones are no mistakes: judge by eye.", n.Flagged),
		t,
	}
}

func (s *Speed) section() section {
	t := newTable("", "ns a name", "of net/url.Parse")
	row := func(what string, ns float64) {
		t.AppendRow(table.Row{what, fmt.Sprintf("%.0f", ns), fmt.Sprintf("%.2f ×", ns/max(s.Parse, 1))})
	}
	row("a benign name", s.Benign)
	row("a name that reads every stage", s.EveryStage)
	row("yardstick: the regression alone, a benign name", s.Regression)
	row("yardstick: net/url.Parse of it as a Referer", s.Parse)
	return section{"Speed", fmt.Sprintf("On one core, %d names, none in a cache, the best of %d rounds that take turns.", s.Names, timedRounds), t}
}
