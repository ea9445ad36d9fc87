package policy

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"referee/classifier"
	"referee/evidence"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func defaults() Config {
	return Config{
		Confidence: classifier.Balanced,
		NeverBlock: NeverBlock{Popular: true, ClosedRegistries: true},
		Name:       NameRule{MinNetworks: 2, MinSightings: 3, TTL: 168 * time.Hour},
		Client:     ClientRule{MinFlagged: 3, MinShare: 0.5, TTL: 24 * time.Hour},
	}
}

func newPolicy(t testing.TB, cfg Config) *Policy {
	t.Helper()
	m, err := classifier.Default()
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(cfg, m)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func newState() *evidence.State {
	return evidence.New(evidence.Config{Window: 24 * time.Hour, MaxNames: 20_000, MaxClients: 100_000, Interest: 0.01, Queue: 64},
		evidence.Key{7})
}

// see adds one request after noon.
func see(st *evidence.State, domain string, tail float32, client string, after time.Duration) {
	st.Add(evidence.Sighting{
		Result: classifier.Result{Domain: domain, Score: 9.31, Tail: tail},
		Client: netip.MustParseAddr(client),
		Time:   noon.Add(after).UnixNano(),
	})
}

func TestANameFromTwoNetworksIsAHit(t *testing.T) {
	p, st := newPolicy(t, defaults()), newState()
	see(st, "kq3v9z7xw.com", 4.7e-5, "81.2.69.1", 0)
	see(st, "kq3v9z7xw.com", 4.7e-5, "81.2.69.2", time.Hour)
	see(st, "kq3v9z7xw.com", 4.7e-5, "81.2.70.1", 3*time.Hour)
	hits, decisions := p.Decide(nil, st, noon.Add(3*time.Hour))
	if hits.Len() != 1 || len(decisions) != 1 {
		t.Fatalf("%d hits, %d decisions", hits.Len(), len(decisions))
	}
	h, _ := hits.Name("kq3v9z7xw.com")
	want := []string{"score 9.31, at most 1 in 21,000 benign names scores so high", "seen 3 times from 2 networks in 3 h"}
	if fmt.Sprint(h.Reasons) != fmt.Sprint(want) {
		t.Errorf("reasons %q", h.Reasons)
	}
}

func TestAClientOfFlaggedNamesIsAHit(t *testing.T) {
	p, st := newPolicy(t, defaults()), newState()
	for i := range 5 {
		see(st, fmt.Sprintf("kq3v9z7xw%d.com", i), 4.7e-5, "81.2.69.1", time.Duration(i)*time.Minute)
	}
	see(st, "example.org", 0.5, "81.2.69.1", 0)
	hits, _ := p.Decide(nil, st, noon.Add(time.Hour))
	h, ok := hits.Client(netip.MustParseAddr("81.2.69.1"))
	if !ok || h.Reasons[0] != "5 of its 6 distinct external names are flagged" {
		t.Errorf("%+v", h)
	}
	if again, decisions := p.Decide(hits, st, noon.Add(time.Hour)); again != hits || len(decisions) > 0 {
		t.Errorf("deciding again changed %v", decisions)
	}
}
