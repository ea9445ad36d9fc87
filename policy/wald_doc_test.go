package policy

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"referee/classifier"
	"referee/evidence"
)

// What docs/evidence.md says of the default rules and the default model.
func TestSoManyFlaggedNamesPassTheTestAsTheDocumentSays(t *testing.T) {
	m, err := classifier.Default()
	if err != nil {
		t.Fatal(err)
	}
	s := newSequential(ClientRule{Alpha: 1e-6, Beta: 0.05}, m.Info().Figures)
	f := func(tail float32, flagged, others int, want bool) {
		t.Helper()
		var items []evidence.Item
		for range flagged {
			items = append(items, evidence.Item{Tail: tail})
		}
		for range others {
			items = append(items, evidence.Item{Tail: 1})
		}
		if sum, passes := s.test(items, func(i *evidence.Item) (float32, bool) { return i.Tail, true }); passes != want {
			t.Errorf("%d names with a tail of %g beside %d others: %.2f of %.2f", flagged, tail, others, sum, s.enough)
		}
	}
	for _, names := range []struct{ flagged, others int }{{4, 0}, {5, 2}, {6, 4}} {
		f(1e-5, names.flagged, names.others, true)
		f(1e-5, names.flagged-1, names.others, false)
		f(1e-4, names.flagged+1, names.others, true)
		f(1e-4, names.flagged, names.others, false)
	}
}

func TestThePolicyForAnotherModelTestsByThatModelsFigures(t *testing.T) {
	m, err := classifier.Default()
	if err != nil {
		t.Fatal(err)
	}
	cfg := defaults()
	cfg.Client.Alpha, cfg.Client.Beta = 1e-6, 0.05
	want := newPolicy(t, cfg)
	before := *want
	before.wald = newSequential(cfg.Client, nil) // the model before had no figures
	got, err := before.For(m)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.wald, got.wald, cmp.AllowUnexported(sequential{})); diff != "" || got.ID() != want.ID() {
		t.Errorf("policy %s, not %s: %s", got.ID(), want.ID(), diff)
	}
}
