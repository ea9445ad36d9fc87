package simulation

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"referee/classifier"
	"referee/evidence"
	"referee/policy"

	"github.com/google/go-cmp/cmp"
)

func names(pattern string, n int, tail func(i int) float32) []Scored {
	all := make([]Scored, n)
	for i := range all {
		all[i].Result = classifier.Result{Domain: fmt.Sprintf(pattern, i), Score: 5, Tail: tail(i)}
	}
	return all
}

// small is a world of clean people, of whose names one in a hundred is flagged, and of generators of which the model finds all
// or three quarters.
func small(t *testing.T) (World, Settings) {
	t.Helper()
	m, err := classifier.Default()
	if err != nil {
		t.Fatal(err)
	}
	p, err := policy.New(policy.Config{
		Confidence: classifier.Balanced,
		Name:       policy.NameRule{MinNetworks: 2, MinSightings: 3, MinSuspects: 2, MaxReaders: 5, Crowd: 20, TTL: 168 * time.Hour},
		Client:     policy.ClientRule{MinFlagged: 3, MinShare: 0.5, Alpha: 1e-6, Beta: 0.05, TTL: 24 * time.Hour},
		Cohort:     policy.CohortRule{MinFlagged: 10, MinClients: 5},
	}, m)
	if err != nil {
		t.Fatal(err)
	}
	oneIn := func(k int) func(int) float32 {
		return func(i int) float32 {
			if i%k == 0 {
				return 5e-6
			}
			return 0.4
		}
	}
	found := func(i int) float32 { return []float32{5e-6, 5e-6, 5e-5, 0.02}[i%4] }
	w := World{
		People: []Source{
			{"benign_stable_multi_year", names("shop%d.com", 3000, oneIn(100))},
			{"hard_adtech", names("ads%d.net", 500, oneIn(20))},
		},
		Groups: []Group{{"known random", []Source{
			{"all", names("kq%dv9z.com", 2000, func(int) float32 { return 5e-6 })},
			{"three in four", names("xw%dz7q.com", 2000, found)},
		}}},
	}
	return w, Settings{
		Policy: p, Seed: 7, Clients: clientsOfADay, Families: 2, Runs: 1,
		Evidence: evidence.Config{Window: 24 * time.Hour, MaxNames: 20_000, MaxClients: 100_000, MaxCohorts: 5000, Interest: 0.01},
	}
}

func quiet(int, int) {}

func TestEqualSeedsPlayEqualTraffic(t *testing.T) {
	w, s := small(t)
	s.Runs = 1
	play := func() (Errors, []Curve) {
		errs, err := Measure(context.Background(), w, s, "balanced", quiet)
		if err != nil {
			t.Fatal(err)
		}
		curves, err := Curves(context.Background(), w, s, quiet)
		if err != nil {
			t.Fatal(err)
		}
		return errs, curves
	}
	firstErrors, firstCurves := play()
	errs, curves := play()
	if d := cmp.Diff(firstErrors, errs) + cmp.Diff(firstCurves, curves); d != "" {
		t.Error(d)
	}
	all := errs.All()
	if all.Clients != clientsOfADay || all.AnyFlagged == 0 || all.Names == 0 || all.Requests < all.Clients {
		t.Errorf("nothing was played: %+v", all)
	}
	if all.ByClient > 0 || all.ByName > 0 {
		t.Errorf("people were blocked: %+v", all)
	}
}

func TestAClientWithGeneratedNamesIsCaughtByItsTenth(t *testing.T) {
	w, s := small(t)
	curves, err := Curves(context.Background(), w, s, quiet)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range curves {
		if c.Caught[9] < 0.95 || c.Caught[2] > 0 {
			t.Errorf("%s: %.3f by the third, %.3f by the tenth", c.Group, c.Caught[2], c.Caught[9])
		}
	}
}

func TestAttacksAreSeenAndPeopleBesideThemAreNotBlocked(t *testing.T) {
	w, s := small(t)
	s.Families = 1
	all, err := Detect(context.Background(), w, s, quiet)
	if err != nil {
		t.Fatal(err)
	}
	f := func(attack string, least float64) {
		t.Helper()
		for _, d := range all {
			if d.Attack != attack {
				continue
			}
			if d.Clients < least || least > 0 && d.Median == 0 {
				t.Errorf("%s: %.2f of the clients after %s", attack, d.Clients, d.Median)
			}
			if d.PeopleBlocked > 0 {
				t.Errorf("%s: %d people blocked", attack, d.PeopleBlocked)
			}
			return
		}
		t.Errorf("%s was not played", attack)
	}
	f("many names, few clients", 0.9)
	f("few names, many clients", 0.9)
	f("one request per client", 0.9)
	f("flood of clients and names", 0.5)
	f("one name, many clients", 0)
}

func TestAPoisonedNameIsNotBlocked(t *testing.T) {
	w, s := small(t)
	victim := w.People[0].Names[1] // not flagged
	if out := poisoned(w, s, &victim, 20, 1); out.Blocked+out.ReadersBlocked > 0 || out.Readers == 0 {
		t.Errorf("a name that is not flagged: %+v", out)
	}
	victim = w.People[0].Names[0]
	if out := poisoned(w, s, &victim, 100, 2); out.Blocked+out.ReadersBlocked > 0 {
		t.Errorf("a flagged name with readers: %+v", out)
	}
}

func TestTheUpperBoundIsThatOfClopperAndPearson(t *testing.T) {
	f := func(k, n int, want float64) {
		t.Helper()
		if got := Upper(k, n); math.Abs(got-want) > want/1000 {
			t.Errorf("%d of %d: %v, want %v", k, n, got, want)
		}
	}
	f(0, 3_000_000, 9.986e-7) // the rule of three
	f(0, 10, 0.2589)
	f(5, 100, 0.1023)
	f(3, 3, 1)
}

func TestAnInterruptedSimulationSaysSo(t *testing.T) {
	w, s := small(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Measure(ctx, w, s, "balanced", quiet); err == nil {
		t.Error("it went on")
	}
}

func TestThePageHoldsWhatWasMeasured(t *testing.T) {
	r := Result{
		Model: "0123456789ab", Confidence: "balanced", TPR: 0.756,
		Errors: []Errors{{Confidence: "balanced", Rows: []ErrorRow{{Audience: "all", Clients: 3_000_000, AnyFlagged: 30_000}}}},
		Curves: []Curve{{Group: "known random", Caught: make([]float64, curveNames)}},
	}
	var b bytes.Buffer
	if err := r.Markdown(&b, "plots"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| all | 3,000,000 | 1 in 100 | 0 | 1 in 1,000,000 |", "75.6 %", "plots/errors.svg", "visitors 0"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, &b)
		}
	}
	for _, plot := range []func() ([]byte, error){r.ErrorsPlot, r.DetectionPlot} {
		if svg, err := plot(); err != nil || !bytes.Contains(svg, []byte("<svg")) {
			t.Errorf("%v: %.40s", err, svg)
		}
	}
}
