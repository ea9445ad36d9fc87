package classifier_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"referee/classifier"
)

// network is a random one: every sum up to its limits may occur.
func network(filters, units int) *classifier.Network {
	random := rand.New(rand.NewPCG(uint64(filters), uint64(units)))
	n := &classifier.Network{Filters: filters, Units: units, Scale: 1e-12, OutBias: -12345}
	for i := range 5 {
		width := classifier.KernelWidth(i)
		for range width * classifier.Characters * filters {
			n.Tables = append(n.Tables, uint16(random.IntN(classifier.MaxSum/width+1)))
		}
		for range filters {
			n.Floors = append(n.Floors, uint16(random.IntN(classifier.MaxSum+1)))
		}
	}
	for range 5 * filters * units {
		n.Hidden = append(n.Hidden, int16(random.IntN(2*classifier.HiddenLimit+1)-classifier.HiddenLimit))
	}
	for range units {
		n.Bias = append(n.Bias, int32(random.IntN(1<<20)-1<<19))
		n.Out = append(n.Out, int16(random.IntN(1<<16)-1<<15))
	}
	return n
}

// slowScore is the network as it is defined, one number after the other.
func slowScore(n *classifier.Network, label string) float32 {
	var text [classifier.MaxCodes]uint8
	length := classifier.Codes(&text, label)
	units := make([]int64, n.Units)
	table := 0
	for i := range 5 {
		width := classifier.KernelWidth(i)
		for f := range n.Filters {
			floor := int64(n.Floors[i*n.Filters+f])
			top := floor
			for p := classifier.Padding - width + 1; p < classifier.Padding+length; p++ {
				sum := int64(0)
				for o := range width {
					sum += int64(n.Tables[table+(o*classifier.Characters+int(text[p+o]))*n.Filters+f])
				}
				top = max(top, sum)
			}
			for j := range units {
				units[j] += (top - floor) >> classifier.ActShift * int64(n.Hidden[(i*n.Filters+f)*n.Units+j])
			}
		}
		table += width * classifier.Characters * n.Filters
	}
	total := n.OutBias
	for j, u := range units {
		total += max(0, u+int64(n.Bias[j])) * int64(n.Out[j])
	}
	return float32(total) * n.Scale
}

func TestSumsOfSeveralLanesAreThoseOfOneNumberAfterTheOther(t *testing.T) {
	for _, size := range [][2]int{{16, 16}, {32, 48}, {64, 64}, {96, 128}, {128, 64}} {
		n := packedNetwork(t, size[0], size[1])
		for _, vectors := range []bool{false, n.Vectors()} {
			n.SetVectors(vectors)
			rapid.Check(t, func(t *rapid.T) {
				label := rapid.OneOf(rapid.StringMatching(`[a-z0-9-]{0,63}`), rapid.String()).Draw(t, "label")
				if got, want := n.Score(label), slowScore(n, label); got != want {
					t.Fatalf("%q with %d filters and %d units, vectors %t: %v, want %v", label, size[0], size[1], vectors, got, want)
				}
			})
			if allocs := testing.AllocsPerRun(100, func() { n.Score("kq3v9zxw7") }); allocs != 0 {
				t.Errorf("%v allocations", allocs)
			}
		}
	}
}

func twoStages() classifier.Parts {
	p := parts()
	p.Network = network(32, 16)
	p.Stages = classifier.Stages{Share: 0.5, Exit: 2, Top: 3}
	return p
}

func TestAModelOfTwoStagesReadsBackAsItWasMade(t *testing.T) {
	p := twoStages()
	m, err := classifier.Parse(encode(t, p))
	if err != nil {
		t.Fatal(err)
	}
	cascade := classifier.Cascade{Linear: p.Linear, Network: p.Network, Stages: p.Stages}
	cleared := 0
	for _, label := range []string{"", "a", "google", "wikipedia", "kq3v9z", "eeeeee", "qqqqqq", strings.Repeat("z", 63)} {
		got := m.Score(name(label+".com", label))
		if want := cascade.Score(label); got != want {
			t.Errorf("%q: %v, want %v", label, got, want)
		}
		if m.Cleared(label) {
			cleared++
			if got >= p.Stages.Top {
				t.Errorf("%q was cleared and scores %v, not below %v", label, got, p.Stages.Top)
			}
		} else if want := 0.5*p.Linear.Score(label) + 0.5*p.Network.Score(label); got != want {
			t.Errorf("%q: %v, want the mean %v", label, got, want)
		}
	}
	if cleared == 0 || cleared == 8 {
		t.Errorf("%d of 8 labels were cleared: the test shows one way alone", cleared)
	}
}

func TestTheHigherOfBothHeadsCountsAndIsExplained(t *testing.T) {
	p := twoStages()
	words := p.Linear
	words.Long = true
	words.Weights = slices.Clone(words.Weights)
	slices.Reverse(words.Weights)
	p.Words = &words
	p.Stages.WordScale, p.Stages.WordShift = 1.5, -4
	m, err := classifier.Parse(encode(t, p))
	if err != nil {
		t.Fatal(err)
	}
	first := classifier.Cascade{Linear: p.Linear, Network: p.Network, Stages: p.Stages}
	higher := 0
	rapid.Check(t, func(t *rapid.T) {
		label := rapid.StringMatching(`[a-z0-9-]{1,63}`).Draw(t, "label")
		want := first.Score(label)
		if second := 1.5*words.Score(label) - 4; len(label) >= classifier.MinWords && second > want {
			want = second
			higher++
		}
		if got := m.Score(name(label+".com", label)); math.Abs(float64(got-want)) > 1e-5 {
			t.Fatalf("%q: %v, want %v", label, got, want)
		}
		e := m.Explain(name(label+".com", label))
		sum := float64(e.Base)
		for _, part := range e.Parts {
			sum += float64(part.Effect)
		}
		if math.Abs(sum-float64(e.Score)) > 1e-3 {
			t.Fatalf("%q: parts add up to %v, the score is %v", label, sum, e.Score)
		}
	})
	if higher == 0 {
		t.Error("the second head was never higher: the test shows one way alone")
	}
}

func TestNoConfidenceFlagsWhatTheFirstStageClears(t *testing.T) {
	p := twoStages()
	p.Stages.Top = 30 // 40 % of the calibration scores are higher
	m, err := classifier.Parse(encode(t, p))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Threshold(0.45); err == nil || !strings.Contains(err.Error(), "first stage clears") {
		t.Errorf("a tail of 0.45 gives %v", err)
	}
	if threshold, err := m.Threshold(0.1); err != nil || threshold <= p.Stages.Top {
		t.Errorf("a tail of 0.1: %v, %v", threshold, err)
	}
}

func TestANetworkWhoseSumsCouldOverflowIsRefused(t *testing.T) {
	f := func(want string, change func(n *classifier.Network)) {
		t.Helper()
		p := twoStages()
		change(p.Network)
		if _, err := classifier.Encode(p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want an error with %q", err, want)
		}
	}
	f("33 filters", func(n *classifier.Network) { n.Filters = 33 })
	f("17 units", func(n *classifier.Network) { n.Units = 17 })
	f("other sizes", func(n *classifier.Network) { n.Tables = n.Tables[1:] })
	f("sums up to", func(n *classifier.Network) { n.Tables[0] = classifier.MaxSum })
	f("floor", func(n *classifier.Network) { n.Floors[0] = classifier.MaxSum + 1 })
	f("too many for 32 bits", func(n *classifier.Network) {
		*n = *network(classifier.MaxFilters, 16)
		for i := range n.Hidden {
			n.Hidden[i] = classifier.HiddenLimit
		}
	})
	f("hidden weight", func(n *classifier.Network) { n.Hidden[3] = -classifier.HiddenLimit - 1 })
	f("bias", func(n *classifier.Network) { n.Bias[0] = 1<<30 + 1 })
	f("scale", func(n *classifier.Network) { n.Scale = 0 })
}
