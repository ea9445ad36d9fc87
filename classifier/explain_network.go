package classifier

import "referee/features"

// explain takes a network's score apart: exactly, since for one label the network is a sum over the filters above their
// floors and the units above 0. Each filter speaks for the window of the label where it has its maximum. It returns the
// log-odds that no window speaks for.
func (n *Network) explain(label string, yield func(window string, effect float64)) (base float64) {
	var text [MaxCodes]uint8
	length := Codes(&text, label)
	var acts activations
	n.pool(&acts, &text, length)
	var sums unitSums
	n.add(&sums, &acts)

	sum := float64(n.OutBias)
	var on []int // units
	for j, bias := range n.Bias {
		if int64(sums[j])+int64(bias) > 0 {
			on = append(on, j)
			sum += float64(bias) * float64(n.Out[j])
		}
	}
	for i, act := range acts[:widths*n.Filters] {
		if act == 0 {
			continue
		}
		slope := 0.0
		for _, j := range on {
			slope += float64(n.Hidden[i*n.Units+j]) * float64(n.Out[j])
		}
		at, width := n.window(i, text[:], length), KernelWidth(i/n.Filters)
		yield(windowText(label[:length], at-Padding, width, length < len(label)), slope*float64(act)*float64(n.Scale))
	}
	return sum * float64(n.Scale)
}

// window is the first code of the first window in which a filter has most.
func (n *Network) window(feature int, text []uint8, length int) (most int) {
	kernel, filter := feature/n.Filters, feature%n.Filters
	table := 0
	for i := range kernel {
		table += KernelWidth(i) * Characters
	}
	width, top := KernelWidth(kernel), -1
	for p := Padding - (width - 1); p < Padding+length; p++ {
		sum := 0
		for o := range width {
			sum += int(n.Tables[(table+o*Characters+int(text[p+o]))*n.Filters+filter])
		}
		if sum > top {
			most, top = p, sum
		}
	}
	return most
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
