package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"referee/sidecar"
)

type serveCommand struct {
	sidecar.Config `embed:""`

	DryRun bool `help:"check the configuration, the lists and the model, and exit"`
}

func (c *serveCommand) Run(ctx context.Context, std *streams) error {
	if c.DryRun {
		if err := sidecar.Check(c.Config); err != nil {
			return err
		}
		fmt.Fprintln(std.out, "the configuration is good")
		return nil
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP) // from now on it does not end the process, even while evidence is restored
	defer signal.Stop(hangup)
	level := new(slog.LevelVar)
	s, err := sidecar.New(ctx, c.Config, newLogger(std.err, c.Log, level), time.Now)
	if err != nil {
		return err
	}
	go reloadOnHangup(ctx, hangup, s, std, level)
	return s.Run(ctx)
}

// reloadOnHangup reads the configuration again, as at the start, whenever SIGHUP arrives. A bad one changes nothing and
// is logged.
func reloadOnHangup(ctx context.Context, hangup <-chan os.Signal, s *sidecar.Sidecar, std *streams, level *slog.LevelVar) {
	for {
		select {
		case <-hangup:
			var line commandLine
			_, err := line.parse(std)
			if err == nil {
				err = s.Reload(line.Serve.Config)
			}
			if err != nil {
				s.ReloadRefused(err)
				continue
			}
			setLevel(level, line.Serve.Log)
		case <-ctx.Done():
			return
		}
	}
}

func newLogger(w io.Writer, cfg sidecar.LogConfig, level *slog.LevelVar) *slog.Logger {
	setLevel(level, cfg)
	options := &slog.HandlerOptions{Level: level}
	if cfg.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

func setLevel(level *slog.LevelVar, cfg sidecar.LogConfig) {
	if err := level.UnmarshalText([]byte(cfg.Level)); err != nil { // kong's enum lets only four words through
		level.Set(slog.LevelInfo)
	}
}
