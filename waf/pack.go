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
	at       int // in packing.bins; of a trial -1
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
	with     [][]*bin // by suffix: the bins that have it, in the order of bins
	trial    bin      // what outdo tries things out on
	lower    []int    // likewise
}

// pack lays names out, each list in the layout being one pattern, and returns those for which there is no room. Names
// come the highest rank first, without duplicates, each short enough for a pattern of its own. Current is how they are
// laid out now.
//
// A name stays in the pattern where it is, so that as few patterns as possible are another tomorrow. A name that is new
// takes the first room that there is: among names of its suffix, in a new pattern, anywhere. Where there is none it
// outdoes names of lower rank, as few as it can. What still has no place waits. Packing the outcome again changes
// nothing: what waits has been asked once more after the last name that found a place, since that may have made room by
// sharing its beginning (kq3b.com makes room for kq3b0.com).
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
	k.with = make([][]*bin, len(k.suffixes))
	for _, now := range current[:min(len(current), p.patterns)] {
		b := k.another()
		for _, n := range now {
			if i, wanted := rank[n]; wanted && k.in[i] == nil {
				k.put(b, i, k.joined(b, i))
			}
		}
		for !k.holds(b) { // names that are gone may have made it shorter
			lowest := b.lowest
			k.take(b, lowest)
			k.in[lowest] = nil
		}
	}
	// Round and round until nobody has moved since each was last asked. It ends: a name takes its place from lower ranks only.
	for i, quiet := 0, 0; quiet < len(names); i = (i + 1) % len(names) {
		if quiet++; k.in[i] == nil && (k.place(i) || k.outdo(i)) {
			quiet = 1
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
	for _, b := range k.with[k.ends[i]] {
		if k.add(b, i) {
			return true
		}
	}
	if len(k.bins) < k.patterns {
		return k.add(k.another(), i)
	}
	for _, b := range k.bins {
		// Those with its suffix have no room. Most others are soon too full for anything: that is all that is asked of them.
		if b.free(k.branches) > 0 && k.alone[i] < bodyRoom-b.length && b.find(k.ends[i]) < 0 && k.add(b, i) {
			return true
		}
	}
	return false
}

func (k *packing) another() *bin {
	b := &bin{at: len(k.bins)}
	k.bins = append(k.bins, b)
	return b
}

// free is how many branches a bin has left, at least one where it is empty.
func (b *bin) free(branches int) int {
	if len(b.clusters) == 0 {
		return 1
	}
	return branches - tailBars - b.bars
}

// outdo gives a name the place of the fewest names of lower rank that will do, if there are any.
func (k *packing) outdo(i int) bool {
	var best []int
	var where *bin
	for _, b := range k.bins {
		if b.lowest < i || len(best) == 1 && b.lowest < best[0] {
			continue
		}
		lower := b.below(i, k.lower[:0])
		k.lower = lower
		trial := &k.trial
		trial.copy(b)
		for n, victim := range lower {
			if len(best) > 0 && n+1 > len(best) {
				break // more than elsewhere
			}
			k.take(trial, victim)
			if _, fits := k.try(trial, i); !fits {
				continue
			}
			if where == nil || n+1 < len(best) || lower[0] > best[0] {
				best, where = append(best[:0], lower[:n+1]...), b
			}
			break
		}
	}
	if where == nil {
		return false
	}
	for _, victim := range best {
		k.take(where, victim)
		k.in[victim] = nil // its turn comes: it ranks below
	}
	return k.add(where, i)
}

// below lists the names of lower rank than i, the lowest first, behind what is in lower.
func (b *bin) below(i int, lower []int) []int {
	for _, n := range b.names {
		if n > i {
			lower = append(lower, n)
		}
	}
	slices.SortFunc(lower, func(a, b int) int { return b - a })
	return lower
}

// copy makes b a trial of what could become of other.
func (b *bin) copy(other *bin) {
	names, clusters := append(b.names[:0], other.names...), append(b.clusters[:0], other.clusters...)
	*b = *other
	b.names, b.clusters, b.at = names, clusters, -1
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
	at := b.find(k.ends[i])
	if at < 0 {
		between := min(len(b.clusters), 1)
		if k.alone[i]+between > room || between > bars || k.crowded(b, i) {
			return cluster{}, false
		}
		return k.joined(b, i), true
	}
	was := &b.clusters[at]
	if !was.mayTake(k.labels[i], room, bars) || k.crowded(b, i) {
		return cluster{}, false
	}
	next := k.joined(b, i)
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
	if fits {
		k.put(b, i, next)
	}
	return fits
}

// joined is what a name's cluster in a bin becomes with it.
func (k *packing) joined(b *bin, i int) cluster {
	if at := b.find(k.ends[i]); at >= 0 {
		return b.clusters[at].with(k.labels[i])
	}
	return newCluster(k.ends[i], k.suffixes[k.ends[i]], k.labels[i])
}

// put puts a name into a bin, whether there is room or not. Next is what it makes of its cluster.
func (k *packing) put(b *bin, i int, next cluster) {
	b.most = k.mostWith(b, i)
	if at := b.find(next.id); at >= 0 {
		b.clusters[at] = next
	} else {
		b.clusters = append(b.clusters, next)
		at, _ := slices.BinarySearchFunc(k.with[next.id], b.at, func(b *bin, at int) int { return b.at - at })
		k.with[next.id] = slices.Insert(k.with[next.id], at, b)
	}
	b.names = append(b.names, i)
	b.measure()
	k.in[i] = b
}

// holds says whether a pattern may be what a bin is.
func (k *packing) holds(b *bin) bool {
	return b.length <= bodyRoom && b.bars <= k.branches-tailBars && (b.most == 0 || len(b.names) <= b.most)
}

// take takes a name out of a bin, and leaves k.in as it is.
func (k *packing) take(b *bin, i int) {
	at := b.find(k.ends[i])
	if b.clusters[at] = b.clusters[at].without(k.labels[i]); len(b.clusters[at].labels) == 0 {
		b.clusters = slices.Delete(b.clusters, at, at+1)
		if b.at >= 0 {
			k.with[k.ends[i]] = slices.DeleteFunc(k.with[k.ends[i]], func(other *bin) bool { return other == b })
		}
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
