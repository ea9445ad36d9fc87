package training

import (
	"math"

	"referee/classifier"
)

// shard works on a part of each batch: forward and backward through the network, one example at a time, summing the
// gradients of its examples.
type shard struct {
	*network
	gradients []float32
	codes     [classifier.MaxCodes]uint8 // the label's characters between padding
	length    int                        // of the label
	pooled    []float32                  // the maximum of each filter, rectified, after dropout
	best      []int32                    // where each filter has its maximum: the first code of its window
	units     []float32                  // the hidden layer, rectified
	slopes    []float32                  // gradient of the hidden layer
	inner     []float32                  // gradient of each pooled feature
	sums      []float32
	random    uint64
}

func newShard(n *network) *shard {
	features := len(kernels) * n.filters
	return &shard{
		network:   n,
		gradients: make([]float32, len(n.weights)),
		pooled:    make([]float32, features),
		best:      make([]int32, features),
		units:     make([]float32, n.dense),
		slopes:    make([]float32, n.dense),
		inner:     make([]float32, features),
		sums:      make([]float32, n.filters),
	}
}

func (s *shard) learn(batch []example, seed uint64) {
	s.random = seed
	for _, e := range batch {
		s.read(e.label)
		s.pool()
		s.drop()
		gradient := float32(1 / (1 + math.Exp(-float64(s.forward()))))
		if e.generated {
			gradient--
		}
		s.backward(gradient)
	}
}

func (s *shard) read(label string) { s.length = classifier.Codes(&s.codes, label) }

// pool takes the maximum of each filter over all windows, rectified.
func (s *shard) pool() {
	f := s.filters
	for i, k := range kernels {
		// The first window ends on the first character, the last begins on the last.
		first := classifier.Padding - (k - 1)
		w := windows{
			codes: s.codes[first : classifier.Padding+s.length+k-1],
			first: int32(first),
			table: s.weights[s.tables[i] : s.tables[i]+k*classifier.Characters*f],
			bias:  s.weights[s.biases[i]:][:f],
			top:   s.pooled[i*f:][:f],
			best:  s.best[i*f:][:f],
		}
		s.loops.pool(&w, k, s.sums)
	}
}

// drop sets pooled features to nothing at random and strengthens the others in turn (Srivastava et al., JMLR 15, 2014).
func (s *shard) drop() {
	least := uint64(s.Dropout * 256)
	if least == 0 {
		return
	}
	keep := 256 / float32(256-least)
	var bits uint64
	for i := range s.pooled {
		if i%8 == 0 {
			bits = s.next()
		}
		if bits&255 < least {
			s.pooled[i] = 0
		} else {
			s.pooled[i] *= keep
		}
		bits >>= 8
	}
}

// next is SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
func (s *shard) next() uint64 {
	s.random += 0x9E3779B97F4A7C15
	z := s.random
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// forward is the output for the pooled features.
func (s *shard) forward() float32 {
	d := s.dense
	units := s.units[:d]
	copy(units, s.weights[s.hiddenBias:][:d])
	s.loops.forward(units, s.weights[s.hidden:s.hiddenBias], s.pooled)
	score := s.weights[s.outBias]
	out := s.weights[s.out:][:len(units)]
	for j, u := range units {
		if u <= 0 {
			units[j] = 0
			continue
		}
		score += float32(u * out[j])
	}
	return score
}

// backward adds the gradients of one example, gradient being that of its output.
func (s *shard) backward(gradient float32) {
	d := s.dense
	g := s.gradients
	g[s.outBias] += gradient
	slopes := s.slopes[:d]
	for j, u := range s.units[:d] {
		slopes[j] = 0
		if u > 0 {
			slopes[j] = float32(gradient * s.weights[s.out+j])
			g[s.out+j] += float32(gradient * u)
			g[s.hiddenBias+j] += slopes[j]
		}
	}
	keep := 256 / float32(256-uint64(s.Dropout*256))
	s.loops.outers(s.weights[s.hidden:s.hiddenBias], g[s.hidden:s.hiddenBias], slopes, s.pooled, s.inner)
	for i, v := range s.pooled {
		if v != 0 {
			s.backwardFilter(i, float32(keep*s.inner[i]))
		}
	}
}

// backwardFilter gives the gradient of a pooled feature to the characters of the window it came from.
func (s *shard) backwardFilter(feature int, slope float32) {
	i, f := feature/s.filters, feature%s.filters
	p := int(s.best[feature])
	s.gradients[s.biases[i]+f] += slope
	at := s.tables[i] + f
	for offset, code := range s.codes[p : p+kernels[i]] {
		s.gradients[at+(offset*classifier.Characters+int(code))*s.filters] += slope
	}
}
