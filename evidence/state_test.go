package evidence

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"referee/classifier"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func testConfig() Config {
	return Config{Window: 24 * time.Hour, MaxNames: 20_000, MaxClients: 100_000, MaxCohorts: 5000, Interest: 0.01, Queue: 1024}
}

// smallConfig is full soon.
func smallConfig() Config {
	c := testConfig()
	c.MaxNames, c.MaxClients, c.MaxCohorts = 64, 64, 64
	return c
}

// sighting is one request at noon and a bit.
func sighting(domain string, tail float32, client string, after time.Duration) Sighting {
	s := Sighting{Result: classifier.Result{Domain: domain, Score: 5, Tail: tail}, Time: noon.Add(after).UnixNano()}
	if client != "" {
		s.Client = netip.MustParseAddr(client)
	}
	return s
}

// numbered is the i-th client address: each in a /24 of its own.
func numbered(i int) string { return netip.AddrFrom4([4]byte{81, byte(i >> 8), byte(i), 7}).String() }

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
	n := s.Name("kq3v9z.com")
	if n.First != noon.UnixNano() || n.Last != noon.Add(time.Hour).UnixNano() {
		t.Errorf("seen from %s to %s", time.Unix(0, n.First), time.Unix(0, n.Last))
	}
}

func TestAClientRemembersItsDistinctExternalNames(t *testing.T) {
	s := New(testConfig(), Key{1})
	f := func(si Sighting, want int, wantTail float32, wantDomain string) {
		t.Helper()
		s.Add(si)
		c := s.Client(si.Client)
		found := false
		for _, it := range c.Names.Items() {
			found = found || it.Tail == wantTail && it.Domain() == wantDomain
		}
		if c.Names.Distinct() != want || !found {
			t.Errorf("%s: %d distinct names %+v, want %d, among them %q of %v", si.Result.Domain, c.Names.Distinct(),
				c.Names.Items(), want, wantDomain, wantTail)
		}
	}
	const client = "198.51.100.1"
	f(sighting("example.com", 0.3, client, 0), 1, 0.3, "")
	f(sighting("example.com", 0.3, client, 0), 1, 0.3, "")
	f(sighting("kq3v9z.com", 1e-5, client, 0), 2, 1e-5, "kq3v9z.com")
	exempt := sighting("townofsenecawoodcowi.gov", 1e-5, client, 0)
	exempt.Exempt = true
	f(exempt, 3, 1, "")
	short := sighting("qx.com", 1e-5, client, 0)
	short.Result.Abstain = true
	f(short, 4, 1, "")
	f(sighting("kq3v9z.com", 0.5, client, time.Minute), 4, 0.5, "") // a new model thinks better of it
}

func TestOneSubscriberIsOneClient(t *testing.T) {
	s := New(testConfig(), Key{1})
	f := func(a, b string, same bool) {
		t.Helper()
		before := s.Sizes().Clients
		s.Add(sighting("example.com", 0.3, a, 0))
		s.Add(sighting("example.com", 0.3, b, 0))
		if got := s.Sizes().Clients-before == 1; got != same {
			t.Errorf("%s and %s are one client: %v", a, b, got)
		}
	}
	f("198.51.100.1", "198.51.100.2", false)
	f("192.0.2.1", "::ffff:192.0.2.1", true)
	f("2001:db8::1", "2001:db8::ffff:1", true)
	f("2001:db8:0:1::1", "2001:db8:0:2::1", false)
	f("fe80::1%eth0", "fe80::1%eth1", true)
}

func TestOrdinaryNamesAreNotRemembered(t *testing.T) {
	s := New(testConfig(), Key{1})
	for i := range 1000 {
		s.Add(sighting(fmt.Sprintf("shop-%d.com", i), 0.02, numbered(i), 0))
	}
	if got := s.Sizes().Names; got != 0 {
		t.Errorf("%d names", got)
	}
}

func TestNonsenseIsAnOrdinaryName(t *testing.T) {
	nan := float32(0)
	nan /= nan
	for what, r := range map[string]classifier.Result{
		"a tail of zero":      {Domain: "kq3v9z.com", Tail: 0},
		"a tail of -1":        {Domain: "kq3v9z.com", Tail: -1},
		"a tail that is NaN":  {Domain: "kq3v9z.com", Tail: nan},
		"a score that is NaN": {Domain: "kq3v9z.com", Tail: 1e-5, Score: nan},
		"a hostile domain":    {Domain: "<script>.com", Tail: 1e-5},
		"a domain too long":   {Domain: strings.Repeat("a", 254), Tail: 1e-5},
		"no domain":           {Tail: 1e-5},
	} {
		s := New(testConfig(), Key{1})
		s.Add(Sighting{Result: r, Client: netip.MustParseAddr("198.51.100.1"), Time: -1})
		s.Add(Sighting{Result: r, Client: netip.MustParseAddr("198.51.100.1"), Time: 1<<63 - 1})
		if z := s.Sizes(); z.Names != 0 || z.Suspects != 0 || z.Clients != 1 {
			t.Errorf("%s: %+v", what, z)
		}
		for _, r := range s.Changes() {
			if err := New(testConfig(), Key{1}).Restore(r); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
}

func TestWhatWasNotSeenForAWindowIsForgotten(t *testing.T) {
	s := New(testConfig(), Key{1})
	f := func(after time.Duration, wantNames, wantClients, wantNetworks int) {
		t.Helper()
		s.Expire(noon.Add(after))
		networks := 0
		for n := range s.Names() {
			networks += n.Networks.Distinct()
		}
		if z := s.Sizes(); z.Names != wantNames || z.Clients != wantClients || networks != wantNetworks {
			t.Errorf("after %s: %d names from %d networks, %d clients, want %d, %d, %d", after, z.Names, networks, z.Clients,
				wantNames, wantNetworks, wantClients)
		}
	}
	s.Add(sighting("kq3v9z.com", 1e-5, "198.51.100.1", 0))
	s.Add(sighting("kq3v9z.com", 1e-5, "203.0.113.1", 20*time.Hour))
	f(24*time.Hour, 1, 2, 2)
	f(24*time.Hour+time.Second, 1, 1, 1) // one network is too old to be a witness
	f(44*time.Hour, 1, 1, 1)
	f(44*time.Hour+time.Second, 0, 0, 0)
}

func TestExpiryIsSpreadOverCalls(t *testing.T) {
	s := New(testConfig(), Key{1})
	const clients = expirePerCall + 100
	for i := range clients {
		s.Add(sighting("example.com", 0.5, numbered(i), 0))
	}
	s.Expire(noon.Add(48 * time.Hour))
	if got := s.Sizes().Clients; got != 100 {
		t.Errorf("%d clients are left after one call", got)
	}
	s.Expire(noon.Add(48 * time.Hour))
	if got := s.Sizes().Clients; got != 0 {
		t.Errorf("%d clients are left after two", got)
	}
}

func TestAFloodOfUniqueNamesCannotPushOutWitnessedOnes(t *testing.T) {
	s := New(smallConfig(), Key{1})
	for n := range 16 {
		for network := range 8 {
			s.Add(sighting(fmt.Sprintf("attack%d.com", n), 1e-5, numbered(network), 0))
		}
	}
	for i := range 10_000 {
		s.Add(sighting(fmt.Sprintf("flood%d.com", i), 1e-6, numbered(99), time.Minute))
	}
	for n := range 16 {
		if s.Name(fmt.Sprintf("attack%d.com", n)) == nil {
			t.Errorf("name %d was pushed out", n)
		}
	}
	if z := s.Sizes(); z.Names != 64 || z.EvictedNames == 0 {
		t.Errorf("%+v", z)
	}
}

func TestAFloodOfClientsCannotPushOutSuspectsOrBusyOnes(t *testing.T) {
	s := New(smallConfig(), Key{1})
	for n := range 5 {
		s.Add(sighting(fmt.Sprintf("news%d.com", n), 0.5, "198.51.100.1", 0)) // an office behind one address
		s.Add(sighting(fmt.Sprintf("kq%dv9z.com", n), 1e-5, "203.0.113.1", 0))
	}
	s.Add(sighting("odd.com", 1e-3, "203.0.113.2", 0))
	for i := range 10_000 {
		s.Add(sighting("example.com", 0.5, numbered(i), time.Minute))
	}
	f := func(client string, want int) {
		t.Helper()
		c := s.Client(netip.MustParseAddr(client))
		if c == nil {
			t.Errorf("%s was pushed out", client)
		} else if got := c.Names.Distinct(); got != want {
			t.Errorf("%s has %d names, want %d", client, got, want)
		}
	}
	f("198.51.100.1", 5)
	f("203.0.113.1", 5)
	f("203.0.113.2", 1)
}

func TestAFloodOfSuspectsLeavesRoomForNewClients(t *testing.T) {
	s := New(smallConfig(), Key{1})
	for i := range 1000 {
		for n := range 3 {
			s.Add(sighting(fmt.Sprintf("kq%dv9z.com", n), 1e-5, numbered(i), 0))
		}
	}
	s.Add(sighting("example.com", 0.5, "198.51.100.1", time.Minute))
	s.Add(sighting("example.org", 0.5, "198.51.100.1", time.Minute))
	if c := s.Client(netip.MustParseAddr("198.51.100.1")); c == nil || c.Names.Distinct() != 2 {
		t.Error("a new client found no room")
	}
	if got := s.Sizes().Clients; got > 64 {
		t.Errorf("%d clients", got)
	}
}

func TestTheStateStaysWithinItsBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := New(smallConfig(), Key{1})
		for i, n := range rapid.SliceOfN(rapid.IntRange(0, 1<<20), 0, 600).Draw(t, "sightings") {
			after := time.Duration(i) * time.Minute
			s.Add(sighting(fmt.Sprintf("name%d.com", n%300), []float32{1e-5, 0.5}[n%2], numbered(n>>5%200), after))
			if n%17 == 0 {
				s.Expire(noon.Add(after))
			}
			if z := s.Sizes(); z.Names > 64 || z.Clients > 64 || z.ChangedNames > 64 || z.ChangedClients > 64 {
				t.Fatalf("%+v", z)
			}
		}
	})
}

func TestAConfigurationIsRefusedWithAWayOut(t *testing.T) {
	f := func(change func(*Config), want string) {
		t.Helper()
		c := testConfig()
		change(&c)
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), "default") {
			t.Errorf("error %v, want one about %s", err, want)
		}
	}
	if err := testConfig().Validate(); err != nil {
		t.Error(err)
	}
	f(func(c *Config) { c.Window = time.Second }, "evidence.window: 1s")
	f(func(c *Config) { c.Window = 100 * 24 * time.Hour }, "evidence.window: 2400h")
	f(func(c *Config) { c.MaxNames = 1 }, "evidence.max-names: 1")
	f(func(c *Config) { c.MaxClients = 1 << 30 }, "evidence.max-clients: 1073741824")
	f(func(c *Config) { c.Interest = 0 }, "evidence.interest: 0")
	f(func(c *Config) { c.Queue = 0 }, "evidence.queue: 0")
}

func TestAKeyIsThatOfThePrefix(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bytes := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "address")
		if rapid.Bool().Draw(t, "mapped") {
			copy(bytes, "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff")
		}
		a := netip.AddrFrom16([16]byte(bytes))
		if rapid.Bool().Draw(t, "IPv4") {
			a = netip.AddrFrom4([4]byte(bytes[:4]))
		}
		client, network := ClientPrefix(a), NetworkPrefix(a)
		if !a.Is4() && bytes[0] == 0xff {
			return // a group: see key4
		}
		key := clientOf(a)
		if key != keyOf(client) || key.prefix() != client || key.network() != keyOf(network) {
			t.Errorf("%s: %#x for %s, %#x for %s", a, key, client, key.network(), network)
		}
	})
}
