package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"referee/ledger"
	"referee/policy"
	"referee/waf/waftest"
)

// BenchmarkWAFPlan is `referee waf plan` whole, without the start of a process: model, ledger with 10,000 hits, the sets
// over a real socket at AWS's pace of reads, the plan, its diff of 10,000 lines.
func BenchmarkWAFPlan(b *testing.B) {
	server := waftest.New()
	if err := server.Start(); err != nil {
		b.Fatal(err)
	}
	defer server.Close()
	names, _ := server.CreateRegexPatternSet("names")
	v4, _ := server.CreateIPSet("v4", "IPV4")
	dir := b.TempDir()
	config := filepath.Join(dir, "config.yaml")
	text := fmt.Sprintf("data-dir: %s\nwaf: {endpoint: %s, names-set: %s, ipv4-set: %s}\n", dir, server.URL(), names.ARN, v4.ARN)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	for _, key := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		b.Setenv(key, "test")
	}
	ctx, now := context.Background(), time.Now()
	l, err := ledger.Open(ctx, dir)
	if err != nil {
		b.Fatal(err)
	}
	var batch ledger.Batch
	for i := range 10_000 {
		h := policy.Hit{Kind: policy.KindName, Domain: fmt.Sprintf("k%xq%dv9z.com", i*7919, i), Rank: float64(i), Expires: now.Add(24 * time.Hour)}
		if i%2 == 0 {
			h.Kind, h.Domain, h.Client = policy.KindClient, "", netip.PrefixFrom(netip.AddrFrom4([4]byte{81, 2, byte(i >> 8), byte(i)}), 32)
		}
		batch.Decisions = append(batch.Decisions, policy.Decision{Time: now, Action: policy.Block, Hit: h})
	}
	if err := l.Commit(ctx, batch); err != nil {
		b.Fatal(err)
	}
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if code := run(ctx, &streams{out: io.Discard, err: os.Stderr, args: []string{"--config", config, "waf", "plan"}}); code != 2 {
			b.Fatalf("exit code %d", code)
		}
	}
}
