package scan

import (
	"sync"
	"testing"
	"time"

	"referee/classifier"
	"referee/evidence"
	"referee/intake"
	"referee/policy"
)

var defaultModel = sync.OnceValues(classifier.Default)

// options are the defaults of the command.
func options(t testing.TB) Options {
	t.Helper()
	model, err := defaultModel()
	if err != nil {
		t.Fatal(err)
	}
	rules, err := policy.New(policy.Config{
		Confidence: classifier.Balanced,
		NeverBlock: policy.NeverBlock{Popular: true, ClosedRegistries: true},
		Name:       policy.NameRule{MinNetworks: 2, MinSightings: 3, TTL: 168 * time.Hour},
		Client:     policy.ClientRule{MinFlagged: 3, MinShare: 0.5, TTL: 24 * time.Hour},
	}, model)
	if err != nil {
		t.Fatal(err)
	}
	proxies, err := intake.ParseProxies([]string{"127.0.0.0/8", "10.0.0.0/8"})
	if err != nil {
		t.Fatal(err)
	}
	return Options{
		Model: model, Policy: rules, Proxies: proxies, Cache: 65536, Report: true,
		Evidence: evidence.Config{Window: 24 * time.Hour, MaxNames: 20_000, MaxClients: 100_000, Interest: 0.01},
		Now:      func() time.Time { return time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC) },
	}
}
