package waf

import (
	"slices"
	"strings"
)

// node is distinct words as a trie, and what they take where they are written as branches of an alternation that share
// what they begin with where that is shorter: kq3a, kq3b and x1 become kq3[ab] and x1. A class has no '|', so that it also
// saves branches.
//
// A node is never changed, so that what some words are written as stays at hand when there are more: with makes new ones
// along one path, and grown tells in some tens of nanoseconds and without an allocation what that would take.
type node struct {
	stem    string  // what its words begin with, from where the parent's stem ends
	word    bool    // the stem is one of them
	next    []*node // the others, by their next letter
	inner   size    // of next
	size    size    // of its words
	grouped bool    // they are one branch, the stem before a group
}

// size is what branches of an alternation take. Those of two sets of branches add up.
type size struct {
	letters  int // branches of a single letter, which are to be one class
	branches int // all others
	length   int // of those, without '|' between them
	bars     int // '|' within those
}

func (s size) plus(t size) size {
	return size{s.letters + t.letters, s.branches + t.branches, s.length + t.length, s.bars + t.bars}
}

func (s size) minus(t size) size {
	return size{s.letters - t.letters, s.branches - t.branches, s.length - t.length, s.bars - t.bars}
}

// closed is s with its letters as the class or the single letter that they are written as.
func (s size) closed() size {
	switch {
	case s.letters == 1:
		return s.plus(size{-1, 1, 1, 0})
	case s.letters > 1:
		return s.plus(size{-s.letters, 1, s.letters + len("[]"), 0})
	}
	return s
}

// group is what all branches take as one term: see group.
func (s size) group(optional bool) (length, bars int) {
	all := s.closed()
	length, bars = all.length+all.branches-1, all.bars+all.branches-1
	if all.branches > 1 || optional && s.letters == 0 {
		length += len("(?:)")
	}
	if optional {
		length += len("?")
	}
	return length, bars
}

// leaf is what a single word takes.
func leaf(length int) size {
	if length == 1 {
		return size{letters: 1}
	}
	return size{branches: 1, length: length}
}

// written is what a stem takes with branches behind it, and whether as one branch. Otherwise it stands before each.
func written(stem int, word bool, inner size) (_ size, grouped bool) {
	if inner == (size{}) {
		return leaf(stem), false
	}
	length, bars := inner.group(word)
	each := inner.closed()
	apart := each.length + each.branches*(stem+len("|"))
	if word {
		apart += stem + len("|")
	}
	if stem+length < apart {
		return size{branches: 1, length: stem + length, bars: bars}, true
	}
	each.length += each.branches * stem
	if word {
		each = each.plus(leaf(stem))
	}
	return each, false
}

func newNode(stem string, word bool, next ...*node) *node {
	n := &node{stem: stem, word: word, next: next}
	for _, c := range next {
		n.inner = n.inner.plus(c.size)
	}
	n.size, n.grouped = written(len(stem), word, n.inner)
	return n
}

// child is where in next the words stand, or would stand, that go on with a letter.
func (n *node) child(letter byte) (at int, known bool) {
	for at < len(n.next) && n.next[at].stem[0] < letter {
		at++
	}
	return at, at < len(n.next) && n.next[at].stem[0] == letter
}

// with returns n with one more word, which begins behind n's stem and is not empty.
func (n *node) with(word string) *node {
	at, known := n.child(word[0])
	if !known {
		return newNode(n.stem, n.word, slices.Insert(slices.Clone(n.next), at, newNode(word, true))...)
	}
	c := n.next[at]
	shared := common(c.stem, word)
	rest := word[shared:]
	if shared < len(c.stem) {
		c = newNode(c.stem[:shared], false, newNode(c.stem[shared:], c.word, c.next...))
	}
	if rest == "" {
		c = newNode(c.stem, true, c.next...)
	} else {
		c = c.with(rest)
	}
	next := slices.Clone(n.next)
	next[at] = c
	return newNode(n.stem, n.word, next...)
}

// grown is what inner becomes in with. It is false where what the word shares with no other is longer than room.
func (n *node) grown(word string, room int) (_ size, fits bool) {
	at, known := n.child(word[0])
	if !known {
		return n.inner.plus(leaf(len(word))), len(word) <= room
	}
	c := n.next[at]
	shared := common(c.stem, word)
	rest := word[shared:]
	whole, inner := c.word || rest == "", c.inner
	switch {
	case shared < len(c.stem):
		if len(rest) > room {
			return size{}, false
		}
		whole = rest == ""
		if inner, _ = written(len(c.stem)-shared, c.word, c.inner); rest != "" {
			inner = inner.plus(leaf(len(rest)))
		}
	case rest != "":
		if inner, fits = c.grown(rest, room); !fits {
			return size{}, false
		}
	}
	s, _ := written(shared, whole, inner)
	return n.inner.minus(c.size).plus(s), true
}

// branches writes n's words without its stem.
func (n *node) branches() []string {
	var out []string
	var letters []byte
	for _, c := range n.next {
		for _, b := range c.text() {
			if len(b) == 1 {
				letters = append(letters, b[0])
			} else {
				out = append(out, b)
			}
		}
	}
	switch len(letters) {
	case 0:
		return out
	case 1:
		return append(out, string(letters))
	}
	return append(out, "["+string(letters)+"]") // sorted: a hyphen comes first, where it is no range
}

// text writes n's words.
func (n *node) text() []string {
	if n.grouped {
		return []string{n.stem + group(n.branches(), n.word)}
	}
	var out []string
	if n.word {
		out = append(out, n.stem)
	}
	for _, b := range n.branches() {
		out = append(out, n.stem+b)
	}
	return out
}

// group writes branches as one term.
func group(branches []string, optional bool) string {
	term := strings.Join(branches, "|")
	if len(branches) > 1 || optional && len(term) > 1 && term[0] != '[' {
		term = "(?:" + term + ")"
	}
	if optional {
		term += "?"
	}
	return term
}

// common is the length of what a and b begin with.
func common(a, b string) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}
