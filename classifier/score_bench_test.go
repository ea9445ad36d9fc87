//go:build unix

package classifier_test

import (
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
	network := classifier.NetworkOf(m)
	vectors := network.Vectors()
	score := func(n features.Name) { m.Score(n) }
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

// BenchmarkScoreThroughEveryStage is of generated names, which no stage clears.
func BenchmarkScoreThroughEveryStage(b *testing.B) {
	m := load(b)
	var names []features.Name
	for _, label := range []string{"kq3v9zxw7", "xjwqpzkvbn", "a8f3c9e1d7b2", "qzvkxwjtrplm", "wuvyhtqkzrb", "ghxvqpwzkcmtj"} {
		if m.Cleared(label) {
			b.Fatalf("%s is cleared", label)
		}
		names = append(names, name(label+".com", label))
	}
	bothWays(b, names)
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
