//go:build unix

package classifier_test

import (
	"fmt"
	"net/url"
	"os"
	"syscall"
	"testing"

	"referee/classifier"
	"referee/features"
)

// The times of a score, in plain Go and with vector instructions, beside yardsticks. On a shared machine read cpu-ns/op,
// the processor's time: ns/op has the waiting for it, too.

// timed calls f with one name after the other.
func timed(b *testing.B, names []features.Name, f func(features.Name)) {
	b.Helper()
	b.ReportAllocs()
	i, start := 0, processorTime(b)
	for b.Loop() {
		f(names[i%len(names)])
		i++
	}
	b.ReportMetric(float64(processorTime(b)-start)/float64(b.N), "cpu-ns/op")
}

func processorTime(b *testing.B) int64 {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}

// bothWays times the default model.
func bothWays(b *testing.B, names []features.Name) {
	b.Helper()
	m := load(b)
	eachWay(b, classifier.NetworkOf(m), names, func(n features.Name) { m.Score(n) })
}

// eachWay times what reads a network.
func eachWay(b *testing.B, network *classifier.Network, names []features.Name, score func(features.Name)) {
	b.Helper()
	vectors := network.Vectors()
	b.Run("plain", func(b *testing.B) {
		network.SetVectors(false)
		timed(b, names, score)
	})
	b.Run("vector", func(b *testing.B) {
		network.SetVectors(vectors)
		withVectors(b, network)
		timed(b, names, score)
	})
}

// listed are names of a list beside the checkout, so many that neither the model's tables nor the branches stay warm.
func listed(b *testing.B, list string) []features.Name {
	b.Helper()
	var names []features.Name
	eachOfCorpus(b, list, 20_000, func(domain, label string) { names = append(names, name(domain, label)) })
	if len(names) == 0 {
		b.Skip("needs the corpora")
	}
	return names
}

// These are names of a zone walk, of which one in seven goes through every stage.
func BenchmarkScoreOfNewBenignNames(b *testing.B) { bothWays(b, listed(b, "benign_tail_com_net_org")) }

func BenchmarkScoreOfNewPopularNames(b *testing.B) {
	bothWays(b, listed(b, "benign_stable_multi_year"))
}

func BenchmarkScoreOfWellKnownNames(b *testing.B) { bothWays(b, benignNames()) }

// generated are names that no stage clears.
func generated(b *testing.B) (names []features.Name) {
	b.Helper()
	m := load(b)
	for _, label := range []string{"kq3v9zxw7", "xjwqpzkvbn", "a8f3c9e1d7b2", "qzvkxwjtrplm", "wuvyhtqkzrb", "ghxvqpwzkcmtj"} {
		if m.Cleared(label) {
			b.Fatalf("%s is cleared", label)
		}
		names = append(names, name(label+".com", label))
	}
	return names
}

func BenchmarkScoreThroughEveryStage(b *testing.B) { bothWays(b, generated(b)) }

// BenchmarkNetworkOfSize says what a wider network would cost. Of a random one about as many filters are above their floors
// as of a trained one.
func BenchmarkNetworkOfSize(b *testing.B) {
	names := generated(b)
	for _, size := range [][2]int{{64, 64}, {96, 64}, {96, 128}, {128, 64}, {128, 128}} {
		b.Run(fmt.Sprintf("%dx%d", size[0], size[1]), func(b *testing.B) {
			n := packedNetwork(b, size[0], size[1])
			eachWay(b, n, names, func(name features.Name) { n.Score(name.Label) })
		})
	}
}

// BenchmarkYardstickRegressionAlone is what the n-gram regression takes by itself: stages and heads come on top.
func BenchmarkYardstickRegressionAlone(b *testing.B) {
	regression, _ := load(b).Alone()
	timed(b, listed(b, "benign_tail_com_net_org"), func(n features.Name) { regression(n.Label) })
}

// BenchmarkYardstickURLParse is what the standard library takes to parse the same names as URLs.
func BenchmarkYardstickURLParse(b *testing.B) {
	names := listed(b, "benign_tail_com_net_org")
	for i := range names {
		names[i].Host = "https://www." + names[i].Domain + "/"
	}
	timed(b, names, func(n features.Name) {
		if _, err := url.Parse(n.Host); err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkParseOfTheModelFile(b *testing.B) {
	data, err := os.ReadFile("default.model")
	if err != nil {
		b.Fatal(err)
	}
	timed(b, []features.Name{{}}, func(features.Name) {
		if _, err := classifier.Parse(data); err != nil {
			b.Fatal(err)
		}
	})
}
