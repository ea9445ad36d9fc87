package training

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/sjwhitworth/golearn/evaluation"
)

// CrossValidation is what a recipe reaches on families that its models were not taught.
type CrossValidation struct {
	Recipe    string         `json:"recipe"`
	Rates     []float64      `json:"false_positive_rates"`
	Bootstrap Bootstrap      `json:"bootstrap"`
	Groups    []LeftOutGroup `json:"groups"`
	Folds     []Fold         `json:"folds"`
	Recall    Mean           `json:"recall"` // golearn's metrics over the folds, at 0.1 %
	Precision Mean           `json:"precision"`
	F1        Mean           `json:"f1"`
}

// LeftOutGroup is the macro average over the families of a kind, each measured by the model that was not taught it.
type LeftOutGroup struct {
	Group     string     `json:"group"`
	Families  int        `json:"families"`
	Names     int        `json:"names"`
	Found     Shares     `json:"found"`
	Intervals []Interval `json:"intervals"` // by bootstrap over families and names
}

// Summarise puts folds together.
func Summarise(r Recipe, folds []Fold, b Bootstrap) *CrossValidation {
	v := &CrossValidation{Recipe: r.String(), Rates: falsePositiveRates[:], Bootstrap: b, Folds: folds}
	var matrices []evaluation.ConfusionMatrix
	families := map[string][]FoldFamily{}
	for _, fold := range folds {
		matrices = append(matrices, fold.Confusion.matrix())
		for _, f := range fold.Families {
			group := "left out, random"
			if f.Kind == Wordlist {
				group = "left out, wordlist"
			}
			families[group] = append(families[group], f)
		}
	}
	for i, name := range []string{"left out, random", "left out, wordlist"} {
		g := LeftOutGroup{Group: name, Families: len(families[name])}
		if g.Families == 0 {
			continue
		}
		draws := b.resampler(uint64(i))
		for j := range v.Rates {
			var rates []Rate
			for _, f := range families[name] {
				rates = append(rates, f.Rates[j])
			}
			g.Found, g.Intervals = append(g.Found, macro(rates)), append(g.Intervals, draws.average(rates))
		}
		for _, f := range families[name] {
			g.Names += f.Rates[0].Names
		}
		v.Groups = append(v.Groups, g)
	}
	metric := func(of func(string, evaluation.ConfusionMatrix) float64) Mean {
		mean, variance := evaluation.GetCrossValidatedMetric(matrices, func(m evaluation.ConfusionMatrix) float64 {
			if value := of(generatedWord, m); !math.IsNaN(value) { // nothing was called generated
				return value
			}
			return 0
		})
		return Mean{mean, math.Sqrt(variance)}
	}
	v.Recall, v.Precision, v.F1 = metric(evaluation.GetRecall), metric(evaluation.GetPrecision), metric(evaluation.GetF1Score)
	return v
}

// Text writes it for people.
func (v *CrossValidation) Text(w io.Writer) error { return writeText(w, v.sections()) }

// HTML writes it as a page of the same kind as an evaluation's.
func (v *CrossValidation) HTML(w io.Writer) error {
	page := view{Title: fmt.Sprintf("Families left out, in %d folds", len(v.Folds)), Subject: v.Recipe}
	for _, g := range v.Groups {
		page.Facts = append(page.Facts, fact{percent(g.Found[1]), g.Group + " families' names found", "at 0.1 % false positives (" + g.Intervals[1].between() + ")"})
		b := bars{Group: g.Group}
		for _, f := range v.families() {
			if (f.Kind == Wordlist) == strings.HasSuffix(g.Group, Wordlist) {
				b.Families = append(b.Families, bar{
					printable(f.Family), f.Rates[0].Names, 100 * f.Rates[0].Share(), 100 * f.Rates[1].Share(), 100 * f.Rates[2].Share(),
				})
			}
		}
		page.Bars = append(page.Bars, b)
	}
	for i, s := range v.sections() {
		page.Sections = append(page.Sections, shown{fmt.Sprintf("part%d", i+1), s.title, s.about, s.table()})
	}
	return page.write(w)
}

// families are those left out, the hardest first.
func (v *CrossValidation) families() []FoldFamily {
	var all []FoldFamily
	for _, f := range v.Folds {
		all = append(all, f.Families...)
	}
	slices.SortStableFunc(all, func(a, b FoldFamily) int {
		switch x, y := a.Rates[1].Share(), b.Rates[1].Share(); {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return strings.Compare(a.Family, b.Family)
	})
	return all
}

func (v *CrossValidation) sections() []section {
	groups := newTable("families", "number", "names", "at 1 %", "interval", "at 0.1 %", "interval", "at 0.01 %", "interval")
	for _, g := range v.Groups {
		row := table.Row{g.Group, g.Families, g.Names}
		for i, found := range g.Found {
			row = append(row, percent(found), g.Intervals[i].between())
		}
		groups.AppendRow(row)
	}
	matrices := newTable("fold", "left out", "generated told generated", "told benign", "benign told generated", "told benign", "precision", "F1")
	for i, f := range v.Folds {
		c := f.Confusion
		matrices.AppendRow(table.Row{
			i + 1, len(f.LeftOut), c.Generated.Hits, c.Generated.Names - c.Generated.Hits, c.Benign.Hits, c.Benign.Names - c.Benign.Hits,
			fmt.Sprintf("%.4f", c.Precision), fmt.Sprintf("%.4f", c.F1),
		})
	}
	families := newTable("family", "kind", "names", "at 1 %", "at 0.1 %", "at 0.01 %", "interval at 0.1 %")
	for _, f := range v.families() {
		families.AppendRow(table.Row{
			printable(f.Family), printable(f.Kind), f.Rates[0].Names,
			percent(f.Rates[0].Share()), percent(f.Rates[1].Share()), percent(f.Rates[2].Share()), f.Rates[1].Interval().between(),
		})
	}
	return []section{
		{
			"Names found of families that were left out",
			fmt.Sprintf("Each family by the model of the fold that was not taught it, at thresholds of half of the clean names held back; average over families. "+
				"Intervals: %d bootstrap resamples (seed %d) over families and names.", v.Bootstrap.Resamples, v.Bootstrap.Seed),
			groups,
		},
		{
			"Confusion matrices at 0.1 %, of golearn",
			fmt.Sprintf("The families left out, and the other half of the clean names. Over the folds: recall %.4f ± %.4f, precision %.4f ± %.4f, F1 %.4f ± %.4f "+
				"(mean ± standard deviation), at the mixture of these names; that of real traffic is another.",
				v.Recall.Mean, v.Recall.Deviation, v.Precision.Mean, v.Precision.Deviation, v.F1.Mean, v.F1.Deviation),
			matrices,
		},
		{"By family, the hardest first", "Share of names found by a model that was not taught the family.", families},
	}
}
