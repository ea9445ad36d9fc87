// Package sidecar wires the rooms into one process and gives it a life: start, reload, health, drain. It judges nothing
// itself.
package sidecar

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"referee/alert"
	"referee/classifier"
	"referee/evidence"
	"referee/intake"
	"referee/intake/logs"
	"referee/ledger"
	"referee/policy"
	"referee/waf"
)

// Sidecar is one running referee. New wires it and binds its listeners, Run serves until its context ends.
type Sidecar struct {
	config   Config
	log      *slog.Logger
	now      func() time.Time
	registry *prometheus.Registry
	health   *health
	loops    *supervisor
	alerts   *alert.Alerts

	judging   atomic.Pointer[judging]
	swapping  sync.Mutex // whoever swaps judging
	models    *models
	lastLabel int64 // of the labels that are followed
	judge     *intake.Judge
	queue     *evidence.Queue
	keeper    *keeper
	ledger    *ledger.Ledger
	durable   bool // the ledger is on disk
	updater   *waf.Updater

	logs      *logs.Intake // nil: no log is read
	servers   []*server
	reporting sync.Mutex
}

// judging is what a reload swaps: the model, the policy made for it, and the model that it is compared with.
type judging struct {
	config    Config
	cache     *classifier.Cache
	policy    *policy.Policy
	labels    []policy.Label
	proxies   *intake.Proxies
	candidate *classifier.Model // nil: none
}

// New opens the model, the ledger and the listeners, and restores what the ledger holds. A bad configuration, a damaged
// model, a ledger of a newer version and a listener that cannot be bound are errors; an unusable data directory is not: the
// process then judges in memory, never writes to AWS, and says so.
func New(ctx context.Context, cfg Config, log *slog.Logger, now func() time.Time) (*Sidecar, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Sidecar{config: cfg, log: log, now: now, registry: prometheus.NewRegistry(), queue: evidence.NewQueue(cfg.Evidence.Queue)}
	s.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	s.health = newHealth(s.registry, log)
	s.loops = newSupervisor(s.health, s.registry)
	var err error
	if s.alerts, err = NewAlerts(cfg, s.registry, log, now); err != nil {
		return nil, err
	}
	s.health.alerts = s.alerts
	s.models = newModels(s.registry, s.health, now)

	current, err := newJudging(cfg, nil)
	if err != nil {
		return nil, err
	}
	var unusable error // a candidate decides nothing: to start without it does no harm
	current.candidate, unusable = openCandidate(cfg)
	s.judge = intake.NewJudge(s.queue, s.registry, log, now)
	if err := s.openLedger(ctx); err != nil {
		return nil, err
	}
	showLedger(s.registry, s.config.DataDir)
	s.use(current)
	if unusable != nil {
		s.refused(unusable)
		s.health.set(string(candidate), fmt.Errorf("%w: %s", unusable, current.instead(candidate)))
	}
	s.health.set("labels", s.takeLabels(ctx))
	if s.keeper, err = newKeeper(ctx, s); err != nil {
		return nil, errors.Join(err, s.ledger.Close())
	}
	if s.updater, err = s.newUpdater(ctx); err != nil {
		return nil, errors.Join(err, s.ledger.Close())
	}
	if err := s.readLogs(); err != nil {
		return nil, errors.Join(err, s.ledger.Close())
	}
	if err := s.listen(ctx); err != nil {
		return nil, errors.Join(err, s.closeListeners(), s.ledger.Close())
	}
	return s, nil
}

// newJudging opens the model and makes the policy. The previous cache is kept when the model is the same.
func newJudging(cfg Config, previous *judging) (*judging, error) {
	model, err := OpenModel(cfg.Model)
	if err != nil {
		return nil, &roleError{live, err}
	}
	rules, err := policy.New(cfg.Policy, model)
	if err != nil {
		return nil, err
	}
	proxies, err := intake.ParseProxies(cfg.Intake.TrustedProxies)
	if err != nil {
		return nil, err
	}
	if mode := cfg.Intake.ForwardedFor; mode == "preserve" || mode == "remove" {
		proxies = proxies.Heedless()
	}
	next := &judging{config: cfg, policy: rules, proxies: proxies}
	if previous != nil && len(previous.labels) > 0 {
		next.labels, next.policy = previous.labels, rules.With(previous.labels)
	}
	if previous != nil && previous.cache.Model().ID() == model.ID() && previous.config.Model.Cache == cfg.Model.Cache {
		next.cache = previous.cache
	} else {
		next.cache = classifier.NewCache(model, cfg.Model.Cache)
	}
	return next, nil
}

// swap makes the next request judge by j.
func (s *Sidecar) swap(j *judging) {
	s.judging.Store(j)
	s.judge.Swap(&intake.Snapshot{
		Cache:   j.cache,
		Policy:  j.policy,
		Proxies: j.proxies,
		Session: intake.SessionHeader(j.config.Intake.SessionHeader),
		Block:   s.config.Mode == waf.ModeEnforce && j.config.Inline == "block",
	})
}

// Reload swaps in the models, the policy and the log level of next. What cannot change while running (listeners, data
// directory, sets) is named in the log and left as it is. On an error nothing changes.
func (s *Sidecar) Reload(next Config) error {
	if err := next.Validate(); err != nil {
		return err
	}
	s.swapping.Lock()
	defer s.swapping.Unlock()
	j, err := newJudging(next, s.judging.Load())
	if err == nil {
		j.candidate, err = openCandidate(next)
	}
	if err != nil {
		s.refused(err)
		return err
	}
	if fixed := s.config.restartNeeded(next); len(fixed) > 0 {
		s.log.Warn("these keys take effect at the next start only", "keys", fixed)
	}
	s.use(j)
	s.alerts.Clear(alert.Model, "reload")
	s.log.Info("configuration reloaded", "model", j.id(live), "candidate", j.id(candidate), "policy", j.policy.ID())
	return nil
}

// openLedger opens the ledger on disk. A ledger of a newer version, of another process or of another program is an error:
// going on beside it would do harm. Any other trouble leaves one in memory.
func (s *Sidecar) openLedger(ctx context.Context) (err error) {
	if s.config.DataDir == "" {
		s.health.set("ledger", errors.New("data-dir is empty: evidence and decisions are kept in memory only"))
	} else {
		s.ledger, err = ledger.Open(ctx, s.config.DataDir)
		switch {
		case err == nil:
			s.durable = true
			return nil
		case errors.Is(err, ledger.ErrNewer), errors.Is(err, ledger.ErrInUse), errors.Is(err, ledger.ErrForeign):
			return err
		}
		s.health.set("ledger", fmt.Errorf("judging in memory, nothing will be written to AWS: %w", err))
	}
	s.ledger, err = ledger.Memory(ctx)
	return err
}

// newUpdater makes the updater of the WAF sets. Only enforce mode with waf.writer and a ledger on disk may write.
func (s *Sidecar) newUpdater(ctx context.Context) (*waf.Updater, error) {
	cfg := s.config.sets()
	if cfg.Mode == waf.ModeEnforce && !(cfg.Writer && s.durable) {
		cfg.Mode = waf.ModeShadow
		s.log.Warn("enforce mode writes nothing to AWS here: that needs waf.writer and a usable data-dir")
	}
	var api waf.API
	if cfg.Configured() {
		client, err := waf.NewAPI(ctx, cfg)
		if err == nil {
			api = client
		} else {
			// Judging goes on, and plans are made against no sets: AWS's trouble is no reason not to start.
			s.health.set("aws", fmt.Errorf("no set is read or written until this is mended and referee restarted: %w", err))
			cfg.Mode, cfg.NamesSet, cfg.IPv4Set, cfg.IPv6Set = waf.ModeShadow, nil, "", ""
		}
	}
	updater, err := waf.New(cfg, api, s.ledger, s.registry, s.log)
	if err == nil {
		updater.Measure(s.judge.Traffic)
		updater.Notify(Notify(s.alerts))
	}
	return updater, err
}

// Run serves until ctx ends, then drains: readiness fails for shutdown.delay, listeners close, requests under way finish
// within shutdown.timeout, and the last evidence and decisions are committed.
func (s *Sidecar) Run(ctx context.Context) error {
	background, stopBackground := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBackground()
	var loops errgroup.Group
	for name, loop := range map[string]func(context.Context) error{
		"evidence":  s.keeper.run,
		"WAF sets":  endless(s.reconcile),
		"models":    endless(s.watchModels),
		"labels":    endless(s.followLabels),
		"retention": endless(s.tidy),
		"alerts":    endless(s.deliver),
	} {
		loops.Go(func() error { return s.loops.run(background, name, loop) })
	}
	reading, stopReading := context.WithCancel(background)
	defer stopReading()
	var readers errgroup.Group
	if s.logs != nil {
		readers.Go(func() error { return s.logs.Run(reading) })
	}

	serving, failed := context.WithCancelCause(ctx)
	defer failed(nil)
	for _, server := range s.servers {
		go func() {
			if err := server.serve(); err != nil {
				failed(fmt.Errorf("%s listener: %w", server.name, err))
			}
		}()
	}
	s.log.Info("serving", "mode", s.config.Mode, "addresses", s.Addresses(), "model", s.judging.Load().cache.Model().ID())
	<-serving.Done()
	err := s.drain()
	if cause := context.Cause(serving); !errors.Is(cause, context.Canceled) {
		err = errors.Join(cause, err)
	}
	stopReading()
	err = errors.Join(err, readers.Wait()) // what they remember as read must be among the last evidence
	stopBackground()
	return errors.Join(err, loops.Wait(), s.ledger.Close())
}

// endless is a loop that only ends with its context.
func endless(loop func(context.Context)) func(context.Context) error {
	return func(ctx context.Context) error { loop(ctx); return nil }
}

func (s *Sidecar) drain() error {
	s.health.drain()
	for _, server := range s.servers {
		server.drain()
	}
	s.log.Info("draining", "delay", s.config.Shutdown.Delay, "timeout", s.config.Shutdown.Timeout)
	time.Sleep(s.config.Shutdown.Delay) //nolint:forbidigo // readiness fails while requests go on; nothing is waited for
	ctx, cancel := context.WithTimeout(context.Background(), s.config.Shutdown.Timeout)
	defer cancel()
	var group errgroup.Group
	for _, server := range s.servers {
		group.Go(func() error { return server.shutdown(ctx) })
	}
	return group.Wait()
}

// Log returns the logger that was given to New.
func (s *Sidecar) Log() *slog.Logger { return s.log }

// Addresses returns where each listener is bound: api, health, admin, and proxy where it is on.
func (s *Sidecar) Addresses() map[string]string {
	addresses := map[string]string{}
	for _, server := range s.servers {
		addresses[server.name] = server.listener.Addr().String()
	}
	if s.logs != nil {
		maps.Copy(addresses, s.logs.Addresses())
	}
	return addresses
}
