// Package training makes models: it reads lists of benign and generated names, trains, calibrates and evaluates, and
// writes the model card. Everything is deterministic: equal inputs, seed, Go version and architecture give equal bytes.
package training

import (
	"errors"
	"fmt"
	"hash/fnv"
	"path"
	"slices"
	"strings"

	"referee/classifier"
)

// Selection says what of the lists is used, and for what.
type Selection struct {
	Ship     Shipping // nil: every source may be used
	Exclude  []string // sources not to use; patterns as of path.Match
	Kinds    Kinds    // of the families; may be nil
	Without  []string // kinds of families not to learn from
	Clean    []string // benign sources without generated names in them, to calibrate with; patterns. Empty: all sources
	HoldBack int      // percent of the clean labels that are held back from training, to calibrate with
	Shapes   bool     // synthetic families, to learn from beside those of the lists
	Seed     uint64   // of the shapes
	Own      Own      // what the owner knows, which goes before any list
}

// Corpus is what to learn from and what is held back. Labels are unique within a class: the model reads nothing else.
type Corpus struct {
	Benign      []Labelled // to learn from
	Calibration []Labelled // clean and held back
	Families    []Family   // to learn from, by name
	LeftOut     []Family   // known, of a kind not to learn from
	Drops       Drops
	own         string // the source and family of the owner's labels; empty: none
}

// Labelled is a label and the source that it is counted under.
type Labelled struct{ Label, Source string }

// Family is the names of one domain generation algorithm.
type Family struct {
	Name     string
	Kind     string   // empty: unknown
	Labels   []string // to learn from
	HeldBack []string // one in twenty
}

const heldBackOfFamilies = 5 // percent

// ReadCorpus reads the lists and divides what is in them.
func ReadCorpus(benign, generated []string, s Selection) (*Corpus, error) {
	if s.HoldBack < 1 || s.HoldBack > 90 {
		return nil, fmt.Errorf("hold-back %d %%: want 1 to 90", s.HoldBack)
	}
	b := corpusBuilder{
		Selection: s,
		generated: map[string]struct{}{},
		families:  map[string]map[string]struct{}{},
		benign:    map[uint64]int32{},
	}
	b.drops = append(b.drops, s.Own.drops...)
	for _, file := range generated {
		if err := ReadList(file, &b.drops, b.addGenerated); err != nil {
			return nil, err
		}
	}
	for _, file := range benign {
		if err := ReadList(file, &b.drops, b.addBenign); err != nil {
			return nil, err
		}
		if b.err != nil {
			return nil, b.err
		}
	}
	return b.corpus()
}

type corpusBuilder struct {
	Selection
	drops     Drops
	generated map[string]struct{}            // domains
	families  map[string]map[string]struct{} // family → labels
	entries   []Labelled                     // benign
	benign    map[uint64]int32               // hash of the label, or the next free number → where in entries
	err       error
}

func (b *corpusBuilder) addGenerated(e Entry) {
	b.generated[e.Domain] = struct{}{}
	labels := b.families[e.Group]
	if labels == nil {
		labels = map[string]struct{}{}
		b.families[e.Group] = labels
	}
	if _, twice := labels[e.Label]; twice {
		b.drops.Add("label twice in a family", e.Place)
		return
	}
	labels[e.Label] = struct{}{}
}

func (b *corpusBuilder) addBenign(e Entry) {
	if matches(b.Exclude, e.Group) {
		b.drops.Add("source excluded: "+e.Group, e.Place)
		return
	}
	if b.Ship != nil {
		if may, known := b.Ship[e.Group]; !known && b.err == nil {
			b.err = fmt.Errorf("list %s: source %q is not in the table of sources: add it there with its licence, or exclude it",
				e.Place, e.Group)
			return
		} else if !may {
			b.drops.Add("source not to be shipped: "+e.Group, e.Place)
			return
		}
	}
	if _, conflict := b.generated[e.Domain]; conflict {
		b.drops.Add("benign name that is in a list of generated ones too", e.Place)
		return
	}
	at, twice := b.find(e.Label)
	if !twice {
		b.entries = append(b.entries, Labelled{e.Label, e.Group})
		return
	}
	b.drops.Add("label twice among benign names", e.Place)
	if b.isClean(e.Group) && !b.isClean(b.entries[at].Source) {
		b.entries[at].Source = e.Group // the clean source speaks for the label
	}
}

// find looks a benign label up, and makes a place for it if there is none. The map holds no strings: of ten million names they
// would cost the garbage collector more than all the rest.
func (b *corpusBuilder) find(label string) (at int32, known bool) {
	h := fnv.New64a()
	h.Write([]byte(label))
	for key := h.Sum64(); ; key++ {
		at, taken := b.benign[key]
		switch {
		case !taken:
			b.benign[key] = int32(len(b.entries)) // memory ends long before
			return b.benign[key], false
		case b.entries[at].Label == label:
			return at, true
		}
	}
}

func (b *corpusBuilder) isClean(source string) bool {
	return len(b.Clean) == 0 || matches(b.Clean, source)
}

func (b *corpusBuilder) corpus() (*Corpus, error) {
	b.benign = nil
	held := 0
	for _, e := range b.entries {
		if b.isClean(e.Source) && heldBack(e.Label, b.HoldBack) {
			held++
		}
	}
	c := &Corpus{Calibration: make([]Labelled, 0, held), Benign: make([]Labelled, 0, len(b.entries)-held)}
	for _, e := range b.entries {
		switch {
		case b.Own.knows(e.Label):
			b.drops.Add("label in a list that the owner's labels speak for", b.Own.labels[e.Label].Place)
		case b.isClean(e.Source) && heldBack(e.Label, b.HoldBack):
			c.Calibration = append(c.Calibration, e)
		default:
			c.Benign = append(c.Benign, e)
		}
	}
	for name, labels := range b.families {
		f := Family{Name: name, Kind: b.Kinds[name]}
		for label := range labels {
			if !b.Own.knows(label) {
				f.add(label)
			}
		}
		slices.Sort(f.Labels)
		slices.Sort(f.HeldBack)
		if slices.Contains(b.Without, f.Kind) {
			c.LeftOut = append(c.LeftOut, f)
		} else {
			c.Families = append(c.Families, f)
		}
	}
	if b.Shapes {
		c.Families = append(c.Families, shapeFamilies(b.Seed, labelsOf(c.Benign))...)
	}
	b.Own.teach(c)
	byName := func(a, b Family) int { return strings.Compare(a.Name, b.Name) }
	slices.SortFunc(c.Families, byName)
	slices.SortFunc(c.LeftOut, byName)
	c.Drops = b.drops
	c.Drops.Sort()
	switch {
	case len(c.Benign) == 0:
		return nil, errors.New("no benign names to learn from: give more lists, or exclude fewer sources")
	case len(c.Calibration) == 0:
		return nil, fmt.Errorf("no clean benign names to calibrate with: no source like %s", strings.Join(b.Clean, ", "))
	case len(c.Families) == 0:
		return nil, errors.New("no generated names to learn from: give more lists, or leave out fewer kinds")
	}
	return c, nil
}

// add holds one in twenty labels back.
func (f *Family) add(label string) {
	if heldBack(label, heldBackOfFamilies) {
		f.HeldBack = append(f.HeldBack, label)
	} else {
		f.Labels = append(f.Labels, label)
	}
}

func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, name)
		return ok && err == nil
	})
}

// heldBack chooses by the label alone, so that all lists, folds and later models hold back the same ones.
func heldBack(label string, percent int) bool {
	h := fnv.New64a()
	h.Write([]byte(label))
	sum := h.Sum64()
	return int((sum^sum>>32)%1000) < 10*percent
}

// counted sums names by source, in the order of the sources' names.
func counted(labels []Labelled) []classifier.Source {
	counts := map[string]int{}
	for _, l := range labels {
		counts[l.Source]++
	}
	var sources []classifier.Source
	for name, n := range counts {
		sources = append(sources, classifier.Source{Name: name, Names: n})
	}
	slices.SortFunc(sources, func(a, b classifier.Source) int { return strings.Compare(a.Name, b.Name) })
	return sources
}
