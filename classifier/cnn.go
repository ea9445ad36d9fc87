package classifier

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Network is a shallow character network in integers: for each kernel width a sum of table rows over every window of the
// label, the maximum of each filter over the windows, rectified; one rectified layer of units; one output. Everything up
// to the last multiplication is in integers, so that a score has the same bits on every machine, with and without vector
// instructions.
//
// A window's sum is Σ Tables[width][offset][character]: entries are not negative, and no sum passes 32767, so that filters
// are added and compared in lanes of 16 bits. A filter counts for what its maximum has above its Floor.
type Network struct {
	Filters int      // for each kernel width: a multiple of 16, at most MaxFilters
	Units   int      // of the hidden layer: a multiple of 16, at most MaxUnits
	Tables  []uint16 // for each width, offset and character a row of Filters
	Floors  []uint16 // for each width and filter
	Hidden  []int16  // for each width and filter a row of Units weights, from -HiddenLimit to HiddenLimit
	Bias    []int32  // of the units
	Out     []int16  // of each unit
	OutBias int64    // added to the sum over units
	Scale   float32  // log-odds of one unit of the sum

	packed         // for plain Go
	vector bool    // the processor has what poolVector and addVector need
	pairs  []int16 // for addVector: for each pair of features, for each unit, the weights of both
}

// Characters of a label, as the network reads them.
const (
	Characters = 39 // padding, a to z, 0 to 9, the hyphen, anything else
	Padding    = 5  // codes of padding on each side of a label: one less than the widest kernel
	MaxRead    = 40 // characters of a label that the network reads
	MaxCodes   = MaxRead + 2*Padding
)

const (
	MaxFilters  = 128
	MaxUnits    = 128
	HiddenLimit = 1<<10 - 1

	widths     = 5 // kernels of 2 to 6 characters
	tableRows  = (2 + 3 + 4 + 5 + 6) * Characters
	MaxSum     = 1<<15 - 1
	ActShift   = 3 // of 15 bits 12 go on
	maxAct     = MaxSum >> ActShift
	hiddenBias = HiddenLimit // makes weights positive
)

// KernelWidth is how many characters the kernels of index i, 0 to 4, read.
func KernelWidth(i int) int { return i + 2 }

// codes says of each byte which character it is.
var codes = func() (t [256]uint8) {
	for i := range t {
		t[i] = Characters - 1
	}
	for c := 'a'; c <= 'z'; c++ {
		t[c] = uint8(c-'a') + 1
	}
	for c := '0'; c <= '9'; c++ {
		t[c] = uint8(c-'0') + 27
	}
	t['-'] = 37
	return t
}()

// Codes writes what the network reads of a label to dst, between padding, and returns how many characters it is.
func Codes(dst *[MaxCodes]uint8, label string) int {
	n := min(len(label), MaxRead)
	for i := range Padding {
		dst[i] = 0
		dst[Padding+n+i] = 0
	}
	for i := range n {
		dst[Padding+i] = codes[label[i]]
	}
	return n
}

// Score is the log-odds of a label. It does not allocate.
func (n *Network) Score(label string) float32 { return float32(n.sum(label)) * n.Scale }

func (n *Network) sum(label string) int64 {
	var text [MaxCodes]uint8
	length := Codes(&text, label)
	var acts activations
	var sums unitSums
	if n.vector {
		n.poolVector(&acts, &text, length)
		n.addVector(&sums, &acts)
	} else {
		n.pool(&acts, &text, length)
		n.add(&sums, &acts)
	}
	total := n.OutBias
	for j, bias := range n.Bias {
		total += max(0, int64(sums[j])+int64(bias)) * int64(n.Out[j])
	}
	return total
}

// activations are what each filter has above its floor in the window where it has most, in the order of Floors.
type activations [widths * MaxFilters]uint16

// unitSums are what the activations give each hidden unit, before its bias.
type unitSums [MaxUnits]int32

// Pack checks the tables and lays them out for sums of several lanes: it comes before the first Score.
func (n *Network) Pack() error {
	if err := n.check(); err != nil {
		return err
	}
	n.pack()
	if n.vector = hasVectors(); n.vector {
		n.packPairs()
	}
	return nil
}

// packPairs lays the hidden weights out for multiplications of two neighbouring features at once.
func (n *Network) packPairs() {
	n.pairs = make([]int16, len(n.Hidden))
	for i := range widths * n.Filters {
		for j, w := range n.Hidden[i*n.Units:][:n.Units] {
			n.pairs[(i/2*n.Units+j)*2+i%2] = w
		}
	}
}

// check makes sure that no sum leaves its lane.
func (n *Network) check() error {
	switch {
	case n.Filters < 16 || n.Filters > MaxFilters || n.Filters%16 != 0:
		return fmt.Errorf("%d filters, want a multiple of 16 up to %d", n.Filters, MaxFilters)
	case n.Units < 16 || n.Units > MaxUnits || n.Units%16 != 0:
		return fmt.Errorf("%d units, want a multiple of 16 up to %d", n.Units, MaxUnits)
	case len(n.Tables) != tableRows*n.Filters || len(n.Floors) != widths*n.Filters ||
		len(n.Hidden) != widths*n.Filters*n.Units || len(n.Bias) != n.Units || len(n.Out) != n.Units:
		return errors.New("tables of other sizes than filters and units ask for")
	case !(n.Scale > 0 && n.Scale < 1e6):
		return fmt.Errorf("scale %v, want a positive number", n.Scale)
	case n.OutBias > 1<<56 || n.OutBias < -1<<56:
		return fmt.Errorf("output bias %d is out of range", n.OutBias)
	}
	for i, floor := range n.Floors {
		if floor > MaxSum {
			return fmt.Errorf("filter %d: floor %d is out of range", i, floor)
		}
	}
	for _, w := range n.Hidden {
		if w > HiddenLimit || w < -HiddenLimit {
			return fmt.Errorf("hidden weight %d, want at most %d", w, HiddenLimit)
		}
	}
	for _, b := range n.Bias {
		if b > 1<<30 || b < -1<<30 {
			return fmt.Errorf("bias %d is out of range", b)
		}
	}
	if err := n.checkUnits(); err != nil {
		return err
	}
	return n.checkSums()
}

// checkUnits makes sure that no unit's sum leaves 32 bits: neither signed, nor with all weights made positive.
func (n *Network) checkUnits() error {
	below, above := make([]int64, n.Units), make([]int64, n.Units)
	for i, w := range n.Hidden {
		below[i%n.Units] += min(0, int64(w))
		above[i%n.Units] += max(0, int64(w))
	}
	for j := range n.Units {
		positive := below[j] + above[j] + hiddenBias*int64(len(n.Floors))
		if most := max(-below[j], above[j]); most*maxAct > math.MaxInt32 || positive*maxAct > math.MaxUint32 {
			return fmt.Errorf("unit %d: weights of %d below and %d above 0, too many for 32 bits", j, below[j], above[j])
		}
	}
	return nil
}

func (n *Network) checkSums() error {
	table := 0
	for i := range widths {
		largest := make([]int, n.Filters)
		for range KernelWidth(i) {
			most := make([]uint16, n.Filters)
			for range Characters {
				for f, v := range n.Tables[table : table+n.Filters] {
					most[f] = max(most[f], v)
				}
				table += n.Filters
			}
			for f, v := range most {
				largest[f] += int(v)
			}
		}
		for f, v := range largest {
			if v > MaxSum {
				return fmt.Errorf("filter %d of %d characters: sums up to %d, want at most %d", f, KernelWidth(i), v, MaxSum)
			}
		}
	}
	return nil
}

// The section's layout, little-endian: filters and units uint32, scale float32, output bias int64, then Tables, Floors,
// Hidden, Bias and Out.
const networkHeader = 20

func (n *Network) append(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint32(b, uint32(n.Filters))
	b = le.AppendUint32(b, uint32(n.Units))
	b = le.AppendUint32(b, math.Float32bits(n.Scale))
	b = le.AppendUint64(b, uint64(n.OutBias))
	for _, v := range n.Tables {
		b = le.AppendUint16(b, v)
	}
	for _, v := range n.Floors {
		b = le.AppendUint16(b, v)
	}
	for _, v := range n.Hidden {
		b = le.AppendUint16(b, uint16(v))
	}
	for _, v := range n.Bias {
		b = le.AppendUint32(b, uint32(v))
	}
	for _, v := range n.Out {
		b = le.AppendUint16(b, uint16(v))
	}
	return b
}

func parseNetwork(b []byte) (*Network, error) {
	if len(b) < networkHeader {
		return nil, fmt.Errorf("%d bytes are no header and tables", len(b))
	}
	le := binary.LittleEndian
	n := &Network{
		Filters: int(le.Uint32(b)), Units: int(le.Uint32(b[4:])),
		Scale: math.Float32frombits(le.Uint32(b[8:])), OutBias: int64(le.Uint64(b[12:])),
	}
	if n.Filters > MaxFilters || n.Units > MaxUnits {
		return nil, fmt.Errorf("%d filters and %d units, want at most %d and %d", n.Filters, n.Units, MaxFilters, MaxUnits)
	}
	b = b[networkHeader:]
	features := widths * n.Filters
	if want := 2*(tableRows*n.Filters+features+features*n.Units+n.Units) + 4*n.Units; len(b) != want {
		return nil, fmt.Errorf("%d bytes of tables, want %d for %d filters and %d units", len(b), want, n.Filters, n.Units)
	}
	take16 := func() uint16 {
		v := le.Uint16(b)
		b = b[2:]
		return v
	}
	n.Tables, n.Floors = make([]uint16, tableRows*n.Filters), make([]uint16, features)
	n.Hidden, n.Bias, n.Out = make([]int16, features*n.Units), make([]int32, n.Units), make([]int16, n.Units)
	for i := range n.Tables {
		n.Tables[i] = take16()
	}
	for i := range n.Floors {
		n.Floors[i] = take16()
	}
	for i := range n.Hidden {
		n.Hidden[i] = int16(take16())
	}
	for i := range n.Bias {
		n.Bias[i] = int32(le.Uint32(b))
		b = b[4:]
	}
	for i := range n.Out {
		n.Out[i] = int16(take16())
	}
	return n, n.Pack()
}
