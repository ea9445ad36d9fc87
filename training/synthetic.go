package training

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"referee/training/shapes"
)

// EachShape calls each with count synthetic labels of every kind, under the name of the kind's family (shape-hex; a kind that is
// asked for again is shape-hex-2). A kind's parameters are drawn anew every per labels, as if by another author. Equal arguments give
// equal names, and a kind's names do not depend on which others are asked for. words are for shapes.Words and shapes.Chain.
func EachShape(kinds []shapes.Kind, count, per int, seed uint64, words []string, each func(family string, made *shapes.Family)) {
	times := map[shapes.Kind]uint64{}
	for _, kind := range kinds {
		times[kind]++
		name := "shape-" + string(kind)
		if n := times[kind]; n > 1 {
			name = fmt.Sprintf("%s-%d", name, n)
		}
		random := rand.New(rand.NewPCG(seed, times[kind]<<32|uint64(slices.Index(shapes.Kinds(), kind))))
		for done := 0; done < count; done += per {
			made := shapes.NewFamily(kind, random, words)
			for range min(per, count-done) {
				each(name, made)
			}
		}
	}
}

// shapeFamilies are families to learn from where no list of generated names is at hand: the shapes that are mixed under
// real families otherwise. Chains take their pairs of letters from words.
func shapeFamilies(seed uint64, words []string) []Family {
	var families []Family
	seen := map[string]bool{}
	EachShape(shapeKinds, shapeList, shapeFamily, seed, words, func(family string, made *shapes.Family) {
		if n := len(families); n == 0 || families[n-1].Name != family {
			families = append(families, Family{Name: family, Kind: string(made.Kind())})
			clear(seen)
		}
		if label := made.Label(); !seen[label] {
			seen[label] = true
			families[len(families)-1].add(label)
		}
	})
	for i := range families {
		slices.Sort(families[i].Labels)
		slices.Sort(families[i].HeldBack)
	}
	return families
}

// maxWords bounds a word list.
const maxWords = 1_000_000

// ReadWords reads a word list: a word a line, plain or packed, as dictionaries of spell checkers are. Words that no label can have in
// it are passed over: what is not a to z, upper case apart, and what has more than 20 letters or only one.
func ReadWords(path string) ([]string, error) {
	var words []string
	seen := map[string]bool{}
	err := eachLine(path, func(_ int, line []byte) error {
		word := strings.ToLower(strings.TrimSpace(string(line)))
		if len(word) < 2 || len(word) > 20 || strings.Trim(word, "abcdefghijklmnopqrstuvwxyz") != "" || seen[word] {
			return nil
		}
		if len(words) == maxWords {
			return fmt.Errorf("more than %d words", maxWords)
		}
		seen[word] = true
		words = append(words, word)
		return nil
	})
	if err == nil && len(words) < 2 {
		err = fmt.Errorf("list %s: %d words, want two or more: a word a line, of the letters a to z", path, len(words))
	}
	if err != nil {
		return nil, fmt.Errorf("words: %w", err)
	}
	return words, nil
}
