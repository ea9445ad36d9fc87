package classifier

import "strings"

// Info says where a model comes from. It is kept in the model file as JSON.
type Info struct {
	Scorer     string   `json:"scorer"`         // what computes the score: "n-gram regression"
	Recipe     string   `json:"recipe"`         // how it was trained, in a line
	Made       string   `json:"made,omitempty"` // when, as the trainer was told; empty where equal inputs must give equal bytes
	Seed       uint64   `json:"seed"`           // of every draw in training
	MinLength  int      `json:"min_length"`     // shorter labels abstain
	Benign     []Source `json:"benign"`         // what it learned from, by source
	Families   []Source `json:"families"`       // what it learned from, by DGA family
	LeftOut    []Source `json:"left_out"`       // known families that it was not taught
	Clean      []Source `json:"clean"`          // calibration names, by source
	Calibrated int      `json:"calibrated"`     // calibration names in all: the n of (k+1)/(n+1)
	Figures    []Figure `json:"figures"`        // measured on names held back from training
}

// Abstains reports whether a label is of a kind that the model cannot tell: shorter than MinLength, or internationalised
// (RFC 5890), whose A-label looks generated and is not. Such a name has a score and a tail; they mean little.
func (i *Info) Abstains(label string) bool {
	return len(label) < i.MinLength || strings.HasPrefix(label, "xn--")
}

// Source is how many names came from one list or family.
type Source struct {
	Name  string `json:"name"`
	Names int    `json:"names"`
}

// Figure is what a confidence means: the score it asks for, and the share of held-back generated names that reach it.
type Figure struct {
	Confidence Confidence `json:"confidence"`
	Threshold  float32    `json:"threshold"`
	Recall     float64    `json:"recall"` // macro average over the families taught
}
