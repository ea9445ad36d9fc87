//go:build linux

package ledger

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"referee/classifier"
	"referee/evidence"
)

// BenchmarkASecondOfEvidence commits what 20,000 requests of a second changed, each from another client: an op is a second, and
// -benchtime 60x a minute of them, with all that is moved from the journal meanwhile. CPU and bytes are those of Commit alone.
func BenchmarkASecondOfEvidence(b *testing.B) {
	const perSecond = 20_000
	f := func(name string, client func(second, i int) uint32) {
		b.Run(name, func(b *testing.B) {
			l := owner(b, b.TempDir())
			state := evidence.New(evidence.Config{
				MaxNames: 20_000, MaxClients: 100_000, MaxCohorts: 5000, Interest: 0.01, Window: 24 * time.Hour, Queue: 1,
			}, evidence.Key{})
			rng := rand.New(rand.NewPCG(1, 2))
			names := make([]string, 50)
			for i := range names {
				names[i] = fmt.Sprintf("popular%d.com", i)
			}
			second := 0
			next := func() Batch {
				at := noon.Add(time.Duration(second) * time.Second).UnixNano()
				for i := range perSecond {
					c := client(second, i)
					n := 0x51000000 + c
					state.Add(evidence.Sighting{
						Result: classifier.Result{Domain: names[(c+rng.Uint32N(3))%50], Score: -3, Tail: 0.5},
						Client: netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}),
						Agent:  rng.Uint32N(20), Path: rng.Uint32N(20), Time: at + int64(i)*50_000,
					})
				}
				second++
				return Batch{Rows: state.Changes()}
			}
			for range 20 { // clients that were seen before, and a journal as full as it gets
				commitTo(b, l, next())
			}
			var rows, size int
			var cpu time.Duration
			var written int64
			b.ResetTimer()
			for range b.N {
				b.StopTimer()
				batch := next()
				rows += len(batch.Rows)
				for _, r := range batch.Rows {
					size += len(r.Key) + len(r.Data)
				}
				runtime.GC() // what the evidence left is not the ledger's to collect
				b.StartTimer()
				used, wrote := cpuTime(b), bytesWritten(b)
				commitTo(b, l, batch)
				cpu += cpuTime(b) - used
				written += bytesWritten(b) - wrote
			}
			b.ReportMetric(float64(cpu.Microseconds())/float64(rows), "cpu-µs/row")
			b.ReportMetric(float64(written)/float64(rows), "written-B/row")
			b.ReportMetric(float64(rows)/float64(b.N), "rows/op")
			b.ReportMetric(float64(size)/float64(rows), "B/row")
		})
	}
	rng := rand.New(rand.NewPCG(3, 4))
	f("the same 20,000 clients", func(_, i int) uint32 { return uint32(i) })
	f("any of 100,000 clients", func(int, int) uint32 { return rng.Uint32N(100_000) })
	f("20,000 new clients each second", func(second, i int) uint32 { return uint32(second*perSecond + i) })
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// bytesWritten is what this process gave to write calls: the -wal file, and what is moved from there into the ledger.
func bytesWritten(b *testing.B) (n int64) {
	data, err := os.ReadFile("/proc/self/io")
	if err != nil {
		b.Skip(err)
	}
	if _, err := fmt.Sscanf(string(data), "rchar: %d\nwchar: %d", new(int64), &n); err != nil {
		b.Fatal(err)
	}
	return n
}
