package policy

import (
	"testing"
	"time"

	"referee/classifier"
)

func TestAPolicyUnderOtherRulesIsThePolicyThatTheyMake(t *testing.T) {
	m, err := classifier.Default()
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Confidence: classifier.Balanced,
		NeverBlock: NeverBlock{Hosts: []string{"shop.example.com"}},
		Name:       NameRule{MinNetworks: 2, MinSightings: 3, TTL: time.Hour},
		Client:     ClientRule{MinFlagged: 3, MinShare: 0.5, Alpha: 1e-6, Beta: 0.05, TTL: time.Hour},
	}
	p, err := New(cfg, m)
	if err != nil {
		t.Fatal(err)
	}
	same, err := p.Under(p.Rules(), m)
	if err != nil || same.ID() != p.ID() {
		t.Errorf("under its own rules it is %v, %v; want %s", same, err, p.ID())
	}
	other := p.Rules()
	other.Confidence, other.Client.MinFlagged = classifier.Sensitive, 2
	cfg.Confidence, cfg.Client.MinFlagged = classifier.Sensitive, 2
	want, err := New(cfg, m)
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.Under(other, m)
	if err != nil || got.ID() != want.ID() || got.Threshold() != want.Threshold() {
		t.Errorf("under other rules it is %s, %v; made with them it is %s", got.ID(), err, want.ID())
	}
	other.Client.MinFlagged = 1
	if _, err := p.Under(other, m); err == nil {
		t.Error("rules that block for one name are taken")
	}
	other = p.Rules()
	other.Confidence = 1e-9
	if _, err := p.Under(other, m); err == nil {
		t.Error("a confidence that no model supports is taken")
	}
}
