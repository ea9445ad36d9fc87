//go:build linux

package training

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/klauspost/compress/gzip"
)

const tenMillion = 10_000_000

// tenMillionRows writes a list of ten million names of 8 to 24 characters, packed, of ten sources.
func tenMillionRows(b *testing.B) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "ten-million.tsv.gz")
	file, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	z, err := gzip.NewWriterLevel(file, gzip.BestSpeed)
	if err != nil {
		b.Fatal(err)
	}
	w := bufio.NewWriterSize(z, 1<<20)
	const fill = "shopandtravel"
	for i := range tenMillion {
		fmt.Fprintf(w, "%s%d.%s\tsource%d\n", fill[:1+i%len(fill)], 10_000_000+i*7%tenMillion, []string{"com", "net", "co.uk"}[i%3], i%10)
	}
	for _, err := range []error{w.Flush(), z.Close(), file.Close()} {
		if err != nil {
			b.Fatal(err)
		}
	}
	return path
}

// report says how fast rows were read and what the process's memory has been at most, which is of the one benchmark
// when it runs alone.
func report(b *testing.B) {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(tenMillion*b.N)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64(usage.Maxrss)/1024, "peak-MB")
}

func BenchmarkReadTenMillionRows(b *testing.B) {
	path := tenMillionRows(b)
	b.ResetTimer()
	for range b.N {
		names := 0
		var drops Drops
		if err := ReadList(path, &drops, func(Entry) { names++ }); err != nil || names != tenMillion {
			b.Fatalf("%d names, %v", names, err)
		}
	}
	report(b)
}

func BenchmarkCorpusOfTenMillionRows(b *testing.B) {
	path := tenMillionRows(b)
	generated := filepath.Join(b.TempDir(), "dga.tsv")
	if err := os.WriteFile(generated, []byte(strings.Repeat("kq3v9z.com\tnecurs\n", 10)), 0o600); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for range b.N {
		c, err := ReadCorpus([]string{path}, []string{generated}, Selection{HoldBack: 30})
		if err != nil || len(c.Benign)+len(c.Calibration) != tenMillion {
			b.Fatalf("%d names, %v", len(c.Benign)+len(c.Calibration), err)
		}
		runtime.KeepAlive(c)
	}
	report(b)
}
