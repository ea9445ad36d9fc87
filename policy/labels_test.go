package policy

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"referee/classifier"
	"referee/evidence"
)

func clientAddr(s string) netip.Addr { return netip.MustParseAddr(s) }

func told(name string, says Says) Label {
	return Label{Name: name, Says: says, Time: noon, Who: "alice", Reason: "a partner"}
}

func TestALabelOverrulesTheScoreAndNeverBlockOverrulesTheLabel(t *testing.T) {
	cfg := defaults()
	cfg.NeverBlock.Hosts, cfg.NeverBlock.Suffixes = []string{"own-shop.com"}, []string{"partner-x9.com"}
	p := newPolicy(t, cfg).With([]Label{
		told("kq3v9z7xw.com", SaysBenign), told("bakker.com", SaysDGA), told("ab.com", SaysDGA),
		told("own-shop.com", SaysDGA), told("partner-x9.com", SaysDGA), told("xkqzvw.gov", SaysDGA), told("google.com", SaysDGA),
		told("back.com", SaysDGA), told("back.com", SaysNothing),
	})
	f := func(domain string, r classifier.Result, want Verdict, why Exemption) {
		t.Helper()
		if v, e := p.Judge(nameOf(domain), r); v != want || e != why {
			t.Errorf("%s: %v %v, want %v %v", domain, v, e, want, why)
		}
	}
	f("kq3v9z7xw.com", classifier.Result{Tail: flagged}, Exempt, Labelled)
	f("bakker.com", classifier.Result{Tail: ordinary}, DGA, NotExempt)
	f("ab.com", classifier.Result{Tail: ordinary, Abstain: true}, DGA, NotExempt)
	f("own-shop.com", classifier.Result{Tail: ordinary}, Exempt, Own)
	f("partner-x9.com", classifier.Result{Tail: ordinary}, Exempt, Listed)
	f("xkqzvw.gov", classifier.Result{Tail: ordinary}, Exempt, ClosedRegistry)
	f("google.com", classifier.Result{Tail: ordinary}, Exempt, Popular)
	f("back.com", classifier.Result{Tail: ordinary}, Benign, NotExempt)
	f("other.com", classifier.Result{Tail: flagged}, DGA, NotExempt)
}

func TestLabelsAreInThePolicysIDByWhatTheySay(t *testing.T) {
	p := newPolicy(t, defaults())
	a, b := told("kq3v9z7xw.com", SaysDGA), told("other.com", SaysBenign)
	one, other := p.With([]Label{a, b}), p.With([]Label{b, told(a.Name, SaysBenign), a})
	if one.ID() != other.ID() || one.ID() == p.ID() || p.With(nil).ID() != p.ID() {
		t.Errorf("ids %s, %s and %s without labels", one.ID(), other.ID(), p.ID())
	}
}

func TestALabelledNameNeedsTheSameEvidenceAndLeavesWithItsLabel(t *testing.T) {
	const name = "bakkerij.com"
	now := noon.Add(time.Hour)
	see := func(st *evidence.State, client string) {
		st.Add(evidence.Sighting{
			Result: classifier.Result{Domain: name, Score: -2, Tail: ordinary}, Labelled: true,
			Client: clientAddr(client), Time: noon.UnixNano(),
		})
	}
	bare := newPolicy(t, defaults())
	p := bare.With([]Label{told(name, SaysDGA)})
	st := newState()
	see(st, "81.2.69.1")
	see(st, "81.2.69.1")
	if hits, _ := p.Decide(nil, st, now); hits.Len() != 0 {
		t.Fatalf("blocked on the word of one network: %+v", hits.All())
	}
	see(st, "81.2.70.1")
	hits, decisions := p.Decide(nil, st, now)
	if hits.Len() != 1 || !hits.All()[0].Labelled || !strings.HasPrefix(decisions[0].Why, "labelled dga by alice (a partner); the model does not flag it") {
		t.Fatalf("%+v, want one hit because of the label", decisions)
	}
	if again, decisions := p.Decide(hits, st, now.Add(time.Second)); again.Len() != 1 || len(decisions) != 0 {
		t.Errorf("a second later: %+v", decisions)
	}
	if hits, decisions := bare.Decide(hits, st, now); hits.Len() != 0 || decisions[0].Action != Release || !strings.Contains(decisions[0].Why, "label alone, which was taken back") {
		t.Errorf("without the label: %+v", decisions)
	}
	hits, decisions = bare.With([]Label{told(name, SaysBenign)}).Decide(hits, st, now)
	if hits.Len() != 0 || decisions[0].Why != "now exempt: it is labelled benign by alice (a partner)" {
		t.Errorf("labelled benign: %+v", decisions)
	}
}

func TestAClientIsReleasedWhenTheLabelsLeaveTooLittleAgainstIt(t *testing.T) {
	p := newPolicy(t, defaults())
	st := newState()
	for _, name := range []string{"kq3v9z7xw1.com", "kq3v9z7xw2.com", "kq3v9z7xw3.com"} {
		see(st, name, flagged, bot, 0)
	}
	now := noon.Add(time.Minute)
	hits, _ := p.Decide(nil, st, now)
	if hits.Len() != 1 {
		t.Fatalf("%d hits, want the client", hits.Len())
	}
	next, decisions := p.With([]Label{told("kq3v9z7xw2.com", SaysBenign)}).Decide(hits, st, now)
	if next.Len() != 0 || !strings.Contains(decisions[0].Why, "labelled benign since: kq3v9z7xw2.com; the 2 flagged names that are left are too few") {
		t.Errorf("%+v", decisions)
	}

	// One that rests on labels goes with them.
	st = newState()
	for _, name := range []string{"kq3v9z7xw1.com", "kq3v9z7xw2.com"} {
		see(st, name, flagged, bot, 0)
	}
	st.Add(evidence.Sighting{
		Result: classifier.Result{Domain: "bakkerij.com", Score: -2, Tail: ordinary}, Labelled: true, Client: clientAddr(bot), Time: noon.UnixNano(),
	})
	labelled := p.With([]Label{told("bakkerij.com", SaysDGA)})
	hits, decisions = labelled.Decide(nil, st, now)
	if hits.Len() != 1 || !hits.All()[0].Labelled || hits.All()[0].Flagged != 3 || !slices.Contains(hits.All()[0].Names, "bakkerij.com") {
		t.Fatalf("%+v, want a client that rests on a label", decisions)
	}
	next, decisions = p.Decide(hits, st, now)
	if next.Len() != 0 || !strings.Contains(decisions[0].Why, "were taken back") {
		t.Errorf("%+v", decisions)
	}
}

func TestAnotherModelGetsTheSameRules(t *testing.T) {
	p := newPolicy(t, defaults()).With([]Label{told("bakker.com", SaysDGA)})
	m, err := classifier.Default()
	if err != nil {
		t.Fatal(err)
	}
	next, err := p.For(m)
	if err != nil {
		t.Fatal(err)
	}
	if next.ID() != p.ID() || next.Model() != m.ID() {
		t.Errorf("policy %s for model %s, want %s", next.ID(), next.Model(), p.ID())
	}
}
