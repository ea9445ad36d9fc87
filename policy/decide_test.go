package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"referee/classifier"
	"referee/evidence"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
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
	return evidence.New(evidence.Config{Window: 24 * time.Hour, MaxNames: 20_000, MaxClients: 100_000, MaxCohorts: 5000, Interest: 0.01, Queue: 64},
		evidence.Key{7})
}

// see adds one request after noon.
func see(st *evidence.State, domain string, tail float32, client string, after time.Duration) {
	s := evidence.Sighting{Result: classifier.Result{Domain: domain, Score: 9.31, Tail: tail}, Time: noon.Add(after).UnixNano()}
	if client != "" {
		s.Client = netip.MustParseAddr(client)
	}
	st.Add(s)
}

const (
	flagged  = 4.7e-5 // a tail below balanced
	ordinary = 0.3
	bot      = "81.2.69.1"
)

// attackName is a name with enough evidence, last seen then.
func attackName(st *evidence.State, domain string, last time.Duration) {
	see(st, domain, flagged, "81.2.69.1", last-3*time.Hour)
	see(st, domain, flagged, "81.2.69.2", last-2*time.Hour)
	see(st, domain, flagged, "81.2.70.1", last)
}

// attackClient is a client with enough evidence, last seen flagged then.
func attackClient(st *evidence.State, client string, last time.Duration) {
	for i := range time.Duration(5) {
		see(st, fmt.Sprintf("kq3v9z7xw%d.com", i), flagged, client, last-i*time.Minute)
	}
	see(st, "example.org", ordinary, client, last)
}

func only(t *testing.T, decisions []Decision, kind Kind) []Decision {
	t.Helper()
	return slices.DeleteFunc(slices.Clone(decisions), func(d Decision) bool { return d.Hit.Kind != kind })
}

// TestDecideByItsTruthTable is the table in Decide's comment, row by row.
func TestDecideByItsTruthTable(t *testing.T) {
	const name = "kq3v9z7xw.com"
	const ttl = 168 * time.Hour
	now := 200 * time.Hour // after noon
	none := time.Duration(-1)
	listed := defaults()
	listed.NeverBlock.Suffixes = []string{name}
	listed.NeverBlock.Clients = []string{bot}
	for _, row := range []struct {
		row     string
		expires time.Duration // of the active hit, after noon; none: there is none
		exempt  bool
		last    time.Duration // enough evidence, last seen then; none: too little
		want    Action
		until   time.Duration // of the hit from now on; none: there is none
		seen    uint64        // the active hit's sightings; 0: about as many as there are now
	}{
		{"exempt, too little", none, true, none, "", none, 0},
		{"exempt, enough", none, true, now, "", none, 0},
		{"too little", none, false, none, "", none, 0},
		{"enough, long ago", none, false, now - ttl, "", none, 0},
		{"enough", none, false, now - time.Hour, Block, now - time.Hour + ttl, 0},
		{"active and exempt, too little", now + time.Hour, true, none, Release, none, 0},
		{"active and exempt, enough", now + time.Hour, true, now, Release, none, 0},
		{"active and exempt, expired", now, true, none, Release, none, 0},
		{"active, too little, ahead", now + time.Second, false, none, "", now + time.Second, 0},
		{"active, too little, past", now, false, none, Release, none, 0},
		{"active, moves by more than a tenth", now - 17*time.Hour + ttl, false, now, Extend, now + ttl, 0},
		{"active, moves by more than a tenth, was past", now - time.Hour, false, now, Extend, now + ttl, 0},
		{"active, moves less, ahead", now - 16*time.Hour + ttl, false, now, "", now - 16*time.Hour + ttl, 0},
		{"active, moves less, ahead, twice as much", now - 16*time.Hour + ttl, false, now, Extend, now + ttl, 1},
		{"active, moves back, ahead, twice as much", now + ttl, false, now - time.Hour, "", now + ttl, 1},
		{"active, moves back, ahead", now + ttl, false, now - time.Hour, "", now + ttl, 0},
		{"active, moves less, past, new ahead", now - time.Minute, false, now - ttl + time.Minute, Extend, now + time.Minute, 0},
		{"active, moves less, both past", now - 2*time.Minute, false, now - ttl - time.Minute, Release, none, 0},
	} {
		for _, kind := range []Kind{KindName, KindClient} {
			t.Run(fmt.Sprintf("%s: %s", kind, row.row), func(t *testing.T) {
				cfg := defaults()
				if row.exempt {
					cfg = listed
				}
				cfg.Client.TTL = ttl
				p, st := newPolicy(t, cfg), newState()
				hit := Hit{Kind: kind, Domain: name, First: noon, Last: noon, Reasons: []string{"old"}, Expires: noon.Add(row.expires), Sightings: 3}
				if row.seen > 0 {
					hit.Sightings = row.seen
				}
				if kind == KindClient {
					hit.Domain, hit.Client = "", evidence.ClientPrefix(netip.MustParseAddr(bot))
				}
				var active *Hits
				if row.expires != none {
					active = NewHits([]Hit{hit})
				}
				switch {
				case row.last != none && kind == KindName:
					attackName(st, name, row.last)
				case row.last != none:
					attackClient(st, bot, row.last)
				case kind == KindName: // too little: one network
					for range 10 {
						see(st, name, flagged, bot, now)
					}
				default: // too little: exactly half is flagged
					for i := range 6 {
						see(st, fmt.Sprintf("kq3v9z7xw%d.com", i), []float32{flagged, ordinary}[i%2], bot, now)
					}
				}
				hits, decisions := p.Decide(active, st, noon.Add(now))
				decisions = only(t, decisions, kind)
				var got Action
				if len(decisions) > 0 {
					got = decisions[0].Action
				}
				if got != row.want || len(decisions) > 1 {
					t.Errorf("decided %v, want %q", decisions, row.want)
				}
				h, found := hits.Name(name)
				if kind == KindClient {
					h, found = hits.Client(netip.MustParseAddr(bot))
				}
				if found != (row.until != none) || found && !h.Expires.Equal(noon.Add(row.until)) {
					t.Errorf("found %v, until %s after noon, want %s", found, h.Expires.Sub(noon), row.until)
				}
				for _, d := range decisions {
					if d.Why == "" || !d.Time.Equal(noon.Add(now)) || len(d.Hit.Reasons) == 0 {
						t.Errorf("not explained: %+v", d)
					}
				}
				if active != nil && row.want == "" && kind == KindClient && hits != active {
					t.Error("nothing changed, and the hits are others")
				}
			})
		}
	}
}

func TestAHitSaysWhyInWords(t *testing.T) {
	p, st := newPolicy(t, defaults()), newState()
	attackName(st, "kq3v9z7xw.com", 3*time.Hour)
	attackClient(st, "81.9.9.9", 3*time.Hour)
	hits, decisions := p.Decide(nil, st, noon.Add(4*time.Hour))
	when := func(after time.Duration) time.Time { return noon.Add(after) }
	want := []Hit{
		{
			Kind: KindClient, Client: netip.MustParsePrefix("81.9.9.9/32"), Score: 9.31, Tail: flagged, Sightings: 5, Flagged: 5, Distinct: 6,
			Reasons: []string{
				"flagged: 5 of its 6 distinct external names",
				"kq3v9z7xw0.com: score 9.31, at most 1 in 21,000 benign names scores so high",
				"5 flagged requests in 4 min",
			},
			Names: []string{"kq3v9z7xw0.com", "kq3v9z7xw1.com", "kq3v9z7xw2.com", "kq3v9z7xw3.com", "kq3v9z7xw4.com"},
			First: when(3*time.Hour - 4*time.Minute), Last: when(3 * time.Hour), Expires: when(27 * time.Hour), Model: p.Model(), Config: p.ID(),
		},
		{
			Kind: KindName, Domain: "kq3v9z7xw.com", Score: 9.31, Tail: flagged, Sightings: 3, Networks: 2,
			Reasons: []string{
				"score 9.31, at most 1 in 21,000 benign names scores so high",
				"seen 3 times from 2 networks in 3 h",
			},
			First: when(0), Last: when(3 * time.Hour), Expires: when(171 * time.Hour), Model: p.Model(), Config: p.ID(),
		},
	}
	opts := cmp.Options{cmpopts.IgnoreFields(Hit{}, "Rank"), cmpopts.EquateComparable(netip.Prefix{})}
	if d := cmp.Diff(want, hits.All(), opts); d != "" {
		t.Error(d)
	}
	f := func(i int, action Action, why string) {
		t.Helper()
		if decisions[i].Action != action || decisions[i].Why != why {
			t.Errorf("decision %d: %s because %q, want %s because %q", i, decisions[i].Action, decisions[i].Why, action, why)
		}
	}
	f(1, Block, strings.Join(want[1].Reasons, "; "))
	_, decisions = p.Decide(hits, newState(), noon.Add(200*time.Hour))
	f(0, Release, "expired: last seen flagged 8 d ago")
	cfg := defaults()
	cfg.NeverBlock.Suffixes, cfg.NeverBlock.Clients = []string{"kq3v9z7xw.com"}, []string{"81.0.0.0/8"}
	_, decisions = newPolicy(t, cfg).Decide(hits, st, noon.Add(4*time.Hour))
	f(0, Release, "now exempt: the client is in a range that is never blocked")
	f(1, Release, "now exempt: it is on your never-block lists, or holds what is")
	see(st, "kq3v9z7xw.com", flagged, bot, 100*time.Hour)
	_, decisions = p.Decide(hits, st, noon.Add(25*time.Hour))
	f(0, Extend, "seen again: score 9.31, at most 1 in 21,000 benign names scores so high; seen 4 times from 2 networks in 4 d")
}

func TestANameNeedsIndependentWitnesses(t *testing.T) {
	p := newPolicy(t, defaults())
	f := func(what string, want bool, tail float32, clients ...string) {
		t.Helper()
		st := newState()
		for i, c := range clients {
			see(st, "kq3v9z7xw.com", tail, c, time.Duration(i)*time.Second)
		}
		hits, _ := p.Decide(nil, st, noon.Add(time.Hour))
		if _, got := hits.Name("kq3v9z7xw.com"); got != want {
			t.Errorf("%s: a hit: %v", what, got)
		}
	}
	f("three requests from two networks", true, flagged, "81.2.69.1", "81.2.69.2", "81.2.70.1")
	f("two requests from two networks", false, flagged, "81.2.69.1", "81.2.70.1")
	f("three requests, one of them from nowhere", true, flagged, "81.2.69.1", "", "81.2.70.1")
	f("many requests from nowhere", false, flagged, "", "", "", "", "81.2.69.1")
	f("many requests from one network", false, flagged, "81.2.69.1", "81.2.69.2", "81.2.69.3", "81.2.69.4")
	f("many requests from one site", false, flagged, "2a00:1450:1:1::1", "2a00:1450:1:2::1", "2a00:1450:1:3::1")
	f("a name that is less rare than the confidence asks", false, 1.1e-4, "81.2.69.1", "81.2.69.2", "81.2.70.1")
	f("a name at the confidence itself", true, 1e-4, "81.2.69.1", "81.2.69.2", "81.2.70.1")
}

func TestAClientNeedsSeveralFlaggedNamesAmongFewOthers(t *testing.T) {
	cfg := defaults()
	cfg.NeverBlock.Suffixes = []string{"exempt0.com", "exempt1.com", "exempt2.com", "exempt3.com"}
	p := newPolicy(t, cfg)
	f := func(what string, want bool, client string, nFlagged, nOrdinary, nExempt int) {
		t.Helper()
		st := newState()
		for i := range nFlagged {
			see(st, fmt.Sprintf("kq3v9z7xw%d.com", i), flagged, client, 0)
		}
		for i := range nOrdinary {
			see(st, fmt.Sprintf("example%d.org", i), ordinary, client, 0)
		}
		for i := range nExempt { // listed only after they were seen
			see(st, fmt.Sprintf("exempt%d.com", i), flagged, client, 0)
		}
		hits, _ := p.Decide(nil, st, noon.Add(time.Hour))
		if _, got := hits.Client(netip.MustParseAddr(client)); got != want {
			t.Errorf("%s: a hit: %v", what, got)
		}
	}
	f("three flagged names and nothing else", true, bot, 3, 0, 0)
	f("two flagged names", false, bot, 2, 0, 0)
	f("three flagged of five", true, bot, 3, 2, 0)
	f("three flagged of six: not more than half", false, bot, 3, 3, 0)
	f("a NAT with 50 names of which 3 are flagged", false, bot, 3, 47, 0)
	f("a NAT with 5,000 names of which 300 are flagged", false, bot, 300, 4700, 0)
	f("5,000 names of which 4,000 are flagged", true, bot, 4000, 1000, 0)
	f("exempt names are ordinary: three of six", false, bot, 3, 0, 3)
	f("exempt names are ordinary: two of four", false, bot, 2, 0, 2)
	f("an IPv6 subscriber", true, "2a00:1450:1:1::1", 3, 2, 0)
	f("a private address", false, "192.168.1.1", 3, 0, 0)
	f("an address of the documentation", false, "203.0.113.9", 30, 0, 0)
}

func TestASampledClientIsDescribedAsAnEstimate(t *testing.T) {
	p, st := newPolicy(t, defaults()), newState()
	for i := range 1000 {
		see(st, fmt.Sprintf("kq3v9z7xw%d.com", i), flagged, bot, 0)
	}
	hits, _ := p.Decide(nil, st, noon.Add(time.Hour))
	h, _ := hits.Client(netip.MustParseAddr(bot))
	if h.Flagged < 600 || h.Flagged > 1400 || h.Flagged != h.Distinct || len(h.Names) != 10 {
		t.Errorf("%d of %d", h.Flagged, h.Distinct)
	}
	if want := fmt.Sprintf("flagged: about %s of its about %s distinct", grouped(uint64(h.Flagged)), grouped(uint64(h.Distinct))); !strings.HasPrefix(h.Reasons[0], want) {
		t.Errorf("%q, want %q", h.Reasons[0], want)
	}
}

func TestRankGrowsWithWitnessesAndOneSenderMovesItOnlySoFar(t *testing.T) {
	p, st := newPolicy(t, defaults()), newState()
	rank := func(domain string) float64 {
		hits, _ := p.Decide(nil, st, noon.Add(time.Hour))
		h, found := hits.Name(domain)
		if !found {
			t.Fatalf("%s is no hit", domain)
		}
		return h.Rank
	}
	for i := range 12 {
		see(st, "many-witnesses.com", flagged, fmt.Sprintf("81.2.%d.1", i), 0)
	}
	see(st, "one-sender.com", flagged, "81.3.1.1", 0)
	see(st, "one-sender.com", flagged, "81.3.2.1", 0)
	for range 300 {
		see(st, "one-sender.com", flagged, "81.3.1.1", 0)
	}
	before := rank("one-sender.com")
	for range 100_000 {
		see(st, "one-sender.com", flagged, "81.3.1.1", 0)
	}
	if after := rank("one-sender.com"); after != before {
		t.Errorf("one sender moved its rank from %.1f to %.1f", before, after)
	}
	if many := rank("many-witnesses.com"); many <= before {
		t.Errorf("12 requests from 12 networks rank %.1f, 100,000 from 2 rank %.1f", many, before)
	}
}

func TestHitsAreFoundAndRanked(t *testing.T) {
	var none *Hits
	if _, found := none.Name("a.com"); found || none.Len() != 0 || none.All() != nil {
		t.Error("no hits at all hold one")
	}
	client := netip.MustParsePrefix("2a00:1450:1:1::/64")
	h := NewHits([]Hit{
		{Kind: KindName, Domain: "b.com", Rank: 1},
		{Kind: KindName, Domain: "a.com", Rank: 1},
		{Kind: KindClient, Client: client, Rank: 2},
		{Kind: KindName, Domain: "c.com", Rank: 3, Expires: noon},
		{Kind: KindName, Domain: "c.com", Rank: 2, Expires: noon.Add(1)},
	})
	var order []string
	for _, hit := range h.All() {
		order = append(order, hit.Key())
	}
	if want := []string{"client:2a00:1450:1:1::/64", "name:c.com", "name:a.com", "name:b.com"}; !slices.Equal(order, want) {
		t.Errorf("%v, want %v", order, want)
	}
	if hit, _ := h.Name("c.com"); !hit.Expires.Equal(noon.Add(1)) {
		t.Errorf("of two hits for one name the one that expires first stayed")
	}
	f := func(addr string, want bool) {
		t.Helper()
		if _, found := h.Client(netip.MustParseAddr(addr)); found != want {
			t.Errorf("%s is found: %v", addr, found)
		}
	}
	f("2a00:1450:1:1::99", true)
	f("2a00:1450:1:2::99", false)
	f("81.2.69.1", false)
	if _, found := h.Client(netip.Addr{}); found {
		t.Error("the zero address is found")
	}
}

func TestWordsAreShortAndClaimNoMoreThanIsSo(t *testing.T) {
	f := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	f(scored(9.314, 1e-5), "score 9.31, at most 1 in 100,000 benign names scores so high")
	f(scored(1, 4.7e-5), "score 1.00, at most 1 in 21,000 benign names scores so high")
	f(scored(1, 4.999e-6), "score 1.00, at most 1 in 200,000 benign names scores so high")
	f(scored(1, 0.3), "score 1.00, at most 1 in 3 benign names scores so high")
	f(scored(1, 1), "score 1.00, at most 1 in 1 benign names scores so high")
	f(grouped(0), "0")
	f(grouped(999), "999")
	f(grouped(1000), "1,000")
	f(grouped(1234567), "1,234,567")
	f(span(-time.Second), "0 s")
	f(span(59*time.Second), "59 s")
	f(span(90*time.Minute), "1 h")
	f(span(47*time.Hour), "47 h")
	f(span(49*time.Hour), "2 d")
	f(span(12*time.Minute), "12 min")
}

func TestOfTooManyHitsThoseOfTheHighestRankStand(t *testing.T) {
	p := newPolicy(t, defaults())
	old := Hit{Kind: KindClient, Client: netip.MustParsePrefix("81.2.69.99/32"), Rank: 0.5, Last: noon, Expires: noon.Add(time.Hour)}
	strong := Hit{Kind: KindClient, Client: netip.MustParsePrefix("81.2.69.98/32"), Rank: 9, Last: noon, Expires: noon.Add(time.Hour)}
	name := Hit{Kind: KindName, Domain: "kq3v9z7xw.com", Rank: 0.1, Last: noon, Expires: noon.Add(time.Hour)}
	weakNew := Hit{Kind: KindClient, Client: netip.MustParsePrefix("81.2.69.97/32"), Rank: 0.1}
	strongNew := Hit{Kind: KindClient, Client: netip.MustParsePrefix("81.2.69.96/32"), Rank: 5}
	d := decider{p: p, now: noon, active: NewHits([]Hit{old, strong, name}), hits: []*Hit{&old, &strong, &name}, limit: 2}
	d.add(weakNew, nil, 0)
	d.add(strongNew, nil, 0)
	d.bound()
	var got []string
	for _, made := range d.decisions {
		got = append(got, string(made.Action)+" "+made.Hit.Key())
	}
	want := []string{"block client:81.2.69.96/32", "release client:81.2.69.99/32"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("decisions (-want +got):\n%s", diff)
	}
	if len(d.hits) != 3 {
		t.Errorf("%d hits stand, want two clients and the name", len(d.hits))
	}
}
