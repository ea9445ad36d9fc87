package training

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"

	"referee/classifier"
)

// NetworkSchedule is how the character network is trained. Its values were chosen by folds that leave whole families and
// whole benign sources out; docs/model-card.md has the tables.
type NetworkSchedule struct {
	Seed    uint64  // of every draw
	Filters int     // for each kernel width
	Dense   int     // units of the hidden layer
	Dropout float32 // share of the pooled features that each example does without
	Epochs  int     // passes over the benign names, each beside as many generated ones
	Rate    float32 // of Adam at the start; it falls to nothing in a straight line
	Batch   int     // names between two updates
}

// kernels are the widths of the convolutions, in characters.
var kernels = [...]int{2, 3, 4, 5, 6}

// String is the schedule in a line.
func (s NetworkSchedule) String() string {
	return fmt.Sprintf("convolutions of %d to %d characters × %d filters, maximum over positions, %d hidden units; Adam at %g, batches of %d, "+
		"dropout %g, %d epochs",
		kernels[0], kernels[len(kernels)-1], s.Filters, s.Dense, s.Rate, s.Batch, s.Dropout, s.Epochs)
}

// Validate refuses values that no training can have.
func (s NetworkSchedule) Validate() error {
	switch {
	case s.Filters < 32 || s.Filters > classifier.MaxFilters || s.Filters%32 != 0:
		return fmt.Errorf("filters %d: want a multiple of 32 up to %d", s.Filters, classifier.MaxFilters)
	case s.Dense < lanes || s.Dense > classifier.MaxUnits || s.Dense%lanes != 0:
		return fmt.Errorf("dense %d: want a multiple of %d up to %d", s.Dense, lanes, classifier.MaxUnits)
	case !(s.Dropout >= 0 && s.Dropout < 1):
		return fmt.Errorf("dropout %v: want 0 or more and less than 1", s.Dropout)
	case s.Epochs < 1:
		return fmt.Errorf("epochs %d: want 1 or more", s.Epochs)
	case !(s.Rate > 0 && s.Rate <= 1):
		return fmt.Errorf("rate %v: want above 0 and at most 1", s.Rate)
	case s.Batch < networkShards || s.Batch > 1<<16:
		return fmt.Errorf("batch %d: want %d to 65536", s.Batch, networkShards)
	}
	return nil
}

// network is a character network in the making: one-hot convolutions held as tables (a row of filters for each kernel
// width, offset and character), the maximum over positions, rectified; one hidden layer, rectified; one output.
type network struct {
	NetworkSchedule
	weights       []float32
	mean, squares []float32 // Adam's moments
	steps         int
	shards        [networkShards]*shard
	loops         loops
	layout
}

// layout says where in the flat slice of weights what begins.
type layout struct {
	filters, dense   int
	tables           [len(kernels)]int // rows of filters by offset and character
	biases           [len(kernels)]int
	hidden           int // a row of dense units for each pooled feature
	hiddenBias, out  int
	outBias, weights int
}

func newLayout(filters, dense int) layout {
	l := layout{filters: filters, dense: dense}
	at := 0
	take := func(n int) (start int) { start, at = at, at+n; return start }
	for i, k := range kernels {
		l.tables[i] = take(k * classifier.Characters * filters)
	}
	for i := range kernels {
		l.biases[i] = take(filters)
	}
	l.hidden = take(len(kernels) * filters * dense)
	l.hiddenBias = take(dense)
	l.out = take(dense)
	l.outBias = take(1)
	l.weights = at
	return l
}

// networkShards is into how many parts a batch is divided, whatever GOMAXPROCS: each part sums its own gradients, and
// the parts are added in their order, so that the sums are rounded the same way everywhere.
const networkShards = 8

func newNetwork(s NetworkSchedule) *network {
	n := &network{NetworkSchedule: s, layout: newLayout(s.Filters, s.Dense), loops: fastLoops()}
	n.weights = make([]float32, n.layout.weights)
	n.mean = make([]float32, len(n.weights))
	n.squares = make([]float32, len(n.weights))
	for i := range n.shards {
		n.shards[i] = newShard(n)
	}
	random := rand.New(rand.NewPCG(s.Seed, 0x636e6e))
	fill := func(from, to int, width float64) {
		for i := from; i < to; i++ {
			n.weights[i] = float32((2*random.Float64() - 1) * width)
		}
	}
	fill(n.tables[0], n.biases[0], 0.25)
	fill(n.hidden, n.hiddenBias, math.Sqrt(6/float64(len(kernels)*s.Filters)))
	fill(n.out, n.outBias, math.Sqrt(6/float64(s.Dense)))
	return n
}

// train runs the whole schedule: benign names beside as many generated ones. It has the same result whatever GOMAXPROCS.
func (n *network) train(ctx context.Context, benign []string, families [][]string, progress func(done, total int)) error {
	draw := newSampler(n.Seed, benign, families)
	total := n.Epochs * draw.perEpoch()
	done := 0
	for range n.Epochs {
		for batch := range draw.epoch(n.Batch) {
			if err := ctx.Err(); err != nil {
				return err
			}
			n.step(batch, n.Rate*(1-float32(done)/float32(total)))
			done += len(batch)
			progress(done, total)
		}
	}
	return nil
}

// step learns from one batch.
func (n *network) step(batch []example, rate float32) {
	workers := min(runtime.GOMAXPROCS(0), networkShards)
	parallel(workers, func(w int) {
		for i := w; i < networkShards; i += workers {
			from, to := i*len(batch)/networkShards, (i+1)*len(batch)/networkShards
			n.shards[i].learn(batch[from:to], n.Seed^uint64(n.steps*networkShards+i))
		}
	})
	n.steps++
	slow := 1 / (1 - math.Pow(0.9, float64(n.steps)))
	slower := 1 / (1 - math.Pow(0.999, float64(n.steps)))
	part := func(w int) int { return w * len(n.weights) / workers }
	parallel(workers, func(w int) {
		n.descend(part(w), part(w+1), len(batch), rate, float32(slow), float32(slower))
	})
}

// descend moves a range of the weights by what the shards found.
func (n *network) descend(from, to, batch int, rate, slow, slower float32) {
	a := adam{scale: 1 / float32(batch), rate: rate, slow: slow, slower: slower}
	var gradients [networkShards][]float32
	for i, s := range n.shards {
		gradients[i] = s.gradients[from:to]
	}
	n.loops.descend(a, n.weights[from:to], n.mean[from:to], n.squares[from:to], &gradients)
}

// score is the log-odds of a label before rounding to integers.
func (n *network) score(label string) float32 {
	s := newShard(n)
	s.read(label)
	s.pool()
	return s.forward()
}
