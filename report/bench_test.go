package report

import (
	"fmt"
	"io"
	"testing"
	"time"

	"referee/classifier"
	"referee/evidence"
	"referee/ledger"
	"referee/policy"
)

// BenchmarkReport is a report of a week with 5,000 names that stand, 20,000 decisions and 1,000 saved names.
func BenchmarkReport(b *testing.B) {
	l, err := ledger.Memory(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	m, err := classifier.Default()
	if err != nil {
		b.Fatal(err)
	}
	p, err := policy.New(policy.Config{
		Confidence: classifier.Sensitive,
		Name:       policy.NameRule{MinNetworks: 2, MinSightings: 3, TTL: time.Hour},
		Client:     policy.ClientRule{MinFlagged: 3, MinShare: 0.5, TTL: time.Hour},
	}, m)
	if err != nil {
		b.Fatal(err)
	}
	for hour := range 168 {
		batch := ledger.Batch{Hour: ago(time.Duration(hour) * time.Hour), Counts: map[string]uint64{"requests": 1000, "verdict.dga": 3, "verdict.benign": 997}}
		for i := range 120 {
			h := hit(fmt.Sprintf("k%d.com", (hour*120+i)%5000), float64(i), noon.Add(time.Hour))
			batch.Decisions = append(batch.Decisions, policy.Decision{Time: batch.Hour, Action: policy.Block, Hit: h, Why: "score 8.31"})
		}
		for i := range 6 {
			batch.Flagged = append(batch.Flagged, evidence.Sighting{
				Result: classifier.Result{Domain: fmt.Sprintf("s%d.net", hour*6+i), Tail: 1e-4}, Time: batch.Hour.UnixNano(), Exempt: true,
			})
		}
		if err := l.Commit(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	src := Sources{Ledger: l, Policy: p, Model: m, Evidence: bounds}
	r, err := Build(b.Context(), src, ago(7*24*time.Hour), noon, Shadow)
	if err != nil || r.Names.Active != 5000 {
		b.Fatal(r, err)
	}
	b.Run("build", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Build(b.Context(), src, ago(7*24*time.Hour), noon, Shadow); err != nil {
				b.Fatal(err)
			}
		}
	})
	for name, write := range map[string]func(io.Writer) error{"text": r.Text, "json": r.JSON, "html": r.HTML} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := write(io.Discard); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
