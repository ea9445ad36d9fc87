package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"referee/classifier"
	"referee/evidence"
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

// decide puts hits into the ledger of a directory, as the sidecar does: names, each with a sighting, and clients as CIDRs.
func decide(ts *testscript.TestScript, _ bool, args []string) {
	ctx := context.Background()
	l, err := ledger.Open(ctx, ts.MkAbs(args[0]))
	ts.Check(err)
	now := time.Now()
	batch := ledger.Batch{Hour: now}
	for i, value := range args[1:] {
		h := policy.Hit{
			Kind: policy.KindName, Domain: value, Rank: float64(100 - i), First: now, Last: now, Expires: now.Add(24 * time.Hour),
			Reasons: []string{"seen 9 times from 3 networks"}, Model: "0123456789ab", Config: "ba9876543210",
		}
		if p, err := netip.ParsePrefix(value); err == nil {
			h.Kind, h.Domain, h.Client = policy.KindClient, "", p
		} else { // a request whose client's address could not be trusted
			batch.Flagged = append(batch.Flagged, evidence.Sighting{
				Time: now.UnixNano(), Result: classifier.Result{Domain: value, Score: 9, Tail: 1e-5},
			})
		}
		batch.Decisions = append(batch.Decisions, policy.Decision{Time: now, Action: policy.Block, Hit: h, Why: h.Reasons[0]})
	}
	ts.Check(l.Commit(ctx, batch))
	ts.Check(l.Close())
}

// TestARunningSidecarFollowsOrdersAtItsNextTick gives orders beside the process that owns the data directory.
func TestARunningSidecarFollowsOrdersAtItsNextTick(t *testing.T) {
	t.Parallel()
	sets := startWaftest(t)
	data := t.TempDir()
	p := serve(t, fmt.Sprintf(`
listen: 127.0.0.1:0
health: {listen: 127.0.0.1:0}
admin: {listen: 127.0.0.1:0}
mode: enforce
data-dir: %s
shutdown: {delay: 0s}
waf: {writer: true, region: us-east-1, endpoint: %s, interval: 1s, max-share: 0, names-set: %s, ipv4-set: %s, ipv6-set: %s}
`, data, sets.endpoint, sets.names, sets.ipv4, sets.ipv6), awsEnv...)
	sendTraffic(t, p)
	holds := func(n int) func() bool {
		return func() bool {
			_, cidrs := sets.items(t)
			return len(cidrs) == n
		}
	}
	eventually(t, "the sets hold the attack", holds(len(attackClients)))
	order := func(args ...string) {
		t.Helper()
		var out, errs strings.Builder
		args = append([]string{"waf"}, append(args, "--data-dir", data)...)
		if code := run(context.Background(), &streams{out: &out, err: &errs, args: args}); code != exitDone {
			t.Fatalf("%q: exit %d: %s", args, code, errs.String())
		}
	}
	order("unblock", attackClients[0])
	eventually(t, "what is unblocked is out", holds(len(attackClients)-1))
	order("withdraw")
	eventually(t, "all are out", holds(0))
	order("resume")
	eventually(t, "the others are back", holds(len(attackClients)-1))
	order("sync") // the sidecar owns the directory: there is nothing to do, and nothing fails
}
