package training

import "golang.org/x/sys/cpu"

// The loops of cnn_loops.go for processors with AVX2, eight lanes at a time: five to ten times as fast, and the same bits,
// as no sum is taken in another order and nothing is fused.

//go:noescape
func poolAVX2(codes *uint8, windows, k int, table, bias *float32, filters int, top *float32, best *int32, first int32)

//go:noescape
func forwardAVX2(units, rows, pooled *float32, features, n int)

//go:noescape
func outersAVX2(rows, gradients, slopes, pooled, inner *float32, features, n int)

//go:noescape
func descendAVX2(weights, mean, squares *float32, gradients **float32, n int, scale, rate, slow, slower float32)

// fastLoops are the assembly where the processor has what it needs.
func fastLoops() loops {
	if !cpu.X86.HasAVX2 {
		return plainLoops()
	}
	return loops{
		pool: func(w *windows, k int, _ []float32) {
			poolAVX2(&w.codes[0], len(w.codes)-k+1, k, &w.table[0], &w.bias[0], len(w.bias), &w.top[0], &w.best[0], w.first)
		},
		forward: func(units, rows, pooled []float32) {
			forwardAVX2(&units[0], &rows[0], &pooled[0], len(pooled), len(units))
		},
		outers: func(rows, gradients, slopes, pooled, inner []float32) {
			outersAVX2(&rows[0], &gradients[0], &slopes[0], &pooled[0], &inner[0], len(pooled), len(slopes))
		},
		descend: func(a adam, weights, mean, squares []float32, gradients *[networkShards][]float32) {
			n := len(weights) &^ 7
			if n > 0 {
				var at [networkShards]*float32
				for i, g := range gradients {
					at[i] = &g[0]
				}
				descendAVX2(&weights[0], &mean[0], &squares[0], &at[0], n, a.scale, a.rate, a.slow, a.slower)
			}
			var rest [networkShards][]float32
			for i, g := range gradients {
				rest[i] = g[n:]
			}
			a.descend(weights[n:], mean[n:], squares[n:], &rest)
		},
	}
}
