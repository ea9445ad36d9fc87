package training

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"referee/classifier"
	"referee/features"
)

// Comparison is the gate for replacing a model: what a new one flags and finds beside the old one, each at the threshold
// that its own calibration gives the same tail.
type Comparison struct {
	Old      ComparedModel  `json:"old"`
	New      ComparedModel  `json:"new"`
	Tail     float64        `json:"tail"` // claimed by both
	Sources  []SourceChange `json:"sources"`
	Groups   []GroupChange  `json:"groups"`
	Families []FamilyChange `json:"families"`
	Newly    []NewlyFlagged `json:"newly_flagged"` // benign names, the highest-scored first
	NewlyAll int            `json:"newly_flagged_in_all"`
	Worse    []string       `json:"worse"` // in what the new model is worse beyond chance; none: it may replace the old one
}

// Passes says that the new model may replace the old one.
func (c *Comparison) Passes() bool { return len(c.Worse) == 0 }

// ComparedModel is one of the two.
type ComparedModel struct {
	ID        string  `json:"id"`
	Bytes     int64   `json:"bytes"`
	Threshold float32 `json:"threshold"`
	Speed     *Speed  `json:"speed,omitempty"`
}

// SourceChange is what becomes of benign names.
type SourceChange struct {
	Source string `json:"source"`
	Role   Role   `json:"role"`
	Paired
	P     float64 `json:"p"` // that the new model flags more, adjusted for the number of clean sources; 1 of sources that are not clean
	Worse bool    `json:"worse"`
}

// GroupChange is what becomes of a group of families, on average over them.
type GroupChange struct {
	Group    string   `json:"group"`
	Families int      `json:"families"`
	Old      float64  `json:"old"`
	New      float64  `json:"new"`
	Interval Interval `json:"interval"` // of New-Old, adjusted for the number of groups that count
	Worse    bool     `json:"worse"`
}

// FamilyChange is what becomes of a family.
type FamilyChange struct {
	Family string `json:"family"`
	Group  string `json:"group"`
	Paired
	P float64 `json:"p"` // of a change either way, adjusted for the number of families
}

// NewlyFlagged is a benign name that the new model flags and the old one does not.
type NewlyFlagged struct {
	Set    string  `json:"set"`
	Name   string  `json:"name"`
	Source string  `json:"source"`
	Old    float32 `json:"old_tail"`
	New    float32 `json:"new_tail"`
}

// significant is the chance of calling one of two equal models worse, over all clean sources, and again over all groups.
const significant = 0.05

// gated are the groups that a new model may not lose in: simulated families are no malware.
func gated(group string) bool { return !strings.HasSuffix(group, ", simulated") }

// Compare measures two models on the same sets, at one claimed tail. It refuses a tail that one of them cannot claim.
func Compare(before, after *classifier.Model, tail classifier.Confidence, sets []Set, kinds Kinds, b Bootstrap) (*Comparison, error) {
	c := &Comparison{Old: ComparedModel{ID: before.ID()}, New: ComparedModel{ID: after.ID()}, Tail: float64(tail)}
	var err error
	if c.Old.Threshold, err = before.Threshold(tail); err != nil {
		return nil, fmt.Errorf("compare: the old model: %w", err)
	}
	if c.New.Threshold, err = after.Threshold(tail); err != nil {
		return nil, fmt.Errorf("compare: the new model: %w", err)
	}
	known := slices.Concat(Known(before.Info()), Known(after.Info()))
	old, err := judgedBy(before, c.Old.Threshold, sets, kinds, known)
	if err != nil {
		return nil, err
	}
	young, err := judgedBy(after, c.New.Threshold, sets, kinds, known)
	if err != nil {
		return nil, err
	}
	c.sources(old, young)
	c.families(old, young)
	c.groups(old, young, b)
	c.newly(old, young)
	return c, nil
}

// judge is a model with its scores of the sets.
type judge struct {
	*evaluator
	model     *classifier.Model
	threshold float32
}

func judgedBy(m *classifier.Model, threshold float32, sets []Set, kinds Kinds, known []string) (judge, error) {
	e, err := newEvaluator(func(label string) float32 { return m.Score(features.Name{Label: label}) }, sets, kinds, known)
	if err != nil {
		return judge{}, err
	}
	if len(e.generated) == 0 {
		return judge{}, errors.New("compare: no generated names: a model that flags nothing would pass; give a --set dga…=FILE")
	}
	info := m.Info()
	e.abstains = info.Abstains
	return judge{e, m, threshold}, nil
}

func (j judge) flags(n scored) bool { return n.score >= j.threshold && !j.abstains(n.Label) }

func (c *Comparison) sources(old, young judge) {
	after := young.sources()
	var p []float64
	for i, s := range old.sources() {
		row := SourceChange{Source: s.source, Role: s.role, P: 1}
		for k, n := range s.names {
			row.add(old.flags(n), young.flags(after[i].names[k]))
		}
		if s.role == Clean {
			p = append(p, row.more())
		}
		c.Sources = append(c.Sources, row)
	}
	adjusted := holm(p)
	for i := range c.Sources {
		row := &c.Sources[i]
		if row.Role != Clean {
			continue
		}
		row.P, adjusted = adjusted[0], adjusted[1:]
		if row.Worse = row.P < significant; row.Worse {
			c.Worse = append(c.Worse, fmt.Sprintf("%s: %d of %d clean names flagged, before %d (p = %.2g)",
				printable(row.Source), row.New().Hits, row.Names, row.Old().Hits, row.P))
		}
	}
}

func (c *Comparison) families(old, young judge) {
	rows := map[string]*FamilyChange{}
	for i, n := range old.generated {
		if rows[n.Group] == nil {
			rows[n.Group] = &FamilyChange{Family: n.Group, Group: n.group}
		}
		rows[n.Group].add(old.flags(n), young.flags(young.generated[i]))
	}
	var p []float64
	for _, row := range rows {
		c.Families = append(c.Families, *row)
	}
	slices.SortFunc(c.Families, func(a, b FamilyChange) int {
		return cmp.Or(cmp.Compare(a.change(), b.change()), cmp.Compare(a.Family, b.Family))
	})
	for _, row := range c.Families {
		p = append(p, min(1, 2*min(row.more(), row.fewer())))
	}
	for i, adjusted := range holm(p) {
		c.Families[i].P = adjusted
	}
}

func (c *Comparison) groups(old, young judge, b Bootstrap) {
	of := map[string][]FamilyChange{}
	tests := 0
	for _, name := range groupNames {
		for _, f := range c.Families {
			if isIn(f.Group, name) {
				of[name] = append(of[name], f)
			}
		}
		if len(of[name]) > 0 && gated(name) {
			tests++
		}
	}
	r := b.resampler(uint64(len(groupNames)))
	before, after := old.drawTails(c.Tail, r), young.drawTails(c.Tail, r)
	for i, name := range groupNames {
		families := of[name]
		if len(families) == 0 {
			continue
		}
		row := GroupChange{Group: name, Families: len(families)}
		var pairs []Paired
		for _, f := range families {
			pairs = append(pairs, f.Paired)
			row.Old += f.Old().Share() / float64(len(families))
			row.New += f.New().Share() / float64(len(families))
		}
		draws := b.resampler(uint64(i)).changes(pairs)
		was, is := old.shift(families, before), young.shift(families, after)
		for k := range draws {
			draws[k] += is[k] - was[k]
		}
		row.Interval = percentiles(draws, 2*significant/float64(max(tests, 1)))
		if row.Worse = row.Interval.High < 0 && gated(name); row.Worse {
			c.Worse = append(c.Worse, fmt.Sprintf("%s families: %.1f %% found, before %.1f %%", name, 100*row.New, 100*row.Old))
		}
		c.Groups = append(c.Groups, row)
	}
}

// drawTails are thresholds that the model's calibration could have given for a tail as well.
func (j judge) drawTails(tail float64, r *resampler) []float32 {
	n := j.model.Info().Calibrated
	drawn := make([]float32, r.Resamples)
	for i := range drawn {
		threshold, err := j.model.Threshold(classifier.Confidence(r.tail(tail, n)))
		if err != nil {
			threshold = j.threshold // beyond what the calibration supports
		}
		drawn[i] = threshold
	}
	return drawn
}

// shift is by how much the average share found moves with each of the drawn thresholds.
func (j judge) shift(families []FamilyChange, drawn []float32) []float64 {
	moved := make([]float64, len(drawn))
	for _, f := range families {
		scores := j.families[f.Family]
		at := reachSorted(scores, j.threshold).Share()
		for i, threshold := range drawn {
			moved[i] += (reachSorted(scores, threshold).Share() - at) / float64(len(families))
		}
	}
	return moved
}

func (c *Comparison) newly(old, young judge) {
	seen := map[string]bool{}
	var names []scored
	var rows []NewlyFlagged
	for i, set := range old.sets {
		if set.role == Generated {
			continue
		}
		for k, n := range set.names {
			after := young.sets[i].names[k]
			if young.flags(after) && !old.flags(n) && !seen[n.Domain] {
				seen[n.Domain] = true
				names = append(names, after)
				rows = append(rows, NewlyFlagged{set.name, n.Domain, n.Group, old.model.Tail(n.score), young.model.Tail(after.score)})
			}
		}
	}
	order := make([]int, len(rows))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(names[b].score, names[a].score) })
	c.NewlyAll = len(rows)
	for _, i := range order[:min(topNames, len(order))] {
		c.Newly = append(c.Newly, rows[i])
	}
}
