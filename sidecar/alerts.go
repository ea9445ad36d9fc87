package sidecar

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"referee/alert"
	"referee/features"
	"referee/ledger"
	"referee/policy"
	"referee/waf"
)

// NewAlerts makes what a sidecar with this configuration raises its alerts at. It makes no call.
func NewAlerts(cfg Config, reg prometheus.Registerer, log *slog.Logger, now func() time.Time) (*alert.Alerts, error) {
	to := cfg.Alert
	to.Webhook = cmp.Or(to.Webhook, cfg.WAF.Webhook)
	host, err := os.Hostname()
	if err != nil {
		host = "an unnamed host"
	}
	return alert.New(to, fmt.Sprintf("%s (%s)", host, cfg.Mode), reg, log, now)
}

// Notify passes what the updater says on to alerts.
func Notify(alerts *alert.Alerts) func(waf.Notice) {
	kind := map[waf.About]alert.Kind{waf.AboutHeld: alert.Held, waf.AboutApproval: alert.Approval, waf.AboutBreaker: alert.Breaker}
	return func(n waf.Notice) {
		if n.Over {
			alerts.Clear(kind[n.About], n.Key)
		} else {
			alerts.Raise(alert.Alert{Kind: kind[n.About], Key: n.Key, Text: n.Text})
		}
	}
}

// hitsShown bounds the names and clients in an alert: what a person reads on a phone.
const hitsShown = 10

// raiseAttack tells of new hits: of the first ones, and again each time that there are ten times as many.
func (s *Sidecar) raiseAttack(decisions []policy.Decision, active int) {
	var first []policy.Decision
	count := map[policy.Kind]int{}
	for _, d := range decisions {
		if d.Action == policy.Block {
			count[d.Hit.Kind]++
			if len(first) < hitsShown {
				first = append(first, d) // they come by rank
			}
		}
	}
	if len(first) == 0 {
		return
	}
	least := 1
	for least*10 <= active {
		least *= 10
	}
	var b strings.Builder
	fmt.Fprintf(&b, "attack: %s and %s are new hits, %d are active now", counted(count[policy.KindName], "name"), counted(count[policy.KindClient], "client"), active)
	if s.config.Mode != waf.ModeEnforce {
		b.WriteString(" (shadow mode: nothing is blocked)")
	}
	b.WriteString("\n")
	for _, d := range first {
		fmt.Fprintf(&b, "%s: %s\n", d.Hit.Key(), d.Why)
	}
	b.WriteString("`referee report` shows all; `referee waf unblock ENTRY` takes one out")
	s.alerts.Raise(alert.Alert{Kind: alert.Attack, Key: fmt.Sprintf("%d or more hits", least), Text: b.String()})
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// raiseSaved tells that the owner's own hosts would have been flagged, if never-block did not know them.
func (s *Sidecar) raiseSaved(requests uint64) {
	if requests == 0 {
		return
	}
	current := s.judging.Load()
	var parser features.Parser
	var hosts []string
	for _, host := range current.config.Policy.NeverBlock.Hosts {
		name, reason := parser.Bare([]byte(strings.TrimPrefix(strings.ToLower(host), "*.")))
		if reason != features.Named {
			continue
		}
		if r := current.cache.Model().Judge(name); !r.Abstain && r.Tail <= current.policy.Threshold() {
			hosts = append(hosts, host)
		}
	}
	slices.Sort(hosts)
	text := fmt.Sprintf("never-block saved one of your own hosts: the model would have flagged it in %d requests just now", requests)
	if len(hosts) > 0 {
		text += "\n" + strings.Join(hosts[:min(len(hosts), hitsShown)], ", ")
	}
	s.alerts.Raise(alert.Alert{Kind: alert.Saved, Key: "own", Text: text +
		"\nNothing is to be done here. Keep never-block.hosts complete, in every configuration: without it this would count against your own pages"})
}

// ReloadRefused logs that a new configuration, or the model that it names, could not be taken, and tells the owner.
func (s *Sidecar) ReloadRefused(err error) {
	s.log.Error("reload refused, the old configuration stays", "error", err)
	s.alerts.Raise(alert.Alert{Kind: alert.Model, Key: "reload", Text: "reload refused, the old configuration and model stay: " + err.Error()})
}

// told is what the owner was told since the last call, for the ledger. What stands behind the first line can name clients, whose
// addresses the ledger keeps no longer than it must.
func (s *Sidecar) told() []ledger.Alert {
	var out []ledger.Alert
	for _, m := range s.alerts.Told() {
		first, _, _ := strings.Cut(m.Text, "\n")
		out = append(out, ledger.Alert{Time: m.Time, Kind: string(m.Kind), Text: first})
	}
	return out
}

// deliver sends alerts until ctx ends. What could not be sent is on the log, and is no reason to call an end a failure.
func (s *Sidecar) deliver(ctx context.Context) { _ = s.alerts.Run(ctx) }
