package sidecar

import (
	"context"
	"time"
)

const (
	tidyEvery = time.Minute
	// tidyPause lets a commit in between two steps.
	tidyPause = 50 * time.Millisecond
)

// tidy does what retention asks for, in small steps beside the commits. Trouble with it harms nothing yet: a disk that cannot
// be written is the commits' to tell of.
func (s *Sidecar) tidy(ctx context.Context) {
	for wait := tidyEvery; ; {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		more, err := s.ledger.Maintain(ctx, s.config.Ledger, s.now())
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			s.log.Warn("the ledger could not be tidied up", "error", err)
		}
		wait = tidyEvery
		if more {
			wait = tidyPause
		}
	}
}
