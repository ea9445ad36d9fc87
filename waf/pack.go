package waf

import (
	"slices"
	"strings"
)

// bin is a pattern in the making: its names and the length of its rendering, kept as names come so that a candidate
// costs no rendering.
type bin struct {
	names    []string
	suffixes map[string]int // names by suffix
	length   int            // of the body
}

// cost is what a name would add to the body: see render.
func (b *bin) cost(name string) int {
	label, suffix, _ := strings.Cut(name, ".")
	switch n := b.suffixes[suffix]; {
	case n > 1:
		return len("|") + len(label)
	case n == 1:
		return len("(?:") + len("|") + len(label) + len(")")
	}
	cost := len(label) + len(`\.`) + len(suffix) + strings.Count(suffix, ".") // each dot is escaped
	if len(b.names) > 0 {
		cost += len("|")
	}
	return cost
}

func (b *bin) add(name string) bool {
	if len(b.names) == maxBranches {
		return false
	}
	cost := b.cost(name)
	if len(patternHead)+b.length+cost+len(patternTail) > maxPatternLen {
		return false
	}
	_, suffix, _ := strings.Cut(name, ".")
	if b.suffixes == nil {
		b.suffixes = map[string]int{}
	}
	b.suffixes[suffix]++
	b.names = append(b.names, name)
	b.length += cost
	return true
}

// pack lays names out over at most most patterns, each a list of names, and returns those for which there is no room.
// Names come the highest rank first, without duplicates, each short enough for a pattern of its own. Current is how
// they are laid out now: a name stays where it is, so that while the same names are in, the same patterns come out,
// whatever their ranks.
//
// When not all fit, rank decides: each in turn takes the first room that there is, in a fresh layout.
func pack(names []string, current [][]string, most int) (layout [][]string, waiting []string) {
	if layout, waiting = place(names, keep(names, current, most), most); len(waiting) == 0 {
		return layout, nil
	}
	fresh, waiting := place(names, nil, most)
	in := slices.Concat(fresh...)
	byRank := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !slices.Contains(in, n) })
	if same, left := place(byRank, keep(byRank, current, most), most); len(left) == 0 {
		return same, waiting
	}
	return fresh, waiting
}

// keep returns bins with the current names that are wanted still.
func keep(names []string, current [][]string, most int) []*bin {
	wanted := make(map[string]bool, len(names))
	for _, n := range names {
		wanted[n] = true
	}
	bins := make([]*bin, 0, most)
	for _, now := range current[:min(len(current), most)] {
		b := &bin{}
		for _, n := range now {
			if wanted[n] && b.add(n) {
				wanted[n] = false
			}
		}
		bins = append(bins, b)
	}
	return bins
}

// place puts each name that is in no bin yet into one: first among names of its suffix, then into a new one, then
// wherever there is room.
func place(names []string, bins []*bin, most int) (layout [][]string, waiting []string) {
	placed := map[string]bool{}
	for _, b := range bins {
		for _, n := range b.names {
			placed[n] = true
		}
	}
	for _, n := range names {
		if placed[n] {
			continue
		}
		_, suffix, _ := strings.Cut(n, ".")
		shares := func(b *bin) bool { return b.suffixes[suffix] > 0 && b.add(n) }
		takes := func(b *bin) bool { return b.add(n) }
		switch {
		case slices.ContainsFunc(bins, shares):
		case len(bins) < most:
			b := &bin{}
			b.add(n)
			bins = append(bins, b)
		case slices.ContainsFunc(bins, takes):
		default:
			waiting = append(waiting, n)
		}
	}
	for _, b := range bins {
		if len(b.names) > 0 {
			layout = append(layout, b.names)
		}
	}
	return layout, waiting
}
