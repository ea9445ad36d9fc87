package classifier

// The network in plain Go: four filters or two units in one 64-bit word, four words at a time. More would not stay in
// registers. Tables are laid out so that each pass over a label stays in a few kilobytes.

const (
	quad        = 4        // words
	quadFilters = 4 * quad // that are summed at a time
	quadUnits   = 2 * quad
	topBits     = 0x8000_8000_8000_8000
	actBits     = maxAct * 0x0001_0001_0001_0001
)

// packed are the tables of a network in words.
type packed struct {
	tables [][quad]uint64 // for each width, block of filters, offset and character
	floors [][quad]uint64 // for each width and block of filters
	hidden [][quad]uint64 // for each block of units and each feature: weights moved up by hiddenBias
}

func (n *Network) pack() {
	quads := n.Filters / quadFilters
	n.tables = make([][quad]uint64, 0, len(n.Tables)/quadFilters)
	rows := n.Tables
	for i := range widths {
		ofWidth := rows[:KernelWidth(i)*Characters*n.Filters]
		rows = rows[len(ofWidth):]
		for b := range quads {
			for row := 0; row < len(ofWidth); row += n.Filters {
				n.tables = append(n.tables, pack16(ofWidth[row+b*quadFilters:]))
			}
		}
	}
	n.floors = make([][quad]uint64, 0, len(n.Floors)/quadFilters)
	for i := 0; i < len(n.Floors); i += quadFilters {
		n.floors = append(n.floors, pack16(n.Floors[i:]))
	}
	n.hidden = make([][quad]uint64, 0, len(n.Hidden)/quadUnits)
	for b := 0; b < n.Units; b += quadUnits {
		for i := b; i < len(n.Hidden); i += n.Units {
			var words [quad]uint64
			for j, w := range n.Hidden[i:][:quadUnits] {
				words[j/2] |= uint64(int64(w)+hiddenBias) << (j % 2 * 32)
			}
			n.hidden = append(n.hidden, words)
		}
	}
}

func pack16(values []uint16) (words [quad]uint64) {
	for i, v := range values[:quadFilters] {
		words[i/4] |= uint64(v) << (i % 4 * 16)
	}
	return words
}

// pool takes the maximum of each filter over all windows, and what that has above the floor.
func (n *Network) pool(acts *activations, text *[MaxCodes]uint8, length int) {
	tables := n.tables
	perWidth := n.Filters / quadFilters
	for i, floor := range n.floors {
		width := KernelWidth(i / perWidth)
		first := Padding - (width - 1)
		t0, t1, t2, t3 := highest(floor, tables[:width*Characters], text[first:], Padding+length-first, width)
		tables = tables[width*Characters:]
		act := acts[i*quadFilters:][:quadFilters]
		unpack16(act[0:4], (t0-floor[0])>>ActShift)
		unpack16(act[4:8], (t1-floor[1])>>ActShift)
		unpack16(act[8:12], (t2-floor[2])>>ActShift)
		unpack16(act[12:16], (t3-floor[3])>>ActShift)
	}
}

// highest is the maximum over all windows of one block's sums, and at least the floor. It is a function of its own, as
// compilers keep what counts in registers only where little else is in sight; so are its loop unrolled and the widest
// window read at every width.
//
//go:noinline
func highest(floor [quad]uint64, rows [][quad]uint64, text []uint8, windows, width int) (t0, t1, t2, t3 uint64) {
	t0, t1, t2, t3 = floor[0], floor[1], floor[2], floor[3]
	for p := range windows {
		codes := (*[widths + 1]uint8)(text[p : p+widths+1])
		row := &rows[codes[0]]
		s0, s1, s2, s3 := row[0], row[1], row[2], row[3]
		switch width {
		case 6:
			row = &rows[5*Characters+int(codes[5])]
			s0, s1, s2, s3 = s0+row[0], s1+row[1], s2+row[2], s3+row[3]
			fallthrough
		case 5:
			row = &rows[4*Characters+int(codes[4])]
			s0, s1, s2, s3 = s0+row[0], s1+row[1], s2+row[2], s3+row[3]
			fallthrough
		case 4:
			row = &rows[3*Characters+int(codes[3])]
			s0, s1, s2, s3 = s0+row[0], s1+row[1], s2+row[2], s3+row[3]
			fallthrough
		case 3:
			row = &rows[2*Characters+int(codes[2])]
			s0, s1, s2, s3 = s0+row[0], s1+row[1], s2+row[2], s3+row[3]
			fallthrough
		default:
			row = &rows[Characters+int(codes[1])]
			s0, s1, s2, s3 = s0+row[0], s1+row[1], s2+row[2], s3+row[3]
		}
		t0, t1, t2, t3 = higher(t0, s0), higher(t1, s1), higher(t2, s2), higher(t3, s3)
	}
	return t0, t1, t2, t3
}

// higher is the higher one of each of four lanes below 1<<15.
func higher(a, b uint64) uint64 {
	over := (b | topBits) - a // in each lane: the top bit says whether b is as high as a, the rest by how much
	is := over & topBits
	return a + over&(is-is>>15)
}

// unpack16 takes four lanes apart. Bits from the lane above have come into each by the shift before.
func unpack16(to []uint16, lanes uint64) {
	lanes &= actBits
	to[0], to[1], to[2], to[3] = uint16(lanes), uint16(lanes>>16), uint16(lanes>>32), uint16(lanes>>48)
}

// add multiplies the activations with their rows of Hidden and adds them up for each unit.
func (n *Network) add(sums *unitSums, acts *activations) {
	var found [len(activations{})]activation
	count, active := 0, uint32(0)
	features := widths * n.Filters
	for i, act := range acts[:features] {
		found[count] = activation{uint32(i), uint32(act)}
		active += uint32(act)
		if act != 0 {
			count++
		}
	}
	up := hiddenBias * active // what moving the weights up has added goes off again, modulo 1<<32
	for b := 0; b < n.Units; b += quadUnits {
		s0, s1, s2, s3 := products(found[:count], n.hidden[b/quadUnits*features:][:features])
		s := sums[b:][:quadUnits]
		s[0], s[1] = int32(uint32(s0)-up), int32(uint32(s0>>32)-up)
		s[2], s[3] = int32(uint32(s1)-up), int32(uint32(s1>>32)-up)
		s[4], s[5] = int32(uint32(s2)-up), int32(uint32(s2>>32)-up)
		s[6], s[7] = int32(uint32(s3)-up), int32(uint32(s3>>32)-up)
	}
}

// activation is one that is not 0.
type activation struct{ feature, act uint32 }

// products are the sums of one block of units. It is a function of its own as highest is.
//
//go:noinline
func products(found []activation, rows [][quad]uint64) (s0, s1, s2, s3 uint64) {
	for _, f := range found {
		act, row := uint64(f.act), &rows[f.feature]
		s0 += act * row[0]
		s1 += act * row[1]
		s2 += act * row[2]
		s3 += act * row[3]
	}
	return s0, s1, s2, s3
}
