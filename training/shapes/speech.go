package shapes

import (
	"slices"
	"strings"
)

// speech is a way to make names that can be said: what its letters are and how they follow one another.
type speech func() string

// speak draws one of the ways that authors have come upon: a table of syllables, patterns of consonants and vowels, or
// letters that each have a few successors.
func (f *Family) speak() speech {
	switch f.rand.IntN(5) {
	case 0:
		return f.fromSyllables()
	case 1:
		return f.fromClusters()
	case 2:
		return f.fromPatterns()
	case 3:
		return f.fromTurns()
	default:
		return f.fromSuccessors()
	}
}

// fromSyllables joins syllables of a table.
func (f *Family) fromSyllables() speech {
	parts := f.syllables()
	low := f.between(3, 5)
	high := low + f.rand.IntN(3)
	return func() string { return f.join(parts, low, high) }
}

// onsets, nuclei and codas are what syllables of many languages begin, go on and end with.
var (
	onsets = strings.Fields("b c d f g h j k l m n p qu r s t v w x y z bl br ch cl cr dr fl fr gl gr kl kr pl pr ph sc sh sk sl " +
		"sm sn sp st sw th tr tw wh zh sz cz gh kh ng ts str")
	nuclei = strings.Fields("a e i o u y ai au ea ee ei ia ie io oa oi oo ou ua ue ui")
	codas  = strings.Fields("b c d f g k l m n p r s t v x z ck ct ft ld lk ll lt mp nd ng nk nt pt rd rk rm rn rt sh sk ss st th")
)

// fromClusters joins onset, nucleus and at times a coda; the language that it is of has some of them only.
func (f *Family) fromClusters() speech {
	first := f.choose(onsets, f.between(6, len(onsets)))
	middle := f.choose(nuclei, f.between(4, len(nuclei)))
	last := f.choose(codas, f.between(3, len(codas)))
	closed := f.rand.Float64() // share of syllables with a coda
	low := f.between(2, 4)
	high := low + f.rand.IntN(2)
	return func() string {
		var b strings.Builder
		for range f.between(low, high) {
			b.WriteString(f.one(first))
			b.WriteString(f.one(middle))
			if f.rand.Float64() < closed {
				b.WriteString(f.one(last))
			}
		}
		return b.String()
	}
}

// fromPatterns fills a few patterns of consonants and vowels with letters.
func (f *Family) fromPatterns() speech {
	soft, hard := f.skewed(vowels, 4), f.skewed(consonants, 8)
	patterns := make([]string, f.between(1, 6))
	for i := range patterns {
		var b strings.Builder
		for size := f.between(7, 14); b.Len() < size; {
			b.WriteString(f.one([]string{"cv", "cv", "cv", "vc", "cvc", "cvc", "ccv", "cvv"}))
		}
		patterns[i] = b.String()
	}
	return func() string {
		label := []byte(f.one(patterns))
		for i, class := range label {
			if class == 'v' {
				label[i] = f.char(soft)
			} else {
				label[i] = f.char(hard)
			}
		}
		return string(label)
	}
}

// fromTurns takes consonants and vowels in turn, and now and then two of a kind.
func (f *Family) fromTurns() speech {
	soft, hard := f.skewed(vowels, 3), f.skewed(consonants, 6)
	low := f.between(6, 11)
	high := low + f.rand.IntN(8)
	again := [2]float64{f.rand.Float64() * 0.35, f.rand.Float64() * 0.5} // a vowel after a vowel, a consonant after a consonant
	return func() string {
		label := make([]byte, f.between(low, high))
		class := f.rand.IntN(2)
		for i := range label {
			label[i] = f.char([2]string{soft, hard}[class])
			if f.rand.Float64() >= again[class] {
				class = 1 - class
			}
		}
		return string(label)
	}
}

// fromSuccessors lets each letter be followed by a few others only, more often by one of the other class.
func (f *Family) fromSuccessors() speech {
	low := f.between(6, 11)
	high := low + f.rand.IntN(8)
	var after [len(letters)]string
	most := f.between(4, 12)
	for i := range after {
		other, own := vowels, consonants
		if strings.IndexByte(vowels, letters[i]) >= 0 {
			other, own = consonants, vowels
		}
		var b strings.Builder
		for range f.between(3, most) {
			if f.rand.IntN(5) == 0 {
				b.WriteByte(f.char(own))
			} else {
				b.WriteByte(f.char(other))
			}
		}
		after[i] = b.String()
	}
	return func() string {
		label := make([]byte, f.between(low, high))
		last := f.char(letters)
		for i := range label {
			label[i] = last
			last = f.char(after[last-'a'])
		}
		return string(label)
	}
}

// skewed is an alphabet of at least so many of the letters, in which some stand several times.
func (f *Family) skewed(all string, least int) string {
	chosen := f.choose(strings.Split(all, ""), f.between(least, len(all)))
	if f.rand.IntN(2) == 0 {
		return strings.Join(chosen, "")
	}
	var b strings.Builder
	for _, letter := range chosen {
		b.WriteString(strings.Repeat(letter, 1+int(f.rand.ExpFloat64()*2)))
	}
	return b.String()
}

// one is an element of all.
func (f *Family) one(all []string) string { return all[f.rand.IntN(len(all))] }

// join joins low to high of the parts.
func (f *Family) join(parts []string, low, high int) string {
	var b strings.Builder
	for range f.between(low, high) {
		b.WriteString(f.one(parts))
	}
	return b.String()
}

// chain is what follows each pair of characters in a list of words; 0 stands before and after a word.
type chain map[[2]byte][]byte

// newChain reads n of the words; what DNS allows in them and Label does not make is passed over.
func (f *Family) newChain(words []string, n int) chain {
	c := chain{}
	for range n {
		last := [2]byte{}
		for _, next := range append([]byte(f.one(words)), 0) {
			if next != 0 && strings.IndexByte(letters+digits, next) < 0 {
				continue
			}
			c[last] = append(c[last], next)
			last = [2]byte{last[1], next}
		}
	}
	return c
}

// fromChain goes through the chain of some words, again from the start where one ends too early. Words of nothing that a
// label has make syllables instead.
func (f *Family) fromChain(words []string) speech {
	c := f.newChain(words, f.between(50, 500))
	if !slices.ContainsFunc(c[[2]byte{}], func(first byte) bool { return first != 0 }) {
		return f.fromSyllables()
	}
	low := f.between(7, 11)
	high := low + f.rand.IntN(8)
	return func() string {
		var label []byte
		last := [2]byte{}
		for size := f.between(low, high); len(label) < size; {
			next := c[last][f.rand.IntN(len(c[last]))]
			if next == 0 {
				last = [2]byte{}
				continue
			}
			label = append(label, next)
			last = [2]byte{last[1], next}
		}
		return string(label)
	}
}
