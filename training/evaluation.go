package training

import "referee/classifier"

// Shares are the shares at or above the thresholds of an evaluation's false-positive rates.
type Shares []float64

// Evaluation is what a scorer reaches on sets of names. What has an index per rate is in the order of Rates.
type Evaluation struct {
	Model      string      `json:"model"`
	Rates      []float64   `json:"false_positive_rates"`
	Thresholds []float32   `json:"thresholds"`
	CleanNames int         `json:"clean_names"`
	Groups     []GroupRow  `json:"groups"`
	Families   []FamilyRow `json:"families"`
	Benign     []BenignRow `json:"benign"`
	Lengths    []LengthRow `json:"lengths"`
	Confusion  Confusion   `json:"confusion"` // of known random names, at 0.1 %

	// Of a model, and not of any scorer:
	Bootstrap   Bootstrap        `json:"bootstrap"` // of the groups' intervals and the curves
	Curves      []Curve          `json:"curves,omitempty"`
	Claims      []ClaimRow       `json:"claims,omitempty"`
	Calibration []CalibrationRow `json:"calibration,omitempty"`
	Top         []TopNames       `json:"top,omitempty"`
	Speed       *Speed           `json:"speed,omitempty"`
	Targets     []TargetRow      `json:"targets,omitempty"`
}

// GroupRow is the macro average over a group of families.
type GroupRow struct {
	Group     string     `json:"group"`
	Families  int        `json:"families"`
	Names     int        `json:"names"`
	AUC       float64    `json:"auc"`
	Found     Shares     `json:"found"`
	Intervals []Interval `json:"intervals,omitempty"` // of Found, by bootstrap
	Abstained float64    `json:"abstained"`           // share of names that the model does not judge
}

// FamilyRow is what is found of a family.
type FamilyRow struct {
	Family string  `json:"family"`
	Kind   string  `json:"kind"`
	Group  string  `json:"group"`
	Names  int     `json:"names"`
	AUC    float64 `json:"auc"`
	Found  Shares  `json:"found"`
	Rates  []Rate  `json:"rates"` // the same with their counts
}

// BenignRow is how many names of a benign source reach the thresholds.
type BenignRow struct {
	Source    string `json:"source"`
	Role      Role   `json:"role"`
	Names     int    `json:"names"`
	Rates     []Rate `json:"rates"`
	Abstained int    `json:"abstained"` // names that the model does not judge
}

// LengthRow is the same for labels of a band of lengths, by name and not by family.
type LengthRow struct {
	From   int    `json:"from"`
	To     int    `json:"to"`
	Clean  []Rate `json:"clean"`
	Known  []Rate `json:"known_random"`
	Unseen []Rate `json:"unseen_random"`
}

// Curve is a ROC curve: the macro average of what is found of a group's families, by false-positive rate.
type Curve struct {
	Group  string       `json:"group"`
	Points []CurvePoint `json:"points"`
}

// CurvePoint is a point of a curve with its interval.
type CurvePoint struct {
	Rate  float64 `json:"false_positive_rate"`
	Found float64 `json:"found"`
	Interval
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

// CalibrationRow is what was measured on some benign names at tails that the model claims, among those that it judges.
type CalibrationRow struct {
	Source string             `json:"source"`
	Role   Role               `json:"role"`
	Judged int                `json:"judged"`
	Points []CalibrationPoint `json:"points"`
}

// CalibrationPoint is one tail: claimed, and measured.
type CalibrationPoint struct {
	Tail float64 `json:"tail"`
	Rate
	Interval
}

// Exceeded says that more names reach the tail's threshold than were claimed, beyond chance.
func (p CalibrationPoint) Exceeded() bool { return p.Lower() > p.Tail }

// TopNames are the highest-scored names of a benign set, for an eye to judge.
type TopNames struct {
	Set     string    `json:"set"`
	Flagged int       `json:"flagged"` // how many reach the threshold of 0.01 %
	Names   []TopName `json:"names"`
}

// TopName is one of them.
type TopName struct {
	Name   string  `json:"name"`
	Source string  `json:"source"`
	Score  float32 `json:"score"`
	Tail   float32 `json:"tail"`
}
