package training

import (
	"math"

	"referee/classifier"
)

// quantise rounds the network to integers. Each filter has a scale of its own, so that its whole range fills 15 bits; the
// hidden weights take the scales back.
func (n *network) quantise() (*classifier.Network, error) {
	q := &classifier.Network{
		Filters: n.filters, Units: n.dense,
		Tables: make([]uint16, n.biases[0]), Floors: make([]uint16, len(kernels)*n.filters),
		Hidden: make([]int16, len(kernels)*n.filters*n.dense), Bias: make([]int32, n.dense), Out: make([]int16, n.dense),
	}
	steps := make([]float64, len(q.Floors)) // what one unit of an activation stands for
	for i, k := range kernels {
		for f := range n.filters {
			steps[i*n.filters+f] = n.quantiseFilter(q, i, k, f)
		}
	}
	weights := make([]float64, n.dense)
	for j := range n.dense {
		largest := 1e-12
		for i, step := range steps {
			largest = max(largest, math.Abs(float64(n.weights[n.hidden+i*n.dense+j])*step))
		}
		unit := largest / classifier.HiddenLimit
		for i, step := range steps {
			q.Hidden[i*n.dense+j] = int16(math.RoundToEven(float64(n.weights[n.hidden+i*n.dense+j]) * step / unit))
		}
		q.Bias[j] = int32(math.RoundToEven(float64(n.weights[n.hiddenBias+j]) / unit))
		weights[j] = float64(n.weights[n.out+j]) * unit
	}
	largest := 1e-12
	for _, w := range weights {
		largest = max(largest, math.Abs(w))
	}
	unit := largest / math.MaxInt16
	for j, w := range weights {
		q.Out[j] = int16(math.RoundToEven(w / unit))
	}
	q.OutBias = int64(math.RoundToEven(float64(n.weights[n.outBias]) / unit))
	q.Scale = float32(unit)
	return q, q.Pack()
}

// quantiseFilter fills a filter's column of the tables and its floor, and returns what a unit of its activation is.
func (n *network) quantiseFilter(q *classifier.Network, i, k, f int) float64 {
	at := func(offset, c int) int { return n.tables[i] + (offset*classifier.Characters+c)*n.filters + f }
	lows := make([]float64, k)
	sum, span := float64(n.weights[n.biases[i]+f]), 0.0
	for offset := range k {
		low, high := math.Inf(1), math.Inf(-1)
		for c := range classifier.Characters {
			w := float64(n.weights[at(offset, c)])
			low, high = min(low, w), max(high, w)
		}
		lows[offset] = low
		sum += low
		span += high - low
	}
	lift := max(sum, 0) // the filter is never silent: the least sum is its floor, 0, and the rest goes into the first character
	lows[0] -= lift
	unit := (span + lift + 1e-12) / float64(classifier.MaxSum-k)
	for offset := range k {
		for c := range classifier.Characters {
			q.Tables[at(offset, c)] = uint16(math.RoundToEven((float64(n.weights[at(offset, c)]) - lows[offset]) / unit))
		}
	}
	q.Floors[i*n.filters+f] = uint16(min(math.RoundToEven(max(-sum, 0)/unit), classifier.MaxSum))
	return unit * (1 << classifier.ActShift)
}
