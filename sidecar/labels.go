package sidecar

import (
	"context"
	"fmt"
	"time"
)

// labelsEvery is how often the ledger is asked whether there are new labels: one look at the end of an index.
const labelsEvery = time.Second

// followLabels takes up the labels that commands append to the ledger, which only one on disk has room for.
func (s *Sidecar) followLabels(ctx context.Context) {
	if !s.durable {
		return
	}
	tick := time.NewTicker(labelsEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			err := s.takeLabels(ctx)
			if ctx.Err() != nil {
				return
			}
			s.health.set("labels", err)
		case <-ctx.Done():
			return
		}
	}
}

// takeLabels makes the policy follow the labels that stand, if there are new ones. The keeper decides by it at its next
// tick, and what was labelled benign is held back from the very next push.
func (s *Sidecar) takeLabels(ctx context.Context) error {
	last, err := s.ledger.LastLabel(ctx)
	if err != nil || last == s.lastLabel {
		return err
	}
	labels, err := s.ledger.Labels(ctx)
	if err != nil {
		return fmt.Errorf("labels given since are not followed yet: %w", err)
	}
	s.swapping.Lock()
	defer s.swapping.Unlock()
	next := *s.judging.Load()
	next.labels, next.policy = labels, next.policy.With(labels)
	s.swap(&next)
	s.lastLabel = last
	s.log.Info("labels taken up", "labels", len(labels), "policy", next.policy.ID())
	return nil
}
