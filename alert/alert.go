// Package alert tells the owner what needs him: on the log always, and at a webhook and an SNS topic where they are set. The
// same is told once and again only after a while, and when it is over; a flood of alerts is limited; and whoever raises one
// never waits for it.
package alert

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Kind is what an alert is about. It is a metric label.
type Kind string

const (
	Attack   Kind = "attack"   // new hits, after there were none for a while
	Held     Kind = "held"     // a limit or a policy holds a plan of the WAF sets, in part or whole
	Approval Kind = "approval" // additions wait for the owner's word
	Breaker  Kind = "breaker"  // a WAF set is left alone, because of an error that no repetition mends
	Saved    Kind = "saved"    // one of the owner's own hosts would have been flagged
	Drift    Kind = "drift"    // live names score differently from those that the model was calibrated on
	Ledger   Kind = "ledger"   // the ledger cannot be written, or what it holds is damaged
	Model    Kind = "model"    // a model or a configuration could not be loaded; the one before goes on
	AWS      Kind = "aws"      // no AWS client could be made: no set is read or written
	Internal Kind = "internal" // a part of Referee failed inside, and was begun anew
	Test     Kind = "test"     // the owner asked whether alerts arrive
)

// Kinds are all of them.
func Kinds() []Kind {
	return []Kind{Attack, Held, Approval, Breaker, Saved, Drift, Ledger, Model, AWS, Internal, Test}
}

// Alert is one thing that needs the owner.
type Alert struct {
	Kind Kind
	Key  string // tells it from others of its kind, such as the set it is about: the same is told once, whatever its words
	Text string // what is so and what to do, in words; the first line says it all. Names in it may be hostile: they are escaped
}

const (
	maxKeys  = 1000 // alerts remembered at a time; an approval request is one for ever
	maxText  = 3500 // bytes told of one: Slack shows 4,000 characters of a message (docs.slack.dev, chat.postMessage)
	queued   = 64   // messages that wait for one destination
	kept     = 256  // that nobody has asked for with Told yet
	flapping = 15 * time.Minute
)

// Alerts is where alerts are raised. It is safe for concurrent use.
type Alerts struct {
	cfg    Config
	source string
	log    *slog.Logger
	now    func() time.Time
	to     []*destination

	mu      sync.Mutex
	known   map[Alert]*episode // by kind and key
	hour    []time.Time        // when each of the last hour's messages was told
	limited int                // not told since, because there were too many
	told    []Message          // since the last call of Told

	raised, suppressed *prometheus.CounterVec
}

// episode is one alert's life: raised, told, over.
type episode struct {
	since   time.Time // raised; zero: it is over
	told    time.Time // last
	said    bool      // it was told in this episode
	limited bool      // it was to be told and there were too many
}

// New makes Alerts that name source, such as a host name, in each message. It makes no call; Run does. The configuration must be
// valid.
func New(cfg Config, source string, reg prometheus.Registerer, log *slog.Logger, now func() time.Time) (*Alerts, error) {
	a := &Alerts{
		cfg: cfg, source: source, log: log, now: now, known: map[Alert]*episode{},
		raised: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "referee_alerts_total", Help: "Alerts told, by what they are about.",
		}, []string{"kind"}),
		suppressed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "referee_alerts_suppressed_total",
			Help: "Alerts not told, because alert.rate was reached; what is still so is told later.",
		}, []string{"kind"}),
	}
	deliveries := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "referee_alert_deliveries_total",
		Help: "Messages to a destination of alerts: sent, retried, or lost because it refused them, answered too late or its queue was full.",
	}, []string{"to", "outcome"})
	for _, c := range []prometheus.Collector{a.raised, a.suppressed, deliveries} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("alert metrics: %w", err)
		}
	}
	for _, kind := range Kinds() {
		a.raised.WithLabelValues(string(kind))
		a.suppressed.WithLabelValues(string(kind))
	}
	if cfg.Webhook != "" {
		a.to = append(a.to, newDestination("webhook", newWebhook(cfg.Webhook), deliveries, log))
	}
	if cfg.SNSTopic != "" {
		a.to = append(a.to, newDestination("sns", &topic{arn: cfg.SNSTopic, endpoint: cfg.SNSEndpoint}, deliveries, log))
	}
	return a, nil
}

// Raise tells an alert, unless the same was told within the interval. It does not wait. While something is so it may be
// raised again and again.
func (a *Alerts) Raise(al Alert) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	e := a.episode(al)
	if e.since.IsZero() {
		e.since, e.said = now, false
	}
	least := a.cfg.Interval
	if !e.said { // it was over: told at once, but not at each turn of something that comes and goes
		least = min(least, flapping)
	}
	if !e.told.IsZero() && now.Sub(e.told) < least || !a.allowed(al.Kind, e, now) {
		return
	}
	e.told, e.said = now, true
	a.raised.WithLabelValues(string(al.Kind)).Inc()
	level := slog.LevelWarn
	if al.Kind == Attack || al.Kind == Test { // Referee's daily work is no trouble
		level = slog.LevelInfo
	}
	first, _, _ := strings.Cut(al.Text, "\n")
	a.log.Log(context.Background(), level, "alert", "kind", al.Kind, "about", al.Key, "text", first)
	a.tell(al.Kind, al.Text)
}

// Clear says that what was raised under a kind and a key is over. It tells so if it was told to be there.
func (a *Alerts) Clear(kind Kind, key string) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	e := a.known[Alert{Kind: kind, Key: key}]
	if e == nil || e.since.IsZero() {
		return
	}
	now := a.now()
	lasted := now.Sub(e.since).Round(time.Second)
	e.since = time.Time{}
	if !e.said || !a.allowed(kind, e, now) {
		return
	}
	a.log.Info("alert is over", "kind", kind, "about", key, "lasted", lasted)
	text := fmt.Sprintf("over after %v: %s", lasted, kind)
	if key != "" {
		text += " (" + key + ")"
	}
	a.tell(kind, text)
}

// episode finds what is known of an alert. What is over and long told is forgotten first when too much is known, then what
// was told longest ago.
func (a *Alerts) episode(al Alert) *episode {
	id := Alert{Kind: al.Kind, Key: al.Key}
	e := a.known[id]
	if e != nil {
		return e
	}
	if len(a.known) >= maxKeys {
		var oldest Alert
		var found *episode
		for key, other := range a.known {
			if found == nil || other.since.IsZero() && !found.since.IsZero() ||
				other.since.IsZero() == found.since.IsZero() && other.told.Before(found.told) {
				oldest, found = key, other
			}
		}
		delete(a.known, oldest)
	}
	e = &episode{}
	a.known[id] = e
	return e
}

// allowed keeps to alert.rate over every hour.
func (a *Alerts) allowed(kind Kind, e *episode, now time.Time) bool {
	for len(a.hour) > 0 && now.Sub(a.hour[0]) >= time.Hour {
		a.hour = a.hour[1:]
	}
	if len(a.hour) >= a.cfg.Rate {
		if !e.limited { // once, however often it is raised
			e.limited = true
			a.limited++
			a.suppressed.WithLabelValues(string(kind)).Inc()
		}
		return false
	}
	e.limited = false
	a.hour = append(a.hour, now)
	return true
}

// tell hands a message to every destination, or drops it where too many wait, and keeps it for Told.
func (a *Alerts) tell(kind Kind, text string) {
	if a.limited > 0 {
		text += fmt.Sprintf("\n(%d alerts before this one were not told: alert.rate is %d an hour)", a.limited, a.cfg.Rate)
		a.limited = 0
	}
	text = cut(strings.ToValidUTF8(text, "�"), maxText)
	m := Message{Kind: kind, Source: a.source, Text: text, Time: a.now()}
	for _, d := range a.to {
		d.offer(m)
	}
	a.told = append(a.told[max(0, len(a.told)+1-kept):], m)
}

// Told returns what was told since the last call, the oldest first: for whoever keeps a history. What nobody asks for in time is
// forgotten, the oldest first.
func (a *Alerts) Told() []Message {
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	told := a.told
	a.told = nil
	return told
}

// cut shortens a text to so many bytes, at a character.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	s = s[:most]
	for len(s) > 0 && s[len(s)-1]&0xc0 == 0x80 {
		s = s[:len(s)-1]
	}
	if len(s) > 0 && s[len(s)-1] >= 0xc0 {
		s = s[:len(s)-1]
	}
	return s + "…"
}

// Run delivers until ctx ends, then sends what still waits, once each and for five seconds at most.
func (a *Alerts) Run(ctx context.Context) error {
	var all sync.WaitGroup
	for _, d := range a.to {
		all.Go(func() { d.run(ctx) })
	}
	all.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return a.Flush(last)
}

// Flush sends what waits, one attempt each: for a process that is about to end. Run must not be running.
func (a *Alerts) Flush(ctx context.Context) error {
	var first error
	for _, d := range a.to {
		if err := d.flush(ctx); err != nil && first == nil {
			first = err
		}
	}
	return first
}
