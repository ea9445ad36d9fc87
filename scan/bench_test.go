package scan

import (
	"os"
	"path/filepath"
	"testing"
)

func BenchmarkScan(b *testing.B) {
	const lines = 1_000_000
	run := func(name string, traffic *traffic) {
		b.Run(name, func(b *testing.B) {
			file := filepath.Join(b.TempDir(), "access.log")
			writeLog(b, file, traffic, lines)
			info, err := os.Stat(file)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(info.Size())
			b.ReportAllocs()
			o := options(b)
			o.Report = false
			for b.Loop() {
				if r, err := Run(b.Context(), o, []string{file}); err != nil || r.Lines != lines {
					b.Fatal(r.Lines, err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/lines, "ns/line")
		})
	}
	run("ordinary", newOrdinaryTraffic(1))
	run("flood", newTraffic(1))
}
