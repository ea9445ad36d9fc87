package sidecar

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"referee/alert"
	"referee/classifier"
	"referee/evidence"
	"referee/features"
	"referee/ledger"
	"referee/policy"
)

const (
	drainEvery  = 100 * time.Millisecond
	commitEvery = time.Second // kill -9 loses at most this much of the sightings
	maxFlagged  = 10_000      // flagged sightings kept for one commit; evidence has them all

	attacksEvery = 10 * time.Second // they are looked for: one walk over all cohorts
	cohortsTold  = 5                // attacks that an alert tells of at a time
)

// keeper is the one goroutine that owns the evidence. It takes sightings off the queue, decides each second, and
// publishes hits only after the ledger has their decisions.
type keeper struct {
	s         *Sidecar
	state     *evidence.State
	scoredBy  string // the model that all of state is in terms of
	sightings []evidence.Sighting
	flagged   []evidence.Sighting
	leftOut   uint64                      // flagged sightings beyond maxFlagged, since the last batch
	decided   *policy.Hits                // what the evidence says
	published atomic.Pointer[policy.Hits] // what the ledger has too
	pending   *ledger.Batch               // given to the ledger, not yet known to be there
	writing   chan written                // what came of the batch that is being written; nil: none is

	forgetting []ledger.ForgetRequest // of whom pending says nothing any more, and whom the ledger is to forget behind it
	compared   *comparison
	drift      *drift
	changes    int             // decisions published since the last look at the sets was asked for
	batched    chan struct{}   // asks for one before the interval is over
	attacksAt  time.Time       // when they were last looked for
	attacks    map[string]bool // keys of those that an alert tells of
	metrics    keeperMetrics
}

// newKeeper restores evidence and active hits from the ledger.
func newKeeper(ctx context.Context, s *Sidecar) (*keeper, error) {
	key, err := s.ledger.EvidenceKey(ctx)
	if err != nil {
		return nil, err
	}
	k := &keeper{
		s: s, batched: make(chan struct{}, 1), state: evidence.New(s.config.Evidence, key),
		compared: newComparison(s.registry), metrics: newKeeperMetrics(s.registry, s.config.Evidence),
	}
	if k.drift, err = newDrift(ctx, s); err != nil {
		return nil, err
	}
	for row, err := range s.ledger.Evidence(ctx) {
		if err != nil {
			return nil, fmt.Errorf("restore evidence: %w", err)
		}
		if err := k.state.Restore(row); err != nil {
			s.log.Warn("a row of evidence was left out", "error", err) // one damaged row is no reason not to start
		}
	}
	// Those that expired while nobody ran too, so that their release becomes a decision.
	hits, err := s.ledger.ActiveHits(ctx, time.Time{})
	if err != nil {
		return nil, fmt.Errorf("restore hits: %w", err)
	}
	rules := s.judging.Load().policy
	if k.decided, err = rules.Remember(policy.NewHits(hits), s.ledger.Changes(ctx, s.now().Add(-rules.Memory()))); err != nil {
		return nil, fmt.Errorf("restore what expired lately: %w", err)
	}
	if err := s.ledger.Skipped(); err != nil {
		s.log.Warn("a part of the ledger was left out: `referee ledger verify` and `check` say what is wrong", "error", err)
	}
	k.publish()
	return k, nil
}

func (k *keeper) publish() {
	k.published.Store(k.decided)
	k.s.judge.SetHits(k.decided)
}

func (k *keeper) run(ctx context.Context) error {
	drain, commit := time.NewTicker(drainEvery), time.NewTicker(commitEvery)
	defer drain.Stop()
	defer commit.Stop()
	for {
		select {
		case <-drain.C:
			k.drain()
		case <-commit.C:
			k.s.judge.Tick()
			if k.writing != nil {
				continue // a slow disk: evidence goes on, the next batch is larger
			}
			batch, forget, writing := k.batch(), k.forgetting, make(chan written, 1)
			k.writing = writing
			go func() { writing <- k.commit(context.WithoutCancel(ctx), batch, forget) }() // an end must not cut it
		case w := <-k.writing:
			k.writing = nil
			k.forgetting = w.forget
			k.settle(w.err)
		case <-ctx.Done():
			if k.writing != nil {
				w := <-k.writing
				k.writing = nil
				k.settle(w.err)
			}
			return k.finish()
		}
	}
}

// finish commits what has come in since the last second.
func (k *keeper) finish() error {
	k.drain()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for range 2 { // once for a batch that failed before, once for the rest
		err := k.give(ctx, k.batch())
		k.settle(err)
		if err != nil {
			return fmt.Errorf("last commit: %w", err)
		}
	}
	return nil
}

// give gives a batch to the ledger, and counts how long that took.
func (k *keeper) give(ctx context.Context, b *ledger.Batch) error {
	began := time.Now()
	err := k.s.ledger.Commit(ctx, *b)
	k.metrics.committed(b, time.Since(began), err)
	return err
}

func (k *keeper) drain() {
	current := k.s.judging.Load()
	threshold := current.policy.Threshold()
	k.sightings = k.s.queue.Drain(k.sightings[:0])
	k.metrics.drained(len(k.sightings), k.s.config.Evidence.Queue)
	for _, sighting := range k.sightings {
		k.state.Add(sighting)
		// Exempt ones too: the ledger adds up what never-block saved.
		r := &sighting.Result
		byScore := r.Domain != "" && r.Tail <= threshold && !r.Abstain // a session's sighting may have no name
		switch {
		case !byScore && !sighting.Labelled:
		case len(k.flagged) < maxFlagged:
			k.flagged = append(k.flagged, sighting)
		default:
			k.leftOut++
		}
	}
	k.compared.add(k.sightings, current)
	k.drift.add(k.sightings, current, k.decided, k.s.now())
}

// rescore puts the evidence into the terms of the model that judges now. Nothing is decided on another model's scores: a
// new model's owner has his reasons. Hits that stand are left to expire, so that no model that flags too little empties
// the sets: they are extended by the new model alone.
func (k *keeper) rescore(current *judging) {
	model := current.cache.Model()
	began := time.Now()
	k.state.Rescore(func(domain string) classifier.Result {
		label, _, _ := strings.Cut(domain, ".")
		return model.Judge(features.Name{Host: domain, Domain: domain, Label: label})
	})
	k.scoredBy = model.ID()
	k.s.log.Debug("evidence scored again", "model", k.scoredBy, "took", time.Since(began))
}

// batch decides and gathers what the ledger must have; after a failed commit it returns the same batch again.
func (k *keeper) batch() *ledger.Batch {
	if k.pending != nil {
		return k.pending
	}
	now, current := k.s.now(), k.s.judging.Load()
	if k.scoredBy != current.id(live) {
		k.drain() // what the model before judged
		k.rescore(current)
	}
	k.forget()
	k.state.Expire(now)
	hits, decisions := current.policy.Decide(k.decided, k.state, now)
	k.decided = hits
	counts := k.s.judge.Counts()
	k.drift.take(counts)
	k.drift.tell(current.config.Model.Drift, k.s.alerts)
	k.pending = &ledger.Batch{
		Hour:      now.Truncate(time.Hour),
		Rows:      k.state.Changes(),
		Flagged:   k.flagged,
		Counts:    counts,
		Decisions: decisions,
		Compared:  k.compared.take(counts),
		Alerts:    k.s.told(),
	}
	k.metrics.leftOut.Add(float64(k.leftOut))
	if k.leftOut > 0 {
		counts[ledger.CountFlaggedLeftOut] += k.leftOut
	}
	if now.Sub(k.attacksAt) >= attacksEvery {
		k.attacksAt = now
		attacks := current.policy.Attacks(k.state)
		k.metrics.attacks.Set(float64(len(attacks)))
		k.raiseCohorts(attacks)
	}
	k.flagged, k.leftOut = nil, 0
	return k.pending
}

// raiseCohorts tells of each attack once, and when it is over: of a few, as a botnet has a cohort in every network.
func (k *keeper) raiseCohorts(attacks []policy.Attack) {
	told := stillTold(k.attacks, attacks, cohortsTold)
	for i := range attacks {
		if key := attacks[i].Key(); told[key] {
			k.s.alerts.Raise(alert.Alert{Kind: alert.Attack, Key: "cohort " + key, Text: "attack: " + attacks[i].String() +
				"\n`referee report` shows it; `cohort.min-flagged` is how many flagged names make one"})
		}
	}
	for key := range k.attacks {
		if !told[key] {
			k.s.alerts.Clear(alert.Attack, "cohort "+key)
		}
	}
	k.attacks = told
}

// stillTold is which attacks an alert tells of: those that it told of before, as long as they last, and then the largest. An order
// that changes every few seconds must not make one begin and end as often.
func stillTold(before map[string]bool, attacks []policy.Attack, most int) map[string]bool {
	told := map[string]bool{}
	for i := range attacks {
		if key := attacks[i].Key(); before[key] {
			told[key] = true
		}
	}
	for i := range attacks {
		if len(told) >= most {
			break
		}
		told[attacks[i].Key()] = true
	}
	return told
}

func (k *keeper) settle(err error) {
	if err != nil {
		k.s.health.set("ledger", fmt.Errorf("decisions wait, judging goes on: %w", err))
		return
	}
	if k.s.durable {
		k.s.health.set("ledger", nil)
	}
	k.metrics.decided(k.pending.Decisions)
	k.tell(k.pending.Decisions)
	k.s.raiseSaved(k.pending.Counts["saved."+policy.Own.String()])
	changes := len(k.pending.Decisions)
	k.pending = nil
	k.publish()
	if k.changes += changes; k.s.config.WAF.Batch > 0 && k.changes >= k.s.config.WAF.Batch {
		k.changes = 0
		select {
		case k.batched <- struct{}{}:
		default: // asked for already
		}
	}
	k.metrics.observe(k.state.Sizes(), k.decided)
}

// tell logs what was decided: one line however many there were, for an attack can bring thousands; the report has all.
func (k *keeper) tell(decisions []policy.Decision) {
	if len(decisions) == 0 {
		return
	}
	count := map[policy.Action]int{}
	for _, d := range decisions {
		count[d.Action]++
		k.s.log.Debug("decision", "action", d.Action, "hit", d.Hit.Key(), "why", d.Why)
	}
	first := decisions[0]
	k.s.log.Info("decisions", "block", count[policy.Block], "extend", count[policy.Extend], "release", count[policy.Release], "spare", count[policy.Spare],
		"active", k.decided.Len(), "first", first.Hit.Key(), "why", first.Why)
	k.s.raiseAttack(decisions, k.decided.Len())
}
