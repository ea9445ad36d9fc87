package report

import (
	"fmt"
	"math"
	"strings"
	"time"

	"referee/waf"
)

// plot is a chart in SVG units, drawn by page.html with classes and attributes alone: what chart libraries draw carries style
// attributes, which the page's policy forbids. It is as wide as a phone, so that its text is never smaller than it is there.
type plot struct {
	Title   string
	Summary string // all that it says, for those who do not see it
	Height  float64
	X, Y    []tick
	Bars    []shape
	Lines   []shape
	Rows    []bar
}

// tick is a mark on an axis, and where its label is anchored.
type tick struct {
	At     float64
	Label  string
	Anchor string
}

// shape is one series: a path.
type shape struct {
	Name  string // for the legend; empty: there is but one
	Class string
	Path  string
}

// bar is a labelled horizontal bar.
type bar struct {
	Y, Width     float64 // of the bar, below its label
	Label, Value string
}

// The frame of a plot within 360 × 200 units.
const (
	plotLeft, plotRight = 44.0, 352.0
	plotTop, plotBottom = 10.0, 172.0
	plotHeight          = 200.0
	barStep             = 30.0
)

func across(share float64) float64 { return plotLeft + share*(plotRight-plotLeft) }

func up(share float64) float64 { return plotBottom - min(max(share, 0), 1)*(plotBottom-plotTop) }

// Grid gives the template the corners.
func (plot) Grid() map[string]float64 {
	return map[string]float64{"Left": plotLeft, "Right": plotRight, "Bottom": plotBottom}
}

// plots are those for which there is something to show.
func (r *Report) plots() []plot {
	s := &r.Series
	var all []plot
	add := func(p plot, ok bool) {
		if ok {
			all = append(all, p)
		}
	}
	if r.Totals.Requests > 0 {
		add(s.overTime("Requests", func(p Point) uint64 { return p.Requests }), true)
		add(s.overTime("Requests with a flagged name", func(p Point) uint64 { return p.Flagged }), r.flagged() > 0)
	}
	add(s.tailsPlot())
	add(barsPlot("Flagged names seen most", s.Names))
	add(barsPlot("Networks of the clients to block, by flagged requests", s.Networks))
	add(r.capacityPlot())
	add(s.candidatePlot())
	return all
}

// every says how long a step is.
func (s *Series) every() string {
	if s.Step == 1 {
		return "an hour"
	}
	return fmt.Sprintf("%d hours", s.Step)
}

// timeTicks marks the begin, the middle and the end.
func (s *Series) timeTicks() []tick {
	n := len(s.Points)
	if n == 0 {
		return nil
	}
	at := func(share float64) string {
		first := s.Points[0].Start
		whole := time.Duration(n*s.Step) * time.Hour
		return day(first.Add(time.Duration(share * float64(whole))))
	}
	return []tick{{across(0), at(0), "start"}, {across(0.5), at(0.5), "middle"}, {across(1), at(1), "end"}}
}

// round is a number of one digit, 1, 2 or 5, and noughts, that is no less than n.
func round(n float64) float64 {
	if n <= 1 {
		return 1
	}
	digits := math.Pow(10, math.Floor(math.Log10(n)))
	for _, step := range []float64{1, 2, 5} {
		if step*digits >= n {
			return step * digits
		}
	}
	return 10 * digits
}

// short writes 21000 as 21k.
func short(n float64) string {
	for _, unit := range []struct {
		size float64
		word string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if n >= unit.size {
			return fmt.Sprintf("%.3g%s", n/unit.size, unit.word)
		}
	}
	return fmt.Sprintf("%.3g", n)
}

func upTicks(top float64) []tick {
	ticks := []tick{{At: up(0), Label: "0"}, {At: up(1), Label: short(top)}}
	if top >= 2 {
		ticks = append(ticks, tick{At: up(0.5), Label: short(top / 2)})
	}
	return ticks
}

func (s *Series) overTime(title string, of func(Point) uint64) plot {
	most, at, sum := uint64(0), time.Time{}, uint64(0)
	for _, p := range s.Points {
		sum += of(p)
		if n := of(p); n > most {
			most, at = n, p.Start
		}
	}
	top := round(float64(most))
	var path strings.Builder
	width := 1 / float64(max(1, len(s.Points)))
	gap := 0.15 * width
	for i, p := range s.Points {
		if n := of(p); n > 0 {
			box(&path, across(float64(i)*width+gap/2), across(float64(i+1)*width-gap/2), max(up(float64(n)/top), plotTop))
		}
	}
	return plot{
		Title: title, Height: plotHeight, X: s.timeTicks(), Y: upTicks(top), Bars: []shape{{Class: "a", Path: path.String()}},
		Summary: fmt.Sprintf("%s in all, by %s; at most %s, from %s UTC on.", grouped(sum), s.every(), grouped(most), minute(at)),
	}
}

// box adds an upright bar to a path.
func box(path *strings.Builder, left, right, top float64) {
	fmt.Fprintf(path, "M%.1f %.1fH%.1fV%.1fH%.1fZ", left, plotBottom, right, min(top, plotBottom-0.5), left)
}

// tailsPlot is on a logarithmic scale: what is generated are a few among very many.
func (s *Series) tailsPlot() (plot, bool) {
	if len(s.Tails) == 0 {
		return plot{}, false
	}
	all, most := uint64(0), 10.0
	for _, b := range s.Tails {
		all += b.Requests
		most = max(most, float64(b.Requests))
	}
	decades := math.Ceil(math.Log10(most))
	p := plot{Title: "How high names score, in requests", Height: plotHeight}
	height := func(n float64) float64 { return up((math.Log10(max(n, 0.5)) + 0.3) / (decades + 0.3)) }
	for d := 0.0; d <= decades; d++ {
		if d == 0 || d == decades || decades < 4 || int(d)%2 == 0 {
			p.Y = append(p.Y, tick{At: height(math.Pow(10, d)), Label: short(math.Pow(10, d))})
		}
	}
	var seen, expected strings.Builder
	width := 1 / float64(len(s.Tails))
	flagged := uint64(0)
	for i, b := range s.Tails {
		left, right := across(float64(i)*width)+2, across(float64(i+1)*width)-2
		if b.Requests > 0 {
			box(&seen, left, right, height(float64(b.Requests)))
		}
		if b.Expected >= 0.5 {
			fmt.Fprintf(&expected, "M%.1f %.1fH%.1f", left-2, height(b.Expected), right+2)
		}
		if i%2 == 0 {
			p.X = append(p.X, tick{(left + right) / 2, "1 in " + short(1/b.To), "middle"})
		}
		if b.To <= 1e-3 {
			flagged += b.Requests
		}
	}
	p.X[0].Label = "all"
	p.Bars = []shape{{Name: "seen", Class: "a", Path: seen.String()}}
	p.Lines = []shape{{Name: "expected of benign names", Class: "b", Path: expected.String()}}
	p.Summary = fmt.Sprintf("Of %s, %s score as at most 1 in 1,000 benign names does; of benign names alone %s would be expected. "+
		"From left to right each bar is ten times rarer.", count(all, "request"), grouped(flagged), short(float64(all)*1e-3))
	return p, true
}

// barsPlot is a list of bars. Labels are escaped and cut: they are names that clients sent.
func barsPlot(title string, top []Top) (plot, bool) {
	p := plot{Title: title, Height: barStep*float64(len(top)) + 4}
	for i, t := range top {
		p.Rows = append(p.Rows, bar{
			Y: barStep*float64(i) + 16, Width: 352 * float64(t.Count) / float64(max(1, top[0].Count)), Label: escape(t.What, 36), Value: grouped(t.Count),
		})
	}
	if len(top) > 0 {
		p.Summary = fmt.Sprintf("%s leads with %s.", escape(top[0].What, 60), grouped(top[0].Count))
	}
	return p, len(top) > 0
}

func (r *Report) capacityPlot() (plot, bool) {
	s := &r.Series
	p := plot{Title: "How full the sets are", Height: plotHeight, X: []tick{
		{across(0), day(r.Since), "start"}, {across(1), day(r.Generated), "end"},
	}}
	for _, share := range []float64{0, 0.5, 1} {
		p.Y = append(p.Y, tick{At: up(share), Label: fmt.Sprintf("%.0f %%", 100*share)})
	}
	period := r.Generated.Sub(r.Since)
	var words []string
	for i, set := range []waf.SetKind{waf.SetNames, waf.SetIPv4, waf.SetIPv6} {
		var path strings.Builder
		last := Capacity{}
		for _, c := range s.Capacity {
			if c.Set != set {
				continue
			}
			x, y := across(min(1, max(0, float64(c.Time.Sub(r.Since))/float64(period)))), up(float64(c.Items)/float64(c.Room))
			if last.Room == 0 {
				fmt.Fprintf(&path, "M%.1f %.1f", x, y)
			} else {
				fmt.Fprintf(&path, "H%.1fV%.1f", x, y)
			}
			last = c
		}
		if last.Room > 0 {
			fmt.Fprintf(&path, "H%.1f", plotRight)
			p.Lines = append(p.Lines, shape{setName(set), []string{"a", "b", "c"}[i], path.String()})
			words = append(words, fmt.Sprintf("%s %s of %s", setName(set), grouped(last.Items), grouped(last.Room)))
		}
	}
	p.Summary = "At the end: " + strings.Join(words, ", ") + "."
	return p, len(p.Lines) > 0 && period > 0
}

func (s *Series) candidatePlot() (plot, bool) {
	var live, candidate, most uint64
	for _, p := range s.Points {
		live, candidate, most = live+p.Live, candidate+p.Candidate, max(most, p.Live, p.Candidate)
	}
	top := round(float64(most))
	line := func(of func(Point) uint64) string {
		var path strings.Builder
		for i, p := range s.Points {
			fmt.Fprintf(&path, "%s%.1f %.1f", map[bool]string{true: "M", false: "L"}[i == 0],
				across((float64(i)+0.5)/float64(len(s.Points))), up(float64(of(p))/top))
		}
		return path.String()
	}
	return plot{
		Title: "Candidate model against live: requests flagged", Height: plotHeight, X: s.timeTicks(), Y: upTicks(top),
		Lines: []shape{
			{"live", "a", line(func(p Point) uint64 { return p.Live })},
			{"candidate", "b", line(func(p Point) uint64 { return p.Candidate })},
		},
		Summary: fmt.Sprintf("The live model flags %s, the candidate %s of the requests compared.", grouped(live), grouped(candidate)),
	}, most > 0
}
