package simulation

import (
	"fmt"
	"io"
	"math"
	"strings"
	"text/template"

	_ "embed"

	"github.com/go-analyze/charts"
)

// Result is all that a simulation found out.
type Result struct {
	Model, Policy string
	Seed          uint64
	Confidence    string  // that attacks were played with
	TPR           float64 // the model's own figure at that confidence
	Errors        []Errors
	Curves        []Curve
	Detections    []Detection
	Poisonings    []Poisoning
}

//go:embed page.md.tmpl
var page string

// Markdown writes the page of results; its plots are the files errors.svg and detection.svg in the directory plots.
func (r *Result) Markdown(w io.Writer, plots string) error {
	t, err := template.New("page").Funcs(template.FuncMap{
		"count": count, "rate": rate, "oneIn": oneIn, "percent": func(v float64) string { return fmt.Sprintf("%.1f %%", 100*v) },
		"upper": func(k, n int) string { return oneIn(Upper(k, n)) }, "plots": func() string { return plots },
		"at": func(c Curve, n int) float64 { return c.Caught[n-1] },
	}).Parse(page)
	if err != nil {
		return fmt.Errorf("the page's template: %w", err)
	}
	return t.Execute(w, r)
}

// All is the row of all audiences.
func (e *Errors) All() ErrorRow { return e.Rows[len(e.Rows)-1] }

// Senders says how many of the hits were clients of which kind.
func (e *Errors) Senders() string {
	all := e.All()
	var words []string
	for k := range bot {
		words = append(words, senderNames[k]+" "+count(all.Of[k]))
	}
	return strings.Join(words, ", ")
}

// Attacks says what the attacks are.
func (r *Result) Attacks() []Attack { return Attacks() }

// count writes 21000 as 21,000.
func count(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func rate(k, n int) string {
	if n == 0 {
		return "–"
	}
	return oneIn(float64(k) / float64(n))
}

// oneIn writes a rate as 1 in N with two digits.
func oneIn(p float64) string {
	if p == 0 {
		return "none"
	}
	n := 1 / p
	if n < 10 {
		return fmt.Sprintf("1 in %.1f", n)
	}
	digits := math.Pow(10, math.Floor(math.Log10(n))-1)
	return "1 in " + count(int(math.Floor(n/digits+1e-9)*digits+0.5))
}

// DetectionPlot draws the curves as SVG.
func (r *Result) DetectionPlot() ([]byte, error) {
	var values [][]float64
	var names, labels []string
	for _, c := range r.Curves {
		row := make([]float64, len(c.Caught))
		for i, v := range c.Caught {
			row[i] = 100 * v
		}
		values, names = append(values, row), append(names, c.Group)
	}
	for i := range curveNames {
		labels = append(labels, fmt.Sprint(i+1))
	}
	o := charts.NewLineChartOptionWithData(values)
	o.Title.Text = "Clients that are hits by their n-th distinct name, %"
	o.XAxis.Labels, o.XAxis.BoundaryGap = labels, charts.Ptr(false) // each label under its point
	o.Legend.SeriesNames = names
	o.Legend.Offset = charts.OffsetStr{Top: "32"}
	o.YAxis = []charts.YAxisOption{{Min: charts.Ptr(0.0), Max: charts.Ptr(100.0), LabelCount: 6}}
	o.ValueFormatter = whole
	o.Padding = charts.NewBoxEqual(16)
	return draw(func(p *charts.Painter) error { return p.LineChart(o) })
}

// ErrorsPlot draws the rates of errors as SVG, in powers of ten.
func (r *Result) ErrorsPlot() ([]byte, error) {
	values := make([][]float64, 3)
	var labels []string
	power := func(p float64) float64 { return math.Round(-100*math.Log10(p)) / 100 }
	for i := range r.Errors {
		all := r.Errors[i].All()
		labels = append(labels, r.Errors[i].Confidence)
		values[0] = append(values[0], power(float64(max(all.AnyFlagged, 1))/float64(all.Clients)))
		values[1] = append(values[1], power(Upper(all.ByClient, all.Clients)))
		values[2] = append(values[2], power(Upper(all.ByName, all.Clients)))
	}
	o := charts.NewBarChartOptionWithData(values)
	o.Title.Text = "People's clients that would be blocked, 1 in 10 to the power of …"
	o.CategoryAxis.Labels = labels
	o.Legend.SeriesNames = []string{"on one flagged name", "as clients (bound)", "by a name (bound)"}
	o.Legend.Offset = charts.OffsetStr{Top: "32"}
	o.ValueAxis = []charts.ValueAxisOption{{Min: charts.Ptr(0.0), Max: charts.Ptr(8.0), LabelCount: 9}}
	o.ValueFormatter = whole
	o.Padding = charts.NewBoxEqual(16)
	return draw(func(p *charts.Painter) error { return p.BarChart(o) })
}

func whole(v float64) string { return fmt.Sprintf("%.0f", v) }

func draw(chart func(*charts.Painter) error) ([]byte, error) {
	p := charts.NewPainter(charts.PainterOptions{OutputFormat: charts.ChartOutputSVG, Width: 860, Height: 440})
	if err := chart(p); err != nil {
		return nil, err
	}
	return p.Bytes()
}
