package report

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"referee/classifier"
	"referee/evidence"
	"referee/ledger"
	"referee/policy"
	"referee/waf"
)

func TestTheBoundsOfARateAreClopperAndPearsons(t *testing.T) {
	f := func(part, whole int, low, high float64) {
		t.Helper()
		r := newRate(part, whole)
		near := func(got, want float64) bool { return got >= want*0.999-1e-12 && got <= want*1.001+1e-12 }
		if !near(r.Low, low) || !near(r.High, high) {
			t.Errorf("%d of %d: %.6g to %.6g, want %.6g to %.6g", part, whole, r.Low, r.High, low, high)
		}
	}
	// Checked against the quantiles of the beta distribution (R: qbeta(0.05, k, n-k+1), qbeta(0.95, k+1, n-k)).
	f(0, 0, 0, 1)
	f(0, 3000, 0, 0.000998079)
	f(1, 10, 0.00511620, 0.394163)
	f(5, 100, 0.0199112, 0.102253)
	f(10, 10, 0.741134, 1)
}

// attacked is evidence of people and of a generator: readers of ordinary sites, and clients of as many networks that sent the same
// generated names.
func attacked(people, bots, names int) *evidence.State {
	st := evidence.New(bounds, evidence.Key{1})
	for i := range people {
		client := netip.AddrFrom4([4]byte{80, byte(i >> 8), byte(i), 7})
		for n := range 3 {
			st.Add(evidence.Sighting{
				Result: classifier.Result{Domain: fmt.Sprintf("site%d.com", (i+n)%500), Score: -5, Tail: 0.8}, Client: client, Time: ago(time.Hour).UnixNano(),
			})
		}
	}
	for i := range bots {
		client := netip.AddrFrom4([4]byte{81, byte(i >> 8), byte(i), 9})
		for n := range names {
			st.Add(evidence.Sighting{
				Result: classifier.Result{Domain: fmt.Sprintf("qxkzv%dj.com", n), Score: 12, Tail: 1e-6}, Client: client,
				Agent: uint32(1 + i), Path: uint32(1 + i), Time: ago(time.Hour).Add(time.Duration(n) * time.Second).UnixNano(),
			})
		}
	}
	st.Expire(noon)
	return st
}

func (f *fixture) over(st *evidence.State) *Report {
	f.Helper()
	src := f.sources()
	src.State = st
	r, err := Build(f.Context(), src, ago(24*time.Hour), noon, Shadow)
	if err != nil {
		f.Fatal(err)
	}
	return r
}

func (r *Report) check(id string) Check {
	return r.Ready.Checks[slices.IndexFunc(r.Ready.Checks, func(c Check) bool { return c.ID == id })]
}

func TestOtherSettingsAreTriedOnTheEvidenceThatThereIs(t *testing.T) {
	f := newFixture(t)
	w := f.over(attacked(400, 12, 8)).WhatIf
	if w.Clients != 412 || w.Requests != 400*3+12*8 || w.Full {
		t.Errorf("observed %+v", w)
	}
	today, err := w.today()
	if err != nil {
		t.Fatal(err)
	}
	if today.Confidence != "sensitive" || today.Evidence != "today" || today.Names != 8 || today.Clients != 12 {
		t.Errorf("today %+v, want all names and bots", today)
	}
	if today.Requests != 12*8 { // no request counts twice, for its name and for its client
		t.Errorf("%d requests, want %d", today.Requests, 12*8)
	}
	if today.FalseClients != newRate(12, 412) || today.Unconfirmed != 20 {
		t.Errorf("%+v: nothing is confirmed yet", today)
	}
	seen := map[string]bool{}
	last := 1.0
	for _, row := range w.Rows {
		seen[row.Confidence+" "+row.Evidence] = true
		if row.BenignTail > last {
			t.Errorf("%s comes after a stricter confidence", row.Confidence)
		}
		last = row.BenignTail
	}
	if len(w.Rows) != 9 || len(seen) != 9 || !seen["strict twice"] || !seen["balanced half"] {
		t.Errorf("tried %v", seen)
	}
	twice := slices.IndexFunc(w.Rows, func(r Row) bool { return r.Evidence == "twice" && r.Confidence == "sensitive" })
	if w.Rows[twice].Clients > today.Clients || w.Rows[twice].Names > today.Names {
		t.Errorf("twice the evidence blocks more: %+v", w.Rows[twice])
	}
}

func TestTheEvidenceIsRestoredFromTheLedger(t *testing.T) {
	f := newFixture(t)
	key, err := f.ledger.EvidenceKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	st := evidence.New(bounds, key)
	st.Add(evidence.Sighting{
		Result: classifier.Result{Domain: "qxkzvj.com", Score: 9, Tail: 1e-5}, Client: netip.MustParseAddr("81.2.3.4"), Time: ago(time.Hour).UnixNano(),
	})
	f.commit(ledger.Batch{Rows: st.Changes()})
	if w := f.build().WhatIf; w.Clients != 1 || w.Names != 1 || w.Requests != 1 {
		t.Errorf("restored %+v", w)
	}
}

func TestAnAttackThatIsNotConfirmedIsNoReasonToEnforceAndOneThatIsDoesNotCount(t *testing.T) {
	f := newFixture(t)
	st := attacked(4000, 40, 8)
	c := f.over(st).check("false-blocks")
	if c.State != Fail || !strings.Contains(c.Value, "40 of 4,040 clients") || !strings.Contains(c.Note, "label") {
		t.Errorf("got %+v, want a failure that says what to do", c)
	}
	for n := range 8 {
		if _, err := f.ledger.Label(t.Context(), policy.Label{Name: fmt.Sprintf("qxkzv%dj.com", n), Says: policy.SaysDGA, Time: noon}); err != nil {
			t.Fatal(err)
		}
	}
	if c := f.over(st).check("false-blocks"); c.State != Pass || !strings.Contains(c.Value, "0 of 4,040 clients, at most 1 in 1,300") {
		t.Errorf("got %+v, want a pass: all are labelled", c)
	}
	if c := f.over(attacked(40, 0, 0)).check("false-blocks"); c.State != Unknown {
		t.Errorf("got %+v: 40 clients are too few to say", c)
	}
	if c := f.over(attacked(0, 0, 0)).check("false-blocks"); c.State != Unknown || c.Value != "no client was observed" {
		t.Errorf("got %+v: there is nobody", c)
	}
}

func TestItIsReadyWhenEveryRequiredCheckPasses(t *testing.T) {
	f := newFixture(t)
	for day := range 8 {
		f.commit(ledger.Batch{Hour: ago(time.Duration(day) * 24 * time.Hour), Counts: map[string]uint64{"requests": 20_000, "verdict.benign": 20_000}})
	}
	st := attacked(4000, 0, 0)
	for i := range 1000 {
		st.Add(evidence.Sighting{
			Result: classifier.Result{Domain: fmt.Sprintf("other%d.com", i), Score: -5, Tail: 0.9},
			Client: netip.AddrFrom4([4]byte{82, byte(i >> 8), byte(i), 7}), Time: ago(time.Hour).UnixNano(),
		})
	}
	r := f.over(st)
	if !r.Ready.Ready || !strings.HasPrefix(r.Ready.Answer, "Ready to enforce") {
		t.Fatalf("got %+v", r.Ready)
	}

	if _, err := f.ledger.Order(t.Context(), waf.Order{Time: ago(time.Hour), Verb: waf.OrderHold, Why: "release"}); err != nil {
		t.Fatal(err)
	}
	if err := f.ledger.Trouble(t.Context(), waf.SetNames, &waf.Trouble{Since: ago(time.Hour), Class: waf.ClassDenied, Error: "denied"}); err != nil {
		t.Fatal(err)
	}
	r = f.over(st)
	if c := r.check("held"); r.Ready.Ready || c.State != Fail || !strings.Contains(c.Value, "hold since") || !strings.Contains(c.Value, "names (regex): denied") {
		t.Errorf("got %+v, %+v", r.Ready.Answer, c)
	}
	if r.Ready.Checks[0].State != Fail || len(r.Orders) != 1 || r.Orders[0].Why != "release" || len(r.Troubles) != 1 {
		t.Errorf("first comes %+v; orders %+v; troubles %+v", r.Ready.Checks[0], r.Orders, r.Troubles)
	}
}

func TestNearMissesSayWhichRuleStoppedThem(t *testing.T) {
	f := newFixture(t)
	st := attacked(0, 1, 2)
	for range 3 { // one network is one witness
		st.Add(evidence.Sighting{
			Result: classifier.Result{Domain: "pqzwxkvj.com", Score: 9, Tail: 1e-5}, Client: netip.MustParseAddr("8.8.8.8"), Time: ago(time.Minute).UnixNano(),
		})
	}
	n := f.over(st).Near
	rules := map[string]string{}
	for _, miss := range n.List {
		rules[miss.Name+miss.Client] = miss.Rule
	}
	if rules["pqzwxkvj.com"] != string(policy.RuleNetworks) || rules["81.0.0.9/32"] != string(policy.RuleFlagged) || n.Names != 1 || n.Clients != 1 {
		t.Errorf("got %v of %+v", rules, n)
	}
}

func TestHitsHaveTheRequestsThatTheyRestOn(t *testing.T) {
	f := newFixture(t)
	seen := evidence.Sighting{
		Result: classifier.Result{Domain: "kq3v9zx7wq.com", Score: 9, Tail: 1e-5}, Client: netip.MustParseAddr("81.2.3.4"), Time: ago(time.Hour).UnixNano(),
		Example: &evidence.Example{Referer: "https://kq3v9zx7wq.com/?q", Agent: "curl/8", Path: "/login"},
	}
	f.commit(ledger.Batch{
		Hour: ago(time.Hour), Flagged: []evidence.Sighting{seen},
		Decisions: []policy.Decision{{Time: ago(time.Hour), Action: policy.Block, Hit: hit("kq3v9zx7wq.com", 1, noon.Add(time.Hour)), Why: "score"}},
	})
	h := f.build().Names.List[0]
	f.diff("examples", h.Examples, []Example{{
		Time: ago(time.Hour), Name: "kq3v9zx7wq.com", Client: "81.2.3.4", Referer: "https://kq3v9zx7wq.com/?q", Agent: "curl/8", Path: "/login",
	}})
	if h.Explanation.Form == "" || len(h.Explanation.Parts) != maxParts {
		t.Errorf("explained by %+v", h.Explanation)
	}
	f.diff("commands", h.Commands(), []string{"referee label kq3v9zx7wq.com dga", "referee label kq3v9zx7wq.com benign"})
	f.diff("no command with a name that a shell would read", Hit{Name: "a.com; rm -rf"}.Commands(), []string(nil))
	f.diff("a client's commands", Hit{Client: "8.8.8.8/32", FlaggedNames: []string{"$(x)", "k.com"}}.Commands(),
		[]string{"referee waf unblock 8.8.8.8/32", "referee label k.com dga"})
}

func TestThePlotsShowTimeWithoutGaps(t *testing.T) {
	f := newFixture(t)
	f.commit(ledger.Batch{Hour: ago(5 * time.Hour), Counts: map[string]uint64{
		"requests": 100, "verdict.dga": 2, "tail.0": 90, "tail.4": 8, "tail.9": 1, "tail.x": 1,
	}})
	f.commit(ledger.Batch{Hour: ago(2 * time.Hour), Counts: map[string]uint64{"requests": 50, "tail.0": 2}})
	s := f.build().Series
	f.diff("points", s.Points, []Point{
		{Start: ago(5 * time.Hour), Requests: 100, Flagged: 2},
		{Start: ago(4 * time.Hour)},
		{Start: ago(3 * time.Hour)},
		{Start: ago(2 * time.Hour), Requests: 50},
	})
	if s.Step != 1 || len(s.Tails) != decades || s.Tails[0].Requests != 92 || s.Tails[4].Requests != 8 || s.Tails[0].Expected != 90 {
		t.Errorf("step %d, tails %+v", s.Step, s.Tails)
	}

	f.commit(ledger.Batch{Hour: ago(5000 * time.Hour), Counts: map[string]uint64{"requests": 1}})
	r, err := Build(t.Context(), f.sources(), ago(5001*time.Hour), noon, Shadow)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(r.Series.Points); n > maxPoints || r.Series.Step < 25 {
		t.Errorf("7 months are %d points of %d h", n, r.Series.Step)
	}
}

func TestTheCSVIsNoFormulaAndReadsBack(t *testing.T) {
	r := sample()
	r.Names.List[0].Name = `=HYPERLINK("http://x")`
	r.Names.List[1].Name = "\t@SUM(A1)\u202E"
	r.Names.List[1].Reasons = []string{"-1+1", "a,b\nc"}
	var b bytes.Buffer
	if err := r.CSV(&b); err != nil {
		t.Fatal(err)
	}
	lines, err := csv.NewReader(&b).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(lines) != 1+len(r.Names.List)+len(r.Clients.List) || !slices.Equal(lines[0], csvHeader) {
		t.Fatalf("%d lines, the first %q", len(lines), lines[0])
	}
	for at, want := range map[[2]int]string{
		{1, 1}: `'=HYPERLINK("http://x")`, {2, 1}: `\t@SUM(A1)\u202e`, {2, 15}: `'-1+1 | a,b\nc`, {4, 0}: "client", {4, 1}: "2001:db8:1:2::/64", {1, 14}: "dga",
	} {
		if got := lines[at[0]][at[1]]; got != want {
			t.Errorf("line %d, column %d is %q, want %q", at[0], at[1], got, want)
		}
	}
}
