package classifier

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
)

// tails turns a score into the share of clean benign names that score at least as high, (k+1)/(n+1): the conformal tail
// of Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World (2005), chapter 2. It holds for names like those
// it was made from, and of those only for names that the model did not learn from.
//
// The highest exact scores have a step each; below them a step spans about one percent of the names and claims the
// larger tail for all of its scores, so that rounding never flatters.
type tails struct {
	n     int
	steps []step // by ascending score and descending count
}

// step: of the n names at most count score at least as high as any score above the step before and up to this one.
type step struct {
	score float32
	count uint32
}

const exactSteps = 2000

func newTails(scores []float32) (tails, error) {
	if len(scores) == 0 {
		return tails{}, errors.New("no clean benign names to calibrate with: hold some back")
	}
	sorted := slices.Clone(scores)
	slices.SortFunc(sorted, func(a, b float32) int { return cmp.Compare(b, a) })
	if s := float64(sorted[len(sorted)-1]); math.IsNaN(s) || math.IsInf(s, 0) || math.IsInf(float64(sorted[0]), 0) {
		return tails{}, errors.New("a calibration score is not a number")
	}
	t := tails{n: len(sorted)}
	for high := 0; high < len(sorted); {
		// One step holds the scores from position high on, at least width of them, and all that are equal to its last.
		low := min(high+max(1, (high-exactSteps)/100), len(sorted))
		for low < len(sorted) && sorted[low] == sorted[low-1] {
			low++
		}
		t.steps = append(t.steps, step{score: sorted[high], count: uint32(low)})
		high = low
	}
	slices.Reverse(t.steps)
	return t, nil
}

func (t *tails) tail(score float32) float32 {
	if score != score { // not a number: claim nothing
		return 1
	}
	i := sort.Search(len(t.steps), func(i int) bool { return t.steps[i].score >= score })
	return t.from(i)
}

// from is the tail of the scores of step i; past the last step no clean name scored as high.
func (t *tails) from(i int) float32 {
	k := uint32(0)
	if i < len(t.steps) {
		k = t.steps[i].count
	}
	return float32((float64(k) + 1) / (float64(t.n) + 1))
}

// threshold is the least score whose tail is at most c.
func (t *tails) threshold(c Confidence) (float32, error) {
	if err := c.Validate(); err != nil {
		return 0, err
	}
	i := sort.Search(len(t.steps)+1, func(i int) bool { return t.from(i) <= float32(c) })
	if i > len(t.steps) {
		least := Confidence(1 / (float64(t.n) + 1))
		return 0, fmt.Errorf("confidence %v: the model was calibrated on %d clean names and supports tails from %.3g on (confidence %.6g at most); "+
			"choose a larger tail or a model calibrated on more names", c, t.n, float64(least), 1-float64(least))
	}
	if i == 0 {
		return t.steps[0].score, nil
	}
	return math.Nextafter32(t.steps[i-1].score, float32(math.Inf(1))), nil
}

func (t *tails) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(t.n))
	for _, s := range t.steps {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(s.score))
		b = binary.LittleEndian.AppendUint32(b, s.count)
	}
	return b
}

func parseTails(b []byte) (tails, error) {
	if len(b) < 12 || len(b)%8 != 4 {
		return tails{}, fmt.Errorf("%d bytes are no count and steps of 8 bytes", len(b))
	}
	t := tails{n: int(binary.LittleEndian.Uint32(b)), steps: make([]step, 0, len(b)/8)}
	for b = b[4:]; len(b) > 0; b = b[8:] {
		s := step{math.Float32frombits(binary.LittleEndian.Uint32(b)), binary.LittleEndian.Uint32(b[4:])}
		if f := float64(s.score); math.IsNaN(f) || math.IsInf(f, 0) || s.count == 0 || int64(s.count) > int64(t.n) {
			return tails{}, fmt.Errorf("step %d is out of range", len(t.steps))
		}
		if n := len(t.steps); n == 0 && int64(s.count) != int64(t.n) {
			return tails{}, errors.New("the first step does not hold all names")
		} else if n > 0 && !(t.steps[n-1].score < s.score && t.steps[n-1].count > s.count) {
			return tails{}, fmt.Errorf("step %d is out of order", n)
		}
		t.steps = append(t.steps, s)
	}
	return t, nil
}
