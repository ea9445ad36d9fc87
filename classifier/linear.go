package classifier

import (
	"encoding/binary"
	"fmt"
	"math"

	"referee/features"
)

// Linear is a logistic regression over the lexical bins and hashed n-grams of a label, in integers, so that a score has
// the same bits on every machine.
type Linear struct {
	Long    bool    // reads the longer n-grams, as features.AppendLongGrams has them
	Bits    uint    // there are 1<<Bits n-gram weights
	Scale   float32 // log-odds of one unit of weight
	Bias    int32   // added to the sum of the weights
	Weights []int8  // features.NumBins lexical bins, then the n-grams
}

const maxBits = 22 // 4 MiB of weights: far more than was of use

// Score is the log-odds of a label. It does not allocate.
func (l *Linear) Score(label string) float32 {
	bins := readBins(label)
	return l.score(label, &bins)
}

// lexicalBins are the bins that a label falls into; both regressions read the same.
type lexicalBins [features.BinsPerLabel]uint32

func readBins(label string) (bins lexicalBins) {
	features.Lex(label).AppendBins(bins[:0])
	return bins
}

func (l *Linear) score(label string, bins *lexicalBins) float32 {
	return float32(l.sum(label, bins)) * l.Scale
}

func (l *Linear) sum(label string, bins *lexicalBins) int32 {
	var inputs [features.MaxGrams]uint32
	sum := l.Bias
	for _, bin := range bins {
		sum += int32(l.Weights[bin])
	}
	grams := l.Weights[features.NumBins:]
	hashes := inputs[:0]
	if l.Long {
		hashes = features.AppendLongGrams(hashes, label, l.Bits)
	} else {
		hashes = features.AppendGrams(hashes, label, l.Bits)
	}
	for _, gram := range hashes {
		sum += int32(grams[gram])
	}
	return sum
}

func (l *Linear) check() error {
	if l.Bits < 1 || l.Bits > maxBits {
		return fmt.Errorf("%d hash bits, want 1 to %d", l.Bits, maxBits)
	}
	if want := features.NumBins + 1<<l.Bits; len(l.Weights) != want {
		return fmt.Errorf("%d weights, want %d for %d lexical bins and %d hash bits", len(l.Weights), want, features.NumBins, l.Bits)
	}
	if !(l.Scale > 0 && l.Scale < 1e6) {
		return fmt.Errorf("scale %v, want a positive number", l.Scale)
	}
	if l.Bias > 1<<30 || l.Bias < -1<<30 { // far from where sums would wrap around
		return fmt.Errorf("bias %d is out of range", l.Bias)
	}
	return nil
}

// The section's layout, little-endian: bits uint32, scale float32, bias int32, weights int8 each.
const linearHeader = 12

func (l *Linear) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(l.Bits))
	b = binary.LittleEndian.AppendUint32(b, math.Float32bits(l.Scale))
	b = binary.LittleEndian.AppendUint32(b, uint32(l.Bias))
	for _, w := range l.Weights {
		b = append(b, byte(w))
	}
	return b
}

func parseLinear(b []byte) (Linear, error) {
	if len(b) < linearHeader {
		return Linear{}, fmt.Errorf("%d bytes are no header and weights", len(b))
	}
	l := Linear{
		Bits:    uint(binary.LittleEndian.Uint32(b)),
		Scale:   math.Float32frombits(binary.LittleEndian.Uint32(b[4:])),
		Bias:    int32(binary.LittleEndian.Uint32(b[8:])),
		Weights: make([]int8, len(b)-linearHeader),
	}
	for i := range l.Weights {
		l.Weights[i] = int8(b[linearHeader+i])
	}
	return l, l.check()
}
