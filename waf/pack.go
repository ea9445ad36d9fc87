package waf

import (
	"slices"
	"strings"
)

// packer lays names out over patterns.
type packer struct {
	patterns int            // at most so many
	branches int            // '|' in each, at most: see Config.Branches
	together map[string]int // of names in a pattern that AWS refused: how many may share the next
}

// bin is a pattern in the making. Its length is kept as names come, so that a candidate costs no rendering.
type bin struct {
	names    []int // by rank, which is their index, in the order in which they came
	clusters []cluster
	length   int // of the body
	bars     int // of the body, those between clusters included
	most     int // names: what AWS's refusals leave
	lowest   int // rank in it
}

// tailBars are those that every pattern has.
var tailBars = strings.Count(patternTail, "|")

// bodyRoom is what a pattern's limit leaves for the names.
const bodyRoom = maxPatternLen - len(patternHead) - len(patternTail)

// packing is one pack under way.
type packing struct {
	packer
	names    []string // by rank
	labels   []string
	ends     []int  // their suffixes: see suffixes
	alone    []int  // what each adds to a pattern without its suffix
	in       []*bin // where each name is; nil: nowhere
	suffixes []string
	bins     []*bin
}

// pack lays names out, each list in the layout being one pattern, and returns those for which there is no room. Names
// come the highest rank first, without duplicates, each short enough for a pattern of its own. Current is how they are
// laid out now.
//
// A name stays in the pattern where it is, so that as few patterns as possible are another tomorrow. A name that is new
// takes the first room that there is: among names of its suffix, in a new pattern, anywhere. Where there is none it
// outdoes names of lower rank, as few as it can. What still has no place waits. Packing the outcome again changes
// nothing: a name waits only when the names above it leave it no room in any pattern.
func (p packer) pack(names []string, current [][]string) (layout [][]string, waiting []string) {
	k := packing{packer: p, names: names, in: make([]*bin, len(names)), bins: make([]*bin, 0, p.patterns)}
	k.labels, k.ends, k.alone = make([]string, len(names)), make([]int, len(names)), make([]int, len(names))
	rank, suffixes := make(map[string]int, len(names)), map[string]int{}
	for i, n := range names {
		label, suffix, _ := strings.Cut(n, ".")
		id, known := suffixes[suffix]
		if !known {
			id = len(k.suffixes)
			suffixes[suffix] = id
			k.suffixes = append(k.suffixes, suffix)
		}
		k.labels[i], k.ends[i] = label, id
		k.alone[i] = len(label) + len(`\.`) + len(suffix) + strings.Count(suffix, ".") // each dot is escaped
		rank[n] = i
	}
	for _, now := range current[:min(len(current), p.patterns)] {
		b := &bin{}
		for _, n := range now {
			if i, wanted := rank[n]; wanted && k.in[i] == nil {
				k.add(b, i)
			}
		}
		k.bins = append(k.bins, b)
	}
	for i := range names {
		if k.in[i] == nil && !k.place(i) {
			k.outdo(i)
		}
	}
	for _, b := range k.bins {
		if len(b.names) > 0 {
			layout = append(layout, k.named(b.names))
		}
	}
	for i, n := range names {
		if k.in[i] == nil {
			waiting = append(waiting, n)
		}
	}
	return layout, waiting
}

func (k *packing) named(ranks []int) []string {
	out := make([]string, len(ranks))
	for i, r := range ranks {
		out[i] = k.names[r]
	}
	return out
}

// place gives a name the first room there is.
func (k *packing) place(i int) bool {
	beside := func(b *bin) bool { return b.find(k.ends[i]) >= 0 && k.add(b, i) }
	if slices.ContainsFunc(k.bins, beside) {
		return true
	}
	if len(k.bins) < k.patterns {
		b := &bin{}
		k.bins = append(k.bins, b)
		return k.add(b, i)
	}
	return slices.ContainsFunc(k.bins, func(b *bin) bool { return k.add(b, i) })
}

// outdo gives a name the place of the fewest names of lower rank that will do, if there are any.
func (k *packing) outdo(i int) {
	var best []int
	var where *bin
	for _, b := range k.bins {
		if b.lowest < i || len(best) == 1 && b.lowest < best[0] {
			continue
		}
		lower := b.below(i)
		trial := b.clone()
		for n, victim := range lower {
			if len(best) > 0 && n+1 > len(best) {
				break // more than elsewhere
			}
			k.take(trial, victim)
			if _, fits := k.try(trial, i); !fits {
				continue
			}
			if where == nil || n+1 < len(best) || lower[0] > best[0] {
				best, where = lower[:n+1], b
			}
			break
		}
	}
	if where == nil {
		return
	}
	for _, victim := range best {
		k.take(where, victim)
		k.in[victim] = nil // its turn comes: it ranks below
	}
	k.add(where, i)
}

// below lists the names of lower rank than i, the lowest first.
func (b *bin) below(i int) []int {
	var lower []int
	for _, n := range b.names {
		if n > i {
			lower = append(lower, n)
		}
	}
	slices.SortFunc(lower, func(a, b int) int { return b - a })
	return lower
}

func (b *bin) clone() *bin {
	c := *b
	c.names, c.clusters = slices.Clone(b.names), slices.Clone(b.clusters)
	return &c
}

func (b *bin) find(suffix int) int {
	for i := range b.clusters {
		if b.clusters[i].id == suffix {
			return i
		}
	}
	return -1
}

// try returns what a name's cluster would become, and whether the bin has room for that.
func (k *packing) try(b *bin, i int) (cluster, bool) {
	room, bars := bodyRoom-b.length, k.branches-tailBars-b.bars
	label, at := k.labels[i], b.find(k.ends[i])
	if at < 0 {
		between := min(len(b.clusters), 1)
		if k.alone[i]+between > room || between > bars || k.crowded(b, i) {
			return cluster{}, false
		}
		return newCluster(k.ends[i], k.suffixes[k.ends[i]], label), true
	}
	was := &b.clusters[at]
	if !was.mayTake(label, room, bars) || k.crowded(b, i) {
		return cluster{}, false
	}
	next := was.with(label)
	return next, next.length-was.length <= room && next.bars-was.bars <= bars
}

// crowded says whether AWS's refusals leave no room for one more name.
func (k *packing) crowded(b *bin, i int) bool {
	most := k.mostWith(b, i)
	return most > 0 && len(b.names) >= most
}

// mostWith is how many names may stand in a bin together with one more; 0: as many as fit.
func (k *packing) mostWith(b *bin, i int) int {
	most := b.most
	if n := k.together[k.names[i]]; n > 0 && (most == 0 || n < most) {
		most = n
	}
	return most
}

func (k *packing) add(b *bin, i int) bool {
	next, fits := k.try(b, i)
	if !fits {
		return false
	}
	b.most = k.mostWith(b, i)
	if at := b.find(next.id); at >= 0 {
		b.clusters[at] = next
	} else {
		b.clusters = append(b.clusters, next)
	}
	b.names = append(b.names, i)
	b.measure()
	k.in[i] = b
	return true
}

// take takes a name out of a bin, and leaves k.in as it is.
func (k *packing) take(b *bin, i int) {
	at := b.find(k.ends[i])
	if b.clusters[at] = b.clusters[at].without(k.labels[i]); len(b.clusters[at].labels) == 0 {
		b.clusters = slices.Delete(b.clusters, at, at+1)
	}
	b.names = slices.DeleteFunc(b.names, func(n int) bool { return n == i })
	b.most = 0
	for _, n := range b.names {
		b.most = k.mostWith(b, n)
	}
	b.measure()
}

func (b *bin) measure() {
	b.length, b.bars = max(0, len(b.clusters)-1), max(0, len(b.clusters)-1)
	for _, c := range b.clusters {
		b.length += c.length
		b.bars += c.bars
	}
	b.lowest = -1
	for _, n := range b.names {
		b.lowest = max(b.lowest, n)
	}
}
