package training

import (
	"iter"
	"math"
	"math/rand/v2"
	"slices"
)

// sampler draws epochs.
type sampler struct {
	random   *rand.Rand
	benign   []string
	families []*family
	quotas   []int
	examples []example
}

// family deals its names out in random order, again and again.
type family struct {
	names []string
	next  int
}

// fullFamily is the number of names from which a family is drawn as often as any other; a smaller one is drawn less, in
// proportion, so that a handful of names is not learned by heart.
const fullFamily = 2000

func newSampler(seed uint64, benign []string, families [][]string) *sampler {
	s := &sampler{random: rand.New(rand.NewPCG(seed, 0x7265666572656572)), benign: benign}
	shares := 0.0
	for _, names := range families {
		shares += min(1, float64(len(names))/fullFamily)
	}
	for _, names := range families {
		share := min(1, float64(len(names))/fullFamily)
		s.quotas = append(s.quotas, int(math.Ceil(float64(len(benign))*share/shares)))
		s.families = append(s.families, &family{names: slices.Clone(names)})
	}
	return s
}

func (s *sampler) perEpoch() int {
	n := len(s.benign)
	for _, quota := range s.quotas {
		n += quota
	}
	return n
}

// epoch yields batches of at most size examples, in random order.
func (s *sampler) epoch(size int) iter.Seq[[]example] {
	s.examples = s.examples[:0]
	for _, label := range s.benign {
		s.examples = append(s.examples, example{label, false})
	}
	for i, f := range s.families {
		for range s.quotas[i] {
			s.examples = append(s.examples, example{f.deal(s.random), true})
		}
	}
	s.random.Shuffle(len(s.examples), func(i, j int) { s.examples[i], s.examples[j] = s.examples[j], s.examples[i] })
	return func(yield func([]example) bool) {
		for i := 0; i < len(s.examples); i += size {
			if !yield(s.examples[i:min(i+size, len(s.examples))]) {
				return
			}
		}
	}
}

func (f *family) deal(random *rand.Rand) string {
	if f.next == 0 {
		random.Shuffle(len(f.names), func(i, j int) { f.names[i], f.names[j] = f.names[j], f.names[i] })
	}
	name := f.names[f.next]
	f.next = (f.next + 1) % len(f.names)
	return name
}
