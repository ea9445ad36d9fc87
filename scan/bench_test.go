package scan

import (
	"bufio"
	"os"
	"path/filepath"
	"testing"
)

func BenchmarkScan(b *testing.B) {
	const lines = 1_000_000
	file := filepath.Join(b.TempDir(), "access.log")
	f, err := os.Create(file)
	if err != nil {
		b.Fatal(err)
	}
	w := bufio.NewWriter(f)
	traffic := newTraffic(1)
	var line []byte
	size := 0
	for range lines {
		line = traffic.line(line[:0])
		size += len(line)
		w.Write(line)
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	f.Close()
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		r, err := Run(b.Context(), options(b), []string{file})
		if err != nil || r.Lines != lines {
			b.Fatal(r.Lines, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/lines, "ns/line")
}
