package main

import (
	"context"
	"fmt"
	"time"

	"referee/sidecar"
)

type doctorCommand struct {
	sidecar.Config `embed:""`
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
	if failed > 0 {
		return fmt.Errorf("doctor: %d of the checks failed", failed)
	}
	return nil
}
