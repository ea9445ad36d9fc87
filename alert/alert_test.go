package alert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hook is a webhook: it keeps what it gets, and answers as it is told.
type hook struct {
	*httptest.Server
	mu     sync.Mutex
	texts  []string
	answer []int // one after the other, the last for ever; empty is 200
	head   http.Header
}

func newHook(t *testing.T, answer ...int) *hook {
	t.Helper()
	h := &hook{answer: answer}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		defer h.mu.Unlock()
		var body struct{ Text string }
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s of %s: %v", r.Method, r.Header.Get("Content-Type"), err)
		}
		h.texts = append(h.texts, body.Text)
		if len(h.answer) > 0 {
			for k, v := range h.head {
				w.Header()[k] = v
			}
			w.WriteHeader(h.answer[0])
			h.answer = h.answer[min(1, len(h.answer)-1):]
		}
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hook) got() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := h.texts
	h.texts = nil
	return out
}

// desk is Alerts with a clock that the test sets, and what they log.
type desk struct {
	*Alerts
	t   *testing.T
	now time.Time
	log strings.Builder
	reg *prometheus.Registry
}

func newDesk(t *testing.T, cfg Config) *desk {
	t.Helper()
	d := &desk{t: t, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), reg: prometheus.NewRegistry()}
	cfg.Interval, cfg.Rate = max(cfg.Interval, time.Hour), max(cfg.Rate, 5)
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	a, err := New(cfg, "edge-1", d.reg, slog.New(slog.NewTextHandler(&d.log, nil)), func() time.Time { return d.now })
	if err != nil {
		t.Fatal(err)
	}
	d.Alerts = a
	t.Cleanup(func() {
		for _, to := range a.to {
			if w, ok := to.to.(*webhook); ok {
				w.client.CloseIdleConnections()
			}
		}
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
	return d
}

func (d *desk) flush() error { return d.Flush(d.t.Context()) }

func TestTheSameIsToldOnceAndAgainAfterTheInterval(t *testing.T) {
	h := newHook(t)
	d := newDesk(t, Config{Webhook: h.URL, Interval: 4 * time.Hour})
	f := func(after time.Duration, what func(), want string) {
		t.Helper()
		d.now = d.now.Add(after)
		what()
		if err := d.flush(); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(h.got(), " | "); got != want {
			t.Errorf("told %q, want %q", got, want)
		}
	}
	const is = "Referee on edge-1: "
	raise := func(key, text string) func() {
		return func() { d.Raise(Alert{Breaker, key, text}) }
	}
	clear := func() { d.Clear(Breaker, "names") }
	f(0, raise("names", "names set denied"), is+"names set denied")
	f(10*time.Second, raise("names", "names set denied again"), "")
	f(0, raise("ipv4", "another set"), is+"another set")
	f(4*time.Hour, raise("names", "still denied"), is+"still denied")
	f(time.Minute, clear, is+"over after 4h1m10s: breaker (names)")
	f(0, clear, "")
	f(time.Minute, raise("names", "back"), "") // what comes and goes is not told at each turn
	f(time.Minute, clear, "")                  // nor is the end of what was not told
	f(15*time.Minute, raise("names", "back for long"), is+"back for long")

	var told []string
	for _, m := range d.Told() {
		told = append(told, m.Text)
	}
	want := []string{"names set denied", "another set", "still denied", "over after 4h1m10s: breaker (names)", "back for long"}
	if !slices.Equal(told, want) {
		t.Errorf("the history has %q, want %q", told, want)
	}
	if again := d.Told(); len(again) != 0 {
		t.Errorf("and says it twice: %v", again)
	}
}

func TestAFloodOfAlertsIsLimitedAndWhatIsLeftOutIsCounted(t *testing.T) {
	h := newHook(t)
	d := newDesk(t, Config{Webhook: h.URL, Rate: 5})
	for i := range 20 {
		for range 3 {
			d.Raise(Alert{Held, fmt.Sprint(i), "held"})
		}
	}
	if err := d.flush(); err != nil {
		t.Fatal(err)
	}
	if got := h.got(); len(got) != 5 {
		t.Errorf("told %d of 20, want 5: %q", len(got), got)
	}
	d.now = d.now.Add(time.Hour)
	d.Raise(Alert{Held, "19", "still held"})
	_ = d.flush()
	if got := h.got(); len(got) != 1 || !strings.Contains(got[0], "15 alerts before this one were not told") {
		t.Errorf("what was left out is told so: %q", got)
	}
	if n := testutil.ToFloat64(d.suppressed.WithLabelValues("held")); n != 15 {
		t.Errorf("%v counted", n)
	}
}

func TestMemoryIsBoundedHoweverManyKeysThereAre(t *testing.T) {
	d := newDesk(t, Config{Rate: 1000})
	d.Raise(Alert{Ledger, "", "the disk is full"})
	for i := range 3 * maxKeys {
		d.now = d.now.Add(time.Second)
		d.Raise(Alert{Approval, fmt.Sprint(i), "asked"})
		d.Clear(Approval, fmt.Sprint(i))
	}
	if len(d.known) > maxKeys {
		t.Errorf("%d alerts are remembered", len(d.known))
	}
	if e := d.known[Alert{Kind: Ledger}]; e == nil {
		t.Error("what goes on was forgotten for what is over")
	}
}

func TestAHistoryThatNobodyAsksForKeepsTheNewest(t *testing.T) {
	d := newDesk(t, Config{Rate: 2 * kept})
	for i := range kept + 10 {
		d.Raise(Alert{Held, fmt.Sprint(i), fmt.Sprint(i)})
	}
	if told := d.Told(); len(told) != kept || told[0].Text != "10" || told[kept-1].Text != fmt.Sprint(kept+9) {
		t.Errorf("%d are kept, from %q", len(told), told[0].Text)
	}
}

func TestRaisingNeverWaitsForADestination(t *testing.T) {
	stuck := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-stuck:
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	defer close(stuck)
	d := newDesk(t, Config{Webhook: server.URL, Rate: 1000})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		for _, to := range d.to {
			to.run(ctx)
		}
		ended <- nil
	}()
	begin := time.Now()
	for i := range 500 {
		d.Raise(Alert{Held, fmt.Sprint(i), "held"})
	}
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("500 alerts took %v to raise while nothing was taken", took)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if lost := testutil.ToFloat64(d.to[0].counts.WithLabelValues("webhook", "lost")); lost < 500-queued-2 {
		t.Errorf("%v counted as lost", lost)
	}
}

func TestADestinationIsTriedAgainWhereThatMayHelp(t *testing.T) {
	f := func(answer []int, retryAfter string, wantTries int, wantSent bool, wantPause time.Duration) {
		t.Helper()
		h := newHook(t, answer...)
		h.head = http.Header{"Retry-After": {retryAfter}}
		d := newDesk(t, Config{Webhook: h.URL})
		var longest time.Duration
		d.to[0].wait = func(_ context.Context, pause time.Duration) error {
			longest = max(longest, pause)
			return nil
		}
		d.Raise(Alert{Held, "", "held"})
		d.to[0].deliver(t.Context(), <-d.to[0].queue)
		sent := testutil.ToFloat64(d.to[0].counts.WithLabelValues("webhook", "sent")) == 1
		if tries := len(h.got()); tries != wantTries || sent != wantSent {
			t.Errorf("%v: %d tries, sent %v; want %d, %v\n%s", answer, tries, sent, wantTries, wantSent, d.log.String())
		}
		if longest < wantPause || longest > 2*wantPause+time.Second {
			t.Errorf("%v: waited up to %v, want about %v", answer, longest, wantPause)
		}
	}
	f([]int{200}, "", 1, true, 0)
	f([]int{500, 503, 200}, "", 3, true, 2*time.Second)
	f([]int{429, 200}, "30", 2, true, 30*time.Second)
	f([]int{429, 200}, "86400", 2, true, longestWait)
	f([]int{500}, "", attempts, false, 64*time.Second)
	f([]int{404}, "", 1, false, 0)
	f([]int{302}, "", 1, false, 0)
}

func TestTheWebhookIsASecret(t *testing.T) {
	const secret = "T0KEN/verysecret"
	h := newHook(t, 404)
	closed := httptest.NewServer(nil)
	closed.Close()
	for _, base := range []string{h.URL, closed.URL} {
		d := newDesk(t, Config{Webhook: base + "/services/" + secret})
		d.Raise(Alert{Held, "", "held"})
		err := d.flush()
		if err == nil || strings.Contains(err.Error(), secret) || strings.Contains(d.log.String(), secret) {
			t.Errorf("%v\n%s", err, d.log.String())
		}
	}
	if err := (Config{Webhook: "ftp://" + secret, Interval: time.Hour, Rate: 5}).Validate(); err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("%v", err)
	}
}

func TestHostileNamesAreEscapedAndCut(t *testing.T) {
	h := newHook(t)
	d := newDesk(t, Config{Webhook: h.URL})
	d.Raise(Alert{Attack, "a", "<!channel> & <https://evil.com|ok>\xff"})
	d.Raise(Alert{Attack, "b", strings.Repeat("ü", 5000)})
	if err := d.flush(); err != nil {
		t.Fatal(err)
	}
	got := h.got()
	if want := "Referee on edge-1: &lt;!channel&gt; &amp; &lt;https://evil.com|ok&gt;�"; got[0] != want {
		t.Errorf("%q, want %q", got[0], want)
	}
	if n := len(got[1]); n > maxText+40 || !strings.HasSuffix(got[1], "ü…") {
		t.Errorf("%d bytes, ending in %q", n, got[1][n-10:])
	}
}

func TestWhatWaitsAtTheEndIsStillSent(t *testing.T) {
	h := newHook(t)
	d := newDesk(t, Config{Webhook: h.URL})
	d.Raise(Alert{Held, "", "held"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if got := h.got(); len(got) != 1 {
		t.Errorf("%q", got)
	}
}

func TestNoAlertsTakeAnythingAndTellNobody(t *testing.T) {
	var a *Alerts
	a.Raise(Alert{Held, "", "held"})
	a.Clear(Held, "")
	d := newDesk(t, Config{}) // the log alone
	d.Raise(Alert{Held, "", "held"})
	if !strings.Contains(d.log.String(), "kind=held") {
		t.Errorf("%q", d.log.String())
	}
}

func TestAConfigurationThatCannotWorkIsRefused(t *testing.T) {
	f := func(change func(*Config), want string) {
		t.Helper()
		cfg := Config{Interval: 4 * time.Hour, Rate: 30}
		change(&cfg)
		err := cfg.Validate()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%+v: %v, want %q", cfg, err, want)
		}
	}
	f(func(*Config) {}, "")
	f(func(c *Config) { c.Webhook = "https://hooks.slack.com/services/x" }, "")
	f(func(c *Config) { c.Webhook = "hooks.slack.com" }, "alert.webhook")
	f(func(c *Config) { c.SNSTopic = "arn:aws:sns:eu-west-1:123456789012:oncall" }, "")
	f(func(c *Config) { c.SNSTopic = "arn:aws:sqs:eu-west-1:123456789012:oncall" }, "alert.sns-topic")
	f(func(c *Config) { c.SNSTopic = "oncall" }, "alert.sns-topic")
	f(func(c *Config) { c.SNSEndpoint = "localhost:1" }, "alert.sns-endpoint")
	f(func(c *Config) { c.Interval = time.Second }, "alert.interval")
	f(func(c *Config) { c.Rate = 0 }, "alert.rate")
}

func noWait(context.Context, time.Duration) error { return nil }
