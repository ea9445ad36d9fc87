package sidecar

import (
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"referee/classifier"
	"referee/intake"
	"referee/intake/logs"
	"referee/waf/waftest"
)

var update = flag.Bool("update", false, "write docs/metrics.md anew")

const metricsFile = "../docs/metrics.md"

// whole is a configuration with everything on that has metrics.
func whole(t *testing.T) Config {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	aws := waftest.New()
	if err := aws.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := aws.Close(); err != nil {
			t.Error(err)
		}
	})
	application := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(application.Close)
	dir := t.TempDir()
	cfg := testConfig(filepath.Join(dir, "data"))
	cfg.Observe = intake.ObserveConfig{Listen: "127.0.0.1:0", MaxConnections: 100}
	cfg.Proxy = intake.ProxyConfig{
		Listen: "127.0.0.1:0", Upstream: strings.TrimPrefix(application.URL, "http://"), MaxConnections: 100, ConnectTimeout: time.Second,
		ResponseTimeout: 10 * time.Second, StreamTimeout: 10 * time.Second, IdleTimeout: 10 * time.Second, UpstreamIdle: time.Second,
	}
	key := filepath.Join(dir, "firehose-key")
	if err := os.WriteFile(key, []byte("0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.Logs = logs.Config{
		Listen: "127.0.0.1:0", Files: []string{filepath.Join(dir, "*.log")}, Fields: logs.DefaultFields(),
		Firehose: logs.FirehoseConfig{Listen: "127.0.0.1:0", KeyFile: key, MaxBody: 1 << 20},
	}
	set, err := aws.CreateIPSet("clients", "IPV4")
	if err != nil {
		t.Fatal(err)
	}
	cfg.WAF.Region, cfg.WAF.Endpoint, cfg.WAF.IPv4Set = "eu-central-1", aws.URL(), set.Name+"/"+set.ID
	cfg.Alert.Webhook, cfg.Alert.SNSTopic = "http://127.0.0.1:9/", "arn:aws:sns:eu-central-1:123456789012:oncall"
	cfg.Model.Candidate = filepath.Join(dir, "candidate.model")
	data, err := classifier.Encode(flatParts(1))
	if err == nil {
		err = os.WriteFile(cfg.Model.Candidate, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// unstarted is a sidecar that serves nothing yet.
func unstarted(t *testing.T, cfg Config) *Sidecar {
	t.Helper()
	s, err := New(t.Context(), cfg, slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.closeListeners(); err != nil {
			t.Error(err)
		}
		if err := s.ledger.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// metric is what is known of a metric from one look at it.
type metric struct {
	kind, help string
	labels     []string            // in the order of the alphabet
	values     map[string][]string // by label
}

func gather(t *testing.T, reg prometheus.Gatherer) (all map[string]metric, series []string) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all = map[string]metric{}
	for _, family := range families {
		if !strings.HasPrefix(family.GetName(), "referee_") {
			continue
		}
		m := metric{kind: strings.ToLower(family.GetType().String()), help: family.GetHelp(), values: map[string][]string{}}
		for _, one := range family.GetMetric() {
			key := family.GetName()
			for _, pair := range one.GetLabel() {
				name, value := pair.GetName(), pair.GetValue()
				key += fmt.Sprintf(" %s=%q", name, value)
				if !slices.Contains(m.labels, name) {
					m.labels = append(m.labels, name)
				}
				if !slices.Contains(m.values[name], value) {
					m.values[name] = append(m.values[name], value)
				}
			}
			series = append(series, key)
		}
		slices.Sort(m.labels)
		all[family.GetName()] = m
	}
	slices.Sort(series)
	return all, series
}

var descName = regexp.MustCompile(`fqName: "([^"]+)"`)

func TestEveryMetricIsThereFromTheStart(t *testing.T) {
	s := unstarted(t, whole(t))
	all, _ := gather(t, s.registry)
	descs := make(chan *prometheus.Desc, 1000)
	s.registry.Describe(descs)
	close(descs)
	for desc := range descs {
		name := descName.FindStringSubmatch(desc.String())[1]
		if _, there := all[name]; strings.HasPrefix(name, "referee_") && !there {
			t.Errorf("%s has no series before something happens: an alert on it could not tell nothing from no metric", name)
		}
	}
}

func TestMetricsKeepToTheConventionsOfPrometheus(t *testing.T) {
	s := unstarted(t, whole(t))
	problems, err := testutil.GatherAndLint(s.registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestMetricsDocumentIsUpToDate(t *testing.T) {
	all, _ := gather(t, unstarted(t, whole(t)).registry)
	want := metricsDocument(all)
	if *update {
		if err := os.WriteFile(metricsFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(metricsFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("docs/metrics.md is stale; run go test ./sidecar -run MetricsDocument -update\n%s", diff)
	}
}

func metricsDocument(all map[string]metric) string {
	var b strings.Builder
	b.WriteString(`# Metrics

` + "`/metrics` on `health.listen`" + ` (default ` + "`:8611`" + `) gives these to Prometheus, and beside them the ` + "`go_*` and `process_*`" + ` of its client. Alerts worth a
pager are in [deploy/prometheus/referee.rules.yaml](../deploy/prometheus/referee.rules.yaml), each with what to do.

No label holds what a client sent: every series is there from the start, and no traffic adds one. The metrics of a listener are there when it is
on. Counters begin anew with the process.

This page is generated from the source; a test keeps it so.

| metric | type | labels | what it says |
|---|---|---|---|
`)
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		m := all[name]
		var labels []string
		for _, label := range m.labels {
			values := strings.Join(m.values[label], ", ")
			if label == "model" {
				values = "the id"
			}
			labels = append(labels, fmt.Sprintf("`%s`: %s", label, values))
		}
		if labels == nil {
			labels = []string{"–"}
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, m.kind, strings.Join(labels, "; "), strings.ReplaceAll(m.help, "|", `\|`))
	}
	return b.String()
}

// hostile are words that no label may hold.
func hostile(draw *rand.Rand) string {
	const from = "abcdefghijklmnopqrstuvwxyz0123456789"
	b := make([]byte, 12)
	for i := range b {
		b[i] = from[draw.IntN(len(from))]
	}
	return string(b)
}

func TestNoTrafficAddsASeries(t *testing.T) {
	s, _ := start(t, whole(t))
	_, before := gather(t, s.registry)
	draw := rand.New(rand.NewPCG(1, 2))
	methods := []string{http.MethodGet, http.MethodPost, http.MethodDelete, "BREW"}
	const each = 700
	for _, listener := range []string{"api", "observe", "proxy"} {
		for i := range each {
			path := "/" + hostile(draw)
			if listener == "api" {
				path = []string{"/v1/check/", "/v1/observe/", "/"}[i%3] + hostile(draw)
			}
			request, err := http.NewRequest(methods[i%len(methods)], "http://"+s.Addresses()[listener]+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Host = hostile(draw) + ".com"
			request.Header.Set("Referer", []string{"https://", "ftp://", "", "//[::"}[i%4]+hostile(draw)+"."+hostile(draw)[:3+i%5]+"/"+hostile(draw))
			request.Header.Set("User-Agent", hostile(draw))
			request.Header.Set("X-Forwarded-For", fmt.Sprintf("81.%d.%d.%d", draw.IntN(256), draw.IntN(256), draw.IntN(256)))
			request.Header.Set(hostile(draw), hostile(draw))
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, response.Body)
			response.Body.Close()
		}
		for range 20 { // and what is no HTTP
			conn, err := net.Dial("tcp", s.Addresses()[listener])
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(conn, "%s %s\r\n\r\n", hostile(draw), hostile(draw))
			_, _ = io.Copy(io.Discard, conn)
			conn.Close()
		}
	}
	syslog, err := net.Dial("udp", s.Addresses()["logs"])
	if err != nil {
		t.Fatal(err)
	}
	defer syslog.Close()
	for range each {
		fmt.Fprintf(syslog, `<190>Nov 23 03:12:41 %s %s: 81.2.3.4 - - [%s] "GET /%s HTTP/1.1" 200 5 "https://%s.com/" "%s"`+"\n",
			hostile(draw), hostile(draw), time.Now().Format("02/Jan/2006:15:04:05 -0700"), hostile(draw), hostile(draw), hostile(draw))
	}
	sum := func(name string) float64 {
		families, err := s.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		total := 0.0
		for _, family := range families {
			for _, one := range family.GetMetric() {
				if family.GetName() == name {
					total += one.GetCounter().GetValue()
				}
			}
		}
		return total
	}
	waitFor(t, "it went all the way into the ledger", func() bool {
		return sum("referee_requests_total") >= 2*each && sum("referee_log_lines_total") > 0 &&
			sum("referee_sightings_total") > 0 && sum("referee_ledger_commits_total") > 1
	})
	_, after := gather(t, s.registry)
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("traffic changed the series:\n%s", diff)
	}
	t.Logf("%d series before and after %.0f requests and %.0f lines", len(before), sum("referee_requests_total"), sum("referee_log_lines_total"))
}

func TestEveryRuleForPrometheusAsksForMetricsThatThereAre(t *testing.T) {
	data, err := os.ReadFile("../deploy/prometheus/referee.rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Name  string `yaml:"name"`
			Rules []struct {
				Alert       string            `yaml:"alert"`
				Expr        string            `yaml:"expr"`
				For         string            `yaml:"for"`
				Labels      map[string]string `yaml:"labels"`
				Annotations map[string]string `yaml:"annotations"`
			} `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := yaml.UnmarshalWithOptions(data, &file, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	all, _ := gather(t, unstarted(t, whole(t)).registry)
	suffix := regexp.MustCompile(`_(bucket|sum|count)$`)
	selector := regexp.MustCompile(`(referee_[a-z_]+)(\{[^}]*\})?`)
	matcher := regexp.MustCompile(`([a-z_]+)(=~?|!=|!~)"([^"]*)"`)
	rules := 0
	for _, group := range file.Groups {
		for _, rule := range group.Rules {
			rules++
			asked := selector.FindAllStringSubmatch(rule.Expr, -1)
			if len(asked) == 0 && !strings.Contains(rule.Expr, "up{") {
				t.Errorf("%s asks for no metric: %s", rule.Alert, rule.Expr)
			}
			for _, ask := range asked {
				m, there := all[ask[1]]
				if base := suffix.ReplaceAllString(ask[1], ""); !there && all[base].kind == "histogram" {
					m, there = all[base], true
				}
				if !there {
					t.Errorf("%s asks for %s, which there is not", rule.Alert, ask[1])
				}
				for _, match := range matcher.FindAllStringSubmatch(ask[2], -1) {
					for value := range strings.SplitSeq(match[3], "|") {
						if !slices.Contains(m.values[match[1]], value) {
							t.Errorf("%s asks for %s with %s %q, which it never has", rule.Alert, ask[1], match[1], value)
						}
					}
				}
			}
			for _, key := range []string{"summary", "description", "runbook"} {
				if rule.Annotations[key] == "" {
					t.Errorf("%s has no %s", rule.Alert, key)
				}
			}
			if rule.For == "" || rule.Labels["severity"] == "" {
				t.Errorf("%s has no severity, or fires at once", rule.Alert)
			}
		}
	}
	if rules == 0 {
		t.Error("no rules")
	}
}
