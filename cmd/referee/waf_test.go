package main

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"referee/ledger"
	"referee/policy"
	"referee/waf/waftest"
)

// wafEndpoint starts an emulated AWS WAF with a set of each kind until the script ends, and writes a configuration that
// points there.
func wafEndpoint(ts *testscript.TestScript, _ bool, args []string) {
	limits := waftest.AWSLimits()
	limits.Updates, limits.Reads = 1000, 1000 // a script need not wait; that we keep AWS's pace is tested elsewhere
	server := waftest.New(waftest.WithLimits(limits))
	ts.Check(server.Start())
	ts.Defer(func() { _ = server.Close() })
	names, err := server.CreateRegexPatternSet("names")
	ts.Check(err)
	v4, err := server.CreateIPSet("v4", "IPV4")
	ts.Check(err)
	v6, err := server.CreateIPSet("v6", "IPV6")
	ts.Check(err)
	config := strings.NewReplacer("URL", server.URL(), "NAMES", names.ARN, "V4", v4.ARN, "V6", v6.ARN, "DATA", filepath.Join(ts.Getenv("WORK"), "data")).Replace(`
mode: enforce
data-dir: DATA
log: {level: warn}
waf:
  writer: true
  endpoint: URL
  names-set: NAMES
  ipv4-set: V4
  ipv6-set: V6
`)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(config), 0o600))
	for key, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true", "AWS_REGION": "us-east-1",
		"REFEREE_CONFIG": ts.MkAbs(args[0]), "endpoint": server.URL(),
	} {
		ts.Setenv(key, value)
	}
}

// decide puts hits into the ledger of a directory, as the sidecar does: names, and clients as CIDRs.
func decide(ts *testscript.TestScript, _ bool, args []string) {
	ctx := context.Background()
	l, err := ledger.Open(ctx, ts.MkAbs(args[0]))
	ts.Check(err)
	now := time.Now()
	var batch ledger.Batch
	for i, value := range args[1:] {
		h := policy.Hit{
			Kind: policy.KindName, Domain: value, Rank: float64(100 - i), First: now, Last: now, Expires: now.Add(24 * time.Hour),
			Reasons: []string{"seen 9 times from 3 networks"}, Model: "0123456789ab", Config: "ba9876543210",
		}
		if p, err := netip.ParsePrefix(value); err == nil {
			h.Kind, h.Domain, h.Client = policy.KindClient, "", p
		}
		batch.Decisions = append(batch.Decisions, policy.Decision{Time: now, Action: policy.Block, Hit: h, Why: h.Reasons[0]})
	}
	ts.Check(l.Commit(ctx, batch))
	ts.Check(l.Close())
}
