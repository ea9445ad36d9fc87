package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"referee/alert"
	"referee/sidecar"
)

type doctorCommand struct {
	sidecar.Config `embed:""`

	SendAlert bool `help:"Also send an alert to each destination that is configured, to see whether it arrives."`
}

// Run prints one line a check and fails if one did.
func (c *doctorCommand) Run(ctx context.Context, std *streams) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	failed := 0
	for _, check := range sidecar.Examine(ctx, c.Config) {
		mark, detail := "ok  ", check.Detail
		if check.Err != nil {
			mark, detail = "FAIL", check.Err.Error()
			failed++
		}
		fmt.Fprintf(std.out, "%s  %-14s %s\n", mark, check.Name, detail)
	}
	if c.SendAlert {
		if err := c.sendAlert(ctx); err != nil {
			fmt.Fprintf(std.out, "FAIL  %-14s %v\n", "alert", err)
			failed++
		} else {
			fmt.Fprintf(std.out, "ok    %-14s sent: see that it arrived\n", "alert")
		}
	}
	if failed > 0 {
		return fmt.Errorf("doctor: %d of the checks failed", failed)
	}
	return nil
}

// sendAlert tells each destination, and fails where one does not take it.
func (c *doctorCommand) sendAlert(ctx context.Context) error {
	if c.Alert.Webhook == "" && c.Alert.SNSTopic == "" && c.WAF.Webhook == "" {
		return errors.New("nobody would be told: set alert.webhook or alert.sns-topic")
	}
	alerts, err := sidecar.NewAlerts(c.Config, prometheus.NewRegistry(), slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		return err
	}
	alerts.Raise(alert.Alert{Kind: alert.Test, Text: "this is a test: `referee doctor --send-alert` was run, and nothing is wrong"})
	return alerts.Flush(ctx)
}
