package training

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// selection uses all of small lists.
var selection = Selection{HoldBack: 30}

func corpusOf(t *testing.T, benign, generated string, s Selection) (*Corpus, error) {
	t.Helper()
	return ReadCorpus([]string{file(t, "benign.tsv", benign)}, []string{file(t, "dga.tsv", generated)}, s)
}

// many makes n names of a group.
func many(n int, format, group string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format+"\t%s\n", i, group)
	}
	return b.String()
}

func dropped(c *Corpus, reason string) int {
	i := slices.IndexFunc(c.Drops, func(d Drop) bool { return d.Reason == reason })
	if i < 0 {
		return 0
	}
	return c.Drops[i].Count
}

func TestACorpusHoldsBackCleanLabelsAndNothingOfThemIsLearned(t *testing.T) {
	benign := many(1000, "clean%d.com", "zonewalk") + many(1000, "clean%d.net", "toplist") + many(500, "top%d.com", "toplist")
	s := selection
	s.Clean = []string{"zone*"}
	c, err := corpusOf(t, benign, many(200, "dga%d.com", "necurs"), s)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(c.Calibration); n < 200 || n > 400 {
		t.Errorf("%d of 1000 clean labels are held back, want about 300", n)
	}
	if n := len(c.Benign) + len(c.Calibration); n != 1500 {
		t.Errorf("%d labels, want 1500 without those that are in two lists", n)
	}
	learned := map[string]bool{}
	for _, l := range c.Benign {
		learned[l.Label] = true
	}
	for _, l := range c.Calibration {
		if learned[l.Label] {
			t.Errorf("%s is held back and learned", l.Label)
		}
		if l.Source != "zonewalk" {
			t.Errorf("%s of %s is held back", l.Label, l.Source)
		}
	}
	if n := dropped(c, "label twice among benign names"); n != 1000 {
		t.Errorf("%d labels counted twice, want 1000", n)
	}
}

func TestALabelOfACleanSourceIsCleanWhereverItIsReadFirst(t *testing.T) {
	s := selection
	s.Clean = []string{"zone*"}
	c, err := corpusOf(t, many(300, "clean%d.net", "toplist")+many(300, "clean%d.com", "zonewalk"), many(200, "dga%d.com", "necurs"), s)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Calibration) == 0 || counted(c.Benign)[0].Name != "zonewalk" {
		t.Errorf("%d held back, the others of %v", len(c.Calibration), counted(c.Benign))
	}
}

func TestOnlyWhatMayBeShippedIsLearned(t *testing.T) {
	benign := many(100, "good%d.com", "alexa") + many(70, "bad%d.com", "radar") + many(30, "odd%d.com", "odd")
	s := selection
	s.Ship = Shipping{"alexa": true, "radar": false}
	if _, err := corpusOf(t, benign, "kq3v9z.com\tnecurs\n", s); err == nil || !strings.Contains(err.Error(), `benign.tsv:171: source "odd"`) {
		t.Errorf("a source that the table does not know: %v", err)
	}
	s.Exclude = []string{"od?"}
	c, err := corpusOf(t, benign, many(100, "dga%d.com", "necurs"), s)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(c.Benign) + len(c.Calibration); n != 100 {
		t.Errorf("%d labels, want the 100 of alexa", n)
	}
	if dropped(c, "source not to be shipped: radar") != 70 || dropped(c, "source excluded: odd") != 30 {
		t.Errorf("dropped %v", c.Drops)
	}
}

func TestANameOfBothClassesIsNotTaughtAsBenign(t *testing.T) {
	c, err := corpusOf(t, many(100, "name%d.com", "alexa"), many(10, "name%d.com", "necurs")+many(100, "dga%d.com", "necurs"), selection)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(c.Benign) + len(c.Calibration); n != 90 || dropped(c, "benign name that is in a list of generated ones too") != 10 {
		t.Errorf("%d benign labels, dropped %v", n, c.Drops)
	}
}

func TestFamiliesOfAKindCanBeLeftOut(t *testing.T) {
	s := selection
	s.Kinds, s.Without = Kinds{"matsnu": Wordlist, "necurs": "character-random"}, []string{Wordlist}
	generated := many(300, "dga%d.com", "necurs") + many(100, "dga%d.net", "necurs") + many(100, "word%d.com", "matsnu")
	c, err := corpusOf(t, many(100, "name%d.com", "alexa"), generated, s)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Families) != 1 || c.Families[0].Name != "necurs" || len(c.LeftOut) != 1 || c.LeftOut[0].Name != "matsnu" {
		t.Errorf("learns %v, leaves out %v", sizes(c.Families), sizes(c.LeftOut))
	}
	f := c.Families[0]
	if n := len(f.Labels) + len(f.HeldBack); n != 300 || dropped(c, "label twice in a family") != 100 {
		t.Errorf("%d labels, dropped %v", n, c.Drops)
	}
	if n := len(f.HeldBack); n < 5 || n > 30 {
		t.Errorf("%d of 300 labels held back, want about 15", n)
	}
}

func TestACorpusThatNothingCanBeLearnedFromIsRefused(t *testing.T) {
	f := func(what, want string, benign, generated string, s Selection) {
		t.Helper()
		if _, err := corpusOf(t, benign, generated, s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", what, err, want)
		}
	}
	good, bad := many(100, "name%d.com", "alexa"), many(100, "dga%d.com", "necurs")
	f("all excluded", "no benign names", good, bad, Selection{HoldBack: 30, Exclude: []string{"*"}})
	f("nothing clean", "no source like zonewalk", good, bad, Selection{HoldBack: 30, Clean: []string{"zonewalk"}})
	f("all left out", "no generated names", good, bad, Selection{HoldBack: 30, Without: []string{""}})
	f("nothing held back", "hold-back 0 %", good, bad, Selection{})
}
