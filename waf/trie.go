package waf

import (
	"slices"
	"strings"
)

// alternatives writes distinct, sorted words as the branches of an alternation, sharing what words begin with where that
// is shorter: kq3a, kq3b and x1 become kq3[ab] and x1. A class has no '|', so that it also saves branches.
func alternatives(words []string) []string {
	var out []string
	var letters []byte
	for len(words) > 0 {
		n := 1
		for n < len(words) && words[n][0] == words[0][0] {
			n++
		}
		switch run := words[:n]; {
		case n > 1:
			out = append(out, sharing(run)...)
		case len(run[0]) == 1:
			letters = append(letters, run[0][0])
		default:
			out = append(out, run[0])
		}
		words = words[n:]
	}
	switch len(letters) {
	case 0:
		return out
	case 1:
		return append(out, string(letters))
	}
	return append(out, "["+string(letters)+"]") // sorted: a hyphen comes first, where it is no range
}

// sharing writes words that begin with the same letter, with what they all begin with in front of a group or of each.
func sharing(words []string) []string {
	prefix := words[0][:common(words[0], words[len(words)-1])]
	rests := make([]string, len(words))
	for i, w := range words {
		rests[i] = w[len(prefix):]
	}
	optional := rests[0] == ""
	if optional {
		rests = rests[1:]
	}
	inner := alternatives(rests)
	grouped := prefix + group(inner, optional)
	var apart []string
	if optional {
		apart = append(apart, prefix)
	}
	length := len(apart) * (len(prefix) + 1)
	for _, branch := range inner {
		apart = append(apart, prefix+branch)
		length += len(prefix) + len(branch) + 1
	}
	if len(grouped) < length {
		return []string{grouped}
	}
	return apart
}

// group writes branches as one term.
func group(branches []string, optional bool) string {
	term := strings.Join(branches, "|")
	if len(branches) > 1 || optional && len(term) > 1 && !isClass(term) {
		term = "(?:" + term + ")"
	}
	if optional {
		term += "?"
	}
	return term
}

func isClass(s string) bool { return s[0] == '[' && strings.IndexByte(s, ']') == len(s)-1 }

// common is the length of what a and b begin with.
func common(a, b string) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// cluster is the labels of one suffix in a pattern, written as one term: (?:a|b)\.com.
type cluster struct {
	id           int // of the suffix, among those of a packing
	suffix       string
	labels       []string // sorted
	first        uint64   // the letters that labels begin with, one bit each
	length, bars int      // of the term
	several      bool     // the term is a group of several branches: one more adds just itself
}

func newCluster(id int, suffix string, labels ...string) cluster {
	c := cluster{id: id, suffix: suffix, labels: labels}
	for _, l := range labels {
		c.first |= bit(l)
	}
	text := c.String()
	c.length, c.bars, c.several = len(text), strings.Count(text, "|"), strings.HasPrefix(text, "(?:")
	return c
}

// bit is a label's first letter in a set of them: a filter, since letters may share one.
func bit(label string) uint64 { return 1 << (label[0] & 63) }

func (c *cluster) String() string {
	return group(alternatives(c.labels), false) + `\.` + strings.ReplaceAll(c.suffix, ".", `\.`)
}

// mayTake says whether one more label could fit into so much room with so many more branches, by the least that it adds:
// what it shares with no other. It is asked ten thousand times of each pattern.
func (c *cluster) mayTake(label string, room, bars int) bool {
	if len(label) == 1 {
		return true // a class may have it
	}
	if c.first&bit(label) == 0 {
		return bars > 0 && len(label) < room
	}
	at, _ := slices.BinarySearch(c.labels, label)
	shared, whole := c.shares(at, label)
	switch {
	case len(label)-shared > room:
		return false
	case bars > 0:
		return true
	}
	return whole || len(label)-shared <= 1 // k(?:ab)? or k[ab]
}

// with returns c and one more label. When the label shares its beginning with none there, the lengths are added up.
func (c *cluster) with(label string) cluster {
	at, _ := slices.BinarySearch(c.labels, label)
	labels := make([]string, 0, len(c.labels)+1)
	labels = append(append(append(labels, c.labels[:at]...), label), c.labels[at:]...)
	if !c.several || len(label) == 1 || c.first&bit(label) != 0 {
		return newCluster(c.id, c.suffix, labels...)
	}
	return cluster{c.id, c.suffix, labels, c.first | bit(label), c.length + len("|") + len(label), c.bars + 1, true}
}

// shares is the most that label begins with in common with a label beside which it would stand, and whether that is the
// whole of the other.
func (c *cluster) shares(at int, label string) (most int, whole bool) {
	for _, other := range c.labels[max(0, at-1):min(len(c.labels), at+1)] {
		n := common(other, label)
		most, whole = max(most, n), whole || n == len(other)
	}
	return most, whole
}

func (c *cluster) without(label string) cluster {
	return newCluster(c.id, c.suffix, slices.DeleteFunc(slices.Clone(c.labels), func(l string) bool { return l == label })...)
}
