package training

import (
	"cmp"
	"errors"
	"runtime"
	"slices"
	"sync"
)

// scored is a set's name with its score.
type scored struct {
	Entry
	score float32
	group string // of a generated name
}

// Evaluate measures a scorer. kinds says of families what they are; one that is not in it counts as random. families are those that
// the scorer was taught, or its trainer had. score is called from several goroutines.
func Evaluate(score func(label string) float32, sets []Set, kinds Kinds, families []string) (*Evaluation, error) {
	e, err := newEvaluator(score, sets, kinds, families)
	if err != nil {
		return nil, err
	}
	return e.evaluation()
}

func newEvaluator(score func(label string) float32, sets []Set, kinds Kinds, families []string) (*evaluator, error) {
	e := &evaluator{kinds: kinds, known: families, families: map[string][]float32{}}
	for _, set := range sets {
		names := scoreNames(score, set.Names)
		switch set.Role {
		case Generated:
			for i, n := range names {
				names[i].group = group(n.Group, kinds[n.Group], families)
				e.families[n.Group] = append(e.families[n.Group], n.score)
			}
			e.generated = append(e.generated, names...)
		case Clean:
			e.clean = append(e.clean, names...)
		case Benign: // is shown beside; no threshold comes from it
		}
		e.sets = append(e.sets, scoredSet{set.Name, set.Role, names})
	}
	if len(e.clean) == 0 {
		return nil, errors.New("evaluate: no clean benign names to take thresholds from: give a --set benign_stable…=FILE or benign_tail…=FILE")
	}
	for _, scores := range e.families {
		slices.Sort(scores)
	}
	e.cleanScores = descending(scoresOf(e.clean))
	e.rates = ratesFor(len(e.clean))
	e.at = thresholds(e.cleanScores, e.rates)
	return e, nil
}

// scoreNames scores on all processors.
func scoreNames(score func(label string) float32, entries []Entry) []scored {
	names := make([]scored, len(entries))
	const part = 1024
	var work sync.WaitGroup
	starts := make(chan int, len(entries)/part+1)
	for i := 0; i < len(entries); i += part {
		starts <- i
	}
	close(starts)
	for range runtime.GOMAXPROCS(0) {
		work.Go(func() {
			for from := range starts {
				for i := from; i < min(from+part, len(entries)); i++ {
					names[i] = scored{Entry: entries[i], score: score(entries[i].Label)}
				}
			}
		})
	}
	work.Wait()
	return names
}

type scoredSet struct {
	name  string
	role  Role
	names []scored
}

type evaluator struct {
	kinds       Kinds
	known       []string
	sets        []scoredSet
	clean       []scored
	cleanScores []float32 // descending
	generated   []scored
	families    map[string][]float32 // ascending
	rates       []float64
	at          []float32
	abstains    func(label string) bool // nil: never
}

func (e *evaluator) evaluation() (*Evaluation, error) {
	out := &Evaluation{Rates: e.rates, Thresholds: e.at, CleanNames: len(e.clean)}
	out.Families = e.familyRows()
	out.Groups = e.groupRows(out.Families)
	out.Benign = e.benignRows()
	out.Lengths = e.lengthRows()
	known := slices.DeleteFunc(slices.Clone(e.generated), func(n scored) bool { return n.group != "known random" })
	confused, err := confusion(scoresOf(e.clean), scoresOf(known), e.at[1])
	out.Confusion = confused
	return out, err
}

func scoresOf(names []scored) []float32 {
	scores := make([]float32, len(names))
	for i, n := range names {
		scores[i] = n.score
	}
	return scores
}

func (e *evaluator) reach(names []scored) []Rate {
	r := make([]Rate, len(e.at))
	for i, at := range e.at {
		for _, n := range names {
			r[i].add(n.score >= at)
		}
	}
	return r
}

func (e *evaluator) abstained(names []scored) int {
	if e.abstains == nil {
		return 0
	}
	count := 0
	for _, n := range names {
		if e.abstains(n.Label) {
			count++
		}
	}
	return count
}

func (e *evaluator) familyRows() []FamilyRow {
	clean := slices.Clone(e.cleanScores)
	slices.Reverse(clean)
	var rows []FamilyRow
	for family, scores := range e.families {
		row := FamilyRow{
			Family: family, Kind: e.kinds[family], Group: group(family, e.kinds[family], e.known),
			Names: len(scores), AUC: areaUnder(scores, clean),
		}
		for _, at := range e.at {
			rate := reachSorted(scores, at)
			row.Rates, row.Found = append(row.Rates, rate), append(row.Found, rate.Share())
		}
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b FamilyRow) int {
		return cmp.Or(
			cmp.Compare(slices.Index(groupNames, a.Group), slices.Index(groupNames, b.Group)),
			cmp.Compare(a.Family, b.Family))
	})
	return rows
}

func (e *evaluator) groupRows(families []FamilyRow) []GroupRow {
	var rows []GroupRow
	for _, name := range groupNames {
		row := GroupRow{Group: name, Found: make(Shares, len(e.rates))}
		for _, f := range families {
			if isIn(f.Group, name) {
				row.Families++
				row.Names += f.Names
				row.AUC += f.AUC
				for i, share := range f.Found {
					row.Found[i] += share
				}
			}
		}
		if row.Families == 0 {
			continue
		}
		row.AUC /= float64(row.Families)
		for i := range row.Found {
			row.Found[i] /= float64(row.Families)
		}
		abstained := e.abstained(slices.DeleteFunc(slices.Clone(e.generated), func(n scored) bool { return !isIn(n.group, name) }))
		row.Abstained = Rate{abstained, row.Names}.Share()
		rows = append(rows, row)
	}
	return rows
}

// named are benign names that have a row of their own.
type named struct {
	source string
	role   Role
	names  []scored
}

// sources are all clean names, then each benign set and each source in it that is large enough.
func (e *evaluator) sources() []named {
	rows := []named{{"all clean", Clean, e.clean}}
	for _, set := range e.sets {
		if set.role == Generated {
			continue
		}
		rows = append(rows, named{set.name, set.role, set.names})
		bySource := map[string][]scored{}
		for _, n := range set.names {
			bySource[n.Group] = append(bySource[n.Group], n)
		}
		first := len(rows)
		for source, names := range bySource {
			if len(bySource) > 1 && len(names) >= leastOfSource {
				rows = append(rows, named{set.name + " / " + source, set.role, names})
			}
		}
		slices.SortFunc(rows[first:], func(a, b named) int { return cmp.Compare(a.source, b.source) })
	}
	return rows
}

// leastOfSource is how many names of a source within a set get a row of their own: of fewer nothing below 1 % can be said.
const leastOfSource = 300

func (e *evaluator) benignRows() []BenignRow {
	var rows []BenignRow
	for _, s := range e.sources() {
		rows = append(rows, BenignRow{s.source, s.role, len(s.names), e.reach(s.names), e.abstained(s.names)})
	}
	return rows
}

// ofLength are the names whose labels are in a band.
func ofLength(names []scored, band [2]int) []scored {
	return slices.DeleteFunc(slices.Clone(names), func(n scored) bool { return len(n.Label) < band[0] || len(n.Label) > band[1] })
}

func (e *evaluator) lengthRows() []LengthRow {
	var rows []LengthRow
	for _, band := range lengthBands {
		generated := ofLength(e.generated, band)
		of := func(group string) []Rate {
			return e.reach(slices.DeleteFunc(slices.Clone(generated), func(n scored) bool { return n.group != group }))
		}
		rows = append(rows, LengthRow{
			From: band[0], To: band[1],
			Clean: e.reach(ofLength(e.clean, band)), Known: of("known random"), Unseen: of("unseen random"),
		})
	}
	return rows
}
