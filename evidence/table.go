package evidence

import (
	"cmp"
	"iter"
	"slices"
)

// classes is the number of ranks of evidence in a table. The higher the class, the more speaks for keeping an entry.
const classes = 4

// table is a bounded map that forgets by two rules, age and class, each in constant time for one entry. Entries of one
// class are in a list by when they were last touched. When there are too many, the longest untouched of the lowest
// class goes; so entries that are cheap to make (class 0) can only push out each other. What is in class c or above may
// fill max × (1 − c/8): the rest is kept free for what is yet to climb, whatever floods the classes above.
type table[K comparable, V any] struct {
	max   int
	order func(a, b K) int // of keys of one age: without it two processes would forget in two orders
	index map[K]*entry[K, V]
	lists [classes]list[K, V]
	// dirty holds the keys whose stored row is out of date: changed, new or gone.
	dirty    map[K]struct{}
	unsorted bool // a restored entry is not where its age belongs
	evicted  uint64
}

type entry[K comparable, V any] struct {
	value        V
	key          K
	newer, older *entry[K, V]
	seen         uint32 // when last touched, Unix seconds
	class        uint8
	dirty        bool
	stored       bool // some row of this key has been given out, so its end must be too
}

type list[K comparable, V any] struct {
	newest, oldest *entry[K, V]
	n              int
}

func newTable[K comparable, V any](limit int, order func(a, b K) int) table[K, V] {
	return table[K, V]{max: limit, order: order, index: map[K]*entry[K, V]{}, dirty: map[K]struct{}{}}
}

func (t *table[K, V]) len() int { return len(t.index) }

// add makes an entry with key, which must not be there. It is in no list until touch puts it in one.
func (t *table[K, V]) add(key K, value V) *entry[K, V] {
	_, stored := t.dirty[key] // its predecessor is gone, and the row of that is still out
	e := &entry[K, V]{key: key, value: value, class: classes, stored: stored}
	t.index[key] = e
	return e
}

// touch makes e the newest of its class, and evicts others if that class or one below is now over its share.
func (t *table[K, V]) touch(e *entry[K, V], class uint8, seen uint32) {
	grew := e.class == classes || class > e.class
	t.unlink(e)
	e.class, e.seen = class, max(e.seen, seen)
	l := &t.lists[class]
	e.older = l.newest
	if l.newest != nil {
		l.newest.newer = e
	} else {
		l.oldest = e
	}
	l.newest = e
	l.n++
	if grew {
		t.evict(class)
	}
}

func (t *table[K, V]) unlink(e *entry[K, V]) {
	if e.class == classes {
		return
	}
	l := &t.lists[e.class]
	if e.newer != nil {
		e.newer.older = e.older
	} else {
		l.newest = e.older
	}
	if e.older != nil {
		e.older.newer = e.newer
	} else {
		l.oldest = e.newer
	}
	e.newer, e.older = nil, nil
	l.n--
}

func (t *table[K, V]) evict(class uint8) {
	for c := range int(class) + 1 {
		for t.from(c) > t.max-t.max*c/(2*classes) {
			low := c
			for t.lists[low].n == 0 {
				low++
			}
			t.remove(t.lists[low].oldest)
			t.evicted++
		}
	}
}

// from is the number of entries in class c and above.
func (t *table[K, V]) from(c int) (n int) {
	for ; c < classes; c++ {
		n += t.lists[c].n
	}
	return n
}

func (t *table[K, V]) remove(e *entry[K, V]) {
	t.unlink(e)
	delete(t.index, e.key)
	if e.stored {
		t.dirty[e.key] = struct{}{}
	} else {
		delete(t.dirty, e.key)
	}
}

func (t *table[K, V]) mark(e *entry[K, V]) {
	if !e.dirty {
		e.dirty = true
		t.dirty[e.key] = struct{}{}
	}
}

// expire removes at most budget entries that were last touched before since.
func (t *table[K, V]) expire(since uint32, budget int) {
	if t.unsorted {
		t.sort()
	}
	for c := range t.lists {
		for e := t.lists[c].oldest; e != nil && e.seen < since && budget > 0; e = t.lists[c].oldest {
			t.remove(e)
			budget--
		}
	}
}

// sort puts each list into the order of age.
func (t *table[K, V]) sort() {
	for c := range t.lists {
		all := slices.Collect(t.class(c))
		slices.SortFunc(all, func(a, b *entry[K, V]) int {
			return cmp.Or(cmp.Compare(a.seen, b.seen), t.order(a.key, b.key))
		})
		for _, e := range all {
			t.touch(e, e.class, e.seen)
		}
	}
	t.unsorted = false
}

// class iterates over one class, the newest first.
func (t *table[K, V]) class(c int) iter.Seq[*entry[K, V]] {
	return func(yield func(*entry[K, V]) bool) {
		for e := t.lists[c].newest; e != nil; e = e.older {
			if !yield(e) {
				return
			}
		}
	}
}

// all iterates over the table, the highest class first and down to class lowest.
func (t *table[K, V]) all(lowest int) iter.Seq[*entry[K, V]] {
	return func(yield func(*entry[K, V]) bool) {
		for c := classes - 1; c >= lowest; c-- {
			for e := range t.class(c) {
				if !yield(e) {
					return
				}
			}
		}
	}
}
