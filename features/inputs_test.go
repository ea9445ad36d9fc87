package features

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// anyLabel draws labels of DNS, and strings that are none.
func anyLabel() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.StringMatching(`[a-z0-9][a-z0-9-]{0,61}[a-z0-9]?`),
		rapid.String(),
		rapid.StringN(60, 80, 200),
	)
}

func grams(label string) []string {
	var grams []string
	EachGram(label, 20, func(gram string, _ uint32) { grams = append(grams, gram) })
	return grams
}

func TestGramsAreOfOneToFiveCharactersBetweenBoundaryMarks(t *testing.T) {
	f := func(label, want string) {
		t.Helper()
		if diff := cmp.Diff(strings.Fields(want), grams(label)); diff != "" {
			t.Errorf("%q (-want +got)\n%s", label, diff)
		}
	}
	f("", "..")
	f("a", ".a .a. a a.")
	f("kq3", ".k .kq .kq3 .kq3. k kq kq3 kq3. q q3 q3. 3 3.")
	if got := len(grams(strings.Repeat("a", MaxLabel))); got != MaxGrams {
		t.Errorf("the longest label has %d n-grams, want MaxGrams = %d", got, MaxGrams)
	}
}

func TestEqualGramsHashEquallyWhereverTheyStand(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bits := rapid.UintRange(1, 32).Draw(t, "bits")
		hashes := map[string]uint32{}
		for _, label := range []string{anyLabel().Draw(t, "one"), anyLabel().Draw(t, "other")} {
			count := 0
			EachGram(label, bits, func(gram string, bucket uint32) {
				count++
				if uint64(bucket) >= 1<<bits {
					t.Fatalf("%q: bucket %d of %d bits", gram, bucket, bits)
				}
				if known, ok := hashes[gram]; ok && known != bucket {
					t.Fatalf("%q: buckets %d and %d", gram, known, bucket)
				}
				hashes[gram] = bucket
			})
			if got := len(AppendGrams(nil, label, bits)); got != count {
				t.Fatalf("%q: %d n-grams hashed, %d named", label, got, count)
			}
		}
	})
}

func TestDifferentGramsRarelyShareABucket(t *testing.T) {
	buckets := map[uint32]string{}
	var text strings.Builder
	for i := range 2000 {
		text.WriteByte("abcdefghijklmnopqrstuvwxyz0123456789-"[i*i*7919%37])
	}
	distinct, shared := map[string]bool{}, 0
	for i := 0; i+20 < text.Len(); i++ {
		EachGram(text.String()[i:i+20], 20, func(gram string, bucket uint32) {
			if distinct[gram] {
				return
			}
			distinct[gram] = true
			if other, taken := buckets[bucket]; taken && other != gram {
				shared++
			}
			buckets[bucket] = gram
		})
	}
	// n²/2m for n different n-grams in m buckets, and some room.
	expected := len(distinct) * len(distinct) / (2 << 20)
	if shared > 2*expected+10 {
		t.Errorf("%d of %d n-grams share a bucket, about %d would by chance", shared, len(distinct), expected)
	}
}

func TestALabelIsMeasured(t *testing.T) {
	f := func(label string, want Lexical) {
		t.Helper()
		if diff := cmp.Diff(want, Lex(label)); diff != "" {
			t.Errorf("%q (-want +got)\n%s", label, diff)
		}
	}
	f("", Lexical{Evenness: 100, Hex: true})
	f("a", Lexical{Length: 1, Vowels: 1, Distinct: 1, VowelRun: 1, Evenness: 100, Hex: true})
	f("aaaa", Lexical{Length: 4, Vowels: 4, Distinct: 1, VowelRun: 4, Hex: true})
	f("abab", Lexical{Length: 4, Vowels: 2, Distinct: 2, VowelRun: 1, ConsonantRun: 1, Evenness: 50, Hex: true})
	f("strengths", Lexical{Length: 9, Vowels: 1, Distinct: 7, ConsonantRun: 5, VowelRun: 1, Evenness: 85})
	f("dead-b33f", Lexical{
		Length: 9, Digits: 2, Vowels: 2, Hyphens: 1, Distinct: 7, Changes: 2,
		ConsonantRun: 1, VowelRun: 2, DigitRun: 2, Evenness: 85,
	})
	f("8a1f0c6b", Lexical{
		Length: 8, Digits: 4, Vowels: 1, Distinct: 8, Changes: 7,
		ConsonantRun: 1, VowelRun: 1, DigitRun: 1, Evenness: 100, Hex: true,
	})
}

func TestLanesMeasureWhatOneCountAfterTheOtherDoes(t *testing.T) {
	letters, vowels, digits := "abcdefghijklmnopqrstuvwxyz", "aeiouy", "0123456789"
	consonants := strings.Map(func(r rune) rune {
		if strings.ContainsRune(vowels, r) {
			return -1
		}
		return r
	}, letters)
	all := func(label, of string) (n int) {
		for i := range len(label) {
			n += strings.Count(of, label[i:i+1])
		}
		return n
	}
	longest := func(label, of string) (n int) {
		for from := range len(label) {
			to := from
			for to < len(label) && strings.IndexByte(of, label[to]) >= 0 {
				to++
			}
			n = max(n, to-from)
		}
		return n
	}
	rapid.Check(t, func(t *rapid.T) {
		label := rapid.OneOf(anyLabel(), rapid.StringMatching(`[ab01-]{0,63}`)).Draw(t, "label")
		got := Lex(label)
		label = label[:min(len(label), MaxLabel)]
		want := Lexical{
			Length: len(label), Digits: all(label, digits), Vowels: all(label, vowels), Hyphens: all(label, "-"),
			ConsonantRun: longest(label, consonants), VowelRun: longest(label, vowels), DigitRun: longest(label, digits),
			Hex: all(label, digits+"abcdef") == len(label), Evenness: 100,
		}
		counts := map[byte]int{}
		for i := range len(label) {
			counts[label[i]]++
			if i > 0 && (all(label[i-1:i], letters) == 1 && all(label[i:i+1], digits) == 1 ||
				all(label[i-1:i], digits) == 1 && all(label[i:i+1], letters) == 1) {
				want.Changes++
			}
		}
		want.Distinct = len(counts)
		if most := int(nLogN[len(label)]); most > 0 {
			sum := 0
			for _, n := range counts {
				sum += int(nLogN[n])
			}
			want.Evenness = 100 * (most - sum) / most
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%q (-want +got)\n%s", label, diff)
		}
	})
}

func TestEntropyInIntegersIsTheEntropy(t *testing.T) {
	for n := 1; n < len(nLogN); n++ {
		if want := math.Round(256 * float64(n) * math.Log2(float64(n))); float64(nLogN[n]) != want {
			t.Errorf("nLogN[%d] is %d, want %.0f", n, nLogN[n], want)
		}
	}
}

func TestEveryLabelFallsIntoOneBinOfEachKind(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := Lex(anyLabel().Draw(t, "label"))
		bins := x.AppendBins(nil)
		if len(bins) != BinsPerLabel || !slices.IsSorted(bins) || bins[len(bins)-1] >= NumBins {
			t.Fatalf("%+v falls into %v of %d", x, bins, NumBins)
		}
	})
}

func TestTheInputsOfTheModelDoNotAllocate(t *testing.T) {
	var buffer [BinsPerLabel + MaxGrams]uint32
	label := strings.Repeat("kq3v9z-", 9)
	if n := testing.AllocsPerRun(100, func() {
		AppendGrams(Lex(label).AppendBins(buffer[:0]), label, 20)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
