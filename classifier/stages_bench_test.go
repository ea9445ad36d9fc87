package classifier_test

import (
	"testing"

	"referee/features"
)

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
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		m.Score(names[i%len(names)])
		i++
	}
}

// BenchmarkScoreByTheRegressionAlone is the yardstick of what stages and heads add.
func BenchmarkScoreByTheRegressionAlone(b *testing.B) {
	regression, _ := load(b).Alone()
	names := corpusNames(b)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		regression(names[i%len(names)].Label)
		i++
	}
}
