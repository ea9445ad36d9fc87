package classifier

import "referee/features"

// explain takes a network's score apart: exactly, since for one label the network is a sum over the filters above their
// floors and the units above 0. Each filter speaks for the window of the label where it has its maximum. It returns the
// log-odds that no window speaks for.
func (n *Network) explain(label string, yield func(window string, effect float64)) (base float64) {
	var text [MaxCodes]uint8
	length := Codes(&text, label)
	var pooled [widths * MaxFilters / 4]uint64
	n.pool(&pooled, &text, length)
	var sums [MaxUnits / 2]uint64
	active := n.activate(&sums, &pooled)

	sum := float64(n.OutBias)
	var on []int // units
	for j, bias := range n.Bias {
		if int64(uint32(sums[j/2]>>(j%2*32)))-hiddenBias*active+int64(bias) > 0 {
			on = append(on, j)
			sum += float64(bias) * float64(n.Out[j])
		}
	}
	for i, floor := range n.Floors {
		top := uint16(pooled[i/4] >> (i % 4 * 16))
		if top <= floor {
			continue
		}
		slope := 0.0
		for _, j := range on {
			slope += float64(n.Hidden[i*n.Units+j]) * float64(n.Out[j])
		}
		at, width := n.window(i, top, text[:], length), KernelWidth(i/n.Filters)
		yield(windowText(label[:length], at-Padding, width, length < len(label)), slope*float64((top-floor)>>ActShift)*float64(n.Scale))
	}
	return sum * float64(n.Scale)
}

// window is the first code of the first window in which a filter sums to top.
func (n *Network) window(feature int, top uint16, text []uint8, length int) int {
	kernel, filter := feature/n.Filters, feature%n.Filters
	table := 0
	for i := range kernel {
		table += KernelWidth(i) * Characters
	}
	width := KernelWidth(kernel)
	for p := Padding - (width - 1); ; p++ {
		sum := uint16(0)
		for o := range width {
			sum += n.Tables[(table+o*Characters+int(text[p+o]))*n.Filters+filter]
		}
		if sum == top || p == Padding+length-1 {
			return p
		}
	}
}

// windowText is what a window holds of a label, with a boundary mark on the side where it looks past the label's end.
func windowText(label string, from, width int, cut bool) string {
	before, after := "", ""
	if from < 0 {
		before = string(features.Boundary)
	}
	if from+width > len(label) && !cut {
		after = string(features.Boundary)
	}
	return before + label[max(from, 0):min(from+width, len(label))] + after
}
