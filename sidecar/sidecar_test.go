package sidecar

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"referee/alert"
	"referee/classifier"
	"referee/evidence"
	"referee/intake"
	"referee/ledger"
	"referee/policy"
	"referee/waf"
)

func TestMain(m *testing.M) {
	// fasthttp's cleaner of idle workers sees only every 10 s that its server is gone.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))
}

// testConfig is a configuration as kong's defaults would give it, with every listener on a free port.
func testConfig(dir string) Config {
	return Config{
		Intake:   intake.Config{Listen: "127.0.0.1:0", TrustedProxies: []string{"127.0.0.0/8"}, MaxConnections: 100},
		Mode:     waf.ModeShadow,
		Inline:   "observe",
		DataDir:  dir,
		Model:    ModelConfig{Cache: 1000},
		Policy:   testPolicy(),
		Evidence: evidence.Config{Window: time.Hour, MaxNames: 1000, MaxClients: 1000, Interest: 0.01, Queue: 1000},
		Ledger:   ledger.Config{Retain: 720 * time.Hour, RetainDays: 8760 * time.Hour, MaxSize: 1024, Clients: ledger.ClientsTruncated},
		WAF:      waf.Config{Scope: "REGIONAL", Interval: time.Second},
		Alert:    alert.Config{Interval: time.Hour, Rate: 30},
		Health:   HealthConfig{Listen: "127.0.0.1:0"},
		Admin:    AdminConfig{Listen: "127.0.0.1:0"},
		Shutdown: ShutdownConfig{Timeout: 5 * time.Second},
	}
}

func testPolicy() policy.Config {
	return policy.Config{
		Confidence: classifier.Balanced,
		NeverBlock: policy.NeverBlock{Popular: true, ClosedRegistries: true},
		Name:       policy.NameRule{MinNetworks: 2, MinSightings: 3, TTL: time.Hour},
		Client:     policy.ClientRule{MinFlagged: 3, MinShare: 0.5, TTL: time.Hour},
	}
}

// start runs a sidecar until the test ends, and returns it and its log.
func start(t *testing.T, cfg Config) (*Sidecar, *logged) {
	t.Helper()
	return startAt(t, cfg, time.Now)
}

func startAt(t *testing.T, cfg Config, now func() time.Time) (*Sidecar, *logged) {
	t.Helper()
	log := &logged{}
	s, err := New(t.Context(), cfg, slog.New(slog.NewTextHandler(log, nil)), now)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return s, log
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// verdict asks a running sidecar about a Referer.
func verdict(t *testing.T, s *Sidecar, referer string) string {
	t.Helper()
	request, err := http.NewRequest(http.MethodGet, "http://"+s.Addresses()["api"]+"/v1/check", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Referer", referer)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("%s: status %d", referer, response.StatusCode)
	}
	return response.Header.Get("X-Referee-Verdict")
}

const generated = "http://hvijsn1y3mlu012cnec114yq312.com/"

func TestAnUnusableDataDirectoryDegradesAndRequestsFlow(t *testing.T) {
	file := filepath.Join(t.TempDir(), "not-a-directory")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s, log := start(t, testConfig(file))
	if got := verdict(t, s, generated); got != "dga" {
		t.Errorf("the verdict is %q, want dga", got)
	}
	health := "http://" + s.Addresses()["health"]
	if status, body := get(t, health+"/readyz"); status != http.StatusOK || !strings.Contains(body, `"degraded":["ledger"]`) {
		t.Errorf("/readyz: %d %s; want 200 and what is degraded", status, body)
	}
	if _, metrics := get(t, health+"/metrics"); !strings.Contains(metrics, `referee_degraded{part="ledger"} 1`) {
		t.Error("no metric says that the ledger is degraded")
	}
	if !strings.Contains(log.String(), "level=ERROR msg=degraded part=ledger") {
		t.Errorf("the log does not say it:\n%s", log)
	}
}

func TestMissingAWSCredentialsAreNamedAndNothingElseSuffers(t *testing.T) {
	for _, variable := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"} {
		t.Setenv(variable, "")
	}
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
	cfg := testConfig(t.TempDir())
	cfg.WAF.Region, cfg.WAF.IPv4Set = "eu-central-1", "clients/00000000-0000-0000-0000-000000000000"
	s, log := start(t, cfg)
	waitFor(t, "the log names the variables to set", func() bool { return strings.Contains(log.String(), "AWS_ACCESS_KEY_ID") })
	if got := verdict(t, s, generated); got != "dga" {
		t.Errorf("the verdict is %q, want dga", got)
	}
	if status, _ := get(t, "http://"+s.Addresses()["health"]+"/readyz"); status != http.StatusOK {
		t.Errorf("/readyz: %d; trouble with AWS must not fail readiness", status)
	}
}

func TestADamagedModelEndsTheStartAndLeavesNothingBehind(t *testing.T) {
	cfg := testConfig(filepath.Join(t.TempDir(), "data"))
	cfg.Model.File = filepath.Join(t.TempDir(), "damaged.model")
	if err := os.WriteFile(cfg.Model.File, []byte("not a model"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(t.Context(), cfg, slog.New(slog.DiscardHandler), time.Now); err == nil || !strings.Contains(err.Error(), cfg.Model.File) {
		t.Errorf("the error %v does not name the file", err)
	}
	if _, err := os.Stat(cfg.DataDir); !os.IsNotExist(err) {
		t.Errorf("a data directory was made: %v", err)
	}
}

func TestAPortInUseEndsTheStartAndFreesTheLedger(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	cfg := testConfig(t.TempDir())
	cfg.Admin.Listen = busy.Addr().String()
	if _, err := New(t.Context(), cfg, slog.New(slog.DiscardHandler), time.Now); err == nil || !strings.Contains(err.Error(), "admin.listen") {
		t.Errorf("the error %v does not name the key", err)
	}
	cfg.Admin.Listen = "127.0.0.1:0"
	start(t, cfg) // the same data directory opens again
}

func TestASecondProcessOnOneDataDirectoryIsRefused(t *testing.T) {
	dir := t.TempDir()
	start(t, testConfig(dir))
	if _, err := New(t.Context(), testConfig(dir), slog.New(slog.DiscardHandler), time.Now); err == nil {
		t.Error("two sidecars share a data directory")
	}
}

func TestReloadSwapsTheRulesAndABadOneChangesNothing(t *testing.T) {
	cfg := testConfig("")
	s, _ := start(t, cfg)
	if got := verdict(t, s, generated); got != "dga" {
		t.Fatalf("the verdict is %q, want dga", got)
	}
	bad := cfg
	bad.Policy.NeverBlock.Suffixes = []string{"no host!"}
	if err := s.Reload(bad); err == nil {
		t.Error("a bad list was taken")
	}
	if got := verdict(t, s, generated); got != "dga" {
		t.Errorf("after a refused reload the verdict is %q, want dga as before", got)
	}
	good := cfg
	good.Policy.NeverBlock.Suffixes = []string{"hvijsn1y3mlu012cnec114yq312.com"}
	if err := s.Reload(good); err != nil {
		t.Fatal(err)
	}
	if got := verdict(t, s, generated); got != "exempt" {
		t.Errorf("after the reload the verdict is %q, want exempt", got)
	}
}

func TestReloadNamesTheKeysThatNeedARestart(t *testing.T) {
	cfg := testConfig("")
	s, log := start(t, cfg)
	next := cfg
	next.Admin.Listen, next.WAF.Interval = "127.0.0.1:1", time.Minute
	if err := s.Reload(next); err != nil {
		t.Fatal(err)
	}
	if text := log.String(); !strings.Contains(text, "next start") || !strings.Contains(text, "waf") || !strings.Contains(text, "admin") {
		t.Errorf("the log does not name the keys:\n%s", text)
	}
}

func TestReadinessFailsFirstAndRequestsGoOnUntilTheDelayIsOver(t *testing.T) {
	cfg := testConfig("")
	cfg.Shutdown.Delay = 500 * time.Millisecond
	s, err := New(t.Context(), cfg, slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	ready := "http://" + s.Addresses()["health"] + "/readyz"
	if status, _ := get(t, ready); status != http.StatusOK {
		t.Fatalf("/readyz before: %d", status)
	}
	stop()
	waitFor(t, "readiness fails", func() bool { status, _ := get(t, ready); return status == http.StatusServiceUnavailable })
	if got := verdict(t, s, generated); got != "dga" {
		t.Errorf("while draining the verdict is %q, want dga", got)
	}
	if status, _ := get(t, "http://"+s.Addresses()["health"]+"/healthz"); status != http.StatusOK {
		t.Errorf("/healthz while draining: %d; the process is well", status)
	}
	http.DefaultClient.CloseIdleConnections()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestTrafficIsForgottenInTimeWithoutAnybodyAsking(t *testing.T) {
	var later atomic.Int64
	s, _ := startAt(t, testConfig(""), func() time.Time { return time.Now().Add(time.Duration(later.Load())) })
	verdict(t, s, "https://gardenandkitchen.com/")
	counted := func() float64 { _, all := s.judge.Traffic(netip.MustParsePrefix("9.9.9.9/32")); return all }
	if got := counted(); got != 1 {
		t.Fatalf("%v requests counted", got)
	}
	waitFor(t, "it is forgotten", func() bool {
		later.Add(int64(15 * time.Minute))
		return counted() == 0
	})
}

func TestTheAdminPagesShowTheReportAndTheModel(t *testing.T) {
	s, _ := start(t, testConfig(""))
	admin := "http://" + s.Addresses()["admin"]
	f := func(path string, wantStatus int, want string) {
		t.Helper()
		if status, body := get(t, admin+path); status != wantStatus || !strings.Contains(body, want) {
			t.Errorf("%s: %d %.200s; want %d and %q", path, status, body, wantStatus, want)
		}
	}
	f("/report", http.StatusOK, "<!doctype html>")
	f("/report.json", http.StatusOK, `"mode": "shadow"`)
	f("/report.json?since=30m", http.StatusOK, `"since"`)
	f("/report.json?since=soon", http.StatusBadRequest, "7d")
	f("/model", http.StatusOK, `"scorer"`)
	f("/debug/pprof/cmdline", http.StatusOK, "")
	f("/nowhere", http.StatusNotFound, "")
}

// waitFor asks until it is so, for ten seconds at most.
func waitFor(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !so(); <-time.After(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

// logged is what a sidecar said.
type logged struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
