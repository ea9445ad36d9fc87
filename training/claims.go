package training

import (
	"referee/classifier"
	"referee/features"
)

// presets are the confidences that have a name.
var presets = []classifier.Confidence{classifier.Sensitive, classifier.Balanced, classifier.Strict}

// EvaluateModel is Evaluate for a model, with what it claims beside what is measured.
func EvaluateModel(m *classifier.Model, sets []Set, kinds Kinds) (*Evaluation, error) {
	info := m.Info()
	score := func(label string) float32 { return m.Score(features.Name{Label: label}) }
	e, err := Evaluate(score, sets, kinds, Known(info))
	if err != nil {
		return nil, err
	}
	e.Model = m.ID()
	for _, c := range presets {
		threshold, err := m.Threshold(c)
		if err != nil {
			continue // the calibration does not support it; its n is in Info
		}
		flagged := func(label string) bool { return !info.Abstains(label) && score(label) >= threshold }
		row := ClaimRow{Confidence: c, Threshold: threshold}
		families := map[string]*Rate{}
		for _, set := range sets {
			for _, n := range set.Names {
				switch {
				case set.Role == Generated && families[n.Group] == nil:
					families[n.Group] = &Rate{}
					fallthrough
				case set.Role == Generated:
					families[n.Group].add(flagged(n.Label))
				case set.Role == Clean && !info.Abstains(n.Label):
					row.Clean.add(flagged(n.Label))
				}
			}
		}
		row.Groups = groupClaims(families, e.Families)
		e.Claims = append(e.Claims, row)
	}
	return e, nil
}

func groupClaims(families map[string]*Rate, rows []FamilyRow) []GroupClaim {
	var claims []GroupClaim
	for _, name := range groupNames {
		var rates []Rate
		for _, row := range rows {
			if row.Group == name {
				rates = append(rates, *families[row.Family])
			}
		}
		if len(rates) > 0 {
			claims = append(claims, GroupClaim{name, macro(rates)})
		}
	}
	return claims
}
