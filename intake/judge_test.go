package intake

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"referee/evidence"
	"referee/features"
	"referee/policy"
)

var stranger = netip.MustParseAddr("8.8.8.8")

func TestARefererIsJudgedByItsName(t *testing.T) {
	fix := newFixture(t)
	f := func(referer string, verdict policy.Verdict, exemption policy.Exemption, reason features.Reason, domain string) {
		t.Helper()
		got := fix.Judge.Judge(ViaCheck, Request{Referer: []byte(referer), Client: stranger})
		if got.Verdict != verdict || got.Exemption != exemption || got.Reason != reason || got.Result.Domain != domain || got.Block {
			t.Errorf("%q: got %+v", referer, got)
		}
	}
	f("https://"+dgaDomain+"/", policy.DGA, policy.NotExempt, features.Named, dgaDomain)
	f("https://www."+benignDomain+"/a?b", policy.Benign, policy.NotExempt, features.Named, benignDomain)
	f("https://www.google.com/", policy.Exempt, policy.Popular, features.Named, "google.com")
	f("https://xkqzvwpjthgf.gov/", policy.Exempt, policy.ClosedRegistry, features.Named, "xkqzvwpjthgf.gov")
	f("https://www.partner.net/", policy.Exempt, policy.Listed, features.Named, "partner.net")
	f("https://shop.example.com/cart", policy.Exempt, policy.Own, features.Named, "example.com")
	f("https://ab.com/", policy.Abstain, policy.NotExempt, features.Named, "ab.com")
	f("", policy.Invalid, policy.NotExempt, features.Empty, "")
	f("/cart", policy.Invalid, policy.NotExempt, features.Relative, "")
	f("https://127.0.0.1/", policy.Invalid, policy.NotExempt, features.Address, "")
	f("about:blank", policy.Invalid, policy.NotExempt, features.Scheme, "")
}

func TestWhatIsSeenGoesToTheQueue(t *testing.T) {
	fix := newFixture(t)
	see := func(referer string, client netip.Addr) {
		fix.Judge.Judge(ViaCheck, Request{Referer: []byte(referer), Client: client})
	}
	see("https://"+dgaDomain+"/", stranger)
	see("https://www.google.com/", stranger)
	see("https://shop.example.com/", stranger) // one of the owner's own
	see("", stranger)
	see("https://"+dgaDomain+"/", netip.MustParseAddr("192.168.7.7")) // no client on the internet
	see("https://"+dgaDomain+"/", netip.Addr{})

	dga := fix.Judge.Judge(ViaCheck, Request{Referer: []byte("https://" + dgaDomain + "/"), Client: stranger}).Result
	google := fix.snapshot.Cache.Judge(features.Name{Host: "google.com", Domain: "google.com", Label: "google"})
	at := fix.now.UnixNano()
	example := &evidence.Example{Referer: "https://" + dgaDomain + "/"}
	want := []evidence.Sighting{
		{Result: dga, Client: stranger, Time: at, Example: example},
		{Result: google, Client: stranger, Time: at, Exempt: true},
		{Result: dga, Time: at, Example: example},
		{Result: dga, Time: at, Example: example},
		{Result: dga, Client: stranger, Time: at, Example: example},
	}
	// The shards of the queue keep no order between them.
	byContent := cmpopts.SortSlices(func(a, b evidence.Sighting) bool {
		return a.Result.Domain+a.Client.String() < b.Result.Domain+b.Client.String()
	})
	if diff := cmp.Diff(want, fix.sightings(), byContent, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Error(diff)
	}
}

func TestOnlyCurrentHitsAreBlocked(t *testing.T) {
	fix := newFixture(t)
	f := func(want bool, referer string, client netip.Addr) {
		t.Helper()
		if got := fix.Judge.Judge(ViaProxy, Request{Referer: []byte(referer), Client: client}).Block; got != want {
			t.Errorf("%q from %s: got %v", referer, client, got)
		}
	}
	bad, friend := "https://www."+dgaDomain+"/", "https://www.google.com/"
	hits := []policy.Hit{nameHit(dgaDomain), nameHit("google.com"), clientHit("9.9.9.9/32"), clientHit("2600:1:2:3::/64")}

	fix.SetHits(policy.NewHits(hits))
	f(false, bad, stranger) // shadow

	fix.block(hits...)
	f(true, bad, stranger)
	f(true, bad, netip.Addr{})
	f(true, "", netip.MustParseAddr("9.9.9.9"))
	f(true, friend, netip.MustParseAddr("9.9.9.9"))
	f(true, "", netip.MustParseAddr("2600:1:2:3::77"))
	f(false, friend, stranger) // a hit it may be, but it is exempt now
	f(false, "https://zzxqwvkjhtpf.com/", stranger)
	f(false, "", stranger)
	f(false, "", netip.Addr{})

	fix.now = fix.now.Add(time.Hour) // and the background, which should have released them, stands still
	f(false, bad, stranger)
	f(false, "", netip.MustParseAddr("9.9.9.9"))

	fix.block()
	f(false, bad, stranger)
	fix.SetHits(nil)
	f(false, bad, stranger)
}

func TestAnExemptClientIsNeverBlocked(t *testing.T) {
	fix := newFixture(t, func(c *policy.Config) {
		c.NeverBlock.Clients = []string{"9.9.9.0/24"}
	})
	fix.block(clientHit("9.9.9.9/32"))
	if fix.Judge.Judge(ViaCheck, Request{Client: netip.MustParseAddr("9.9.9.9")}).Block {
		t.Error("blocked")
	}
}

func TestNothingIsJudgedBeforeTheFirstSnapshot(t *testing.T) {
	fix := newFixture(t)
	j := NewJudge(fix.queue, prometheus.NewRegistry(), fix.log, time.Now)
	if got := j.Judge(ViaCheck, Request{Referer: []byte("https://" + dgaDomain + "/"), Client: stranger}); got != (Judgement{}) {
		t.Errorf("got %+v", got)
	}
	if got := j.Client(netip.MustParseAddr("8.8.8.8"), nil); got.IsValid() {
		t.Errorf("got %s", got)
	}
}

func TestAPanicLetsTheRequestPass(t *testing.T) {
	fix := newFixture(t)
	s := fix.snapshot
	s.Cache = nil // as broken as can be
	fix.Swap(&s)
	for range 3 {
		if got := fix.Judge.Judge(ViaCheck, Request{Referer: []byte("https://" + dgaDomain + "/"), Client: stranger}); got != (Judgement{}) {
			t.Errorf("got %+v", got)
		}
	}
	if got := fix.Counts()["panics"]; got != 3 {
		t.Errorf("%d panics counted, want 3", got)
	}
}

func TestCountsAreWhatHappenedSinceTheLastCall(t *testing.T) {
	fix := newFixture(t)
	fix.block(clientHit("9.9.9.9/32"))
	judge := func(via Via, referer string, client netip.Addr) {
		fix.Judge.Judge(via, Request{Referer: []byte(referer), Client: client})
	}
	judge(ViaCheck, "https://"+dgaDomain+"/", stranger)
	judge(ViaProxy, "https://"+dgaDomain+"/", netip.MustParseAddr("9.9.9.9"))
	judge(ViaObserve, "https://"+benignDomain+"/", stranger)
	judge(ViaCheck, "https://www.xkqzvwpjthgf.gov/", stranger)
	judge(ViaCheck, "", stranger)
	want := map[string]uint64{
		"requests": 5, "verdict.dga": 2, "verdict.benign": 1, "verdict.exempt": 1, "verdict.invalid": 1,
		"invalid.empty": 1, "saved.closed-registry": 1, "blocked": 1,
	}
	for name, n := range map[string]uint64{dgaDomain: 2, benignDomain: 1} {
		label, _, _ := strings.Cut(name, ".")
		r := fix.snapshot.Cache.Judge(features.Name{Host: name, Domain: name, Label: label})
		want["tail."+strconv.Itoa(Decade(r.Tail))] += n
	}
	if diff := cmp.Diff(want, fix.Counts()); diff != "" {
		t.Error(diff)
	}
	if got := fix.Counts(); len(got) != 0 {
		t.Errorf("again: %v", got)
	}
	judge(ViaCheck, "", stranger)
	if diff := cmp.Diff(map[string]uint64{"requests": 1, "verdict.invalid": 1, "invalid.empty": 1}, fix.Counts()); diff != "" {
		t.Error(diff)
	}
	// Metrics go on counting.
	if err := testutil.GatherAndCompare(fix.registry, strings.NewReader(`
# HELP referee_invalid_referers_total Requests without a name in the Referer.
# TYPE referee_invalid_referers_total counter
referee_invalid_referers_total{reason="address"} 0
referee_invalid_referers_total{reason="empty"} 2
referee_invalid_referers_total{reason="malformed"} 0
referee_invalid_referers_total{reason="nonpublic"} 0
referee_invalid_referers_total{reason="relative"} 0
referee_invalid_referers_total{reason="scheme"} 0
`), "referee_invalid_referers_total"); err != nil {
		t.Error(err)
	}
}

func TestAFullQueueDropsSightingsAndNoRequests(t *testing.T) {
	fix := newFixture(t)
	n := 0
	for fix.queue.Offer(evidence.Sighting{}) {
		n++
	}
	if got := fix.Judge.Judge(ViaCheck, Request{Referer: []byte("https://" + dgaDomain + "/"), Client: stranger}).Verdict; got != policy.DGA {
		t.Errorf("got %s", got)
	}
	if got := fix.Counts()["dropped"]; got != 1 {
		t.Errorf("%d dropped after %d, want 1", got, n)
	}
}

func TestAJudgementOfACachedNameDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	fix := newFixture(t)
	fix.block(clientHit("9.9.9.9/32"), nameHit("zzxqwvkjhtpf.com"))
	referer := []byte("https://www." + dgaDomain + "/some/page?q=1")
	fix.Judge.Judge(ViaCheck, Request{Referer: referer, Client: stranger})
	fix.Judge.Judge(ViaCheck, Request{Referer: referer, Client: stranger})
	for name, raw := range map[string][]byte{"named": referer, "empty": nil} {
		if n := testing.AllocsPerRun(1000, func() { fix.Judge.Judge(ViaCheck, Request{Referer: raw, Client: stranger}) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkJudge(b *testing.B) {
	fix := newFixture(b)
	var sink []evidence.Sighting
	for name, referer := range map[string]string{
		"cached": "https://www." + benignDomain + "/some/page?q=1",
		"none":   "",
	} {
		b.Run(name, func(b *testing.B) {
			raw := []byte(referer)
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				fix.Judge.Judge(ViaCheck, Request{Referer: raw, Client: stranger})
				if n++; n%512 == 0 { // as the background does, so that the queue has room
					sink = fix.queue.Drain(sink[:0])
				}
			}
		})
	}
}

func TestASightingSaysTheShapeOfAgentAndPath(t *testing.T) {
	fix := newFixture(t)
	fix.Judge.Judge(ViaCheck, Request{
		Referer: []byte("https://" + dgaDomain + "/"), Client: stranger, Agent: []byte("curl/8.5.0"), Path: []byte("/login?next=7"),
	})
	got := fix.queue.Drain(nil)[0]
	if got.Agent != evidence.AgentShape([]byte("curl/8.6")) || got.Path != evidence.PathShape([]byte("/login")) {
		t.Errorf("got %+v", got)
	}
}

func TestSomeFlaggedSightingsHaveAnExampleOfTheRequest(t *testing.T) {
	fix := newFixture(t)
	long := strings.Repeat("\xffx", 1000)
	referer := []byte("https://" + dgaDomain + "/" + long)
	agent, path := []byte("curl/8.5.0 "+long), []byte("/reset?token=secret")
	request := Request{Referer: referer, Agent: agent, Path: path, Client: stranger}
	fix.Judge.Judge(ViaCheck, request)
	fix.Judge.Judge(ViaCheck, Request{Referer: []byte("https://" + benignDomain + "/"), Client: stranger})
	want := evidence.Example{Referer: string(referer[:256]), Agent: string(agent[:256]), Path: "/reset"}
	clear(referer) // the caller's again
	clear(agent)
	seen := fix.queue.Drain(nil)
	slices.SortFunc(seen, func(a, b evidence.Sighting) int { return strings.Compare(a.Result.Domain, b.Result.Domain) })
	for _, s := range seen {
		switch {
		case s.Result.Domain == dgaDomain && (s.Example == nil || *s.Example != want):
			t.Errorf("got %+v, want %+v", s.Example, want)
		case s.Result.Domain != dgaDomain && s.Example != nil:
			t.Errorf("%s is not flagged and has an example", s.Result.Domain)
		}
	}

	count := func(requests int) (n int) {
		for range requests {
			fix.Judge.Judge(ViaCheck, Request{Referer: []byte("https://" + dgaDomain + "/"), Client: stranger})
		}
		for _, s := range fix.queue.Drain(nil) {
			if s.Example != nil {
				n++
			}
		}
		return n
	}
	if n := count(100); n != 19 {
		t.Errorf("a burst leaves %d examples after the first one, want 19", n)
	}
	fix.now = fix.now.Add(100 * time.Millisecond)
	if n := count(100); n != 2 {
		t.Errorf("100 ms later there are %d more, want 2", n)
	}
	fix.now = fix.now.Add(time.Hour)
	if n := count(100); n != 20 {
		t.Errorf("an hour later there are %d more, want 20", n)
	}
}

func TestTailsAreCountedByDecade(t *testing.T) {
	f := func(tail float32, want int) {
		t.Helper()
		if got := Decade(tail); got != want {
			t.Errorf("Decade(%v) = %d, want %d", tail, got, want)
		}
	}
	f(1, 0)
	f(0.11, 0)
	f(0.1, 1)
	f(0.01, 2)
	f(1e-4, 4)
	f(1.01e-4, 3)
	f(9e-8, 7)
	f(1e-30, 7)
}
