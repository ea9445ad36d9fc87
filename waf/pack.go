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

// tailBars are those that every pattern has.
var tailBars = strings.Count(patternTail, "|")

// bodyRoom is what a pattern's limit leaves for the names. It also holds no more names than that: each takes a letter of
// a class, at least.
const bodyRoom = maxPatternLen - len(patternHead) - len(patternTail)

// filling is what some names make of a pattern. It is never changed.
type filling struct {
	clusters []cluster
	length   int // of the body
	bars     int // of the body, those between clusters included
	most     int // names that may stand in it, by AWS's refusals; 0: as many as fit
}

// cluster is the names of one suffix in a pattern, written as one term: (?:a|b)\.com.
type cluster struct {
	end          int // the suffix
	labels       *node
	length, bars int // of the term
}

// bin is a pattern in the making.
type bin struct {
	names   []int // by rank, which is their index
	full    filling
	first   []filling // first[n] is of the n highest ranks, as far as somebody asked
	changed int       // the move that was the last to change it
}

// packing is one pack under way.
type packing struct {
	packer
	names  []string // by rank
	labels []string
	ends   []int // their suffixes, as indexes of tails
	tails  []int // what a suffix takes in a term
	in     []*bin
	asked  []int // moves there had been when there was no place for it anywhere
	bins   []*bin
	open   []*bin // those that may take the name that is asked
	moves  int
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
//
// New names are asked down to the rank beyond which no layout of patterns full of single letters would come; what ranks
// lower waits. Each is asked of a pattern again only when that has changed, so that the time is bounded whatever
// the names share: some hundreds of milliseconds for 100 patterns.
func (p packer) pack(names []string, current [][]string) (layout [][]string, waiting []string) {
	k := packing{packer: p, names: names, in: make([]*bin, len(names)), bins: make([]*bin, 0, p.patterns)}
	k.labels, k.ends, k.asked = make([]string, len(names)), make([]int, len(names)), make([]int, len(names))
	rank, suffixes := make(map[string]int, len(names)), map[string]int{}
	for i, n := range names {
		label, suffix, _ := strings.Cut(n, ".")
		end, known := suffixes[suffix]
		if !known {
			end = len(k.tails)
			suffixes[suffix] = end
			k.tails = append(k.tails, len(`\.`)+len(suffix)+strings.Count(suffix, ".")) // each dot is escaped
		}
		k.labels[i], k.ends[i], k.asked[i] = label, end, -1
		rank[n] = i
	}
	for _, now := range current[:min(len(current), p.patterns)] {
		b := k.another()
		for _, n := range now {
			if i, wanted := rank[n]; wanted && k.in[i] == nil {
				k.put(b, i)
			}
		}
		n := len(b.names)
		for !k.holds(k.of(b, n), n) { // names that are gone may have made it shorter
			n--
		}
		k.cut(b, n)
	}
	// Round and round until nobody moves. It ends: a name takes its place from lower ranks only.
	for moved := true; moved; {
		moved = false
		for i := range min(len(names), p.patterns*bodyRoom) {
			switch {
			case k.in[i] != nil:
			case k.ask(i):
				moved = true
			default:
				k.asked[i] = k.moves
			}
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

// ask finds the patterns in which a name has room if names of lower rank leave, and gives it a place in one.
func (k *packing) ask(i int) bool {
	k.open = k.open[:0]
	for _, b := range k.bins {
		if b.changed <= k.asked[i] {
			continue
		}
		above, _ := slices.BinarySearch(b.names, i)
		if k.fits(k.of(b, above), above, i) {
			k.open = append(k.open, b)
		}
	}
	return k.place(i) || k.outdo(i)
}

// place gives a name the first room there is.
func (k *packing) place(i int) bool {
	for _, b := range k.open {
		if b.full.find(k.ends[i]) >= 0 && k.fits(&b.full, len(b.names), i) {
			k.put(b, i)
			return true
		}
	}
	if len(k.bins) < k.patterns {
		k.put(k.another(), i)
		return true
	}
	for _, b := range k.open {
		if b.full.find(k.ends[i]) < 0 && k.fits(&b.full, len(b.names), i) {
			k.put(b, i)
			return true
		}
	}
	return false
}

func (k *packing) another() *bin {
	b := &bin{first: make([]filling, 1)}
	k.bins = append(k.bins, b)
	return b
}

// outdo gives a name the place of the fewest names of lower rank that will do, if there are any.
func (k *packing) outdo(i int) bool {
	var where *bin
	keep, fewest := 0, 0
	for _, b := range k.open {
		all := len(b.names)
		if all == 0 || b.lowest() < i || fewest == 1 && b.lowest() < where.lowest() {
			continue
		}
		above, _ := slices.BinarySearch(b.names, i)
		for n := all - 1; n >= above && (where == nil || all-n <= fewest); n-- {
			if !k.fits(k.of(b, n), n, i) {
				continue
			}
			if where == nil || all-n < fewest || b.lowest() > where.lowest() {
				where, keep, fewest = b, n, all-n
			}
			break
		}
	}
	if where == nil {
		return false
	}
	k.cut(where, keep)
	k.put(where, i)
	return true
}

// lowest is the lowest rank in a bin that is not empty.
func (b *bin) lowest() int { return b.names[len(b.names)-1] }

// of is what the n highest ranks make of a bin.
func (k *packing) of(b *bin, n int) *filling {
	if n == len(b.names) {
		return &b.full
	}
	for len(b.first) <= n {
		b.first = append(b.first, k.joined(&b.first[len(b.first)-1], b.names[len(b.first)-1]))
	}
	return &b.first[n]
}

// put puts a name into a bin, whether there is room or not.
func (k *packing) put(b *bin, i int) {
	k.moves++
	b.changed = k.moves
	b.full = k.joined(&b.full, i)
	at, _ := slices.BinarySearch(b.names, i)
	b.names = slices.Insert(b.names, at, i)
	b.first = b.first[:min(len(b.first), at+1)]
	k.in[i] = b
}

// cut leaves the n highest ranks in a bin. The turn of the others comes: they rank below whoever is in their place.
func (k *packing) cut(b *bin, n int) {
	k.moves++
	b.changed = k.moves
	b.full = *k.of(b, n)
	for _, i := range b.names[n:] {
		k.in[i] = nil
		k.asked[i] = -1
	}
	b.names = b.names[:n]
	b.first = b.first[:min(len(b.first), n+1)]
}

func (f *filling) find(end int) int {
	for i := range f.clusters {
		if f.clusters[i].end == end {
			return i
		}
	}
	return -1
}

// fits says whether one more name has room beside the n that make f.
func (k *packing) fits(f *filling, n, i int) bool {
	room, bars := bodyRoom-f.length, k.branches-tailBars-f.bars
	at, size := f.find(k.ends[i]), leaf(len(k.labels[i]))
	if at < 0 && len(k.labels[i])+k.tails[k.ends[i]] > room {
		return false // most are soon too full for any of another suffix: this is all that is asked of them
	}
	switch {
	case at >= 0:
		c, may := &f.clusters[at], false
		if size, may = c.labels.grown(k.labels[i], room); !may {
			return false
		}
		room, bars = room+c.length, bars+c.bars
	case len(f.clusters) > 0:
		room, bars = room-len("|"), bars-1
	}
	if most := k.most(f, i); most > 0 && n >= most {
		return false
	}
	length, more := size.group(false)
	return length+k.tails[k.ends[i]] <= room && more <= bars
}

// most is how many names may stand together with those of f and one more; 0: as many as fit.
func (k *packing) most(f *filling, i int) int {
	most := f.most
	if len(k.together) == 0 {
		return most
	}
	if n := k.together[k.names[i]]; n > 0 && (most == 0 || n < most) {
		most = n
	}
	return most
}

// joined is f with one more name.
func (k *packing) joined(f *filling, i int) filling {
	next := filling{length: f.length, bars: f.bars, most: k.most(f, i)}
	at := f.find(k.ends[i])
	if at < 0 {
		at = len(f.clusters)
		between := min(at, 1)
		next.length, next.bars = next.length+between, next.bars+between
		next.clusters = append(slices.Clone(f.clusters), cluster{end: k.ends[i], labels: newNode("", false)})
	} else {
		next.clusters = slices.Clone(f.clusters)
	}
	c := &next.clusters[at]
	next.length, next.bars = next.length-c.length, next.bars-c.bars
	c.labels = c.labels.with(k.labels[i])
	c.length, c.bars = c.labels.inner.group(false)
	c.length += k.tails[c.end]
	next.length, next.bars = next.length+c.length, next.bars+c.bars
	return next
}

// holds says whether a pattern may be what n names make.
func (k *packing) holds(f *filling, n int) bool {
	return f.length <= bodyRoom && f.bars <= k.branches-tailBars && (f.most == 0 || n <= f.most)
}
