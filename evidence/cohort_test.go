package evidence

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// from is a sighting with an agent and a path.
func from(client, domain string, tail float32, agent, path uint32) Sighting {
	s := sighting(domain, tail, client, 0)
	s.Agent, s.Path = agent, path
	return s
}

func cohorts(s *State) map[string]string {
	all := map[string]string{}
	for c := range s.Cohorts() {
		all[cohortKeyOf(c).String()] = fmt.Sprintf("%d requests, %d names, %d clients", c.Sightings, c.Names.Distinct(), c.Clients.Distinct())
	}
	return all
}

func TestOneRequestPerClientIsEvidenceAgainstTheirCohort(t *testing.T) {
	s := New(testConfig(), Key{1})
	for i := range 20 {
		s.Add(from(fmt.Sprintf("198.51.100.%d", i+1), fmt.Sprintf("kq%dv9z.com", i), 1e-5, 0xa, 0xb))
	}
	for i := range 5 {
		s.Add(from(numbered(i), "example.com", 0.3, 0xa, 0xb))
	}
	f := func(key, want string) {
		t.Helper()
		if got := cohorts(s)[key]; got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
	f("198.51.100.0/24 0000000a 0000000b", "20 requests, 20 names, 20 clients")
	f("* 0000000a 0000000b", "25 requests, 21 names, 25 clients")
	if n := len(cohorts(s)); n != 2 {
		t.Errorf("%d cohorts", n)
	}
}

func TestACohortBeginsWithAnInterestingName(t *testing.T) {
	s := New(testConfig(), Key{1})
	s.Add(from("198.51.100.1", "example.com", 0.3, 1, 1))
	s.Add(from("198.51.100.2", "kq3v9z.com", 1e-5, 0, 0)) // neither agent nor path is known
	s.Add(from("", "kq3v9z.com", 1e-5, 1, 1))             // nor who it was
	if all := cohorts(s); len(all) != 0 {
		t.Errorf("got %v", all)
	}
}

func TestAFloodOfCohortsCannotPushOutThoseWithEvidence(t *testing.T) {
	s := New(smallConfig(), Key{1})
	for i := range 10 {
		s.Add(from(numbered(i), fmt.Sprintf("kq%dv9z.com", i), 1e-5, 0xa, 0xb))
	}
	for i := range uint32(1000) {
		s.Add(from(numbered(int(i)), "xw7pq2.com", 1e-5, i+0x100, i))
	}
	if got := cohorts(s)["* 0000000a 0000000b"]; got != "10 requests, 10 names, 10 clients" {
		t.Errorf("got %q", got)
	}
	if n := s.Sizes().Cohorts; n > 64 {
		t.Errorf("%d cohorts", n)
	}
}

func TestACohortIsForgottenAfterAWindow(t *testing.T) {
	s := New(testConfig(), Key{1})
	s.Add(from("198.51.100.1", "kq3v9z.com", 1e-5, 1, 1))
	s.Expire(noon.Add(25 * time.Hour))
	if all := cohorts(s); len(all) != 0 {
		t.Errorf("got %v", all)
	}
}

func TestANameKnowsWhoWasSeenInEachNetworkAndHow(t *testing.T) {
	s := New(testConfig(), Key{1})
	for i := range 12 {
		si := from(numbered(i), "kq3v9z.com", 1e-5, uint32(i%3+1), 7)
		si.Time += int64(i) * int64(time.Hour)
		s.Add(si)
	}
	n := s.Name("kq3v9z.com")
	for _, it := range n.Networks.Items() {
		if !it.Client().IsValid() || s.Client(it.Client().Addr()) == nil {
			t.Errorf("%v is no client", it.Client())
		}
	}
	if n.Agents.Distinct() != 3 || n.Paths.Distinct() != 1 || n.Hours.Active() != 12 {
		t.Errorf("%d agents, %d paths, %d hours", n.Agents.Distinct(), n.Paths.Distinct(), n.Hours.Active())
	}
}

func TestAClientKnowsTheShapeOfItsLastInterestingRequest(t *testing.T) {
	s := New(testConfig(), Key{1})
	s.Add(from("198.51.100.1", "kq3v9z.com", 1e-5, 1, 2))
	s.Add(from("198.51.100.1", "example.com", 0.3, 3, 4))
	if c := s.Client(netip.MustParseAddr("198.51.100.1")); c.Agent != 1 || c.Path != 2 {
		t.Errorf("got %d, %d", c.Agent, c.Path)
	}
}

func TestRowsOfTheFirstFormatAreRead(t *testing.T) {
	// A name and a client as version 1 wrote them: without shapes, hours and witnesses.
	name := encodeHead(noon.UnixNano(), noon.UnixNano(), 1, 0)
	name = appendFloat(appendFloat(name, 5), 1e-5)
	name = append(name, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 0, 1)
	client := encodeHead(noon.UnixNano(), noon.UnixNano(), 1, 0)
	client = append(client, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	name[0], client[0] = 1, 1
	s := New(testConfig(), Key{1})
	for _, r := range []Row{{Kind: KindName, Key: "kq3v9z.com", Data: name}, {Kind: KindClient, Key: "198.51.100.1/32", Data: client}} {
		if err := s.Restore(r); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.Name("kq3v9z.com"); n.Networks.Distinct() != 1 || n.Networks.Items()[0].Client().IsValid() {
		t.Errorf("got %+v", n)
	}
}
