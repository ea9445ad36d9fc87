//go:build linux

package main

import (
	"fmt"
	"io"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
)

// Table is what a run found.
type Table struct {
	Machine Machine `json:"machine"`
	Rows    []Row   `json:"rows"`
}

// Machine is what a run was made on, and how.
type Machine struct {
	CPUs        int       `json:"cpus"`
	Arch        string    `json:"arch"`
	Go          string    `json:"go"`
	LoadBefore  string    `json:"load_average_before"`
	LoadAfter   string    `json:"load_average_after"`
	ServingCore int       `json:"serving_core"`
	LoadingCore int       `json:"loading_core"`
	Settings    string    `json:"settings"` // of every Go server
	Pairs       int       `json:"pairs"`
	Window      string    `json:"window"`
	Began       time.Time `json:"began"`
}

// Row is one thing that must be so.
type Row struct {
	Case    string   `json:"case"`
	Must    string   `json:"must"`
	Limit   float64  `json:"limit"`
	Median  float64  `json:"median"`
	Bound   float64  `json:"upper_95,omitempty"` // of the median; where there is one measurement, that
	Bounded bool     `json:"bounded"`            // there is a Bound
	N       int      `json:"n"`
	Unit    string   `json:"unit"`
	Result  string   `json:"result"` // pass, short, "no bound" below five pairs, or why it was skipped
	Figures []Figure `json:"figures,omitempty"`
	Notes   []string `json:"notes,omitempty"`
}

// Figure is what one of the servers was measured at: the median of all its measurements.
type Figure struct {
	Of    string  `json:"of"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
}

// atMost makes a row of paired measurements, the upper bound of whose median must be at most limit.
func (b *bench) atMost(name, must string, limit float64, x []float64) Row {
	r := Row{Case: name, Must: must, Limit: limit, Median: median(x), N: len(x), Unit: "×"}
	r.Bound, r.Bounded = upperBound(x)
	r.judge()
	return r
}

func (r *Row) judge() {
	switch {
	case !r.Bounded:
		r.Result = "no bound"
	case r.Bound <= r.Limit:
		r.Result = "pass"
	default:
		r.Result = "short"
	}
}

// figures adds the processor time of each contestant.
func (r *Row) figures(all ...*contestant) {
	for _, c := range all {
		r.Figures = append(r.Figures, Figure{c.name, median(c.perCall) / 1e3, "µs of CPU"})
	}
}

// Text writes the table for people.
func (t *Table) Text(w io.Writer) error {
	out := table.NewWriter()
	out.SetStyle(table.StyleLight)
	out.AppendHeader(table.Row{"case", "must be", "median", "upper 95 %", "n", ""})
	for _, r := range t.Rows {
		if r.N == 0 {
			out.AppendRow(table.Row{r.Case, r.Must, "", "", "", r.Result})
			continue
		}
		bound := "-"
		if r.Bounded && r.N > 1 {
			bound = fmt.Sprintf("%.3g %s", r.Bound, r.Unit)
		}
		out.AppendRow(table.Row{r.Case, r.Must, fmt.Sprintf("%.3g %s", r.Median, r.Unit), bound, r.N, r.Result})
	}
	if _, err := fmt.Fprintln(w, out.Render()); err != nil {
		return err
	}
	for _, r := range t.Rows {
		fmt.Fprintf(w, "\n%s: %s\n", r.Case, r.Must)
		for _, f := range r.Figures {
			fmt.Fprintf(w, "  %-34s %10.2f %s\n", f.Of, f.Value, f.Unit)
		}
		for _, note := range r.Notes {
			fmt.Fprintf(w, "  %s\n", note)
		}
	}
	m := t.Machine
	_, err := fmt.Fprintf(w, "\n%s, %s on %s, %d CPUs; servers on core %d, load on core %d; %s; %d rounds of %s; load average %s before, %s after\n",
		m.Began.Format("2006-01-02 15:04 MST"), m.Go, m.Arch, m.CPUs, m.ServingCore, m.LoadingCore, m.Settings, m.Pairs, m.Window, m.LoadBefore, m.LoadAfter)
	return err
}
