package classifier_test

import (
	"bufio"
	"compress/gzip"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"referee/classifier"
)

// withVectors skips a test where the processor, or the build, has no vector instructions.
func withVectors(tb testing.TB, n *classifier.Network) *classifier.Network {
	tb.Helper()
	if !n.Vectors() {
		tb.Skip("needs AVX2, and a build without the tag noasm")
	}
	return n
}

// packedNetwork is a random network that is ready.
func packedNetwork(tb testing.TB, filters, units int) *classifier.Network {
	tb.Helper()
	n := network(filters, units)
	if err := n.Pack(); err != nil {
		tb.Fatal(err)
	}
	return n
}

// bothScores are what a network says of a label without and with vector instructions.
func bothScores(n *classifier.Network, label string) (plain, vector float32) {
	n.SetVectors(false)
	plain = n.Score(label)
	n.SetVectors(true)
	return plain, n.Score(label)
}

func TestVectorInstructionsGiveTheSameBits(t *testing.T) {
	label := rapid.OneOf(rapid.StringMatching(`[a-z0-9-]{0,63}`), rapid.String())
	for filters := 16; filters <= classifier.MaxFilters; filters += 16 {
		units := 16 * (1 + filters/16*5%8) // each number of units once
		n := withVectors(t, packedNetwork(t, filters, units))
		rapid.Check(t, func(t *rapid.T) {
			label := label.Draw(t, "label")
			if plain, vector := bothScores(n, label); math.Float32bits(plain) != math.Float32bits(vector) {
				t.Fatalf("%q with %d filters and %d units: %v in plain Go, %v with vectors", label, filters, units, plain, vector)
			}
		})
	}
}

func TestAScoreDoesNotAllocate(t *testing.T) {
	m := load(t)
	n := classifier.NetworkOf(m)
	for _, vectors := range []bool{false, n.Vectors()} {
		n.SetVectors(vectors)
		for _, label := range []string{"google", "kq3v9zxw7", "przegladsportowy", strings.Repeat("x7", 40)} {
			scored := name(label+".com", label)
			if allocs := testing.AllocsPerRun(100, func() { m.Score(scored) }); allocs != 0 {
				t.Errorf("%s, vectors %t: %v allocations", label, vectors, allocs)
			}
		}
	}
}

func TestVectorInstructionsGiveTheSameBitsAtTheLimits(t *testing.T) {
	const filters, units = 96, 64 // all weights at their limit: the most that 32 bits hold
	for _, weight := range []int16{classifier.HiddenLimit, -classifier.HiddenLimit} {
		n := network(filters, units)
		table := 0
		for i := range 5 {
			width := classifier.KernelWidth(i)
			for range width * classifier.Characters * filters {
				n.Tables[table] = uint16(classifier.MaxSum / width)
				table++
			}
		}
		clear(n.Floors)
		for i := range n.Hidden {
			n.Hidden[i] = weight
		}
		if err := n.Pack(); err != nil {
			t.Fatal(err)
		}
		withVectors(t, n)
		for _, label := range []string{"", "a", strings.Repeat("z", classifier.MaxRead), strings.Repeat("-", 63)} {
			plain, vector := bothScores(n, label)
			if want := slowScore(n, label); plain != want || vector != want {
				t.Errorf("%q with weights of %d: %v in plain Go, %v with vectors, want %v", label, weight, plain, vector, want)
			}
		}
	}
}

func TestTheDefaultModelGivesTheSameBitsWithVectorInstructions(t *testing.T) {
	m := load(t)
	n := withVectors(t, classifier.NetworkOf(m))
	f := func(label string) {
		t.Helper()
		n.SetVectors(false)
		plain := m.Score(name(label+".com", label))
		n.SetVectors(true)
		if vector := m.Score(name(label+".com", label)); math.Float32bits(plain) != math.Float32bits(vector) {
			t.Fatalf("%q: %v in plain Go, %v with vectors", label, plain, vector)
		}
		if plain, vector := bothScores(n, label); math.Float32bits(plain) != math.Float32bits(vector) {
			t.Fatalf("%q: the network says %v in plain Go, %v with vectors", label, plain, vector)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	label := make([]byte, 63)
	for range 3000 {
		for i := range label {
			label[i] = "abcdefghijklmnopqrstuvwxyz0123456789-"[random.IntN(37)]
		}
		f(string(label[:random.IntN(64)]))
	}
	for _, label := range wellKnown {
		f(label)
	}
	for _, list := range []string{"benign_tail_com_net_org", "dga_unseen_families", "dga_known_families_unseen"} {
		eachOfCorpus(t, list, 3000, func(_, label string) { f(label) })
	}
}

func FuzzVectorInstructionsGiveTheSameBits(f *testing.F) {
	n := withVectors(f, classifier.NetworkOf(load(f)))
	small := packedNetwork(f, 48, 80)
	for _, label := range []string{"", "google", "kq3v9zxw7", "xn--mgbh0fb", strings.Repeat("a", 63), "\x00\xff.", "A-_%"} {
		f.Add(label)
	}
	f.Fuzz(func(t *testing.T, label string) {
		for _, n := range []*classifier.Network{n, small} {
			if plain, vector := bothScores(n, label); math.Float32bits(plain) != math.Float32bits(vector) {
				t.Fatalf("%q: %v in plain Go, %v with vectors", label, plain, vector)
			}
		}
	})
}

// eachOfCorpus calls yield with the first names of a list beside the checkout, where there is one.
func eachOfCorpus(tb testing.TB, list string, most int, yield func(domain, label string)) {
	tb.Helper()
	file, err := os.Open("../../shared/corpora/dev/" + list + ".tsv.gz")
	if err != nil {
		tb.Logf("without the corpora: %v", err)
		return
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		tb.Fatal(err)
	}
	n := 0
	for lines := bufio.NewScanner(unzipped); lines.Scan() && n < most; n++ {
		domain, _, _ := strings.Cut(lines.Text(), "\t")
		label, _, _ := strings.Cut(domain, ".")
		yield(domain, label)
	}
}
