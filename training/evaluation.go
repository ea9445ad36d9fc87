package training

import "referee/classifier"

// Shares are the shares at or above the thresholds of the false-positive rates 1 %, 0.1 % and 0.01 %.
type Shares [len(falsePositiveRates)]float64

// Evaluation is what a scorer reaches on sets of names.
type Evaluation struct {
	Model      string                           `json:"model"`
	Rates      [len(falsePositiveRates)]float64 `json:"false_positive_rates"`
	Thresholds [len(falsePositiveRates)]float32 `json:"thresholds"`
	CleanNames int                              `json:"clean_names"`
	Groups     []GroupRow                       `json:"groups"`
	Families   []FamilyRow                      `json:"families"`
	Benign     []BenignRow                      `json:"benign"`
	Lengths    []LengthRow                      `json:"lengths"`
	Claims     []ClaimRow                       `json:"claims,omitempty"`
	Confusion  Confusion                        `json:"confusion"` // of known random names, at 0.1 %
}

// GroupRow is the macro average over a group of families.
type GroupRow struct {
	Group    string `json:"group"`
	Families int    `json:"families"`
	Names    int    `json:"names"`
	Found    Shares `json:"found"`
}

// FamilyRow is what is found of a family.
type FamilyRow struct {
	Family string `json:"family"`
	Kind   string `json:"kind"`
	Group  string `json:"group"`
	Names  int    `json:"names"`
	Found  Shares `json:"found"`
}

// BenignRow is how many names of a benign source reach the thresholds.
type BenignRow struct {
	Source string                        `json:"source"`
	Role   Role                          `json:"role"`
	Names  int                           `json:"names"`
	Rates  [len(falsePositiveRates)]Rate `json:"rates"`
}

// LengthRow is the same for labels of a band of lengths, by name and not by family.
type LengthRow struct {
	From   int                           `json:"from"`
	To     int                           `json:"to"`
	Clean  [len(falsePositiveRates)]Rate `json:"clean"`
	Known  [len(falsePositiveRates)]Rate `json:"known_random"`
	Unseen [len(falsePositiveRates)]Rate `json:"unseen_random"`
}

// ClaimRow compares the tail that a model claims with the share of clean names measured at its threshold, among those
// that it does not abstain from.
type ClaimRow struct {
	Confidence classifier.Confidence `json:"confidence"`
	Threshold  float32               `json:"threshold"`
	Clean      Rate                  `json:"clean"`
	Groups     []GroupClaim          `json:"groups"`
}

// GroupClaim is the macro average of what is found at a model's own threshold; names that it abstains from are not found.
type GroupClaim struct {
	Group string  `json:"group"`
	Found float64 `json:"found"`
}
