package shapes

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"testing"
	"time"
)

var wordList = []string{"river", "stone", "cloud", "market", "summer"}

func TestEveryKindMakesLabelsThatDNSAccepts(t *testing.T) {
	host := regexp.MustCompile(`^[a-z0-9]{1,63}$`)
	for _, kind := range Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			for seed := range uint64(200) {
				family := NewFamily(kind, rand.New(rand.NewPCG(seed, 1)), wordList)
				for range 20 {
					if label := family.Label(); !host.MatchString(label) {
						t.Fatalf("seed %d: label %q", seed, label)
					}
				}
			}
		})
	}
}

func TestEqualSeedsMakeEqualNames(t *testing.T) {
	for _, kind := range Kinds() {
		a := NewFamily(kind, rand.New(rand.NewPCG(7, 7)), wordList)
		b := NewFamily(kind, rand.New(rand.NewPCG(7, 7)), wordList)
		for range 50 {
			if x, y := a.Domain(), b.Domain(); x != y {
				t.Fatalf("%s: %q and %q", kind, x, y)
			}
		}
	}
}

func TestAFamilyKeepsItsSuffixesAndSeldomRepeatsItself(t *testing.T) {
	for _, kind := range []Kind{Random, Hex, Base32, Permutation, Dated} {
		family := NewFamily(kind, rand.New(rand.NewPCG(3, 9)), nil)
		seen := map[string]bool{}
		for range 1000 {
			seen[family.Label()] = true
		}
		if len(seen) < 900 {
			t.Errorf("%s: only %d of 1,000 labels differ", kind, len(seen))
		}
		if n := len(family.suffixes); n < 1 || n > 4 {
			t.Errorf("%s: %d suffixes", kind, n)
		}
	}
}

func TestWordsNeedAListAndFallBackToSyllables(t *testing.T) {
	family := NewFamily(Words, rand.New(rand.NewPCG(1, 1)), wordList)
	joined := regexp.MustCompile(`^(river|stone|cloud|market|summer){2,}$`)
	if label := family.Label(); !joined.MatchString(label) {
		t.Errorf("%q is not made of the list's words", label)
	}
	if label := NewFamily(Words, rand.New(rand.NewPCG(1, 1)), nil).Label(); joined.MatchString(label) || label == "" {
		t.Errorf("without a list: %q", label)
	}
}

func TestPronounceableNamesHaveVowelsAndDifferFromFamilyToFamily(t *testing.T) {
	vowel := regexp.MustCompile(`[aeiouy]`)
	random := rand.New(rand.NewPCG(4, 4))
	seen := map[string]bool{}
	for range 400 {
		label := NewFamily(Pronounceable, random, nil).Label()
		if n := len(vowel.FindAllString(label, -1)); n == 0 || len(label) < 4 {
			t.Errorf("%q cannot be said", label)
		}
		seen[label] = true
	}
	if len(seen) < 395 {
		t.Errorf("only %d of 400 families began with a name of their own", len(seen))
	}
}

func TestChainsFollowThePairsOfLettersOfTheirWords(t *testing.T) {
	family := NewFamily(Chain, rand.New(rand.NewPCG(1, 1)), []string{"banana"})
	chained := regexp.MustCompile(`^(ba(na)+)+(b|ba|ban|n)?$`)
	for range 50 {
		if label := family.Label(); !chained.MatchString(label) {
			t.Errorf("%q does not follow banana", label)
		}
	}
	for _, words := range [][]string{nil, {"", "---"}} {
		if label := NewFamily(Chain, rand.New(rand.NewPCG(1, 1)), words).Label(); label == "" {
			t.Errorf("no label from the words %q", words)
		}
	}
}

func TestDatedNamesFollowFromTheirDay(t *testing.T) {
	day := func(n int) time.Time { return time.Date(2026, 11, 22+n, 0, 0, 0, 0, time.UTC) }
	family := NewFamily(Dated, rand.New(rand.NewPCG(1, 1)), nil)
	take := func(n int) (labels []string) {
		for range n {
			labels = append(labels, family.Label())
		}
		return labels
	}
	family.On(day(0))
	three := take(3 * family.PerDay())
	family.On(day(2))
	if third := take(family.PerDay()); !slices.Equal(third, three[2*family.PerDay():]) {
		t.Error("the third day's names are others when they are made alone")
	}
	seen := map[string]bool{}
	for _, label := range three {
		seen[label] = true
	}
	if len(seen) < len(three)*9/10 {
		t.Errorf("%d of %d names differ", len(seen), len(three))
	}
	other := NewFamily(Dated, rand.New(rand.NewPCG(2, 1)), nil)
	other.On(day(0))
	if seen[other.Label()] {
		t.Error("another key makes the same name")
	}
}
