package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// textRows is how many rows of a list a terminal is shown; the other formats have the rest.
const textRows = 25

// Text writes the report for a terminal of 100 columns, in ASCII. Names longer than 30 bytes push their row wider.
func (r *Report) Text(w io.Writer) error {
	b := new(strings.Builder)
	fmt.Fprintf(b, "Referee report: %s mode, %s to %s UTC\n", printable(r.Mode), minute(r.Since), minute(r.Generated))
	if s := r.counted(); s != "" {
		fmt.Fprintln(b, s)
	}
	fmt.Fprintf(b, "Confidence %s: a name is flagged if at most 1 in %s benign names scores as high.\nModel %s, policy %s.\n\n",
		printable(r.Settings.Confidence), grouped(r.Settings.OneIn), printable(r.Settings.Model), printable(r.Settings.Policy))
	for _, s := range r.answer() {
		for line := range strings.Lines(wrap(s)) {
			fmt.Fprintf(b, "  %s\n", strings.TrimRight(line, " \n"))
		}
	}
	if s := r.warning(); s != "" {
		fmt.Fprintf(b, "  %s\n", s)
	}
	r.textReady(b)
	r.textTotals(b)
	r.textHits(b, "Names", r.Names, table.Row{"name", "1 in", "seen", "networks", "first", "last", "until"}, nameRow)
	r.textHits(b, "Clients", r.Clients, table.Row{"client", "1 in", "seen", "flagged names", "first", "last", "until"}, clientRow)
	r.textAttacks(b)
	r.textWhatIf(b)
	r.textNear(b)
	r.textSaved(b)
	r.textLabels(b)
	r.textCandidates(b)
	r.textSets(b)
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) textReady(w *strings.Builder) {
	if len(r.Ready.Checks) == 0 {
		return
	}
	heading(w, "What the answer rests on")
	t := newTable("result", "check", "measured")
	var notes []string
	for _, c := range r.Ready.Checks {
		word := string(c.State)
		if c.State == Fail {
			word = "FAIL"
		}
		title := c.Title
		if !c.Required {
			title += " (for you to weigh)"
		}
		t.AppendRow(table.Row{word, printable(title), printable(c.Value)})
		note := ""
		if c.State != Pass {
			note = printable("passes if: " + c.Rule)
		}
		notes = append(notes, note)
	}
	render(w, t, notes...)
}

func (r *Report) textWhatIf(w *strings.Builder) {
	if len(r.WhatIf.Rows) == 0 {
		return
	}
	heading(w, fmt.Sprintf("What if: other settings, on the evidence of the last %s", count(r.WhatIf.Window, "hour")))
	t := newTable("", "confidence", "evidence", "names", "clients", "requests", "share", "by chance", "unconfirmed", "sets full")
	right(t, 4, 5, 6, 7, 8, 9, 10)
	for _, row := range r.WhatIf.Rows {
		mark := ""
		if row.Today {
			mark = ">"
		}
		t.AppendRow(table.Row{
			mark, printable(row.Confidence), row.Evidence, grouped(row.Names), grouped(row.Clients), grouped(row.Requests), percent(row.Share),
			few(row.ByChance), grouped(row.Unconfirmed), percent(row.CapacityUsed),
		})
	}
	render(w, t)
	fmt.Fprintln(w, "  > is today's setting. By chance: benign names that the model flags, before evidence is asked for.")
	fmt.Fprintln(w, "  Unconfirmed: names and clients that you did not label dga; mistakes are among these.")
}

func heading(w *strings.Builder, title string) {
	fmt.Fprintf(w, "\n%s\n%s\n", title, strings.Repeat("-", len(title)))
}

// newTable is a table without lines: columns apart by spaces.
func newTable(header ...any) table.Writer {
	t := table.NewWriter()
	style := table.StyleDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	style.Format.Header = text.FormatUpper
	t.SetStyle(style)
	t.AppendHeader(header)
	return t
}

// right aligns columns to the right.
func right(t table.Writer, columns ...int) {
	var configs []table.ColumnConfig
	for _, n := range columns {
		configs = append(configs, table.ColumnConfig{Number: n, Align: text.AlignRight, AlignHeader: text.AlignRight})
	}
	t.SetColumnConfigs(configs)
}

// render writes a table, and under each row what is said of it.
func render(w *strings.Builder, t table.Writer, notes ...string) {
	lines := strings.Split(t.Render(), "\n")
	for i, line := range lines {
		fmt.Fprintf(w, "  %s\n", strings.TrimRight(line, " "))
		if row := i - 1; row >= 0 && row < len(notes) { // the first line is the header
			for note := range strings.Lines(wrap(notes[row])) {
				fmt.Fprintf(w, "      %s\n", strings.TrimRight(note, " \n"))
			}
		}
	}
}

// wrap breaks text for a terminal of 100 columns, with room for an indent.
func wrap(s string) string { return text.WrapSoft(s, 92) }

func (r *Report) textTotals(w *strings.Builder) {
	heading(w, "Requests")
	t := newTable("verdict", "requests", "share")
	right(t, 2, 3)
	for _, word := range byCount(r.Totals.Verdicts) {
		n := r.Totals.Verdicts[word]
		t.AppendRow(table.Row{verdict(word), grouped(n), share(n, r.Totals.Requests)})
	}
	t.AppendRow(table.Row{"all", grouped(r.Totals.Requests), ""})
	render(w, t)
	var reasons []string
	for _, word := range byCount(r.Totals.NoName) {
		if n := r.Totals.NoName[word]; n > 0 {
			reasons = append(reasons, fmt.Sprintf("%s %s", noName(word), grouped(n)))
		}
	}
	if len(reasons) > 0 {
		fmt.Fprintf(w, "  No name in it: %s.\n", strings.Join(reasons, ", "))
	}
	if r.Totals.Blocked > 0 {
		fmt.Fprintf(w, "  Answered with 403 by Referee itself: %s.\n", grouped(r.Totals.Blocked))
	}
}

// byCount returns the words of a table of counts, the highest count first.
func byCount(counts map[string]uint64) []string {
	words := make([]string, 0, len(counts))
	for word := range counts {
		words = append(words, word)
	}
	slices.SortFunc(words, func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	return words
}

func (r *Report) textHits(w *strings.Builder, what string, h Hits, header table.Row, row func(Hit) table.Row) {
	verb := "that would be blocked"
	if r.Mode == Enforce {
		verb = "to block"
	}
	heading(w, fmt.Sprintf("%s %s: %s now, %s past", what, verb, grouped(h.Active), grouped(h.Past)))
	if len(h.List) == 0 {
		fmt.Fprintln(w, "  none")
		return
	}
	t := newTable(header...)
	right(t, 2, 3, 4)
	shown := h.List[:min(len(h.List), textRows)]
	var notes []string
	for _, hit := range shown {
		t.AppendRow(row(hit))
		notes = append(notes, hit.because())
	}
	render(w, t, notes...)
	more(w, len(h.List)-len(shown)+h.LeftOut)
}

func more(w *strings.Builder, n int) {
	if n > 0 {
		fmt.Fprintf(w, "  and %s more: --format json or html lists them\n", grouped(n))
	}
}

func nameRow(h Hit) table.Row {
	return table.Row{
		printable(h.Name), grouped(h.OneIn), grouped(h.Sightings), h.Networks, day(h.First), day(h.Last), h.until(),
	}
}

func clientRow(h Hit) table.Row {
	return table.Row{
		printable(h.Client), grouped(h.OneIn), grouped(h.Sightings), fmt.Sprintf("%d of %d", h.Flagged, h.Distinct),
		day(h.First), day(h.Last), h.until(),
	}
}

// until is when an active hit ends, and how a past one did.
func (h Hit) until() string {
	if h.State == Active {
		return day(h.Expires)
	}
	return string(h.State)
}

// because is what speaks for an active hit, and why a past one is past.
func (h Hit) because() string {
	if h.State == Active && len(h.Reasons) > 0 {
		return printable(strings.Join(h.Reasons, "; "))
	}
	return printable(h.Why)
}

func (r *Report) textSaved(w *strings.Builder) {
	heading(w, "Saved by never-block: "+count(r.Saved.Names, "name"))
	if r.Saved.Names == 0 {
		fmt.Fprintln(w, "  none")
		return
	}
	t := newTable("name", "1 in", "seen", "first", "last", "never blocked because")
	right(t, 2, 3)
	for _, s := range r.Saved.List[:min(len(r.Saved.List), textRows)] {
		t.AppendRow(table.Row{printable(s.Name), grouped(s.OneIn), grouped(s.Sightings), day(s.First), day(s.Last), exemption(s.Exemption)})
	}
	render(w, t)
	more(w, r.Saved.Names-min(len(r.Saved.List), textRows))
}

func (r *Report) textSets(w *strings.Builder) {
	heading(w, "WAF sets")
	if len(r.Sets) == 0 {
		fmt.Fprintln(w, "  nothing was planned yet")
		return
	}
	t := newTable("set", "holds", "items", "state", "since", "generation")
	right(t, 2, 3, 6)
	for _, s := range r.Sets {
		t.AppendRow(table.Row{setName(s.Set), grouped(s.Entries), grouped(s.Items), outcome(s.Outcome), day(s.Time), s.Generation})
	}
	render(w, t)
	if len(r.Generations) == 0 {
		return
	}
	heading(w, "What changed")
	t = newTable("generation", "time", "set", "items in", "items out", "state", "why")
	right(t, 1, 4, 5)
	var notes []string
	for _, g := range r.Generations[:min(len(r.Generations), textRows)] {
		t.AppendRow(table.Row{g.ID, day(g.Time), setName(g.Set), g.Added, g.Removed, outcome(g.Outcome), printable(g.Why)})
		notes = append(notes, printable(g.Error))
	}
	render(w, t, notes...)
}

// minute and day are times in UTC, without and for the year that the heading names.
func minute(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }

func day(t time.Time) string { return t.UTC().Format("01-02 15:04") }
