package evidence

import (
	"unique"

	"referee/classifier"
)

// Rescore puts the results of another model in the place of those that names had when last seen, so that all evidence
// is in the terms of one model. judge is asked once for every suspicious name that is remembered, of names, clients and cohorts: some
// microseconds each, a third of a second where the default bounds are full (BenchmarkRescore).
//
// What was exempt or too short to tell when last seen stays so until it is seen again, and so does an ordinary name: of
// those nobody remembers what they were called. A name that the new model finds ordinary is remembered for as long as
// it would have been, so that the way back to the old model loses nothing.
func (s *State) Rescore(judge func(domain string) classifier.Result) {
	type result struct{ score, tail float32 }
	known := make(map[string]result, len(s.names.index)) // many clients send the same names
	of := func(domain string) result {
		r, found := known[domain]
		if !found {
			r.score, r.tail = terms(judge(domain))
			known[domain] = r
		}
		return r
	}
	for _, e := range s.names.index {
		n := &e.value
		if n.Tail == 1 {
			continue
		}
		if r := of(n.Domain); r != (result{n.Score, n.Tail}) {
			n.Score, n.Tail = r.score, r.tail
			s.names.mark(e)
		}
	}
	sample := func(s *Sample) (changed bool) {
		for i := range s.items {
			it := &s.items[i]
			if it.Tail == 1 || it.domain == (unique.Handle[string]{}) {
				continue
			}
			if r := of(it.domain.Value()); r != (result{it.Score, it.Tail}) {
				it.Score, it.Tail = r.score, r.tail
				changed = true
			}
		}
		return changed
	}
	for _, e := range s.clients.index {
		if sample(&e.value.Names) {
			s.clients.mark(e)
		}
	}
	for _, e := range s.cohorts.index {
		if sample(&e.value.Names) {
			s.cohorts.mark(e)
		}
	}
}

// terms are the score and the tail that evidence keeps of a result: none where it says little.
func terms(r classifier.Result) (score, tail float32) {
	if r.Abstain || !sane(r) {
		return 0, 1
	}
	return r.Score, r.Tail
}
