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

// Role is what a set of names is for in an evaluation.
type Role string

// The roles, by the beginning of a set's name.
const (
	Clean     Role = "clean"     // benign_stable…, benign_tail…: without generated names in them; the thresholds come from these
	Benign    Role = "benign"    // benign…, hard…: benign names of other kinds, shown beside
	Generated Role = "generated" // dga…: the second column is the family
)

// Set is a named list to evaluate with.
type Set struct {
	Name  string
	Role  Role
	Names []Entry
}

// ReadSet reads a list. Its role follows from its name. Every line with a name counts, as in referee score.
func ReadSet(name, path string, drops *Drops) (Set, error) {
	s := Set{Name: name}
	switch {
	case strings.HasPrefix(name, "benign_stable"), strings.HasPrefix(name, "benign_tail"):
		s.Role = Clean
	case strings.HasPrefix(name, "benign"), strings.HasPrefix(name, "hard"):
		s.Role = Benign
	case strings.HasPrefix(name, "dga"):
		s.Role = Generated
	default:
		return s, fmt.Errorf("set %s: want a name that begins with benign_stable, benign_tail (clean: thresholds come from them), benign, hard or dga", name)
	}
	err := ReadList(path, drops, func(e Entry) { s.Names = append(s.Names, e) })
	return s, err
}

// lengthBands are the bands of LengthRow.
var lengthBands = [...][2]int{{1, 6}, {7, 8}, {9, 10}, {11, 12}, {13, 16}, {17, features.MaxLabel}}

// groupNames are in the order of the tables.
var groupNames = []string{
	"known random", "known wordlist", "unseen random", "unseen wordlist",
	"known random, simulated", "known wordlist, simulated", "unseen random, simulated", "unseen wordlist, simulated",
}

// Known lists the families that a model's trainer was given, the left out ones included.
func Known(info classifier.Info) []string {
	var names []string
	for _, f := range slices.Concat(info.Families, info.LeftOut) {
		names = append(names, f.Name)
	}
	return names
}

// group says where a family counts. Simulated families stand apart: they are not malware.
func group(family, kind string, known []string) string {
	seen, how := "unseen", "random"
	if slices.Contains(known, family) {
		seen = "known"
	}
	if kind == Wordlist {
		how = Wordlist
	}
	if family != original(family) {
		how += ", simulated"
	}
	return seen + " " + how
}

// scored is a set's name with its score.
type scored struct {
	Entry
	score float32
	group string // of a generated name
}

// Evaluate measures a scorer. kinds says of families what they are; one that is not in it counts as random. families are those that
// the scorer was taught, or its trainer had.
func Evaluate(score func(label string) float32, sets []Set, kinds Kinds, families []string) (*Evaluation, error) {
	e := evaluator{kinds: kinds, known: families, families: map[string][]float32{}}
	for _, set := range sets {
		names := make([]scored, len(set.Names))
		for i, n := range set.Names {
			names[i] = scored{Entry: n, score: score(n.Label)}
			switch set.Role {
			case Generated:
				names[i].group = group(n.Group, kinds[n.Group], families)
				e.families[n.Group] = append(e.families[n.Group], names[i].score)
				e.generated = append(e.generated, names[i])
			case Clean:
				e.clean = append(e.clean, names[i])
			case Benign: // is shown beside; no threshold comes from it
			}
		}
		e.sets = append(e.sets, scoredSet{set.Name, set.Role, names})
	}
	if len(e.clean) == 0 {
		return nil, errors.New("evaluate: no clean benign names to take thresholds from: give a --set benign_stable…=FILE or benign_tail…=FILE")
	}
	out := &Evaluation{Rates: falsePositiveRates, CleanNames: len(e.clean)}
	e.at = thresholds(scoresOf(e.clean))
	out.Thresholds = e.at
	out.Families = e.familyRows()
	out.Groups = groupRows(out.Families)
	out.Benign = e.benignRows()
	out.Lengths = e.lengthRows()
	known := slices.DeleteFunc(slices.Clone(e.generated), func(n scored) bool { return n.group != "known random" })
	confused, err := confusion(scoresOf(e.clean), scoresOf(known), e.at[1])
	out.Confusion = confused
	return out, err
}

type scoredSet struct {
	name  string
	role  Role
	names []scored
}

type evaluator struct {
	kinds     Kinds
	known     []string
	sets      []scoredSet
	clean     []scored
	generated []scored
	families  map[string][]float32
	at        [len(falsePositiveRates)]float32
}

func scoresOf(names []scored) []float32 {
	scores := make([]float32, len(names))
	for i, n := range names {
		scores[i] = n.score
	}
	return scores
}

func (e *evaluator) rates(scores []float32) (r [len(falsePositiveRates)]Rate) {
	for i, at := range e.at {
		r[i] = reach(scores, at)
	}
	return r
}

func (e *evaluator) familyRows() []FamilyRow {
	var rows []FamilyRow
	for family, scores := range e.families {
		row := FamilyRow{Family: family, Kind: e.kinds[family], Group: group(family, e.kinds[family], e.known), Names: len(scores)}
		for i, rate := range e.rates(scores) {
			row.Found[i] = rate.Share()
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

func groupRows(families []FamilyRow) []GroupRow {
	var rows []GroupRow
	for _, name := range groupNames {
		row := GroupRow{Group: name}
		for _, f := range families {
			if f.Group == name {
				row.Families++
				row.Names += f.Names
				for i, share := range f.Found {
					row.Found[i] += share
				}
			}
		}
		if row.Families == 0 {
			continue
		}
		for i := range row.Found {
			row.Found[i] /= float64(row.Families)
		}
		rows = append(rows, row)
	}
	return rows
}

func (e *evaluator) benignRows() []BenignRow {
	rows := []BenignRow{{Source: "all clean", Role: Clean, Names: len(e.clean), Rates: e.rates(scoresOf(e.clean))}}
	for _, set := range e.sets {
		if set.role == Generated {
			continue
		}
		rows = append(rows, BenignRow{Source: set.name, Role: set.role, Names: len(set.names), Rates: e.rates(scoresOf(set.names))})
		bySource := map[string][]float32{}
		for _, n := range set.names {
			bySource[n.Group] = append(bySource[n.Group], n.score)
		}
		first := len(rows)
		for source, scores := range bySource {
			if len(bySource) == 1 || len(scores) < leastOfSource {
				continue
			}
			rows = append(rows, BenignRow{set.name + " / " + source, set.role, len(scores), e.rates(scores)})
		}
		slices.SortFunc(rows[first:], func(a, b BenignRow) int { return cmp.Compare(a.Source, b.Source) })
	}
	return rows
}

// leastOfSource is how many names of a source within a set get a row of their own: of fewer nothing below 1 % can be said.
const leastOfSource = 300

func (e *evaluator) lengthRows() []LengthRow {
	var rows []LengthRow
	for _, band := range lengthBands {
		of := func(names []scored, group string) [len(falsePositiveRates)]Rate {
			var scores []float32
			for _, n := range names {
				if len(n.Label) >= band[0] && len(n.Label) <= band[1] && n.group == group {
					scores = append(scores, n.score)
				}
			}
			return e.rates(scores)
		}
		rows = append(rows, LengthRow{
			From: band[0], To: band[1],
			Clean: of(e.clean, ""), Known: of(e.generated, "known random"), Unseen: of(e.generated, "unseen random"),
		})
	}
	return rows
}
