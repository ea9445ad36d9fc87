package demo

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"referee/sidecar"
)

const (
	senders  = 8
	sendTime = 8 * time.Second // the traffic is spread over this, so that there is something to watch
)

// send sends every request through the proxy, as a load balancer would, and shows each second what is seen.
func (d *demo) send(ctx context.Context, s *sidecar.Sidecar) error {
	url := fmt.Sprintf("http://%s/", s.Addresses()["proxy"])
	var next atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	started := time.Now()
	pause := sendTime / time.Duration(len(d.requests))
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: senders}}
	defer client.CloseIdleConnections()
	for range senders {
		group.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(d.requests) {
					return nil
				}
				if err := wait(ctx, time.Until(started.Add(time.Duration(i)*pause))); err != nil {
					return err
				}
				if err := sendOne(ctx, client, url, d.requests[i]); err != nil {
					return err
				}
			}
		})
	}
	watching, stop := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		d.watch(watching, s)
	}()
	err := group.Wait()
	stop()
	<-watched
	return err
}

// wait waits for a time that may be over already.
func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func sendOne(ctx context.Context, client *http.Client, url string, r request) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("X-Forwarded-For", r.client.String())
	if r.referer != "" {
		req.Header.Set("Referer", r.referer)
	}
	response, err := client.Do(req)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the application answered %s to the Referer %q", response.Status, r.referer)
	}
	return nil
}

// watch prints a line a second.
func (d *demo) watch(ctx context.Context, s *sidecar.Sidecar) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for second := 1; ; second++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		r, err := s.Report(ctx, time.Hour)
		if err != nil {
			continue // the next second will do
		}
		d.say("  %2d s  %5d requests, %4d with a flagged name; would block %3d names and %3d clients", second,
			r.Totals.Requests, r.Totals.Verdicts["dga"], r.Names.Active, r.Clients.Active)
	}
}
