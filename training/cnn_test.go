package training

import (
	"context"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func smallNetwork() NetworkSchedule {
	return NetworkSchedule{Seed: 3, Filters: 32, Dense: 16, Dropout: 0.2, Epochs: 3, Rate: 5e-3, Batch: 32}
}

func TestTheNetworksGradientsAreThoseOfItsLoss(t *testing.T) {
	s := smallNetwork()
	s.Dropout = 0
	n := newNetwork(s)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range n.weights {
		n.weights[i] += float32(random.NormFloat64() * 0.05)
	}
	batch := []example{{"kq3v9z", true}, {"wikipedia", false}, {"a", false}, {"a-very-long-label-that-goes-on-beyond-what-is-read", true}}
	loss := func() (sum float64) {
		for _, e := range batch {
			z := float64(n.score(e.label))
			if e.generated {
				z = -z
			}
			sum += math.Log1p(math.Exp(z))
		}
		return sum
	}
	n.shards[0].learn(batch, 1)
	const h = 1e-3
	checked := 0
	for range 4000 {
		i := random.IntN(len(n.weights))
		want := n.shards[0].gradients[i]
		if want == 0 {
			continue
		}
		was := n.weights[i]
		n.weights[i] = was + h
		up := loss()
		n.weights[i] = was - h
		down := loss()
		n.weights[i] = was
		got := (up - down) / (2 * h)
		if math.Abs(got-float64(want)) > 2e-2*math.Max(0.05, math.Abs(got)) {
			t.Errorf("weight %d: gradient %v, the loss says %v", i, want, got)
		}
		checked++
	}
	if checked < 50 {
		t.Fatalf("only %d gradients were not zero", checked)
	}
}

func trainSmallNetwork(t *testing.T, l loops) *network {
	n := newNetwork(smallNetwork())
	n.loops = l
	benign := []string{"wikipedia", "example", "newyorktimes", "bakery", "gardening", "football", "weather", "library"}
	var families [][]string
	random := rand.New(rand.NewPCG(7, 7))
	for range 3 {
		var names []string
		for range 200 {
			name := make([]byte, 12)
			for i := range name {
				name[i] = "abcdefghijklmnopqrstuvwxyz0123456789"[random.IntN(36)]
			}
			names = append(names, string(name))
		}
		families = append(families, names)
	}
	var many []string
	for i := range 400 {
		many = append(many, benign[i%8]+benign[(i/8)%8])
	}
	if err := n.train(context.Background(), many, families, func(int, int) {}); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestTheNetworkIsTheSameWhateverGOMAXPROCS(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	one := trainSmallNetwork(t, fastLoops())
	runtime.GOMAXPROCS(4)
	four := trainSmallNetwork(t, fastLoops())
	if diff := cmp.Diff(one.weights, four.weights); diff != "" {
		t.Error(diff)
	}
	if one.score("qzx8v3kwp1") < one.score("wikipediabakery")+2 {
		t.Errorf("it has not learned: %v for a random name, %v for a benign one", one.score("qzx8v3kwp1"), one.score("wikipediabakery"))
	}
}

func TestRoundingTheNetworkToIntegersHardlyMovesAScore(t *testing.T) {
	n := trainSmallNetwork(t, fastLoops())
	q, err := n.quantise()
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(5, 5))
	for range 2000 {
		label := make([]byte, random.IntN(64))
		for i := range label {
			label[i] = "abcdefghijklmnopqrstuvwxyz0123456789-_"[random.IntN(38)]
		}
		want, got := n.score(string(label)), q.Score(string(label))
		if math.Abs(float64(want-got)) > 0.05 {
			t.Errorf("%q: %v in floating point, %v in integers", label, want, got)
		}
	}
}

func TestTheNetworkIsTheSameWithAndWithoutAssembly(t *testing.T) {
	fast := trainSmallNetwork(t, fastLoops())
	plain := trainSmallNetwork(t, plainLoops())
	if diff := cmp.Diff(plain.weights, fast.weights); diff != "" {
		t.Error(diff)
	}
}
