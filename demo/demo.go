// Package demo shows Referee at work on one machine: the real sidecar with the built-in model, an emulated AWS WAF, a
// small application behind the proxy, and real HTTP traffic.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"referee/report"
	"referee/sidecar"
	"referee/waf"
	"referee/waf/waftest"
)

// Options are what a person may choose.
type Options struct {
	Config sidecar.Config // the defaults of every key; the demo sets what it must
	Once   bool           // end after the summary
	Seed   uint64
	Out    io.Writer // the story
	Err    io.Writer // the sidecar's log, warnings and worse
}

// demo is one run.
type demo struct {
	Options
	requests []request
	aws      *waftest.Server
	names    waftest.Set
	ipv4     waftest.Set
	ipv6     waftest.Set
	app      net.Listener
	dir      string
}

// Run tells the whole story: shadow, report, enforce, replay. It returns an error if Referee did not do what the story
// says: wrote in shadow mode, blocked an ordinary request, or missed most of the attack.
func Run(ctx context.Context, options Options) error {
	dir, err := os.MkdirTemp("", "referee-demo-")
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer os.RemoveAll(dir)
	d := &demo{Options: options, requests: script(options.Seed), dir: dir}
	if err := d.startSurroundings(ctx); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer d.aws.Close()
	defer d.app.Close()
	d.say("An application, and an emulated AWS WAF with its real limits, run on loopback.")
	if err := d.shadow(ctx); err != nil {
		return fmt.Errorf("demo, shadow mode: %w", err)
	}
	if err := d.enforce(ctx); err != nil {
		return fmt.Errorf("demo, enforce mode: %w", err)
	}
	return nil
}

// say prints a line of the story.
func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.Out, format+"\n", args...) }

// startSurroundings starts what an owner already has: an application, and WAF sets made beforehand.
func (d *demo) startSurroundings(ctx context.Context) error {
	d.aws = waftest.New()
	if err := d.aws.Start(); err != nil {
		return err
	}
	var err error
	if d.names, err = d.aws.CreateRegexPatternSet("referee-names"); err != nil {
		return err
	}
	if d.ipv4, err = d.aws.CreateIPSet("referee-clients-v4", "IPV4"); err != nil {
		return err
	}
	if d.ipv6, err = d.aws.CreateIPSet("referee-clients-v6", "IPV6"); err != nil {
		return err
	}
	if d.app, err = new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0"); err != nil {
		return err
	}
	application := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "Welcome to the shop.") })
	go func() {
		server := &http.Server{Handler: application, ReadHeaderTimeout: time.Second}
		_ = server.Serve(d.app) // ends when Run closes the listener
	}()
	return nil
}

// sidecar makes a sidecar in mode, with every listener on a free port of loopback.
func (d *demo) sidecar(ctx context.Context, mode waf.Mode) (*sidecar.Sidecar, error) {
	cfg := d.Config
	cfg.Mode, cfg.DataDir = mode, filepath.Join(d.dir, "data")
	cfg.Intake.Listen, cfg.Health.Listen, cfg.Admin.Listen, cfg.Proxy.Listen = free, free, free, free
	cfg.Proxy.Upstream = d.app.Addr().String()
	cfg.Shutdown.Delay = 0
	cfg.WAF = d.wafConfig(cfg.WAF)
	log := slog.New(slog.NewTextHandler(d.Err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	return sidecar.New(ctx, cfg, log, time.Now)
}

const free = "127.0.0.1:0"

// shadow sends the traffic through a sidecar that may write nothing, and prints its report.
func (d *demo) shadow(ctx context.Context) error {
	s, err := d.sidecar(ctx, waf.ModeShadow)
	if err != nil {
		return err
	}
	d.say("\nShadow mode. %d requests with ordinary and generated Referers go through the proxy:", len(d.requests))
	err = running(ctx, s, func(ctx context.Context) error {
		if err := d.send(ctx, s); err != nil {
			return err
		}
		r, err := d.settled(ctx, s)
		if err != nil {
			return err
		}
		d.say("")
		return r.Text(d.Out)
	})
	if err != nil {
		return err
	}
	for _, call := range d.aws.Calls() {
		if call.Writes() {
			return fmt.Errorf("%s reached AWS in shadow mode", call.Action)
		}
	}
	d.say("\nNothing was written to AWS: the emulator counted no Create, Update or Delete.")
	return nil
}

// enforce starts the sidecar again on the same ledger, waits until the sets are filled, and replays the traffic against
// them as AWS WAF would evaluate it.
func (d *demo) enforce(ctx context.Context) error {
	s, err := d.sidecar(ctx, waf.ModeEnforce)
	if err != nil {
		return err
	}
	return running(ctx, s, func(ctx context.Context) error {
		d.say("\nEnforce mode, after a restart on the same ledger. What AWS WAF holds now:")
		if err := d.filled(ctx); err != nil {
			return err
		}
		if err := d.replay(); err != nil {
			return err
		}
		admin := s.Addresses()["admin"]
		if d.Once {
			return nil
		}
		d.say("\nThe report: http://%s/report   metrics: http://%s/metrics   try it: curl -i -H 'Referer: http://kq3v9zx81hw.com/' http://%s/v1/check",
			admin, s.Addresses()["health"], s.Addresses()["api"])
		d.say("Ctrl-C ends the demo.")
		<-ctx.Done()
		return nil
	})
}

// running runs s while do runs, and drains it after.
func running(ctx context.Context, s *sidecar.Sidecar, do func(context.Context) error) error {
	ctx, stop := context.WithCancel(ctx)
	var group errgroup.Group
	group.Go(func() error { return s.Run(ctx) })
	err := do(ctx)
	stop()
	return errors.Join(err, group.Wait())
}

// settled waits until the ledger has counted every request, and returns the report.
func (d *demo) settled(ctx context.Context, s *sidecar.Sidecar) (*report.Report, error) {
	deadline, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		r, err := s.Report(deadline, time.Hour)
		if err != nil {
			return nil, err
		}
		if r.Totals.Requests >= uint64(len(d.requests)) {
			return r, nil
		}
		select {
		case <-tick.C:
		case <-deadline.Done():
			return nil, fmt.Errorf("the ledger has %d of %d requests: %w", r.Totals.Requests, len(d.requests), deadline.Err())
		}
	}
}
