package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"referee/features"
	"referee/ledger"
	"referee/policy"
	"referee/sidecar"
	"referee/waf"
)

// wafCommand looks at the AWS WAF sets and at what Referee would make of them, and tells a running sidecar what to do: by
// an order in the ledger, which it follows at its next tick.
type wafCommand struct {
	sidecar.Config `embed:"" group:"Configuration"`

	Plan      wafPlanCommand      `cmd:"" help:"Show what the next tick would change; exit 2 when that is something."`
	Sync      wafSyncCommand      `cmd:"" help:"Do one tick now, where no sidecar runs; --force lets it take out what nothing explains."`
	Status    wafStatusCommand    `cmd:"" help:"Show the sets, how full they are, what is held, and what differs between AWS and the ledger."`
	History   wafHistoryCommand   `cmd:"" help:"Show what was done to the sets, and what the owner ordered; or all of one generation."`
	Why       wafWhyCommand       `cmd:"" help:"Show all that is known of a name or a client, in words."`
	Unblock   wafUnblockCommand   `cmd:"" help:"Take a name or a client out at the next tick, and keep it out."`
	Withdraw  wafWithdrawCommand  `cmd:"" help:"Take every entry of Referee's out at the next tick, and add none until resume."`
	Rollback  wafRollbackCommand  `cmd:"" help:"Bring Referee's entries back to what they were after a generation, and keep out what came since."`
	Approve   wafApproveCommand   `cmd:"" help:"Let in what waits for approval (waf.approve: manual)."`
	Hold      wafHoldCommand      `cmd:"" help:"Add nothing from the next tick on; what stands leaves when it expires."`
	Resume    wafResumeCommand    `cmd:"" help:"End hold and withdraw."`
	Init      wafInitCommand      `cmd:"" help:"Make and tag the sets, and print the rules to add to a web ACL."`
	ExportIAM wafExportIAMCommand `cmd:"" name:"export-iam" help:"Print the least IAM policy that this configuration needs."`
}

// exitCode ends the process with a code that says something and is no failure.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// exitChanges is plan's, when there is something to do.
const exitChanges exitCode = 2

// dry is a journal that is read and never written.
type dry struct{ *ledger.Ledger }

func (dry) Propose(context.Context, waf.Generation) (int64, error)   { return 0, nil }
func (dry) Settle(context.Context, int64, waf.Outcome, string) error { return nil }
func (dry) Order(context.Context, waf.Order) (int64, error)          { return 0, nil }
func (dry) Carried(context.Context, int64) error                     { return nil }
func (dry) Trouble(context.Context, waf.SetKind, *waf.Trouble) error { return nil }

// tick runs one tick of the updater as this configuration has it, on what the ledger knows.
func (c *wafCommand) tick(
	ctx context.Context, cfg waf.Config, l *ledger.Ledger, j waf.Journal, log *slog.Logger, tell func(waf.Notice), now time.Time,
) (waf.Plan, error) {
	hits, exempt, err := c.hits(ctx, l, now)
	if err != nil {
		return waf.Plan{}, err
	}
	var api waf.API
	if cfg.Configured() {
		if api, err = waf.NewAPI(ctx, cfg); err != nil {
			return waf.Plan{}, err
		}
	}
	updater, err := waf.New(cfg, api, j, prometheus.NewRegistry(), log)
	if err != nil {
		return waf.Plan{}, err
	}
	updater.Notify(tell)
	troubles, err := l.Troubles(ctx)
	if err != nil {
		return waf.Plan{}, err
	}
	if held := troubles[waf.LimitShare]; now.Before(held.Until) {
		updater.HoldClients(held.Error) // the sidecar counts the traffic, not this process
	}
	return updater.RunOnce(ctx, hits, exempt, now)
}

// hits are the active ones, and what may not be pushed now.
func (c *wafCommand) hits(ctx context.Context, l *ledger.Ledger, now time.Time) (_ []policy.Hit, exempt func(policy.Hit) bool, _ error) {
	rules, err := c.rules()
	if err != nil {
		return nil, nil, err
	}
	if rules, err = labelled(ctx, l, rules); err != nil {
		return nil, nil, err
	}
	hits, err := l.ActiveHits(ctx, now)
	if err != nil || c.Intake.SessionHeader == "" {
		return hits, rules.ExemptHit, err
	}
	known, err := rules.Remember(policy.NewHits(hits), l.Changes(ctx, now.Add(-rules.Memory())))
	if err != nil {
		return nil, nil, err
	}
	return hits, func(h policy.Hit) bool { return rules.ExemptHit(h) || known.Spared(h, now) }, nil
}

// look is a tick that can write nothing, neither to AWS nor to the ledger, and alerts nobody.
func (c *wafCommand) look(ctx context.Context, l *ledger.Ledger, now time.Time) (waf.Plan, error) {
	cfg := c.WAF
	cfg.Mode = waf.ModeShadow
	return c.tick(ctx, cfg, l, dry{l}, slog.New(slog.DiscardHandler), func(waf.Notice) {}, now)
}

func (c *wafCommand) rules() (*policy.Policy, error) {
	model, err := sidecar.OpenModel(c.Model)
	if err != nil {
		return nil, err
	}
	return policy.New(c.Policy, model)
}

// order appends one to the ledger, and says what becomes of it.
func (c *wafCommand) order(ctx context.Context, std *streams, o waf.Order, done string) error {
	l, err := ledger.OpenAppend(ctx, c.DataDir)
	if err != nil {
		return err
	}
	defer l.Close()
	o.Time = time.Now().UTC()
	id, err := l.Order(ctx, o)
	if err != nil {
		return err
	}
	fmt.Fprintf(std.out, "order %d: %s; a running sidecar follows at its next tick (waf.interval %v)\n", id, done, c.WAF.Interval)
	return nil
}

// entryValue is a name or a client as the sets know it, from what a person pastes: a Referer, a domain, an address, a
// CIDR, or a whole pattern.
func entryValue(s string) (value string, kind waf.SetKind, err error) {
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, "^") {
		return s, waf.SetNames, nil
	}
	if a, err := netip.ParseAddr(s); err == nil {
		a = a.Unmap().WithZone("")
		p, err := a.Prefix(map[bool]int{true: 32, false: 64}[a.Is4()])
		return p.String(), clientSet(p), err
	}
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Masked().String(), clientSet(p), nil
	}
	var parser features.Parser
	name, reason := parser.Bare([]byte(s))
	if reason != features.Named {
		return "", "", fmt.Errorf("%q is neither a name nor a client's address (%s): write one like kq3v9z.com, 81.2.69.142 or 2a02:1234::/64", s, reason)
	}
	return strings.Clone(name.Domain), waf.SetNames, nil
}

func clientSet(p netip.Prefix) waf.SetKind {
	if p.Addr().Is4() {
		return waf.SetIPv4
	}
	return waf.SetIPv6
}

// setName is what people call a set.
func setName(kind waf.SetKind) string {
	return map[waf.SetKind]string{waf.SetNames: "names", waf.SetIPv4: "clients (IPv4)", waf.SetIPv6: "clients (IPv6)"}[kind]
}

func writeJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

// counted is a number with its noun.
func counted[T int | uint64](n T, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func entries(n int) string { return counted(n, "entry", "entries") }

func at(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// reading opens the ledger for a command that changes nothing.
func (c *wafCommand) reading(ctx context.Context) (*ledger.Ledger, error) {
	if c.DataDir == "" {
		return nil, errors.New("data-dir is empty: a ledger in memory cannot be looked at from outside")
	}
	return ledger.OpenReadOnly(ctx, c.DataDir)
}
