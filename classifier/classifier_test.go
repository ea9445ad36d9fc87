package classifier_test

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"referee/classifier"
	"referee/features"
)

func name(domain, label string) features.Name {
	return features.Name{Host: domain, Domain: domain, Label: label}
}

func TestTheDefaultModelTellsGeneratedNamesFromHumanOnes(t *testing.T) {
	m := load(t)
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
	flagged("przegladsportowy", false)
	flagged("cutxwjrtzwvqgp", true)
	flagged("8a1f0c6b7d2e4935", true)
	flagged("kq3v9zx7w1jt", true)
}

func TestTheDefaultModelSupportsEveryPreset(t *testing.T) {
	m := load(t)
	before := float32(math.Inf(-1))
	for _, c := range []classifier.Confidence{classifier.Sensitive, classifier.Balanced, classifier.Strict} {
		threshold, err := m.Threshold(c)
		if err != nil {
			t.Errorf("%s: %v", c, err)
		}
		if threshold <= before || m.Tail(threshold) > float32(c) {
			t.Errorf("%s asks for a score of %v with the tail %v, after %v", c, threshold, m.Tail(threshold), before)
		}
		before = threshold
	}
	if _, err := m.Threshold(1e-7); err == nil {
		t.Error("a tail of 1e-7 was accepted")
	}
}

func TestShortAndInternationalisedLabelsAbstain(t *testing.T) {
	m := load(t)
	f := func(label string, want bool) {
		t.Helper()
		r := m.Judge(name(label+".com", label))
		if r.Abstain != want {
			t.Errorf("%s abstains: %t, want %t", label, r.Abstain, want)
		}
		if !(r.Tail > 0 && r.Tail <= 1) {
			t.Errorf("%s has the tail %v: a score is for every name", label, r.Tail)
		}
	}
	f("kq3v9z", true)
	f("kq3v9zx", false)
	f("xn--mgbh0fb", true)
	f("xnmgbh0fbxx", false)
	f("", true)
}

func TestAScoreReadsTheLabelAlone(t *testing.T) {
	m := load(t)
	if a, b := m.Score(name("kq3v9zx.com", "kq3v9zx")), m.Score(name("kq3v9zx.co.uk", "kq3v9zx")); a != b {
		t.Errorf("%v under com, %v under co.uk", a, b)
	}
}

func TestAnExplanationAddsUpToTheScore(t *testing.T) {
	m := load(t)
	rapid.Check(t, func(t *rapid.T) {
		label := rapid.OneOf(rapid.StringMatching(`[a-z0-9-]{1,63}`), rapid.String()).Draw(t, "label")
		e := m.Explain(name(label+".com", label))
		sum := float64(e.Base)
		for i, p := range e.Parts {
			sum += float64(p.Effect)
			if i > 0 && math.Abs(float64(p.Effect)) > math.Abs(float64(e.Parts[i-1].Effect)) {
				t.Fatalf("part %d is stronger than the one before", i)
			}
		}
		if math.Abs(sum-float64(e.Score)) > 1e-3 {
			t.Fatalf("parts add up to %v, the score is %v", sum, e.Score)
		}
	})
}

func TestAnExplanationIsInWords(t *testing.T) {
	m := load(t)
	text := m.Explain(name("xkqz7vwj3p.com", "xkqz7vwj3p")).String()
	for _, want := range []string{"xkqz7vwj3p.com: score +", "benign tail", "contains \"q\"", "weaker parts"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if lines := strings.Count(text, "\n"); lines != 12 {
		t.Errorf("%d lines, want a title, ten parts and the rest\n%s", lines, text)
	}
}
