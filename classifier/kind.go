package classifier

import "referee/features"

// Kind is the form that a generated name most likely has; "" where it is not distinct.
type Kind string

// The kinds, each with what it takes for one.
const (
	KindRandom        Kind = "random"        // characters drawn one by one: four consonants in a row, or digits strewn among letters
	KindHex           Kind = "hex"           // a piece of a digest: eight or more of 0-9 and a-f, both digits and letters
	KindPronounceable Kind = "pronounceable" // nine characters or more, no digit and no three vowels or consonants in a row
	KindWordlist      Kind = "wordlist"      // words joined: the head for words found it, and not the one for random names
)

// kind is the likely form of a label, if it was generated: a verdict does not hang on it, a reader's search for its family
// may. docs/classifier.md has how often it is right.
func (c *Cascade) kind(label string) Kind {
	bins := readBins(label)
	if c.Words != nil && len(label) >= MinWords && c.words(label, &bins) > c.random(label, &bins) {
		return KindWordlist
	}
	const leastHex, leastSaid, manyChanges = 8, 9, 3 // shorter ones come about by chance
	x := features.Lex(label)
	letters := x.Length - x.Digits - x.Hyphens
	switch {
	case x.Hex && x.Length >= leastHex && x.Digits > 0 && letters > 0:
		return KindHex
	case x.ConsonantRun >= 4 || x.Changes >= manyChanges:
		return KindRandom
	case x.Length >= leastSaid && x.Digits == 0 && x.ConsonantRun <= 2 && x.VowelRun <= 2 && 3*x.Vowels >= letters:
		return KindPronounceable
	}
	return ""
}
