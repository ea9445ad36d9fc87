package training

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"sync"

	"referee/classifier"
	"referee/features"
)

// Schedule is how the regression is trained. Its values were chosen by folds over the training families; docs/model-card.md
// has the table.
type Schedule struct {
	Seed   uint64  // of every draw
	Bits   uint    // of the n-gram hash: 1<<Bits weights
	Epochs int     // passes over the benign names, each beside as many generated ones
	Rate   float32 // of AdaGrad at the start; it falls to nothing in a straight line
	Batch  int     // names between two updates
	Runs   int     // whose weights are averaged, each with draws of its own; 0 is 1
}

// String is the schedule in a line.
func (s Schedule) String() string {
	return fmt.Sprintf("n-grams of 1 to %d characters hashed to %d bits, %d lexical bins, 8-bit weights; AdaGrad at %g, batches of %d, %d epochs%s",
		features.MaxGram, s.Bits, features.NumBins, s.Rate, s.Batch, s.Epochs, s.averaged())
}

func (s Schedule) averaged() string {
	if s.Runs > 1 {
		return fmt.Sprintf(", the mean of %d runs", s.Runs)
	}
	return ""
}

// Validate refuses values that no training can have.
func (s Schedule) Validate() error {
	switch {
	case s.Bits < 8 || s.Bits > 22:
		return fmt.Errorf("bits %d: want 8 to 22", s.Bits)
	case s.Epochs < 1:
		return fmt.Errorf("epochs %d: want 1 or more", s.Epochs)
	case !(s.Rate > 0 && s.Rate <= 10):
		return fmt.Errorf("rate %v: want above 0 and at most 10", s.Rate)
	case s.Batch < 1 || s.Batch > 1<<16:
		return fmt.Errorf("batch %d: want 1 to 65536", s.Batch)
	case s.Runs < 0 || s.Runs > 20:
		return fmt.Errorf("runs %d: want 1 to 20", s.Runs)
	}
	return nil
}

// regression is a logistic regression in the making.
type regression struct {
	Schedule
	long              bool // reads the longer n-grams
	bias, biasSquares float32
	weights           []float32
	squares           []float32 // AdaGrad: sums of squared gradients
	samples           []sample  // of one batch
}

// sample is one name of a batch.
type sample struct {
	inputs   []uint32
	gradient float32
}

// example is a label and what it is.
type example struct {
	label     string
	generated bool
}

// trainRegression trains a regression, as often as its schedule says: the mean of several has the same inputs and takes no longer,
// and errs less, as each has learned its own noise of the far tail.
func trainRegression(ctx context.Context, s Schedule, long bool, benign []string, families [][]string, progress func(done, total int)) (*regression, error) {
	runs := max(1, s.Runs)
	var mean *regression
	for run := range runs {
		r := newRegression(s)
		r.long = long
		r.Seed += uint64(run) << 32
		if err := r.train(ctx, benign, families, func(done, total int) { progress(run*total+done, runs*total) }); err != nil {
			return nil, err
		}
		if mean == nil {
			mean = r
			continue
		}
		mean.bias += r.bias
		for i, w := range r.weights {
			mean.weights[i] += w
		}
	}
	if runs > 1 {
		mean.bias /= float32(runs)
		for i := range mean.weights {
			mean.weights[i] /= float32(runs)
		}
	}
	return mean, nil
}

func newRegression(s Schedule) *regression {
	n := features.NumBins + 1<<s.Bits
	r := &regression{Schedule: s, weights: make([]float32, n), squares: make([]float32, n), samples: make([]sample, s.Batch)}
	for i := range r.squares {
		r.squares[i] = 1e-2
	}
	r.biasSquares = 1
	for i := range r.samples {
		r.samples[i].inputs = make([]uint32, 0, features.BinsPerLabel+features.MaxGrams)
	}
	return r
}

// train runs the whole schedule: benign names beside as many draws from the families, evenly.
//
// It has the same result whatever GOMAXPROCS: within a batch the gradients depend on the weights before it alone, and each
// weight is updated by one goroutine, in the order of the batch.
func (r *regression) train(ctx context.Context, benign []string, families [][]string, progress func(done, total int)) error {
	draw := newSampler(r.Seed, benign, families)
	workers := min(runtime.GOMAXPROCS(0), 8)
	total := r.Epochs * draw.perEpoch()
	done := 0
	for range r.Epochs {
		for batch := range draw.epoch(r.Batch) {
			if err := ctx.Err(); err != nil {
				return err
			}
			rate := r.Rate * (1 - float32(done)/float32(total))
			r.step(batch, rate, workers)
			done += len(batch)
			progress(done, total)
		}
	}
	return nil
}

func (r *regression) step(batch []example, rate float32, workers int) {
	parallel(workers, func(w int) {
		for i := w * len(batch) / workers; i < (w+1)*len(batch)/workers; i++ {
			r.samples[i].read(batch[i], r)
		}
	})
	parallel(workers, func(w int) {
		for i := range batch {
			s := &r.samples[i]
			for _, input := range s.inputs {
				if int(input)%workers == w {
					descend(&r.weights[input], &r.squares[input], s.gradient, rate)
				}
			}
			if w == 0 {
				descend(&r.bias, &r.biasSquares, s.gradient, rate)
			}
		}
	})
}

func (s *sample) read(e example, r *regression) {
	s.inputs = r.inputs(s.inputs[:0], e.label)
	score := r.bias
	for _, input := range s.inputs {
		score += r.weights[input]
	}
	s.gradient = float32(1 / (1 + math.Exp(-float64(score))))
	if e.generated {
		s.gradient--
	}
}

// descend is one step of AdaGrad (Duchi, Hazan and Singer, JMLR 12, 2011). The conversions keep compilers from fusing
// multiplications and additions, which would round otherwise on some machines.
func descend(weight, squares *float32, gradient, rate float32) {
	*squares += float32(gradient * gradient)
	*weight -= float32(rate*gradient) / float32(math.Sqrt(float64(*squares)))
}

// inputs are the places of the weights that a label reads: bins, then n-grams behind them, as classifier.Linear has them.
func (r *regression) inputs(dst []uint32, label string) []uint32 {
	dst = features.Lex(label).AppendBins(dst)
	n := len(dst)
	if r.long {
		dst = features.AppendLongGrams(dst, label, r.Bits)
	} else {
		dst = features.AppendGrams(dst, label, r.Bits)
	}
	for i := range dst[n:] {
		dst[n+i] += features.NumBins
	}
	return dst
}

// quantise rounds the weights to 8 bits: in folds that cost 0.1 points of what is found, and the table fits caches.
func (r *regression) quantise() classifier.Linear {
	largest := float32(1e-6)
	for _, w := range r.weights {
		largest = max(largest, w, -w)
	}
	l := classifier.Linear{Long: r.long, Bits: r.Bits, Scale: largest / math.MaxInt8, Weights: make([]int8, len(r.weights))}
	round := func(w float32) float64 { return math.RoundToEven(float64(w) / float64(l.Scale)) }
	l.Bias = int32(round(r.bias))
	for i, w := range r.weights {
		l.Weights[i] = int8(max(-math.MaxInt8, min(math.MaxInt8, round(w))))
	}
	return l
}

func parallel(workers int, work func(w int)) {
	if workers == 1 {
		work(0)
		return
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() { work(w) })
	}
	wg.Wait()
}
