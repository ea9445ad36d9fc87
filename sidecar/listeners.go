package sidecar

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"referee/intake"
	"referee/intake/logs"
)

// server is one listener and what answers on it.
type server struct {
	name     string
	listener net.Listener
	serve    func() error
	drain    func() // ask clients to leave; new ones are still served
	shutdown func(context.Context) error
}

// listen binds every listener, so that a port in use ends the process at its start and not later.
func (s *Sidecar) listen(ctx context.Context) error {
	if err := s.add(ctx, "api", "listen", s.config.Intake.Listen, intake.NewAPI(s.config.Intake, s.judge, s.registry, s.log)); err != nil {
		return err
	}
	if s.config.Observe.Enabled() {
		observe := intake.NewObserve(s.config.Observe, s.judge, s.registry, s.log)
		if err := s.add(ctx, "observe", "observe.listen", s.config.Observe.Listen, observe); err != nil {
			return err
		}
	}
	if s.config.Proxy.Enabled() {
		proxy, err := intake.NewProxy(s.config.Proxy, s.judge, s.registry, s.log)
		if err != nil {
			return err
		}
		if err := s.add(ctx, "proxy", "proxy.listen", s.config.Proxy.Listen, proxy); err != nil {
			return err
		}
	}
	if err := s.add(ctx, "health", "health.listen", s.config.Health.Listen, newHTTP(s.health.handler(s.registry))); err != nil {
		return err
	}
	if s.logs != nil {
		if err := s.logs.Listen(ctx); err != nil {
			return err
		}
	}
	return s.add(ctx, "admin", "admin.listen", s.config.Admin.Listen, newHTTP(s.admin()))
}

// readLogs makes the intake of logs where one is configured.
func (s *Sidecar) readLogs() (err error) {
	if !s.config.Logs.Enabled() {
		return nil
	}
	dir := ""
	if s.durable {
		dir = s.config.DataDir
	}
	s.logs, err = logs.New(s.config.Logs, s.judge, dir, s.registry, s.log, s.now, s.health.set)
	return err
}

// serverOf is what intake and net/http have in common.
type serverOf interface {
	Serve(net.Listener) error
	Shutdown(context.Context) error
}

func (s *Sidecar) add(ctx context.Context, name, key, address string, of serverOf) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("%s: cannot listen on %q: %w; choose another address or stop what uses it", key, address, err)
	}
	added := &server{name: name, listener: listener, drain: func() {}, shutdown: of.Shutdown, serve: func() error {
		if err := of.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	}}
	if drainer, ok := of.(interface{ Drain() }); ok {
		added.drain = drainer.Drain
	}
	s.servers = append(s.servers, added)
	return nil
}

func (s *Sidecar) closeListeners() error {
	var errs []error
	for _, server := range s.servers {
		errs = append(errs, server.listener.Close())
	}
	if s.logs != nil {
		errs = append(errs, s.logs.Close())
	}
	return errors.Join(errs...)
}

// newHTTP is a net/http server for people and probes, with timeouts against slow ones. WriteTimeout leaves room for a
// 30 s CPU profile.
func newHTTP(handler http.Handler) *http.Server {
	return &http.Server{
		Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 2 * time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
	}
}
