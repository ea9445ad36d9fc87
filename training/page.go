package training

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"slices"
)

//go:embed page.css
var pageCSS string

//go:embed page.html
var pageHTML string

// view is what the page is made from.
type view struct {
	Title, Subject string
	CSS            template.CSS
	CSP            string
	Facts          []fact
	Plots          []plot
	Bars           []bars
	Sections       []shown
	Details        []shown
}

type fact struct{ Value, What, Note string }

type shown struct {
	ID, Title, About string
	Table            template.HTML
}

// HTML writes an evaluation as one page that needs nothing else: no script, no font, no network. It names its own style
// by hash in a Content-Security-Policy that allows nothing else.
func (e *Evaluation) HTML(w io.Writer) error {
	v := view{Title: "Evaluation of model " + e.Model, Subject: fmt.Sprintf("%d clean benign names, %d generated ones of %d families",
		e.CleanNames, e.generatedNames(), len(e.Families)), Facts: e.facts(), Bars: e.bars()}
	if len(e.Curves) > 0 {
		v.Plots = append(v.Plots, e.curvesPlot())
	}
	if len(e.Calibration) > 0 {
		v.Plots = append(v.Plots, e.calibrationPlot())
	}
	for i, s := range e.sections() {
		v.Sections = append(v.Sections, shown{fmt.Sprintf("part%d", i+1), s.title, s.about, s.table()})
	}
	for _, s := range e.localSections() {
		v.Details = append(v.Details, shown{"", s.title, s.about, s.table()})
	}
	return v.write(w)
}

func (v view) write(w io.Writer) error {
	page, err := template.New("page").Parse(pageHTML)
	if err != nil {
		return fmt.Errorf("page: %w", err)
	}
	sum := sha256.Sum256([]byte(pageCSS))
	v.CSS = template.CSS(pageCSS) //nolint:gosec // our own file
	v.CSP = "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'"
	b := bufio.NewWriter(w)
	if err := page.Execute(b, v); err != nil {
		return fmt.Errorf("page: %w", err)
	}
	return b.Flush()
}

func (e *Evaluation) generatedNames() int {
	n := 0
	for _, f := range e.Families {
		n += f.Names
	}
	return n
}

// facts are the figures at the head of the page.
func (e *Evaluation) facts() []fact {
	var facts []fact
	for _, g := range e.Groups {
		if slices.Contains(shownGroups[:], g.Group) && len(g.Intervals) > 2 {
			facts = append(facts, fact{percent(g.Found[2]), g.Group + " names found", "at 0.01 % false positives (" + g.Intervals[2].between() + ")"})
		}
	}
	if e.Speed != nil {
		facts = append(facts, fact{
			fmt.Sprintf("%.1f µs", e.Speed.Benign/1000), "for a benign name",
			fmt.Sprintf("%.1f × net/url.Parse of it", e.Speed.BenignToParse),
		})
	}
	return facts
}

func (e *Evaluation) bars() []bars {
	var all []bars
	for _, group := range groupNames {
		b := bars{Group: group}
		for _, f := range e.Families {
			if f.Group == group {
				b.Families = append(b.Families, bar{printable(f.Family), f.Names, 100 * f.Found[0], 100 * f.Found[1], 100 * f.Found[2]})
			}
		}
		slices.SortStableFunc(b.Families, func(a, b bar) int { return cmp.Compare(a.Middle, b.Middle) })
		if len(b.Families) > 0 {
			all = append(all, b)
		}
	}
	return all
}
