package evidence

import (
	"net/netip"
	"testing"
	"time"

	"referee/classifier"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func testConfig() Config {
	return Config{Window: 24 * time.Hour, MaxNames: 20_000, MaxClients: 100_000, Interest: 0.01, Queue: 1024}
}

// sighting is one request at noon and a bit.
func sighting(domain string, tail float32, client string, after time.Duration) Sighting {
	s := Sighting{Result: classifier.Result{Domain: domain, Score: 5, Tail: tail}, Time: noon.Add(after).UnixNano()}
	if client != "" {
		s.Client = netip.MustParseAddr(client)
	}
	return s
}

func TestANameRemembersItsNetworksAndSightings(t *testing.T) {
	s := New(testConfig(), Key{1})
	f := func(client string, after time.Duration, wantSightings uint64, wantNetworks int) {
		t.Helper()
		s.Add(sighting("kq3v9z.com", 1e-5, client, after))
		n := s.Name("kq3v9z.com")
		if n.Sightings != wantSightings || n.Networks.Distinct() != wantNetworks {
			t.Errorf("after %s: %d sightings from %d networks, want %d from %d", client, n.Sightings, n.Networks.Distinct(),
				wantSightings, wantNetworks)
		}
	}
	f("198.51.100.1", 0, 1, 1)
	f("198.51.100.1", time.Second, 2, 1)
	f("198.51.100.77", time.Minute, 3, 1) // the same /24
	f("203.0.113.9", time.Hour, 4, 2)
	f("2001:db8:1:2::3", time.Hour, 5, 3)
	f("2001:db8:1:99::3", time.Hour, 6, 3) // the same /48
	f("", time.Hour, 7, 3)                 // no address that can be trusted
	f("::ffff:203.0.113.9", time.Hour, 8, 3)
}

func TestAClientRemembersItsDistinctExternalNames(t *testing.T) {
	s := New(testConfig(), Key{1})
	f := func(domain string, tail float32, want int, wantDomain string) {
		t.Helper()
		s.Add(sighting(domain, tail, "198.51.100.1", 0))
		c := s.Client(netip.MustParseAddr("198.51.100.1"))
		got := ""
		for _, it := range c.Names.Items() {
			if it.Tail == tail {
				got = it.Domain()
			}
		}
		if c.Names.Distinct() != want || got != wantDomain {
			t.Errorf("%s: %d distinct, kept as %q, want %d, %q", domain, c.Names.Distinct(), got, want, wantDomain)
		}
	}
	f("example.com", 0.3, 1, "")
	f("example.com", 0.3, 1, "")
	f("kq3v9z.com", 1e-5, 2, "kq3v9z.com")
	f("news.example", 0.5, 3, "")
}

func TestRowsBringTheStateBack(t *testing.T) {
	s := New(testConfig(), Key{1})
	s.Add(sighting("kq3v9z.com", 1e-5, "198.51.100.1", 0))
	s.Add(sighting("example.com", 0.5, "198.51.100.1", time.Hour))
	rows := s.Changes()
	if len(rows) != 2 {
		t.Fatalf("%d rows, want a name and a client", len(rows))
	}
	back := New(testConfig(), Key{1})
	for _, r := range rows {
		if err := back.Restore(r); err != nil {
			t.Fatal(err)
		}
	}
	if n := back.Name("kq3v9z.com"); n == nil || n.Networks.Distinct() != 1 {
		t.Errorf("the name came back as %+v", n)
	}
	if c := back.Client(netip.MustParseAddr("198.51.100.1")); c == nil || c.Names.Distinct() != 2 {
		t.Errorf("the client came back as %+v", c)
	}
	if rows := back.Changes(); len(rows) != 0 {
		t.Errorf("restoring made %d changes", len(rows))
	}
}

func TestAQueueHandsOverWhatFits(t *testing.T) {
	q := NewQueue(4)
	in := sighting("kq3v9z.com", 1e-5, "198.51.100.1", 0)
	taken := 0
	for range 100 {
		if q.Offer(in) {
			taken++
		}
	}
	if got := q.Drain(nil); len(got) != taken || taken < 4 || taken > 16 {
		t.Errorf("%d taken, %d drained", taken, len(got))
	}
	if !q.Offer(in) {
		t.Error("a drained queue is full")
	}
}
