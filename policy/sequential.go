package policy

import (
	"math"

	"referee/classifier"
	"referee/evidence"
)

// sequential is Wald's sequential probability ratio test (Wald 1945) between two sources of a client's distinct names: a
// generator, and people. Each name adds the logarithm of how much likelier its benign tail is from the one than from the
// other; at enough the client is a generator's. What enough is follows from the two errors that are allowed, not from the
// number of names.
//
// Of a generator's names the model's own figures say how many reach each tail. Of people's, the share is not the tail
// itself: errors go together, and a client reads sites of one language. So it is that of the worst audience measured. Thus
// one name says little, however low its tail, and alpha holds for the readers of that language too.
type sequential struct {
	edges  []float32 // of benign tails, ascending; the last is 1
	ratios []float64 // natural logarithm, for tails up to each edge
	enough float64   // 0: there is no test
}

// audience is the share of names up to each benign tail in the worst audience measured: hard_chinese of the development
// lists, of which a part is made by machines (docs/evidence.md has all of them).
var audience = []struct {
	tail  classifier.Confidence
	share float64
}{{1e-5, 0.011}, {1e-4, 0.016}, {1e-3, 0.024}}

// newSequential makes the test from the figures of a model: without any there is no test.
func newSequential(rule ClientRule, figures []classifier.Figure) sequential {
	if rule.Alpha == 0 {
		return sequential{}
	}
	s := sequential{enough: math.Log((1 - rule.Beta) / rule.Alpha)}
	generated, people := 0.0, 0.0
	add := func(edge float32, upToG, upToP float64) {
		// No bin is so empty that one name in it would settle everything.
		g, p := max(upToG-generated, 1e-3), max(upToP-people, 1e-3)
		s.edges, s.ratios = append(s.edges, edge), append(s.ratios, math.Log(g/p))
		generated, people = max(upToG, generated), upToP
	}
	for _, a := range audience {
		for _, f := range figures {
			if f.Confidence == a.tail {
				add(float32(a.tail), f.Recall, a.share)
			}
		}
	}
	if len(s.edges) == 0 {
		return sequential{} // a model without figures
	}
	add(1, 1, 1)
	return s
}

// ratio is what a name with this benign tail adds.
func (s *sequential) ratio(tail float32) float64 {
	for i, edge := range s.edges {
		if tail <= edge {
			return s.ratios[i]
		}
	}
	return s.ratios[len(s.ratios)-1]
}

// test sums over names, each with the benign tail that weigh gives it.
func (s *sequential) test(items []evidence.Item, weigh func(*evidence.Item) (tail float32, flagged bool)) (sum float64, enough bool) {
	if s.enough == 0 {
		return 0, true
	}
	for i := range items {
		tail, _ := weigh(&items[i])
		sum += s.ratio(tail)
	}
	return sum, sum >= s.enough
}
