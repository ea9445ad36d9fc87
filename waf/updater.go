package waf

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"referee/policy"

	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"
	"github.com/prometheus/client_golang/prometheus"
)

// AWS allows an account one call a second to each Create, Put and Update action and five to each Get and List action,
// shared by everybody (docs.aws.amazon.com/waf/latest/developerguide/limits.html). All sets share one budget here,
// a little below that, because clocks differ.
const (
	updatePace = 1100 * time.Millisecond
	readPace   = 250 * time.Millisecond
)

// maxAttempts bounds how often one set is read, planned and written in one tick, when another writer is faster or AWS
// refuses an entry.
const maxAttempts = 6

// Updater brings the sets to the state that the hits ask for. It is to be used by one goroutine.
type Updater struct {
	cfg     Config
	remotes map[SetKind]remotes // of the sets that are configured
	journal Journal
	log     *slog.Logger
	metrics *metrics

	reads, updates *pace
	pause          time.Duration // the longest between two attempts at the start; it doubles

	notify     func(Notice)
	told       map[Notice]bool // notices that go on, without their texts
	traffic    Traffic
	held       string   // why no client is added, as another process found; empty: nothing is known
	noted      *Trouble // what the journal has of max-share, with no Error where it has nothing; nil: not looked at since the start
	loaded     bool
	breakers   map[SetKind]*breaker
	looked     map[string]bool // ARNs whose owner was looked at since the start
	spent      []string        // lock tokens of our newest writes: a set that shows one is shown as it was
	last       map[SetKind]Generation
	quarantine map[SetKind]map[string]string // values that AWS refused, with its words
	together   map[string]int                // of names whose pattern it refused: how many may share the next
	forced     map[SetKind]int64             // the newest order to force that is carried out in it
	few        map[SetKind]int               // additions that may be sent at once, after it refused some and named none
}

// New returns an Updater. It makes no call. Api may be nil when cfg names no set: then all that can be done is planned.
func New(cfg Config, api API, j Journal, reg prometheus.Registerer, log *slog.Logger) (*Updater, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	m, err := newMetrics(reg)
	if err != nil {
		return nil, fmt.Errorf("waf metrics: %w", err)
	}
	u := &Updater{
		cfg: cfg, journal: j, log: log, metrics: m,
		remotes:    map[SetKind]remotes{},
		reads:      &pace{gap: readPace},
		updates:    &pace{gap: updatePace},
		pause:      200 * time.Millisecond,
		last:       map[SetKind]Generation{},
		quarantine: map[SetKind]map[string]string{},
		together:   map[string]int{},
		forced:     map[SetKind]int64{},
		few:        map[SetKind]int{},
		notify:     func(Notice) {},
		told:       map[Notice]bool{},
		breakers:   map[SetKind]*breaker{},
		looked:     map[string]bool{},
	}
	for _, kind := range kinds() {
		refs, err := cfg.refs(kind)
		if err != nil {
			return nil, err
		}
		if len(refs) > 0 && api == nil {
			return nil, fmt.Errorf("%s is set, but there is no AWS client", key(kind))
		}
		for _, r := range refs {
			u.remotes[kind] = append(u.remotes[kind], remote{api: api, kind: kind, ref: r, scope: types.Scope(cfg.Scope)})
		}
	}
	return u, nil
}

// Traffic tells of a client's requests within about the last hour: how many came without a flagged Referer, and how many
// such requests came from everybody.
type Traffic func(client netip.Prefix) (unflagged, all float64)

// Measure has the Updater ask t what the clients to be blocked send besides. Without it max-share limits nothing.
func (u *Updater) Measure(t Traffic) { u.traffic = t }

// RunOnce reads the sets, plans, and in enforce mode writes what differs, each generation journaled first. It returns
// what it planned and what became of it, as far as it came, and the errors of all sets joined, each an *Error.
//
// Exempt is asked of every entry when it is planned and again at the moment it is sent; it may look at a hit's Kind,
// Domain and Client only. Nil exempts nothing. Now decides what has expired.
//
// Nothing is written in shadow mode, without Writer, or to a set that is not configured. A set that cannot be read
// has no changes in the plan. A set in trouble (see Trouble) is not even read until its next try.
func (u *Updater) RunOnce(ctx context.Context, hits []policy.Hit, exempt func(policy.Hit) bool, now time.Time) (Plan, error) {
	plan := Plan{Time: now, Branches: cmp.Or(u.cfg.Branches, defaultBranches), Together: u.together, Shared: u.cfg.SharedSets}
	plan.Desired, plan.Dropped = desire(hits, now)
	standing, err := u.load(ctx, now)
	if err != nil {
		err := &Error{Class: ClassJournal, Err: err, Fix: "nothing is written while the ledger cannot be read"}
		u.metrics.errors.WithLabelValues(string(err.Class)).Inc()
		return plan, err
	}
	if len(standing.Restored) > 0 {
		plan.Desired = rank(append(plan.Desired, standing.Restored...))
	}
	model, config := origin(hits)
	limits := u.limits(ctx, plan.Desired, standing, now)
	var errs []error
	for _, kind := range kinds() {
		if err := u.open(kind, now); err != nil {
			errs = append(errs, err)
			continue
		}
		r := &run{
			Updater: u, kind: kind, plan: plan, exempt: exempt, model: model, config: config, standing: standing, limits: limits,
		}
		state, changes, err := r.once(ctx)
		if state != nil {
			plan.Current = append(plan.Current, *state)
			plan.Changes = append(plan.Changes, *changes)
			u.metrics.observe(*changes)
			if n := len(standing.Force); n > 0 && (err == nil || changes.Outcome == Planned) { // planned: it is taken up again
				u.forced[kind] = standing.Force[n-1]
			}
			if err == nil && changes.Refused != "" {
				err = &Error{Set: kind, Class: ClassRefused, Err: errors.New(changes.Refused)}
			}
		}
		failed, _ := errors.AsType[*Error](err)
		u.trip(ctx, kind, failed, now)
		if err != nil {
			errs = append(errs, err)
			if failed != nil {
				u.metrics.errors.WithLabelValues(string(failed.Class)).Inc()
			}
		}
	}
	if err := u.follow(ctx, plan, standing, now); err != nil {
		errs = append(errs, err)
	}
	if len(errs) == 0 {
		u.metrics.success.Set(float64(now.Unix()))
	}
	return plan, errors.Join(errs...)
}

// load takes over what the journal knows, once, and adds up the orders.
func (u *Updater) load(ctx context.Context, now time.Time) (Standing, error) {
	if !u.loaded {
		latest, err := u.journal.Latest(ctx)
		if err != nil {
			return Standing{}, fmt.Errorf("the journal's latest generations: %w", err)
		}
		slices.SortFunc(latest, func(a, b Generation) int { return cmp.Compare(a.ID, b.ID) })
		for _, g := range latest {
			u.last[g.Set] = g
		}
		u.loaded = true
	}
	orders, err := u.journal.Orders(ctx, now)
	if err != nil {
		return Standing{}, fmt.Errorf("the owner's orders: %w", err)
	}
	return Fold(orders, now), nil
}

// origin names the model and the configuration of the newest hit.
func origin(hits []policy.Hit) (model, config string) {
	if len(hits) == 0 {
		return "", ""
	}
	newest := slices.MaxFunc(hits, func(a, b policy.Hit) int { return a.Last.Compare(b.Last) })
	return newest.Model, newest.Config
}

// sleep waits between nothing and longest.
func sleep(ctx context.Context, longest time.Duration) error {
	t := time.NewTimer(rand.N(longest))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
