package policy

import (
	"fmt"

	"referee/classifier"
)

// Rules are the part of a Config that says how sure to be and how much evidence is enough.
type Rules struct {
	Confidence classifier.Confidence
	Name       NameRule
	Client     ClientRule
	Cohort     CohortRule
}

// Rules returns the rules that the policy decides by.
func (p *Policy) Rules() Rules {
	return Rules{p.cfg.Confidence, p.cfg.Name, p.cfg.Client, p.cfg.Cohort}
}

// Under returns the same policy, its lists and labels with it, under other rules: to ask what they would do. It refuses rules
// that New refuses for this model, which must be the policy's.
func (p *Policy) Under(r Rules, m *classifier.Model) (*Policy, error) {
	next := *p
	next.cfg.Confidence, next.cfg.Name, next.cfg.Client, next.cfg.Cohort = r.Confidence, r.Name, r.Client, r.Cohort
	if err := next.cfg.Validate(); err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	if _, err := m.Threshold(r.Confidence); err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	next.threshold = float32(r.Confidence)
	next.wald = newSequential(r.Client, m.Info().Figures)
	next.id = next.hash()
	return &next, nil
}
