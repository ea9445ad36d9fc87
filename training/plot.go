package training

import (
	"fmt"
	"html/template"
	"math"
	"strings"
)

// plot is a chart with a logarithmic horizontal axis, in SVG units. It is drawn by page.html with classes and attributes alone: no kept chart
// library draws a logarithmic axis with bands, and what they draw carries style attributes, which the page's policy forbids.
type plot struct {
	Title, About string
	XTitle       string
	X, Y         []tick
	Series       []series
	Identity     string // a line where y is x; empty: none
}

type tick struct {
	At    float64
	Label string
}

// series is a line with a band of intervals, or points with whiskers.
type series struct {
	Name     string
	Index    int // for its colour
	Line     string
	Band     string
	Points   []at
	Whiskers []whisker
}

type (
	at      struct{ X, Y float64 }
	whisker struct{ X, Low, High float64 }
)

// The frame of a plot within 520 × 340 units.
const (
	plotLeft, plotRight = 62.0, 496.0
	plotTop, plotBottom = 12.0, 292.0
)

// Frame gives the template the corners.
func (plot) Frame() map[string]float64 {
	return map[string]float64{
		"Left": plotLeft, "Right": plotRight, "Top": plotTop, "Bottom": plotBottom,
		"Width": plotRight - plotLeft, "Height": plotBottom - plotTop, "Middle": (plotLeft + plotRight) / 2, "Centre": (plotTop + plotBottom) / 2,
	}
}

// across and up place a share of the axes.
func across(share float64) float64 { return round1(plotLeft + share*(plotRight-plotLeft)) }

func up(share float64) float64 {
	return round1(plotBottom - min(max(share, 0), 1)*(plotBottom-plotTop))
}

func round1(v float64) float64 { return math.Round(v*10) / 10 }

// decades places a value on a logarithmic axis of so many decades that ends at 10 to the power of top.
func decades(value float64, top, count int) float64 {
	return (math.Log10(value) - float64(top-count)) / float64(count)
}

func powers(top, count int, place func(share float64) float64) []tick {
	var ticks []tick
	for i := range count + 1 {
		ticks = append(ticks, tick{place(float64(i) / float64(count)), rateWords(1 / math.Pow10(count-i-top))})
	}
	return ticks
}

// linear is the axis from 0 to 100 %.
func linear() []tick {
	var ticks []tick
	for i := range 6 {
		ticks = append(ticks, tick{up(float64(i) / 5), fmt.Sprintf("%d %%", 20*i)})
	}
	return ticks
}

// shownGroups are the groups with a curve on the page.
var shownGroups = peerGroups

// curvesPlot draws the ROC curves.
func (e *Evaluation) curvesPlot() plot {
	p := plot{
		Title:  "What is found, by what is flagged by mistake",
		About:  "Average over families of the share of names found, against the share of clean benign names flagged; the bands are the 95 % bootstrap intervals at each point.",
		XTitle: "clean benign names flagged",
		X:      powers(0, 5, across), Y: linear(),
	}
	for i, group := range shownGroups {
		for _, curve := range e.Curves {
			if curve.Group != group || len(curve.Points) == 0 {
				continue
			}
			var line, low, high []string
			for _, point := range curve.Points {
				x := across(decades(point.Rate, 0, 5))
				line = append(line, fmt.Sprintf("%g,%g", x, up(point.Found)))
				high = append(high, fmt.Sprintf("%g,%g", x, up(point.High)))
				low = append([]string{fmt.Sprintf("%g,%g", x, up(point.Low))}, low...)
			}
			p.Series = append(p.Series, series{Name: group, Index: i, Line: strings.Join(line, " "), Band: strings.Join(append(high, low...), " ")})
		}
	}
	return p
}

// calibrationPlot draws what is claimed against what is measured on the clean sets.
func (e *Evaluation) calibrationPlot() plot {
	p := plot{
		Title:  "What is claimed, and what is measured",
		About:  "Share of the clean names judged that reach the threshold of a claimed tail, with 95 % intervals (Clopper and Pearson). On the line a claim is exact; below it is cautious. Where nothing was flagged there is the interval alone.",
		XTitle: "claimed tail",
		X:      powers(-2, 3, inset), Y: powers(-1, 4, up),
		Identity: fmt.Sprintf("%g,%g %g,%g", inset(0), up(0), inset(1), measuredAt(1e-2)),
	}
	for _, row := range e.Calibration {
		if row.Role != Clean || strings.Contains(row.Source, " / ") || strings.HasPrefix(row.Source, "clean,") || len(p.Series) == 4 {
			continue
		}
		s := series{Name: printable(row.Source), Index: len(p.Series)}
		for _, point := range row.Points {
			x := inset(decades(point.Tail, -2, 3)) + 5*float64(s.Index) - 8
			s.Whiskers = append(s.Whiskers, whisker{x, measuredAt(point.Low), measuredAt(point.High)})
			if point.Hits > 0 {
				s.Points = append(s.Points, at{x, measuredAt(point.Share())})
			}
		}
		p.Series = append(p.Series, s)
	}
	return p
}

// inset is across with room for the points beside the ends.
func inset(share float64) float64 { return across(0.05 + 0.9*share) }

// measuredAt is the height of a share on the axis from 0.001 % to 10 %.
func measuredAt(share float64) float64 { return up(decades(max(share, 1e-9), -1, 4)) }

// bars are the families of a group, the hardest first.
type bars struct {
	Group    string
	Families []bar
}

type bar struct {
	Family string
	Names  int
	// At 1 %, 0.1 % and 0.01 %, in percent.
	Wide, Middle, Narrow float64
}

// table turns a section's table into HTML; go-pretty escapes the text of its cells.
func (s section) table() template.HTML {
	s.rows.Style().HTML.CSSClass = "figures"
	return template.HTML(s.rows.RenderHTML()) //nolint:gosec // escaped by go-pretty, as a test shows
}
