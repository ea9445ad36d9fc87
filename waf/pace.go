package waf

import (
	"context"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/aws/smithy-go/middleware"
)

// pace spaces calls by a gap from the end of one to the beginning of the next. A token bucket, such as x/time/rate, spaces
// their beginnings: behind a call that was slow to arrive the next would come within the same second of AWS's clock.
type pace struct {
	gap time.Duration

	mu   sync.Mutex // held during a call: AWS's budget is the account's, so there is nothing to win by two at once
	next time.Time
}

// paced has every attempt of a call, repetitions included, wait for its turn and then pass check: nothing lies between
// check and the sending but the signature.
func (p *pace) paced(check func() error) func(*wafv2.Options) {
	wait := func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (
		out middleware.FinalizeOutput, meta middleware.Metadata, err error,
	) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if err := p.wait(ctx); err != nil {
			return out, meta, err
		}
		if err := check(); err != nil {
			return out, meta, err
		}
		defer func() { p.next = time.Now().Add(p.gap) }()
		return next.HandleFinalize(ctx, in)
	}
	return func(o *wafv2.Options) {
		o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error {
			return s.Finalize.Insert(middleware.FinalizeMiddlewareFunc("RefereePace", wait), "Retry", middleware.After)
		})
	}
}

func (p *pace) wait(ctx context.Context) error {
	left := time.Until(p.next)
	if left <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(left)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func always() error { return nil }
