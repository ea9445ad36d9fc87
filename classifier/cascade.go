package classifier

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Cascade scores a label. Its first head is for names of random characters and has two stages: the regression reads every
// label; those that it finds benign beyond doubt end there, and the network reads the others; what a label scores in the
// end is a weighted mean of both. Its second head, a regression over longer n-grams, is for names that are joined of
// words; its scores are moved to where they are as rare among benign names as the first head's. The higher one counts.
type Cascade struct {
	Linear  Linear
	Network *Network // nil: the regression alone
	Words   *Linear  // nil: no second head
	Stages
}

// Stages says how several scores become one. The scores of labels that the first stage clears lie below Top in the order
// of the regression, whatever the network would have said: no confidence may be chosen whose threshold is not above Top.
type Stages struct {
	Share     float32 // of the regression in the mean, from 0 to 1
	Exit      float32 // labels that the regression scores lower are cleared
	Top       float32 // what cleared labels stay below
	WordScale float32 // of the second head's scores
	WordShift float32 // added to them then
}

// MinWords is the length of the shortest labels that the second head reads: shorter ones hold no two words.
const MinWords = 8

// Score is the log-odds of a label. It does not allocate. The conversions keep compilers from fusing multiplications and
// additions, which would round otherwise on some machines.
func (c *Cascade) Score(label string) float32 {
	bins := readBins(label)
	score := c.random(label, &bins)
	if c.Words != nil && len(label) >= MinWords {
		score = max(score, c.words(label, &bins))
	}
	return score
}

// random is the first head's score.
func (c *Cascade) random(label string, bins *lexicalBins) float32 {
	first := float32(c.Linear.score(label, bins))
	switch {
	case c.Network == nil:
		return first
	case first < c.Exit:
		return c.Top + float32(first-c.Exit)
	}
	return float32(c.Share*first) + float32((1-c.Share)*c.Network.Score(label))
}

// words is the second head's score, moved.
func (c *Cascade) words(label string, bins *lexicalBins) float32 {
	return float32(c.WordScale*c.Words.score(label, bins)) + c.WordShift
}

// Clears reports whether the network does not read a label, as the regression is sure of it.
func (c *Cascade) Clears(label string) bool {
	return c.Network != nil && c.Linear.Score(label) < c.Exit
}

func (s *Stages) check() error {
	if !(s.Share >= 0 && s.Share <= 1) {
		return fmt.Errorf("a share of %v, want 0 to 1", s.Share)
	}
	if !(s.WordScale >= 0) {
		return fmt.Errorf("a word scale of %v, want a positive number", s.WordScale)
	}
	for _, v := range []float32{s.Exit, s.Top, s.WordScale, s.WordShift} {
		if !(math.Abs(float64(v)) < 1e6) {
			return fmt.Errorf("%v, want a finite number", v)
		}
	}
	return nil
}

// The section's layout, little-endian: each field of Stages in its order, float32.
const stagesSize = 20

func (s *Stages) append(b []byte) []byte {
	for _, v := range []float32{s.Share, s.Exit, s.Top, s.WordScale, s.WordShift} {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

func parseStages(b []byte) (Stages, error) {
	if len(b) != stagesSize {
		return Stages{}, errors.New("want 20 bytes")
	}
	at := func(i int) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:])) }
	s := Stages{at(0), at(1), at(2), at(3), at(4)}
	return s, s.check()
}

// append adds the sections of a cascade to a model file.
func (c *Cascade) append(b []byte) []byte {
	b = appendSection(b, "linear", c.Linear.append(nil))
	if c.Network != nil {
		b = appendSection(b, "network", c.Network.append(nil))
	}
	if c.Words != nil {
		b = appendSection(b, "words", c.Words.append(nil))
	}
	if c.Network != nil || c.Words != nil {
		b = appendSection(b, "stages", c.Stages.append(nil))
	}
	return b
}

func parseCascade(found map[string][]byte) (c Cascade, err error) {
	if c.Linear, err = parseLinear(found["linear"]); err != nil {
		return c, fmt.Errorf("section linear: %w", err)
	}
	if b, ok := found["network"]; ok {
		if c.Network, err = parseNetwork(b); err != nil {
			return c, fmt.Errorf("section network: %w", err)
		}
	}
	if b, ok := found["words"]; ok {
		words, err := parseLinear(b)
		if err != nil {
			return c, fmt.Errorf("section words: %w", err)
		}
		words.Long = true
		c.Words = &words
	}
	if c.Network != nil || c.Words != nil {
		if c.Stages, err = parseStages(found["stages"]); err != nil {
			return c, fmt.Errorf("section stages: %w", err)
		}
	}
	return c, nil
}

// check refuses what could not be read back, and makes the network ready.
func (c *Cascade) check() error {
	if err := c.Linear.check(); err != nil {
		return err
	}
	if c.Network != nil {
		if err := c.Network.Pack(); err != nil {
			return err
		}
	}
	if c.Words != nil {
		if !c.Words.Long {
			return errors.New("the second head reads short n-grams")
		}
		if err := c.Words.check(); err != nil {
			return err
		}
	}
	return c.Stages.check()
}
