// Package classifier loads the trained model and says how likely a name was generated.
package classifier

// Result is what the model says of one name. Its strings are its own: a Result may be kept.
type Result struct {
	Domain  string  // the registrable name, as features.Name.Domain
	Score   float32 // log-odds that an algorithm made it; higher is more so
	Tail    float32 // benign tail: the share of clean benign names that score at least as high, (k+1)/(n+1), in (0, 1]
	Abstain bool    // the name is of a kind the model cannot tell: too short, or internationalised
}
