package classifier

import (
	"fmt"
	"math"
	"strconv"
)

// Confidence is a benign tail: of clean benign names at most this share scores as high as what is called generated.
// 1e-4 is what people call 99.99 % confident. It says nothing about how many of the flagged names are generated: that
// depends on the traffic.
type Confidence float64

const (
	Sensitive Confidence = 1e-3 // for reports and for rules with much evidence
	Balanced  Confidence = 1e-4 // the default
	Strict    Confidence = 1e-5 // needs a model calibrated on 100,000 clean names or more
)

// ParseConfidence reads a preset (sensitive, balanced, strict) or a number: below one half a tail ("1e-4"), above it a
// confidence ("0.9999"), which is the same.
func ParseConfidence(s string) (Confidence, error) {
	switch s {
	case "sensitive":
		return Sensitive, nil
	case "balanced":
		return Balanced, nil
	case "strict":
		return Strict, nil
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0, fmt.Errorf("confidence %q: want sensitive, balanced, strict, a confidence such as 0.9999 or a tail such as 1e-4", s)
	}
	c := Confidence(v)
	if v > 0.5 {
		c = Confidence(math.Round((1-v)*1e12) / 1e12) // 1 - 0.9999 is not 1e-4 in binary
	}
	if c.Validate() != nil {
		return 0, fmt.Errorf("confidence %q: %s", s, tailRange) // as it was given, not what was made of it
	}
	return c, nil
}

const tailRange = "a benign tail is above 0 and below 0.5, a confidence above 0.5 and below 1"

// Validate refuses what is no tail: it must be above 0 and below one half.
func (c Confidence) Validate() error {
	if !(c > 0 && c < 0.5) {
		return fmt.Errorf("confidence %v: %s", float64(c), tailRange)
	}
	return nil
}

// String is the preset's word or the tail.
func (c Confidence) String() string {
	switch c {
	case Sensitive:
		return "sensitive"
	case Balanced:
		return "balanced"
	case Strict:
		return "strict"
	}
	return strconv.FormatFloat(float64(c), 'g', -1, 64)
}

// UnmarshalText is ParseConfidence, for flags and configuration files.
func (c *Confidence) UnmarshalText(text []byte) (err error) {
	*c, err = ParseConfidence(string(text))
	return err
}

// MarshalText is String.
func (c Confidence) MarshalText() ([]byte, error) { return []byte(c.String()), nil }
