package evidence

import (
	"net/netip"
	"testing"
	"time"

	"referee/classifier"
)

// blocked is a request of noon and a bit that a rule over Referee's own sets ended.
func blocked(domain string, tail float32, client string, after time.Duration) Sighting {
	s := sighting(domain, tail, client, after)
	s.Blocked = true
	return s
}

func TestABlockedRequestIsNoEvidenceButSaysThatItIsStillThere(t *testing.T) {
	s := New(testConfig(), Key{1})
	s.Add(sighting("kq3v9z.com", 1e-5, "198.51.100.1", 0))
	for i := range 50 {
		s.Add(blocked("kq3v9z.com", 1e-5, numbered(i), time.Hour))
		s.Add(blocked("new7x2k.com", 1e-5, "198.51.100.1", 2*time.Hour))
	}
	n := s.Name("kq3v9z.com")
	if n.Sightings != 1 || n.Networks.Distinct() != 1 || n.Last != noon.UnixNano() {
		t.Errorf("50 blocked requests counted as evidence: %+v", n)
	}
	if want := noon.Add(time.Hour).UnixNano(); n.Blocked != want {
		t.Errorf("last seen blocked at %v, want %v", n.Blocked, want)
	}
	if n := s.Name("new7x2k.com"); n.Sightings != 0 || n.Tail != 1 || n.Blocked == 0 {
		t.Errorf("a name only seen blocked is %+v", n)
	}
	c := s.Client(netip.MustParseAddr("198.51.100.1"))
	if c.Names.Distinct() != 1 || c.Sightings != 1 || c.Blocked != noon.Add(2*time.Hour).UnixNano() {
		t.Errorf("its client is %+v", c)
	}
}

func TestABystandersBlockedRequestSaysNothing(t *testing.T) {
	const nat = "198.51.100.1"
	f := func(si Sighting) {
		t.Helper()
		s := New(testConfig(), Key{1})
		si.Blocked = true
		s.Add(si)
		if sizes := s.Sizes(); sizes.Names+sizes.Clients > 0 {
			t.Errorf("%+v left %+v", si.Result, sizes)
		}
	}
	f(sighting("example.org", 0.3, nat, 0))
	f(sighting("", 1, nat, 0))
	exempt, abstained := sighting("google.com", 1e-5, nat, 0), sighting("ab.com", 1e-5, nat, 0)
	exempt.Exempt, abstained.Result.Abstain = true, true
	f(exempt)
	f(abstained)
	f(sighting("kq3v9z.com\n", 1e-5, nat, 0))
}

func TestASessionSpeaksForItsClientAlone(t *testing.T) {
	s := New(testConfig(), Key{1})
	client := netip.MustParseAddr("198.51.100.1")
	s.Add(Sighting{Result: classifier.Result{Tail: 1}, Client: client, Time: noon.UnixNano(), Session: true})
	c := s.Client(client)
	if c == nil || c.Session != noon.UnixNano() || c.Sightings != 0 || len(c.Names.Items()) != 0 {
		t.Fatalf("a session without an external name left %+v", c)
	}
	with := sighting("kq3v9z.com", 1e-5, "198.51.100.1", time.Hour)
	with.Session = true
	s.Add(with)
	if c = s.Client(client); c.Session != with.Time || c.Names.Distinct() != 1 || c.First != with.Time {
		t.Errorf("a session with a flagged name left %+v", c)
	}
	if n := s.Name("kq3v9z.com"); n == nil || n.Sightings != 1 {
		t.Errorf("the name that came with it is %+v", n)
	}
	s.Add(Sighting{Result: classifier.Result{Tail: 1}, Time: noon.UnixNano(), Session: true}) // nobody's
	if n := s.Sizes().Clients; n != 1 {
		t.Errorf("%d clients", n)
	}
}
