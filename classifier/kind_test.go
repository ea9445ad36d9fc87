package classifier_test

import (
	"bufio"
	"compress/gzip"
	"os"
	"strings"
	"testing"

	"referee/classifier"
)

func TestAKindIsGivenWhereANameHasTheFormOfOne(t *testing.T) {
	m := load(t)
	f := func(label string, want classifier.Kind) {
		t.Helper()
		if got := m.Explain(name(label+".com", label)).Kind; got != want {
			t.Errorf("%s: kind %q, want %q", label, got, want)
		}
	}
	f("xkqwzvbnhtpl", classifier.KindRandom)
	f("k3j9x2m7q1z8", classifier.KindRandom)
	f("3a392f12175d6", classifier.KindHex)
	f("tocawyzofinebamon", classifier.KindPronounceable)
	f("wikipedia", "") // nobody generated it
}

// TestTheKindGivenIsMostlyThatOfTheFamily measures on the development lists what docs/classifier.md says.
func TestTheKindGivenIsMostlyThatOfTheFamily(t *testing.T) {
	const corpora = "../../shared/corpora/"
	kinds := map[string]classifier.Kind{}
	each(t, corpora+"families.tsv", func(columns []string) {
		kinds[columns[0]] = map[string]classifier.Kind{
			"character-random": classifier.KindRandom, "permutation": classifier.KindRandom, "encoding": classifier.KindRandom,
			"numeric": classifier.KindRandom, "hex-hash": classifier.KindHex, "pronounceable": classifier.KindPronounceable,
			"wordlist": classifier.KindWordlist,
		}[columns[1]]
	})
	m := load(t)
	least, err := m.Threshold(classifier.Balanced)
	if err != nil {
		t.Fatal(err)
	}
	type count struct{ given, right int }
	counts, flagged, lines := map[classifier.Kind]*count{}, 0, 0
	for _, list := range []string{"dga_known_families_unseen", "dga_unseen_families"} {
		each(t, corpora+"dev/"+list+".tsv.gz", func(columns []string) {
			if lines++; lines%8 != 0 { // to explain takes long
				return
			}
			label, _, _ := strings.Cut(columns[0], ".")
			e := m.Explain(name(columns[0], label))
			if e.Score < least || e.Abstain || kinds[columns[1]] == "" {
				return
			}
			flagged++
			if e.Kind == "" {
				return
			}
			if counts[e.Kind] == nil {
				counts[e.Kind] = &count{}
			}
			counts[e.Kind].given++
			// Digests in base 32 or 36 are of random characters as far as a name tells.
			if want := kinds[columns[1]]; e.Kind == want || e.Kind == classifier.KindRandom && want == classifier.KindHex {
				counts[e.Kind].right++
			}
		})
	}
	for kind, c := range counts {
		precision := float64(c.right) / float64(c.given)
		t.Logf("%s: given to %d of %d flagged names, right for %.1f %%", kind, c.given, flagged, 100*precision)
		if precision < 0.8 {
			t.Errorf("%s is right for %.1f %% of %d names: too seldom to be given", kind, 100*precision, c.given)
		}
	}
}

// each calls f with the columns of each line of a list, plain or gzip; without the corpora it skips the test.
func each(t *testing.T, path string, f func(columns []string)) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Skip("needs the corpora: ", err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	if strings.HasSuffix(path, ".gz") {
		list, err := gzip.NewReader(file)
		if err != nil {
			t.Fatal(err)
		}
		lines = bufio.NewScanner(list)
	}
	for lines.Scan() {
		if columns := strings.Split(lines.Text(), "\t"); len(columns) > 1 {
			f(columns)
		}
	}
}
