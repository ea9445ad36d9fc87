package classifier_test

import (
	"testing"

	"referee/classifier"
	"referee/features"
)

func name(domain, label string) features.Name {
	return features.Name{Host: domain, Domain: domain, Label: label}
}

func TestTheDefaultModelTellsGeneratedNamesFromHumanOnes(t *testing.T) {
	m, err := classifier.Default()
	if err != nil {
		t.Fatal(err)
	}
	balanced, err := m.Threshold(classifier.Balanced)
	if err != nil {
		t.Fatal(err)
	}
	flagged := func(label string, want bool) {
		t.Helper()
		if got := m.Score(name(label+".com", label)) >= balanced; got != want {
			t.Errorf("%s flagged: %t, want %t\n%s", label, got, want, m.Explain(name(label+".com", label)))
		}
	}
	flagged("wikipedia", false)
	flagged("stackoverflow", false)
	flagged("theguardian", false)
	flagged("deutschebahn", false)
	flagged("cutxwjrtzwvqgp", true)
	flagged("8a1f0c6b7d2e4935", true)
	flagged("kq3v9zx7w1jt", true)
}
