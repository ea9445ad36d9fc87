package report

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"referee/classifier"
	"referee/evidence"
	"referee/ledger"
	"referee/policy"
	"referee/waf"
)

// fixture is a real ledger, model and policy.
type fixture struct {
	*testing.T
	ledger *ledger.Ledger
	model  *classifier.Model
	policy *policy.Policy
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	l, err := ledger.Memory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	m, err := classifier.Default()
	if err != nil {
		t.Fatal(err)
	}
	p, err := policy.New(policy.Config{
		Confidence: classifier.Sensitive,
		NeverBlock: policy.NeverBlock{Suffixes: []string{"partner-x9q.com"}, ClosedRegistries: true},
		Name:       policy.NameRule{MinNetworks: 2, MinSightings: 3, TTL: 7 * 24 * time.Hour},
		Client:     policy.ClientRule{MinFlagged: 3, MinShare: 0.5, TTL: 24 * time.Hour},
	}, m)
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{T: t, ledger: l, model: m, policy: p}
}

func (f *fixture) commit(b ledger.Batch) {
	f.Helper()
	if err := f.ledger.Commit(f.Context(), b); err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) sources() Sources {
	return Sources{Ledger: f.ledger, Policy: f.policy, Model: f.model, Evidence: bounds}
}

// bounds are those of evidence.Config's defaults.
var bounds = evidence.Config{Window: 24 * time.Hour, MaxNames: 20_000, MaxClients: 100_000, MaxCohorts: 5_000, Interest: 0.01, Queue: 65536}

func (f *fixture) build() *Report {
	f.Helper()
	r, err := Build(f.Context(), f.sources(), ago(24*time.Hour), noon, Shadow)
	if err != nil {
		f.Fatal(err)
	}
	return r
}

func (f *fixture) diff(what string, got, want any) {
	f.Helper()
	if d := cmp.Diff(want, got); d != "" {
		f.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func TestSettingsNameTheModelAndWhatTheConfidenceMeans(t *testing.T) {
	f := newFixture(t)
	s := f.build().Settings
	score, err := f.model.Threshold(classifier.Sensitive)
	if err != nil {
		t.Fatal(err)
	}
	f.diff("settings", s, Settings{
		Model: f.model.ID(), Scorer: f.model.Info().Scorer, Calibrated: f.model.Info().Calibrated, Policy: f.policy.ID(),
		Confidence: "sensitive", BenignTail: 1e-3, Score: float64(score), OneIn: 1000,
	})
}

func TestTotalsAreThoseOfTheHoursOfThePeriod(t *testing.T) {
	f := newFixture(t)
	count := func(hours int, n uint64) {
		f.commit(ledger.Batch{Hour: ago(time.Duration(hours) * time.Hour), Counts: map[string]uint64{
			"requests": n, "verdict.dga": 1, "verdict.invalid": 2, "invalid.empty": 2, "saved.popular": 3, "blocked": 4, "dropped": 5,
			"verdict.of the future": 6,
		}})
	}
	count(30, 1000) // before
	count(23, 10)
	count(2, 20)
	f.diff("totals", f.build().Totals, Totals{
		First: ago(23 * time.Hour), Hours: 2, Requests: 30,
		Verdicts: map[string]uint64{"dga": 2, "benign": 0, "abstain": 0, "exempt": 0, "invalid": 4},
		NoName:   map[string]uint64{"empty": 4, "relative": 0, "scheme": 0, "malformed": 0, "address": 0, "nonpublic": 0},
		Saved:    map[string]uint64{"own": 0, "listed": 0, "closed-registry": 0, "popular": 6, "labelled": 0},
		Blocked:  8, Dropped: 10,
	})
}

func hit(domain string, rank float64, expires time.Time) policy.Hit {
	return policy.Hit{
		Kind: policy.KindName, Domain: domain, Reasons: []string{"score 8.31"}, Score: 8.31, Tail: 4.3e-5, Sightings: 12, Networks: 4,
		Rank: rank, First: ago(50 * time.Hour), Last: ago(49 * time.Hour), Expires: expires, Model: "m", Config: "c",
	}
}

func TestHitsStandExpireOrAreReleased(t *testing.T) {
	f := newFixture(t)
	client := policy.Hit{
		Kind: policy.KindClient, Client: netip.MustParsePrefix("198.51.100.7/32"), Names: []string{"a.com"}, Tail: 1e-3,
		Flagged: 3, Distinct: 4, First: ago(time.Hour), Last: ago(time.Hour), Expires: noon.Add(time.Hour),
	}
	decide := func(a policy.Action, hours int, h policy.Hit) {
		at := ago(time.Duration(hours) * time.Hour)
		f.commit(ledger.Batch{Decisions: []policy.Decision{{Time: at, Action: a, Hit: h, Why: string(a)}}})
	}
	decide(policy.Block, 100, hit("long.com", 1, noon.Add(time.Hour)))     // decided before the period, and stands
	decide(policy.Block, 100, hit("forgotten.com", 9, ago(50*time.Hour)))  // ended before the period, released by nobody
	decide(policy.Block, 100, hit("gone.com", 9, ago(60*time.Hour)))       // ended and released before the period
	decide(policy.Release, 59, hit("gone.com", 9, ago(60*time.Hour)))      //
	decide(policy.Block, 20, hit("high.com", 5, noon.Add(time.Hour)))      // stands, with a higher rank
	decide(policy.Block, 20, hit("expired.com", 7, ago(2*time.Hour)))      // expired, and released for that
	decide(policy.Release, 1, hit("expired.com", 7, ago(2*time.Hour)))     //
	decide(policy.Block, 20, hit("lapsed.com", 8, ago(time.Hour)))         // expired just now
	decide(policy.Block, 20, hit("exempted.com", 6, noon.Add(time.Hour)))  // released before its time
	decide(policy.Release, 3, hit("exempted.com", 6, noon.Add(time.Hour))) //
	decide(policy.Extend, 2, client)                                       //
	r := f.build()
	var got []string
	for _, h := range r.Names.List {
		got = append(got, h.Name+" "+string(h.State))
	}
	f.diff("names", got, []string{"high.com active", "long.com active", "lapsed.com expired", "expired.com expired", "exempted.com released"})
	if r.Names.Active != 2 || r.Names.Past != 3 || r.Clients.Active != 1 || r.Clients.Past != 0 {
		t.Errorf("counted %d, %d names and %d, %d clients", r.Names.Active, r.Names.Past, r.Clients.Active, r.Clients.Past)
	}
	for _, h := range []*Hit{&r.Names.List[0], &r.Clients.List[0]} {
		if h.Explanation == nil || len(h.Explanation.Parts) == 0 {
			t.Errorf("%s%s is not explained", h.Name, h.Client)
		}
		h.Explanation = nil
	}
	f.diff("a name", r.Names.List[0], Hit{
		Name: "high.com", State: Active, Why: "block", Decided: ago(20 * time.Hour), Reasons: []string{"score 8.31"}, Score: 8.31,
		BenignTail: 4.3e-5, OneIn: 23000, Sightings: 12, Networks: 4, Rank: 5, First: ago(50 * time.Hour), Last: ago(49 * time.Hour),
		Expires: noon.Add(time.Hour), Model: "m", Policy: "c",
	})
	f.diff("a client", r.Clients.List[0], Hit{
		Client: "198.51.100.7/32", State: Active, Why: "extend", Decided: ago(2 * time.Hour), Reasons: []string{}, FlaggedNames: []string{"a.com"},
		BenignTail: 1e-3, OneIn: 1000, Flagged: 3, Distinct: 4, First: ago(time.Hour), Last: ago(time.Hour), Expires: noon.Add(time.Hour),
	})
}

func TestSavedNamesSayWhichListHoldsThem(t *testing.T) {
	f := newFixture(t)
	save := func(domain string, tail float32) evidence.Sighting {
		return evidence.Sighting{Result: classifier.Result{Domain: domain, Score: 9, Tail: tail}, Time: ago(time.Hour).UnixNano(), Exempt: true}
	}
	f.commit(ledger.Batch{Hour: noon, Flagged: []evidence.Sighting{
		save("partner-x9q.com", 1e-4), save("partner-x9q.com", 1e-4), save("partner-x9q.com", 1e-4),
		save("wvdmvhwy.gov", 1e-3), save("wvdmvhwy.gov", 1e-3),
		save("kq3v9zx7wq.com", 1e-4),      // its list was shortened since
		save("only-odd-lately.com", 2e-3), // the confidence was lower when it was saved
	}})
	r := f.build()
	var got []string
	for _, s := range r.Saved.List {
		got = append(got, s.Name+" "+s.Exemption)
	}
	f.diff("saved", got, []string{"partner-x9q.com listed", "wvdmvhwy.gov closed-registry", "kq3v9zx7wq.com none"})
	if r.Saved.Names != 3 || r.Saved.List[0].Sightings != 3 || r.Saved.List[0].OneIn != 10_000 {
		t.Errorf("got %+v", r.Saved)
	}
}

func TestGenerationsAndSetsSayWhatWasPlannedAndWritten(t *testing.T) {
	f := newFixture(t)
	propose := func(g waf.Generation, o waf.Outcome, message string) int64 {
		id, err := f.ledger.Propose(t.Context(), g)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.ledger.Settle(t.Context(), id, o, message); err != nil {
			t.Fatal(err)
		}
		return id
	}
	addresses := make([]string, 30)
	for i := range addresses {
		addresses[i] = netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}), 32).String()
	}
	v4 := propose(waf.Generation{Time: ago(time.Hour), Set: waf.SetIPv4, After: addresses, Entries: make([]waf.Entry, 30), Why: "30 added"}, waf.Written, "")
	names := propose(waf.Generation{Time: ago(time.Hour), Set: waf.SetNames, After: []string{"^x$"}, Entries: make([]waf.Entry, 7), Why: "7 added"}, waf.Shadow, "")
	failed := propose(waf.Generation{Time: noon, Set: waf.SetNames, Before: []string{"^x$"}, Why: "7 expired"}, waf.Failed, "throttled")
	r := f.build()
	f.diff("sets", r.Sets, []Set{
		{Set: waf.SetNames, Generation: names, Time: ago(time.Hour), Outcome: waf.Shadow, Entries: 7, Items: 1, Sample: []string{"^x$"}},
		{Set: waf.SetIPv4, Generation: v4, Time: ago(time.Hour), Outcome: waf.Written, Entries: 30, Items: 30, Sample: addresses[:maxSample]},
	})
	f.diff("generations", r.Generations, []Generation{
		{ID: failed, Time: noon, Set: waf.SetNames, Outcome: waf.Failed, Error: "throttled", Why: "7 expired", Removed: 1},
		{ID: names, Time: ago(time.Hour), Set: waf.SetNames, Outcome: waf.Shadow, Why: "7 added", Items: 1, Added: 1},
		{ID: v4, Time: ago(time.Hour), Set: waf.SetIPv4, Outcome: waf.Written, Why: "30 added", Items: 30, Added: 30},
	})
}

func TestAnUnknownModeIsRefused(t *testing.T) {
	f := newFixture(t)
	_, err := Build(t.Context(), f.sources(), noon, noon, "<script>")
	if err == nil || !strings.Contains(err.Error(), Shadow) {
		t.Errorf("got %v", err)
	}
}

func TestAnEmptyLedgerMakesAnEmptyReport(t *testing.T) {
	r := newFixture(t).build()
	text, data, _ := rendered(t, r)
	if !strings.Contains(string(text), "No request was judged in the last 24 hours") || strings.Contains(string(data), "null") {
		t.Errorf("got %s\n%s", text, data)
	}
}

func TestACandidateIsComparedByThePairOfModelsAndAtTheConfidenceInForce(t *testing.T) {
	f := newFixture(t)
	count := func(candidate, what string, n uint64) map[string]uint64 {
		return map[string]uint64{ledger.CandidateCount("live", candidate, what): n}
	}
	name := func(candidate, domain string, liveTail, candidateTail float32) ledger.Compared {
		return ledger.Compared{
			Live: "live", Candidate: candidate, Domain: domain, First: ago(2 * time.Hour), Last: ago(time.Hour), Sightings: 3,
			LiveScore: 1, LiveTail: liveTail, CandidateScore: 2, CandidateTail: candidateTail,
		}
	}
	f.commit(ledger.Batch{Hour: ago(3 * time.Hour), Counts: count("old", "names.both", 7)})
	f.commit(ledger.Batch{Hour: ago(2 * time.Hour), Counts: count("new", "names.neither", 90), Compared: []ledger.Compared{
		name("new", "fresh.com", 0.2, 1e-4), name("new", "gone.com", 1e-4, 0.2), name("new", "stricter-then.com", 0.002, 0.3), name("old", "other.com", 1e-4, 1),
	}})
	f.commit(ledger.Batch{Hour: ago(time.Hour), Counts: count("new", "requests.candidate", 5), Compared: []ledger.Compared{name("new", "fresh.com", 0.2, 1e-4)}})

	got := f.build().Candidates
	if len(got) != 2 || got[0].Candidate != "new" || got[1].Candidate != "old" {
		t.Fatalf("%+v, want the comparison with the new candidate and then the old one", got)
	}
	f.diff("names", got[0].Names, Flagged{Neither: 90})
	f.diff("requests", got[0].Requests, Flagged{Candidate: 5})
	f.diff("old names", got[1].Names, Flagged{Both: 7})
	f.diff("new hits", got[0].New, DifferingNames{Names: 1, List: []DifferingName{{
		Name: "fresh.com", Score: 1, BenignTail: 0.2, OneIn: 5, CandidateScore: 2, CandidateTail: 1e-4, CandidateOneIn: 10000,
		Sightings: 6, First: ago(2 * time.Hour), Last: ago(time.Hour),
	}}})
	if lost := got[0].Lost; lost.Names != 1 || lost.List[0].Name != "gone.com" {
		t.Errorf("lost hits %+v, want gone.com", lost)
	}
}

func TestLabelsThatStandAreListedWithWhatOverrulesThem(t *testing.T) {
	f := newFixture(t)
	for _, l := range []policy.Label{
		{Name: "kq3v9z.com", Says: policy.SaysBenign, Time: ago(3 * time.Hour), Who: "alice", Reason: "a partner"},
		{Name: "back.com", Says: policy.SaysDGA, Time: ago(2 * time.Hour)},
		{Name: "partner-x9q.com", Says: policy.SaysDGA, Time: ago(90 * 24 * time.Hour)},
		{Name: "back.com", Says: policy.SaysNothing, Time: ago(time.Hour)},
	} {
		if _, err := f.ledger.Label(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	f.diff("labels", f.build().Labels, Labels{Names: 2, List: []Label{
		{Name: "kq3v9z.com", Label: policy.SaysBenign, Time: ago(3 * time.Hour), Who: "alice", Reason: "a partner"},
		{Name: "partner-x9q.com", Label: policy.SaysDGA, Time: ago(90 * 24 * time.Hour), Exemption: "listed"},
	}})
}

func TestTheIntervalOfAShareIsWilsons(t *testing.T) {
	f := func(part, whole uint64, want string) {
		t.Helper()
		if got := interval(part, whole); got != want {
			t.Errorf("%d of %d: %s, want %s", part, whole, got, want)
		}
	}
	// Checked against Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
	f(81, 263, "30.8 %, 95 % interval 26 to 37 %")
	f(15, 148, "10.1 %, 95 % interval 6.2 to 16 %")
	f(0, 20, "0 %, 95 % interval 0 to 16 %")
	f(0, 0, "0 %")
}
