package training

import (
	_ "embed"
	"fmt"
	"strings"
	"text/template"

	"referee/classifier"
)

//go:embed card.md.tmpl
var cardTemplate string

// Card is what a model card says. It holds neither paths nor times, so that equal runs give equal cards.
type Card struct {
	Model    *classifier.Model
	Bytes    int // of the model's file
	Recipe   Recipe
	HoldBack int // percent of the clean labels
	Drops    Drops
	Folds    []Fold
	Dev      *Evaluation // of the model; nil: none was asked for
	Alone    []Alone     // the model's parts by themselves on the same sets; empty where it has but one
	Baseline *Evaluation // of the forest on the same sets
}

// Markdown writes the card.
func (c Card) Markdown() (string, error) {
	t, err := template.New("card").Funcs(template.FuncMap{
		"percent": percent,
		"rate":    rateWords,
		"total":   total,
		"names":   sourceNames,
		"bound":   func(n int) string { return fmt.Sprintf("%.2g", 1/float64(n+1)) },
		"tail":    func(c classifier.Confidence) string { return fmt.Sprintf("%g", float64(c)) },
	}).Parse(cardTemplate)
	if err != nil {
		return "", fmt.Errorf("model card: %w", err)
	}
	var b strings.Builder
	if err := t.Execute(&b, c); err != nil {
		return "", fmt.Errorf("model card: %w", err)
	}
	return b.String(), nil
}

// DevMarkdown is the evaluation as sections.
func (c Card) DevMarkdown() string { return c.Dev.markdown() }

// Alone is what a part of the model reaches by itself.
type Alone struct {
	Name string
	*Evaluation
}

// Group is what is found of a group of families, nil if there are none.
func (e *Evaluation) Group(name string) Shares {
	for _, g := range e.Groups {
		if g.Group == name {
			return g.Found
		}
	}
	return nil
}

// BaselineRow compares the model and the forest on a group.
type BaselineRow struct {
	Group           string
	Model, Baseline Shares
}

// Compared are the groups of the evaluation with both models' shares.
func (c Card) Compared() []BaselineRow {
	var rows []BaselineRow
	for i, g := range c.Dev.Groups {
		rows = append(rows, BaselineRow{g.Group, g.Found, c.Baseline.Groups[i].Found})
	}
	return rows
}

// FoldMeans are the means over the folds.
func (c Card) FoldMeans() Fold {
	var mean Fold
	for _, f := range c.Folds {
		for i := range f.Known {
			mean.Known[i] += f.Known[i] / float64(len(c.Folds))
			mean.Unseen[i] += f.Unseen[i] / float64(len(c.Folds))
		}
	}
	return mean
}

func total(sources []classifier.Source) int {
	n := 0
	for _, s := range sources {
		n += s.Names
	}
	return n
}

func sourceNames(sources []classifier.Source) string {
	names := make([]string, len(sources))
	for i, s := range sources {
		names[i] = s.Name
	}
	return strings.Join(names, ", ")
}

// Where a card holds an evaluation, as card.md.tmpl has it.
const (
	evaluationBegins = "<!-- evaluation -->"
	evaluationEnds   = "<!-- end of evaluation -->"
)

// RenewCard returns a card of the same model with this evaluation in the place of its older one.
func (e *Evaluation) RenewCard(card string) (string, error) {
	if title := "# Model card: " + e.Model + "\n"; !strings.HasPrefix(card, title) {
		return "", fmt.Errorf("not the card of model %s: its first line would be %q", e.Model, strings.TrimSpace(title))
	}
	before, rest, begins := strings.Cut(card, evaluationBegins)
	_, after, ends := strings.Cut(rest, evaluationEnds)
	if !begins || !ends {
		return "", fmt.Errorf("nothing to renew: it was trained without --set, or by an older version; want %s and %s in it", evaluationBegins, evaluationEnds)
	}
	return before + evaluationBegins + "\n\n" + e.markdown() + "\n\n" + evaluationEnds + after, nil
}
