package classifier_test

import (
	"bufio"
	"compress/gzip"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"referee/classifier"
	"referee/features"
)

func TestNamesSpreadAsTheCalibrationHaveNoDrift(t *testing.T) {
	draw := rand.New(rand.NewPCG(1, 2))
	const n, rounds = 1000, 2000
	sum, most := 0.0, 0.0
	for range rounds {
		var c classifier.TailCounts
		for range n {
			c[classifier.TailBin(1-draw.Float32())]++
		}
		sum, most = sum+c.PSI(), max(most, c.PSI())
	}
	// Chance alone gives (bins−1)/n on average, and in 2,000 rounds never what is read as a change.
	if mean, want := sum/rounds, 10.0/n; math.Abs(mean-want) > 0.1*want {
		t.Errorf("the mean PSI of %d rounds of %d names is %.4f, want about %.4f", rounds, n, mean, want)
	}
	if most > 0.1 {
		t.Errorf("chance alone reached %.3f", most)
	}
}

func TestPSIIsTheSumOverTheBins(t *testing.T) {
	// Two thirds of the names in the lower half of scores and one third in the upper, spread evenly within each: by hand
	// (2/3−0.5)·ln(4/3) + (1/3−0.5)·ln(2/3) = 0.1155, but for the 0.001 that is left out.
	var c classifier.TailCounts
	for tail := 0.00005; tail < 1; tail += 0.0001 {
		c[classifier.TailBin(float32(tail))]++
		if tail > 0.5 {
			c[classifier.TailBin(float32(tail))]++
		}
	}
	if got := c.PSI(); math.Abs(got-0.1155) > 0.001 {
		t.Errorf("the PSI is %.4f, want 0.1155", got)
	}
	var none classifier.TailCounts
	if none.PSI() != 0 || none.Head() != 1 || none.Names() != 0 {
		t.Errorf("of no names the PSI is %v, the head %v of %d names", none.PSI(), none.Head(), none.Names())
	}
	var flood classifier.TailCounts
	flood[0], flood[1] = 1_000_000, 100 // an attack, and names in one bin alone
	if got := flood.PSI(); math.IsInf(got, 0) || got < 1 {
		t.Errorf("all names in one bin: a PSI of %v", got)
	}
	if flood.Names() != 100 {
		t.Errorf("%d names are compared, want the 100 above 0.001", flood.Names())
	}
}

func TestTailsFallIntoTheirBins(t *testing.T) {
	f := func(tail float32, want int) {
		t.Helper()
		if got := classifier.TailBin(tail); got != want {
			t.Errorf("TailBin(%v) = %d, want %d", tail, got, want)
		}
	}
	f(1e-6, 0)
	f(1e-3, 0)
	f(1.1e-3, 1)
	f(0.01, 1)
	f(0.05, 2)
	f(0.1, 2)
	f(0.95, 11)
	f(1, 11)
	total := 0.0
	for _, b := range new(classifier.TailCounts).Bins() {
		total += b.Expected
	}
	if math.Abs(total-1) > 1e-6 {
		t.Errorf("the expected shares add up to %v", total)
	}
}

// The default model's calibration speaks for ordinary names and not for US towns, whose names are the hardest there are.
func TestDriftTellsAnAudienceThatTheDefaultModelIsNotCalibratedFor(t *testing.T) {
	m, err := classifier.Default()
	if err != nil {
		t.Fatal(err)
	}
	f := func(list string, is func(psi float64) bool) {
		t.Helper()
		c := countTails(t, m, "../../shared/corpora/dev/"+list+".tsv.gz")
		top := float64(c[0]) / float64(c[0]+c.Names()) / 0.001
		t.Logf("%-30s n = %6d, PSI %.3f, head %.1f, at 0.001 or less %.1f times as many as expected (%d names)", list, c.Names(), c.PSI(), c.Head(), top, c[0])
		if !is(c.PSI()) {
			t.Errorf("%s: a PSI of %.3f", list, c.PSI())
		}
	}
	ordinary := func(psi float64) bool { return psi < 0.1 }
	f("benign_stable_multi_year", ordinary)
	f("benign_tail_com_net_org", ordinary)
	f("benign_tail_fr_2017", ordinary)
	f("hard_adtech", ordinary)
	f("hard_chinese", ordinary)
	f("benign_gov_edu", func(psi float64) bool { return psi > 0.25 })
	f("dga_unseen_families", func(psi float64) bool { return psi > 1 })
}

func countTails(t *testing.T, m *classifier.Model, path string) (c classifier.TailCounts) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Skipf("the development lists are not here: %v", err)
	}
	defer file.Close()
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	var parser features.Parser
	seen := map[string]bool{}
	for lines := bufio.NewScanner(unpacked); lines.Scan(); {
		domain, _, _ := strings.Cut(lines.Text(), "\t")
		name, reason := parser.Bare([]byte(domain))
		if reason != features.Named || seen[name.Domain] {
			continue
		}
		r := m.Judge(name)
		if seen[r.Domain] = true; !r.Abstain {
			c[classifier.TailBin(r.Tail)]++
		}
	}
	return c
}
