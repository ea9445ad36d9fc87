package classifier_test

import (
	"bufio"
	"compress/gzip"
	"net/url"
	"os"
	"strings"
	"testing"

	"referee/classifier"
	"referee/features"
)

// benignNames are what Referers mostly hold: ordinary names of ordinary lengths.
func benignNames() []features.Name {
	labels := []string{
		"google", "wikipedia", "stackoverflow", "theguardian", "deutschebahn", "booking", "lemonde", "mercadolibre",
		"allegro", "heise", "bloomberg", "nationalgeographic", "craigslist", "weather", "leboncoin", "rakuten",
		"bild", "marktplaats", "hurriyet", "index", "gazeta", "elpais", "corriere", "aftonbladet",
		"uol", "globo", "indiatimes", "timesofindia", "sciencedirect", "researchgate", "springer", "academia",
	}
	names := make([]features.Name, len(labels))
	for i, label := range labels {
		names[i] = name(label+".com", label)
	}
	return names
}

// corpusNames are registered names of a zone walk, so many that neither the model's table nor the branches stay warm.
func corpusNames(b *testing.B) []features.Name {
	b.Helper()
	file, err := os.Open("../../shared/corpora/dev/benign_tail_com_net_org.tsv.gz")
	if err != nil {
		b.Skip("needs the corpora: ", err)
	}
	defer file.Close()
	list, err := gzip.NewReader(file)
	if err != nil {
		b.Fatal(err)
	}
	var names []features.Name
	for lines := bufio.NewScanner(list); lines.Scan(); {
		domain, _, _ := strings.Cut(lines.Text(), "\t")
		label, _, _ := strings.Cut(domain, ".")
		names = append(names, name(domain, label))
	}
	return names
}

func BenchmarkScoreOfEverNewBenignNames(b *testing.B) {
	m, names := load(b), corpusNames(b)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		m.Score(names[i%len(names)])
		i++
	}
}

// BenchmarkYardstickURLParseOfTheSameNames is what the standard library takes to parse the same names as URLs: the other
// figures are best read as ratios to it.
func BenchmarkYardstickURLParseOfTheSameNames(b *testing.B) {
	names := corpusNames(b)
	urls := make([]string, len(names))
	for i, n := range names {
		urls[i] = "https://www." + n.Domain + "/"
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, err := url.Parse(urls[i%len(urls)]); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

func BenchmarkScoreOfAUsualName(b *testing.B) {
	m, names := load(b), benignNames()
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		m.Score(names[i%len(names)])
		i++
	}
}

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

func BenchmarkParseOfTheModelFile(b *testing.B) {
	data, err := os.ReadFile("default.model")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := classifier.Parse(data); err != nil {
			b.Fatal(err)
		}
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
