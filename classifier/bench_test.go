package classifier_test

import (
	"testing"

	"referee/classifier"
)

func BenchmarkJudgeOfACachedName(b *testing.B) {
	c, names := classifier.NewCache(load(b), 1000), benignNames()
	for range 2 {
		for _, n := range names {
			c.Judge(n)
		}
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		c.Judge(names[i%len(names)])
		i++
	}
}

func BenchmarkJudgeOfACachedNameInParallel(b *testing.B) {
	c, names := classifier.NewCache(load(b), 1000), benignNames()
	for range 2 {
		for _, n := range names {
			c.Judge(n)
		}
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			c.Judge(names[i%len(names)])
		}
	})
}

func BenchmarkTail(b *testing.B) {
	m := load(b)
	scores := make([]float32, 64)
	for i := range scores {
		scores[i] = float32(i)/4 - 10
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		m.Tail(scores[i%len(scores)])
		i++
	}
}

func load(tb testing.TB) *classifier.Model {
	tb.Helper()
	m, err := classifier.Default()
	if err != nil {
		tb.Fatal(err)
	}
	return m
}
