package features

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestLongGramsAreThoseOfTheLabelBetweenBoundaries(t *testing.T) {
	var grams []string
	EachLongGram("abcdef", 20, func(gram string, _ uint32) { grams = append(grams, gram) })
	want := ".ab .abc .abcd .abcde .abcdef abc abcd abcde abcdef abcdef. bcd bcde bcdef bcdef. cde cdef cdef. def def. ef."
	if got := strings.Join(grams, " "); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestAnEqualLongGramHasAnEqualHashWhereverItStands(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bits := rapid.UintRange(8, 22).Draw(t, "bits")
		seen := map[string]uint32{}
		for range 2 {
			label := rapid.StringMatching(`[ab]{0,70}`).Draw(t, "label")
			n := 0
			EachLongGram(label, bits, func(gram string, bucket uint32) {
				if was, ok := seen[gram]; ok && was != bucket {
					t.Fatalf("%q has the hashes %d and %d", gram, was, bucket)
				}
				if bucket >= 1<<bits {
					t.Fatalf("%d is no hash of %d bits", bucket, bits)
				}
				seen[gram] = bucket
				n++
			})
			if n > MaxGrams {
				t.Fatalf("%d n-grams, want at most %d", n, MaxGrams)
			}
		}
	})
	dst := make([]uint32, 0, MaxGrams)
	long := strings.Repeat("ab3-", 20)
	if allocs := testing.AllocsPerRun(100, func() { AppendLongGrams(dst, long, 21) }); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
