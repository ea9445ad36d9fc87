package evidence

import (
	"net/netip"
	"testing"
	"time"

	"referee/classifier"
)

func TestAnotherModelsResultsTakeThePlaceOfTheOldOnes(t *testing.T) {
	s := New(Config{Window: time.Hour, MaxNames: 100, MaxClients: 100, Interest: 0.01, Queue: 64}, Key{1})
	client := netip.MustParseAddr("8.8.8.8")
	see := func(si Sighting) {
		si.Client, si.Time = client, time.Unix(1000, 0).UnixNano()
		s.Add(si)
	}
	see(Sighting{Result: classifier.Result{Domain: "flagged.com", Score: 9, Tail: 1e-5}})
	see(Sighting{Result: classifier.Result{Domain: "steady.com", Score: 8, Tail: 1e-4}})
	see(Sighting{Result: classifier.Result{Domain: "ordinary.com", Score: -3, Tail: 0.7}})
	see(Sighting{Result: classifier.Result{Domain: "labelled.com", Score: 1, Tail: 0.2}, Labelled: true})
	see(Sighting{Result: classifier.Result{Domain: "exempt.com", Score: 9, Tail: 1e-5}, Exempt: true})
	s.Changes()

	asked := map[string]int{}
	other := map[string]classifier.Result{
		"flagged.com":  {Domain: "flagged.com", Score: 1, Tail: 0.3},
		"steady.com":   {Domain: "steady.com", Score: 8, Tail: 1e-4},
		"labelled.com": {Domain: "labelled.com", Score: 9, Tail: 1, Abstain: true},
	}
	s.Rescore(func(domain string) classifier.Result {
		asked[domain]++
		return other[domain]
	})
	for domain, n := range asked {
		if _, known := other[domain]; !known || n != 1 {
			t.Errorf("%s was asked for %d times", domain, n)
		}
	}
	f := func(domain string, score, tail float32) {
		t.Helper()
		n := s.Name(domain)
		if n == nil || n.Score != score || n.Tail != tail {
			t.Errorf("%s: %+v, want score %v, tail %v", domain, n, score, tail)
		}
		for _, it := range s.Client(client).Names.Items() {
			if it.Domain() == domain && (it.Score != score || it.Tail != tail) {
				t.Errorf("%s of the client: %+v, want score %v, tail %v", domain, it, score, tail)
			}
		}
	}
	f("flagged.com", 1, 0.3)
	f("steady.com", 8, 1e-4)
	f("labelled.com", 0, 1)
	if rows := s.Changes(); len(rows) != 3 { // two names and the client: what did not change is not written again
		t.Errorf("%d rows changed, want 3", len(rows))
	}
	for _, row := range []string{"ordinary.com", "exempt.com"} {
		if s.Name(row) != nil {
			t.Errorf("%s is remembered", row)
		}
	}
}
