package scan

import (
	"bytes"
	"testing"
)

func BenchmarkScan(b *testing.B) {
	const lines = 1_000_000
	traffic := newTraffic(1)
	var log []byte
	for range lines {
		log = traffic.line(log)
	}
	b.SetBytes(int64(len(log)))
	b.ReportAllocs()
	for b.Loop() {
		o := options(b)
		o.Stdin = bytes.NewReader(log)
		r, err := Run(b.Context(), o, []string{"-"})
		if err != nil || r.Lines != lines {
			b.Fatal(r.Lines, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/lines, "ns/line")
}
