package training

import (
	"slices"
	"strings"
	"testing"

	"referee/features"
)

func own(t *testing.T, weight int, files ...string) (Own, error) {
	t.Helper()
	var paths []string
	for _, content := range files {
		paths = append(paths, file(t, "labels.tsv", content))
	}
	return ReadOwn(paths, weight)
}

func count(labels []string, label string) (n int) {
	for _, l := range labels {
		if l == label {
			n++
		}
	}
	return n
}

func TestAnOwnersLabelsGoBeforeTheListsAndAreNotCalibratedWith(t *testing.T) {
	labels, err := own(t, 5, "# from the report\nname\tlabel\ttime\nname7.com\tbenign\t2026-11-23T04:05:06Z\nhttps://www.name8.com/x\tDGA\ndga9.com\tbenign\nfresh.com\tdga\n")
	if err != nil {
		t.Fatal(err)
	}
	s := selection
	s.Own = labels
	c, err := corpusOf(t, many(1000, "name%d.com", "alexa"), many(100, "dga%d.com", "necurs"), s)
	if err != nil {
		t.Fatal(err)
	}
	const source = "the owner's labels, each 5 times"
	benign, calibration := labelsOf(c.Benign), labelsOf(c.Calibration)
	if count(benign, "name7") != 5 || count(benign, "dga9") != 5 || count(benign, "name8") != 0 {
		t.Errorf("taught as benign: name7 %d times, dga9 %d, name8 %d; want 5, 5, 0", count(benign, "name7"), count(benign, "dga9"), count(benign, "name8"))
	}
	for _, label := range []string{"name7", "name8", "dga9", "fresh"} {
		if slices.Contains(calibration, label) {
			t.Errorf("%s is calibrated with", label)
		}
	}
	if len(benign)+len(calibration) != 998+2*5 {
		t.Errorf("%d benign labels, want those of the list but two, and two of the owner five times", len(benign)+len(calibration))
	}
	at := slices.IndexFunc(c.Families, func(f Family) bool { return f.Name == source })
	if at < 0 {
		t.Fatalf("no family of the owner among %v", sizes(c.Families))
	}
	if f := c.Families[at]; count(f.Labels, "name8") != 5 || count(f.Labels, "fresh") != 5 || len(f.Labels) != 10 || len(f.HeldBack) != 0 {
		t.Errorf("the owner's family: %v and held back %v", f.Labels, f.HeldBack)
	}
	necurs := c.Families[slices.IndexFunc(c.Families, func(f Family) bool { return f.Name == "necurs" })]
	if slices.Contains(slices.Concat(necurs.Labels, necurs.HeldBack), "dga9") {
		t.Error("dga9 is taught as generated")
	}
	if n := dropped(c, "label in a list that the owner's labels speak for"); n != 2 {
		t.Errorf("%d labels of lists gave way, want 2", n)
	}
}

func TestOfTwoLabelsOfAnOwnerTheLaterCounts(t *testing.T) {
	f := func(what string, generated bool, drop string, files ...string) {
		t.Helper()
		o, err := own(t, 1, files...)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if o.labels["a1"].generated != generated || len(o.drops) != 1 || !strings.Contains(o.drops[0].Reason, drop) {
			t.Errorf("%s: %+v, dropped %v", what, o.labels, o.drops)
		}
	}
	f("by line", false, "a later one contradicts", "a1.com\tdga\na1.com\tbenign\n")
	f("by file", true, "a later one contradicts", "a1.com\tbenign\n", "a1.com\tdga\n")
	f("by time", true, "a later one contradicts", "a1.com\tdga\t2026-11-23T05:00:00Z\na1.com\tbenign\t2026-11-23T04:00:00+00:00\n")
	f("by line where one has no time", false, "a later one contradicts", "a1.com\tdga\t2026-11-23T05:00:00Z\na1.com\tbenign\n")
	f("the same twice", true, "twice", "a1.com\tdga\na1.net\tdga\n")
	f("beside one without a name", true, "no registrable name (address)", "10.0.0.1\tdga\na1.com\tdga\n")
}

func TestAnOwnersLabelThatSaysNothingClearIsRefusedWithItsLine(t *testing.T) {
	f := func(content, want string) {
		t.Helper()
		if _, err := own(t, 1, content); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an error with %q", content, err, want)
		}
	}
	f("a1.com\tdga\na2.com\n", ":2: want a name, a tab")
	f("a1.com\tnecurs\n", `:1: "necurs" is neither dga nor benign`)
	f("a1.com\tdga\tyesterday\n", `:1: "yesterday" is no time`)
	f("a1.com\tdga\t\tx\n", ":1: want a name")
	f("a1.com\tdga\x00\n", ":1: a NUL byte")
}

func TestALabelTaughtWithWeightMovesTheScore(t *testing.T) {
	const mistaken, missed = "wysokieobcasy", "watermoneyhome"
	score := func(weight int) (float32, float32) {
		c := smallCorpus()
		if weight > 0 {
			labels, err := own(t, weight, mistaken+".pl\tbenign\n"+missed+".com\tdga\n")
			if err != nil {
				t.Fatal(err)
			}
			labels.teach(c)
		}
		m := trainSmall(t, c)
		return m.Score(features.Name{Label: mistaken}), m.Score(features.Name{Label: missed})
	}
	mistakenBefore, missedBefore := score(0)
	mistakenLight, missedLight := score(1)
	mistakenAfter, missedAfter := score(50)
	if !(mistakenAfter < mistakenLight && mistakenLight < mistakenBefore) {
		t.Errorf("the false positive scores %v, %v with weight 1, %v with weight 50", mistakenBefore, mistakenLight, mistakenAfter)
	}
	if !(missedAfter > missedLight && missedAfter > missedBefore) {
		t.Errorf("the miss scores %v, %v with weight 1, %v with weight 50", missedBefore, missedLight, missedAfter)
	}
}

func TestWhatAnOwnerCallsBenignIsNotCleanedAway(t *testing.T) {
	c := smallCorpus()
	for len(c.Calibration) < 10000 {
		c.Calibration = append(c.Calibration, c.Calibration...)
	}
	labels, err := own(t, 1, "qxzjvkqwxzhj.com\tbenign\nxqzvkjwqpzxv.com\tbenign\n")
	if err != nil {
		t.Fatal(err)
	}
	labels.teach(c)
	c.Benign = append(c.Benign, Labelled{"zqxvjkwpqzxj", "toplist"}, Labelled{"jxqzvkwqzpxv", "toplist"})
	if n, err := c.DropMachineMade(t.Context(), smallSchedule, noProgress); err != nil || n != 2 {
		t.Errorf("%d names of the top list cleaned away, %v; want both", n, err)
	}
	left := labelsOf(c.Benign)
	if !slices.Contains(left, "qxzjvkqwxzhj") || !slices.Contains(left, "xqzvkjwqpzxv") {
		t.Error("the owner's labels were cleaned away")
	}
}
