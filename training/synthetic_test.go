package training

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"referee/training/shapes"
)

func shapesOf(kinds []shapes.Kind, count, per int, seed uint64) map[string][]string {
	made := map[string][]string{}
	EachShape(kinds, count, per, seed, []string{"time", "year"}, func(family string, f *shapes.Family) {
		made[family] = append(made[family], f.Label())
	})
	return made
}

func TestEqualSeedsMakeEqualShapesWhateverElseIsAskedFor(t *testing.T) {
	all := shapesOf(shapes.Kinds(), 60, 25, 7)
	for _, kind := range shapes.Kinds() {
		alone := shapesOf([]shapes.Kind{kind}, 60, 25, 7)
		name := "shape-" + string(kind)
		if diff := cmp.Diff(all[name], alone[name]); diff != "" || len(alone[name]) != 60 {
			t.Errorf("%s: %d names (-with others +alone)\n%s", kind, len(alone[name]), diff)
		}
		if slices.Equal(alone[name], shapesOf([]shapes.Kind{kind}, 60, 25, 8)[name]) {
			t.Errorf("%s: another seed, the same names", kind)
		}
	}
}

func TestAKindAskedForTwiceIsTwoFamilies(t *testing.T) {
	made := shapesOf([]shapes.Kind{shapes.Hex, shapes.Hex}, 50, 25, 1)
	if len(made["shape-hex"]) != 50 || len(made["shape-hex-2"]) != 50 || slices.Equal(made["shape-hex"], made["shape-hex-2"]) {
		t.Errorf("%v", made)
	}
}

func TestACorpusWithoutGeneratedNamesIsTaughtShapes(t *testing.T) {
	s := selection
	s.Shapes = true
	c, err := ReadCorpus([]string{file(t, "benign.tsv", many(100, "name%d.com", "alexa"))}, nil, s)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Families) != len(shapeKinds) {
		t.Errorf("%d families, want one for each kind in the mixture", len(c.Families))
	}
	for _, f := range c.Families {
		if len(f.Labels) < fullFamily || len(f.HeldBack) < leastNames || f.Kind == "" {
			t.Errorf("%s, kind %q: %d labels, %d held back", f.Name, f.Kind, len(f.Labels), len(f.HeldBack))
		}
	}
}

func TestAWordListIsReadForTheWordsThatLabelsCanHave(t *testing.T) {
	words, err := ReadWords(file(t, "words", "\uFEFFRiver\r\n# no word\nit's\nstone\nriver\na\nélan\nmarket/MS\n  cloud \n"))
	if diff := cmp.Diff([]string{"river", "stone", "cloud"}, words); err != nil || diff != "" {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	if _, err := ReadWords(file(t, "words", "stone\n")); err == nil {
		t.Error("one word is taken for a list")
	}
}
