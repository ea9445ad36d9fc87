package sidecar

import (
	"context"
	"time"

	"referee/policy"
)

// reconcile runs the WAF updater each waf.interval. It is far from the request path: whatever AWS does, requests go on.
func (s *Sidecar) reconcile(ctx context.Context) {
	tick := time.NewTicker(s.config.WAF.Interval)
	defer tick.Stop()
	for {
		_, err := s.updater.RunOnce(ctx, s.keeper.published.Load().All(), s.exempt, s.now())
		if ctx.Err() != nil {
			return
		}
		s.health.set("waf", err)
		select {
		case <-tick.C:
		case <-s.keeper.batched: // so many decisions that the interval is too long
		case <-ctx.Done():
			return
		}
	}
}

// exempt is the last look at the never-block lists, and at whom a session speaks for, at the moment of the push.
func (s *Sidecar) exempt(hit policy.Hit) bool {
	return s.judging.Load().policy.ExemptHit(hit) || s.keeper.published.Load().Spared(hit, s.now())
}
