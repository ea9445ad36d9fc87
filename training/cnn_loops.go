package training

import (
	"math"

	"referee/classifier"
)

// lanes is how many sums outer keeps, so that none waits for another; all lengths are multiples of it.
const lanes = 16

// loops are what nearly all the time of training goes into.
type loops struct {
	pool    func(w *windows, k int, sums []float32)
	forward func(units, rows, pooled []float32)
	outers  func(rows, gradients, slopes, pooled, inner []float32)
	descend func(a adam, weights, mean, squares []float32, gradients *[networkShards][]float32)
}

func plainLoops() loops {
	return loops{pool: (*windows).pool, forward: forward, outers: outers, descend: adam.descend}
}

// windows are all windows of one kernel over a label.
type windows struct {
	codes []uint8
	first int32     // what the first window is called
	table []float32 // a row of filters for each offset and character
	bias  []float32
	top   []float32 // set: the maximum of each filter, or 0 if it is below
	best  []int32   // set: its window
}

func (w *windows) row(window, offset int) []float32 {
	return w.table[(offset*classifier.Characters+int(w.codes[window+offset]))*len(w.bias):][:len(w.bias)]
}

// adam is one step's part that is the same for all weights.
type adam struct{ scale, rate, slow, slower float32 }

// pool takes the maximum of each filter over all windows of k characters; sums is room for one window's.
func (w *windows) pool(k int, sums []float32) {
	top, best := w.top[:len(w.bias)], w.best[:len(w.bias)]
	sums = sums[:len(w.bias)]
	for j := range top {
		top[j], best[j] = 0, 0
	}
	for p := range len(w.codes) - k + 1 {
		a, b := w.row(p, 0)[:len(w.bias)], w.row(p, 1)[:len(w.bias)]
		for j, v := range w.bias {
			sums[j] = v + a[j] + b[j]
		}
		for offset := 2; offset < k; offset++ {
			for j, v := range w.row(p, offset)[:len(sums)] {
				sums[j] += v
			}
		}
		for j, v := range sums {
			if v > top[j] {
				top[j], best[j] = v, w.first+int32(p)
			}
		}
	}
}

// forward adds to units the sum of each pooled feature × its row.
func forward(units, rows, pooled []float32) {
	for i, v := range pooled {
		if v == 0 {
			continue
		}
		row := rows[i*len(units):][:len(units)]
		for j := range units {
			units[j] += float32(v * row[j])
		}
	}
}

// outers does outer for each pooled feature that is not 0, and sets inner to what it returns.
func outers(rows, gradients, slopes, pooled, inner []float32) {
	n := len(slopes)
	for i, v := range pooled {
		if v != 0 {
			inner[i] = outer(rows[i*n:][:n], gradients[i*n:][:n], slopes, v)
		}
	}
}

// outer adds v × slopes to gradient and returns the inner product of row and slopes.
func outer(row, gradient, slopes []float32, v float32) float32 {
	var sums [lanes]float32
	for ; len(slopes) >= lanes && len(row) >= lanes && len(gradient) >= lanes; row, gradient, slopes = row[lanes:], gradient[lanes:], slopes[lanes:] {
		for j := range lanes {
			sums[j] += float32(row[j] * slopes[j])
			gradient[j] += float32(v * slopes[j])
		}
	}
	return fold(&sums)
}

// fold adds the lanes as a tree: no sum waits for more than three others.
func fold(s *[lanes]float32) float32 {
	a, b := (s[0]+s[8])+(s[4]+s[12]), (s[2]+s[10])+(s[6]+s[14])
	c, d := (s[1]+s[9])+(s[5]+s[13]), (s[3]+s[11])+(s[7]+s[15])
	return (a + b) + (c + d)
}

// descend is one step of Adam (Kingma and Ba, ICLR 2015); it leaves the gradients 0. The conversions keep compilers from
// fusing multiplications and additions, which would round otherwise on some machines.
func (a adam) descend(weights, mean, squares []float32, gradients *[networkShards][]float32) {
	for i := range weights {
		var sum float32
		for _, g := range gradients {
			sum += g[i]
			g[i] = 0
		}
		g := float32(sum * a.scale)
		mean[i] = float32(0.9*mean[i]) + float32(0.1*g)
		squares[i] = float32(0.999*squares[i]) + float32(0.001*float32(g*g))
		down := float32(math.Sqrt(float64(float32(squares[i]*a.slower)))) + 1e-8
		weights[i] -= float32(a.rate*float32(mean[i]*a.slow)) / down
	}
}
