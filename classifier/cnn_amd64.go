//go:build !noasm

package classifier

import "golang.org/x/sys/cpu"

// The network in AVX2: 16 filters or 8 units at a time. The tag noasm leaves it out
// (purego would, too, but slow down the standard library's checksums).

func hasVectors() bool { return cpu.X86.HasAVX2 }

// poolVector does what pool does.
func (n *Network) poolVector(acts *activations, text *[MaxCodes]uint8, length int) {
	row := uint32(n.Filters) * 2 // bytes
	var rows [MaxCodes]uint32
	for i, code := range text[:Padding+length+Padding] {
		rows[i] = uint32(code) * row
	}
	table := 0
	for i := range widths {
		width := KernelWidth(i)
		first := Padding - (width - 1)
		poolAVX2(&acts[i*n.Filters], &n.Tables[table], &n.Floors[i*n.Filters], &rows[first], Padding+length-first, width, n.Filters)
		table += width * Characters * n.Filters
	}
}

// addVector does what add does.
func (n *Network) addVector(sums *unitSums, acts *activations) {
	addAVX2(&sums[0], &acts[0], &n.pairs[0], widths*n.Filters/2, n.Units)
}

// poolAVX2 is pool for the kernels of one width: acts, table and floors are theirs. rows has, for each code from the first
// window's first on, how many bytes its row is from where an offset's rows begin. Filters are a multiple of 16.
//
//go:noescape
func poolAVX2(acts, table, floors *uint16, rows *uint32, windows, width, filters int)

// addAVX2 adds the products of count pairs of activations with their weights to sums. Units are a multiple of 16.
//
//go:noescape
func addAVX2(sums *int32, acts *uint16, pairs *int16, count, units int)
