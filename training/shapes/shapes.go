// Package shapes makes synthetic generated names: the forms that domain generation algorithms give to their labels,
// without the seed or the arithmetic of any malware. Training adds them to real families, and the demo sends them as
// Referers. It imports the standard library alone.
package shapes

import (
	"math/rand/v2"
	"strings"
)

// Kind is a form of label, in the terms of the literature on generated names (Plohmann et al., USENIX Security 2016,
// tell arithmetic, hash, wordlist and permutation generators apart).
type Kind string

const (
	Random        Kind = "random"        // letters, sometimes digits, drawn one by one from an alphabet
	Hex           Kind = "hex"           // a piece of a hexadecimal digest
	Base32        Kind = "base32"        // a piece of a base-32 digest
	Pronounceable Kind = "pronounceable" // consonants and vowels by patterns or in turn, or a small table of syllables
	Chain         Kind = "chain"         // letters as they follow one another in a list of words
	Permutation   Kind = "permutation"   // one base label with a few characters exchanged
	Words         Kind = "words"         // two to four words joined
	Dated         Kind = "dated"         // letters that follow from a key and a date by arithmetic
)

// Kinds lists every Kind, in a fixed order.
func Kinds() []Kind {
	return []Kind{Random, Hex, Base32, Pronounceable, Chain, Permutation, Words, Dated}
}

// Family makes the labels of one imaginary family. Its parameters (alphabet, lengths, syllables, suffixes) are drawn
// once, as an author would fix them in his code. It is not safe for concurrent use.
type Family struct {
	kind     Kind
	rand     *rand.Rand
	alphabet string
	parts    []string // words of Words
	speech   speech   // of Pronounceable and Chain
	base     []byte   // of Permutation
	min, max int      // characters; for Words words
	suffixes []string
	dated    dated // of Dated
}

const (
	letters    = "abcdefghijklmnopqrstuvwxyz"
	digits     = "0123456789"
	consonants = "bcdfghjklmnpqrstvwxz"
	vowels     = "aeiouy"
)

// suffixes are public suffixes that published generators use.
var suffixes = []string{"com", "net", "org", "info", "biz", "ru", "cn", "top", "xyz", "cc", "in", "ws", "pw", "su"}

// NewFamily draws the parameters of a family of kind from r, which it keeps and goes on drawing from: equal states of r
// make equal families and equal labels. Words takes its labels from words, and Chain its pairs of letters; the other kinds ignore
// them. With fewer than two words Words joins syllables, and without any Chain is Pronounceable.
func NewFamily(kind Kind, r *rand.Rand, words []string) *Family {
	f := &Family{kind: kind, rand: r}
	switch kind {
	case Hex:
		f.alphabet, f.min = "0123456789abcdef", f.between(8, 16)
		f.max = f.min + 2*r.IntN(8)
	case Base32:
		f.alphabet, f.min = letters+"234567", f.between(8, 16)
		f.max = f.min + r.IntN(8)
	case Pronounceable:
		f.speech = f.speak()
	case Chain:
		if f.speech = f.speak(); len(words) > 0 {
			f.speech = f.fromChain(words)
		}
	case Permutation:
		f.alphabet, f.base = letters, make([]byte, f.between(10, 20))
		for i := range f.base {
			f.base[i] = f.char(letters)
		}
	case Words:
		f.parts, f.min = words, 2
		if len(words) < 2 {
			f.parts = f.syllables()
		}
		f.max = f.min + r.IntN(3)
	case Dated:
		f.newDated()
	default:
		f.alphabet = f.letterSubset()
		f.min = f.between(7, 12)
		if r.IntN(2) == 0 { // short ones are the hard ones
			f.min = f.between(7, 20)
		}
		f.max = f.min + r.IntN(12)
	}
	f.suffixes = f.choose(suffixes, f.between(1, 4))
	return f
}

// Kind returns the family's kind.
func (f *Family) Kind() Kind { return f.kind }

// Label makes the next label: lower-case letters, digits and never a hyphen, 1 to 63 bytes (RFC 1035 section 2.3.4).
func (f *Family) Label() string {
	var b strings.Builder
	switch f.kind {
	case Permutation:
		label := append([]byte(nil), f.base...)
		for range 2 + f.rand.IntN(3) {
			label[f.rand.IntN(len(label))] = f.char(f.alphabet)
		}
		b.Write(label)
	case Dated:
		b.WriteString(f.datedLabel())
	case Pronounceable, Chain:
		b.WriteString(f.speech())
	case Words:
		b.WriteString(f.join(f.parts, f.min, f.max))
	default:
		for range f.between(f.min, f.max) {
			b.WriteByte(f.char(f.alphabet))
		}
	}
	label := b.String()
	return label[:min(len(label), 63)]
}

// Domain makes the next label under one of the family's suffixes.
func (f *Family) Domain() string {
	return f.Label() + "." + f.suffixes[f.rand.IntN(len(f.suffixes))]
}

func (f *Family) between(low, high int) int { return low + f.rand.IntN(high-low+1) }

func (f *Family) char(alphabet string) byte { return alphabet[f.rand.IntN(len(alphabet))] }

// letterSubset is the whole alphabet, a part of it, or letters and digits: real families differ in just that.
func (f *Family) letterSubset() string {
	switch f.rand.IntN(8) {
	case 0, 1:
		return letters + digits
	case 2:
		return strings.Join(f.choose(strings.Split(letters, ""), f.between(12, 25)), "")
	case 3:
		return f.skewed(letters, 10)
	case 4:
		return f.skewed(letters+digits, 16)
	default:
		return letters
	}
}

func (f *Family) syllables() []string {
	parts := make([]string, f.between(10, 120))
	for i := range parts {
		parts[i] = string([]byte{f.char(consonants), f.char(vowels)})
		if f.rand.IntN(4) == 0 {
			parts[i] += string(f.char(consonants))
		}
	}
	return parts
}

// choose returns n different elements of all, in the order drawn.
func (f *Family) choose(all []string, n int) []string {
	chosen := make([]string, n)
	for i, j := range f.rand.Perm(len(all))[:n] {
		chosen[i] = all[j]
	}
	return chosen
}
