package logs

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"referee/classifier"
	"referee/evidence"
	"referee/intake"
	"referee/policy"
)

var defaultModel = sync.OnceValues(classifier.Default)

// rig is an Intake with a real Judge behind it.
type rig struct {
	*Intake
	t     *testing.T
	queue *evidence.Queue
	dir   string
	seen  []evidence.Sighting

	mu      sync.Mutex
	trouble map[string]error
}

var rigNow = time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)

func newRig(t *testing.T, cfg Config, dir string) *rig {
	t.Helper()
	model, err := defaultModel()
	if err != nil {
		t.Fatal(err)
	}
	rules, err := policy.New(policy.Config{
		Confidence: classifier.Balanced,
		Name:       policy.NameRule{MinNetworks: 2, MinSightings: 3, TTL: time.Hour},
		Client:     policy.ClientRule{MinFlagged: 3, MinShare: 0.5, TTL: time.Hour},
	}, model)
	if err != nil {
		t.Fatal(err)
	}
	proxies, err := intake.ParseProxies([]string{"127.0.0.0/8", "10.0.0.0/8"})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Fields.Referer == nil {
		cfg.Fields = DefaultFields()
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, queue: evidence.NewQueue(1 << 17), dir: dir, trouble: map[string]error{}}
	now := func() time.Time { return rigNow }
	judge := intake.NewJudge(r.queue, prometheus.NewRegistry(), slog.New(slog.DiscardHandler), now)
	judge.Swap(&intake.Snapshot{Cache: classifier.NewCache(model, 1000), Policy: rules, Proxies: proxies})
	r.Intake, err = New(cfg, judge, dir, prometheus.NewRegistry(), slog.New(slog.DiscardHandler), now, func(part string, err error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.trouble[part] = err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

// start runs it until stop is called, or the test ends.
func (r *rig) start() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Error(err)
		}
	})
	r.t.Cleanup(stop)
	return stop
}

// names are those of all sightings up to now, in the order in which they came.
func (r *rig) names() string {
	r.seen = r.queue.Drain(r.seen)
	var all []string
	for _, s := range r.seen {
		all = append(all, strings.TrimSuffix(s.Result.Domain, ".com"))
	}
	return strings.Join(all, " ")
}

// want waits until the sightings are those, in any order: the queue keeps none.
func (r *rig) want(names ...string) {
	r.t.Helper()
	target := sorted(strings.Join(names, " "))
	r.eventually("the names are "+target, func() bool { return sorted(r.names()) == target })
}

func sorted(names string) string {
	words := strings.Fields(names)
	slices.Sort(words)
	return strings.Join(words, " ")
}

func (r *rig) eventually(what string, so func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !so(); <-time.After(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("not within 20 s: %s; there is %q", what, r.names())
		}
	}
}

func (r *rig) count(o origin, f fate) uint64 { return r.counts[o][f].Load() }

// combinedOf is a line whose Referer has a name.
func combinedOf(name string) string {
	return fmt.Sprintf("81.2.3.4 - - [23/Nov/2026:02:59:59 +0000] \"GET / HTTP/1.1\" 200 5 \"https://www.%s.com/\" \"curl/8\"", name)
}

func jsonOf(name string) string {
	return fmt.Sprintf(`{"time":"2026-11-23T02:59:59Z","remote_addr":"81.2.3.4","referer":"https://www.%s.com/"}`, name)
}

func wafOf(name, action, label string) string {
	return fmt.Sprintf(`{"timestamp":1795402799000,"action":%q,"httpRequest":{"clientIp":"81.2.3.4","headers":[{"name":"referer","value":"https://www.%s.com/"}]},"labels":[{"name":%q}]}`,
		action, name, label)
}

const ourLabel = "awswaf:111122223333:webacl:site:referee:name"

var client = netip.MustParseAddr("81.2.3.4")
