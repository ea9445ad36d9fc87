package sidecar

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"referee/classifier"
	"referee/evidence"
	"referee/ledger"
	"referee/policy"
)

// evenly are n distinct names whose tails are spread as the calibration's.
func evenly(from, n int) []evidence.Sighting {
	all := make([]evidence.Sighting, n)
	for i := range all {
		all[i] = unseen(fmt.Sprintf("bakkerij-%d.com", from+i))
		all[i].Result.Tail = float32(i+1) / float32(n)
	}
	return all
}

// noon is when the tests of drift begin.
var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func testDrift(t testing.TB) (*drift, *judging, *Sidecar) {
	t.Helper()
	s, err := New(t.Context(), testConfig(""), slog.New(slog.DiscardHandler), func() time.Time { return noon })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.closeListeners(); err != nil {
			t.Error(err)
		}
		if err := s.ledger.Close(); err != nil {
			t.Error(err)
		}
	})
	return s.keeper.drift, s.judging.Load(), s
}

func TestDriftCountsEachNameOnceADay(t *testing.T) {
	d, j, _ := testDrift(t)
	counts := map[string]uint64{}
	f := func(after time.Duration, want uint64) {
		t.Helper()
		d.turn(noon.Add(after))
		d.take(counts)
		d.tell(0, nil)
		if got := d.state.Load().Names; got != want {
			t.Errorf("after %v %d names are in the window, want %d", after, got, want)
		}
	}
	names := evenly(0, 999)
	d.add(names, j, nil, noon)
	d.add(names, j, nil, noon.Add(time.Hour))
	f(time.Hour, 999)
	d.add(names, j, nil, noon.Add(23*time.Hour))
	f(23*time.Hour, 999)
	f(24*time.Hour, 0)
	d.add(names, j, nil, noon.Add(24*time.Hour))
	f(24*time.Hour, 999)
	total := uint64(0)
	for bin := range classifier.TailBins {
		total += counts[ledger.DriftCount(j.id(live), bin)]
	}
	if total != 2*999 {
		t.Errorf("the ledger is given %d names of two days, want %d", total, 2*999)
	}
}

func TestDriftLooksAtNothingThatAnAttackBrings(t *testing.T) {
	d, j, _ := testDrift(t)
	attacker := netip.MustParseAddr("203.0.113.9")
	hits := policy.NewHits([]policy.Hit{
		{Kind: policy.KindName, Domain: "kq3v9z.com"},
		{Kind: policy.KindClient, Client: netip.PrefixFrom(attacker, 32)},
	})
	sent := evenly(0, 5)
	sent[0].Exempt, sent[1].Labelled, sent[2].Result.Abstain, sent[3].Client = true, true, true, attacker
	sent[4].Result.Domain = "kq3v9z.com"
	d.add(append(sent, evidence.Sighting{Session: true}), j, hits, noon)
	if d.fresh.Names() != 0 || len(d.counted) != 0 {
		t.Errorf("counted: %v", d.fresh)
	}
	d.add(sent[:1], j, nil, noon)
	sent[3].Client = netip.MustParseAddr("203.0.113.10")
	if d.add(sent, j, hits, noon); d.fresh.Names() != 1 {
		t.Errorf("%d names of others are counted, want 1", d.fresh.Names())
	}
}

func TestDriftIsToldOnceThereAreEnoughNamesAndUntilItIsOver(t *testing.T) {
	d, j, s := testDrift(t)
	f := func(psi float64, raised bool) {
		t.Helper()
		d.take(map[string]uint64{})
		d.tell(0.25, s.alerts)
		page := d.state.Load()
		got := math.NaN()
		if page.PSI != nil {
			got = *page.PSI
		}
		if math.IsNaN(got) != math.IsNaN(psi) || math.Abs(got-psi) > 0.02 {
			t.Errorf("the PSI is %v, want %v (%d names)", got, psi, page.Names)
		}
		if d.raised != raised {
			t.Errorf("raised is %v, want %v", d.raised, raised)
		}
	}
	d.add(evenly(0, 900), j, nil, noon)
	f(math.NaN(), false)
	d.add(evenly(900, 3100), j, nil, noon)
	f(0, false)
	many := evenly(10_000, 1600)
	for i := range many {
		many[i].Result.Tail = 0.005
	}
	d.add(many[:800], j, nil, noon)
	f(0.52, true)
	d.add(evenly(20_000, 4000), j, nil, noon)
	f(0.22, true) // told at 0.25, over below 0.2
	d.add(evenly(30_000, 3000), j, nil, noon)
	f(0.15, false)

	other := *j
	other.cache = classifier.NewCache(ramp(t, 1), 100)
	d.add(many, &other, nil, noon) // may be what the model before judged
	f(math.NaN(), false)
}

func TestDriftIsBoundedByAFairShareOfTheNames(t *testing.T) {
	d, j, _ := testDrift(t)
	for from := 0; from < 4*driftKept; from += 10_000 {
		d.add(evenly(from, 10_000), j, nil, noon)
	}
	if n := len(d.counted); n > driftKept || n < driftKept/4 {
		t.Errorf("%d names are kept, want at most %d and not much less", n, driftKept)
	}
	if psi := d.fresh.PSI(); psi > 0.001 {
		t.Errorf("a PSI of %.4f: the share is not fair", psi)
	}
	d.turn(noon.Add(25 * time.Hour))
	d.turn(noon.Add(26 * time.Hour))
	if d.turn(noon.Add(27 * time.Hour)); d.sparse != 0 {
		t.Errorf("when the flood is over, names with the bits %b are still left out", d.sparse)
	}
}

func TestDriftIsAnAlertAMetricAndOnTheModelPageAndOutlivesARestart(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.Model.Drift = 0.25
	cfg.Evidence.Queue = 10_000 // all of them may come between two drains
	ctx, stop := context.WithCancel(context.Background())
	log := &logged{}
	s, err := New(ctx, cfg, slog.New(slog.NewTextHandler(log, nil)), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	var many strings.Builder
	for i := range 1200 { // all alike, so that they fall into few bins
		fmt.Fprintf(&many, "https://townof%cseneca%cwood.com/\n", 'a'+i%26, 'a'+i/26%26)
		fmt.Fprintf(&many, "https://cityof%clake%cfield%c.com/\n", 'a'+i%26, 'a'+i/26%26, 'a'+i%26)
	}
	for referer := range strings.Lines(many.String()) {
		verdict(t, s, strings.TrimSpace(referer))
	}
	show := func(s *Sidecar) (psi, names float64) {
		page := struct {
			Drift struct{ PSI, Names float64 }
		}{}
		_, body := get(t, "http://"+s.Addresses()["admin"]+"/model")
		if err := json.Unmarshal([]byte(body), &page); err != nil {
			t.Fatal(err)
		}
		return page.Drift.PSI, page.Drift.Names
	}
	waitFor(t, "an alert tells of drift", func() bool { return strings.Contains(log.String(), "kind=drift") })
	psi, names := show(s)
	if psi < 0.25 || names < 1000 {
		t.Errorf("/model says a PSI of %v over %v names", psi, names)
	}
	_, metrics := get(t, "http://"+s.Addresses()["health"]+"/metrics")
	if !strings.Contains(metrics, "\nreferee_model_drift_psi ") || strings.Contains(metrics, "referee_model_drift_psi NaN") {
		t.Error("no metric tells the PSI")
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
	again, _ := start(t, cfg)
	waitFor(t, "it is known after a restart", func() bool { _, n := show(again); return n >= names })
}

// BenchmarkDrift is what the background pays for a sighting.
func BenchmarkDrift(b *testing.B) {
	d, j, _ := testDrift(b)
	names := evenly(0, 10_000)
	for b.Loop() {
		d.add(names, j, nil, noon)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(names)), "ns/sighting")
}
