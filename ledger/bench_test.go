package ledger

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"referee/evidence"
	"referee/policy"
	"referee/waf"
)

const batchSize = 1000

// BenchmarkCommit is rows a second in batches of 1,000, each batch synced to disk.
func BenchmarkCommit(b *testing.B) {
	rows := func(b *testing.B, keys int, next func(i int) int) {
		batch := Batch{Rows: make([]evidence.Row, batchSize)}
		data := make([]byte, 150) // a name seen from ten networks
		key := make([]string, keys)
		for i := range key {
			key[i] = fmt.Sprintf("k%dv%d.com", i*7919%keys, i)
		}
		run(b, batch, func(n int) {
			for i := range batch.Rows {
				batch.Rows[i] = evidence.Row{Kind: evidence.KindName, Key: key[next(n+i)], Seen: noon, Data: data}
			}
		})
	}
	b.Run("evidence, the same 1,000 names each time", func(b *testing.B) {
		rows(b, batchSize, func(i int) int { return i % batchSize })
	})
	b.Run("evidence, any of 20,000 names", func(b *testing.B) {
		rng := rand.New(rand.NewPCG(1, 2))
		rows(b, 20_000, func(int) int { return rng.IntN(20_000) })
	})
	b.Run("flagged sightings", func(b *testing.B) {
		batch := Batch{Hour: noon, Flagged: make([]evidence.Sighting, batchSize)}
		run(b, batch, func(n int) {
			for i := range batch.Flagged {
				batch.Flagged[i] = sighting("kq3v9z.com", "198.51.100.7", noon)
			}
		})
	})
	b.Run("decisions", func(b *testing.B) {
		batch := Batch{Decisions: make([]policy.Decision, batchSize)}
		run(b, batch, func(n int) {
			for i := range batch.Decisions {
				batch.Decisions[i] = decide(policy.Block, noon, nameHit(fmt.Sprintf("k%d.com", (n+i)%10_000), 1, noon))
			}
		})
	})
}

func run(b *testing.B, batch Batch, fill func(n int)) {
	l := owner(b, b.TempDir())
	l.limits.flaggedPerHour = 1 << 40
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		fill(n)
		commitTo(b, l, batch)
		n += batchSize
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkYardstick is the barest append that the driver can do, in the same batches and as durable.
func BenchmarkYardstick(b *testing.B) {
	l := owner(b, b.TempDir())
	if _, err := l.write.Exec("CREATE TABLE bare (a TEXT, b INTEGER, c BLOB) STRICT"); err != nil {
		b.Fatal(err)
	}
	data := make([]byte, 150)
	n := 0
	for b.Loop() {
		tx, err := l.write.Begin()
		if err != nil {
			b.Fatal(err)
		}
		stmt, err := tx.Prepare("INSERT INTO bare VALUES (?, ?, ?)")
		if err != nil {
			b.Fatal(err)
		}
		defer stmt.Close()
		for range batchSize {
			if _, err := stmt.Exec("kq3v9z.com", n, data); err != nil {
				b.Fatal(err)
			}
			n++
		}
		if err := tx.Commit(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkStart is what a start reads: 20,000 names and 100,000 clients of evidence, and 1,000 active hits.
func BenchmarkStart(b *testing.B) {
	l := owner(b, b.TempDir())
	var batch Batch
	for i := range 120_000 {
		batch.Rows = append(batch.Rows, evidence.Row{Kind: evidence.KindName, Key: fmt.Sprint(i), Seen: noon, Data: make([]byte, 150)})
	}
	for i := range 1000 {
		batch.Decisions = append(batch.Decisions, decide(policy.Block, noon, nameHit(fmt.Sprintf("k%d.com", i), 1, noon.Add(1))))
	}
	commitTo(b, l, batch)
	b.Run("check", func(b *testing.B) {
		for b.Loop() {
			if err := l.check(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("evidence", func(b *testing.B) {
		for b.Loop() {
			for _, err := range l.Evidence(b.Context()) {
				if err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("active hits", func(b *testing.B) {
		for b.Loop() {
			if hits, err := l.ActiveHits(b.Context(), noon); err != nil || len(hits) != 1000 {
				b.Fatal(len(hits), err)
			}
		}
	})
}

// BenchmarkPropose is one generation: durable when it returns.
func BenchmarkPropose(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		b.Run(strings.ReplaceAll(fmt.Sprintf("%d items", n), " ", "_"), func(b *testing.B) {
			items := make([]string, n)
			for i := range items {
				items[i] = fmt.Sprintf("198.%d.%d.%d/32", i>>16, i>>8&255, i&255)
			}
			l := owner(b, b.TempDir())
			g := generation(waf.SetIPv4, items[1:], items[:n-1])
			b.ReportAllocs()
			for b.Loop() {
				propose(b, l, g)
			}
		})
	}
}
