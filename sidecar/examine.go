package sidecar

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"referee/classifier"
	"referee/ledger"
	"referee/policy"
	"referee/waf"
)

// OpenModel opens the model that cfg names, or the one built in.
func OpenModel(cfg ModelConfig) (*classifier.Model, error) {
	if cfg.File == "" {
		return classifier.Default()
	}
	return classifier.Open(cfg.File)
}

// Check does what New does before it touches a port or a disk: the configuration's values, the model, the lists.
func Check(cfg Config) error {
	if err := cmp.Or(cfg.Validate(), cfg.sets().Validate()); err != nil {
		return err
	}
	_, err := newJudging(cfg, nil)
	_, candidate := openCandidate(cfg)
	return errors.Join(err, candidate)
}

// Finding is what one check of Examine found.
type Finding struct {
	Name   string
	Detail string // what is so, when Err is nil
	Err    error  // what is off, and the way out
}

// Examine checks everything that a sidecar with this configuration would need, changes nothing, and goes on after a
// failure.
func Examine(ctx context.Context, cfg Config) []Finding {
	var findings []Finding
	add := func(name, detail string, err error) { findings = append(findings, Finding{name, detail, err}) }

	add("configuration", "every value is in its range", cfg.Validate())
	model, err := OpenModel(cfg.Model)
	if err != nil {
		add("model", "", err)
	} else {
		add("model", fmt.Sprintf("%s, whole", model.ID()), nil)
		rules, err := policy.New(cfg.Policy, model)
		detail := ""
		if err == nil {
			detail = fmt.Sprintf("%s, flags names that at most 1 in %.0f benign ones outscore", rules.ID(), 1/rules.Threshold())
		}
		add("policy", detail, err)
	}
	if cfg.Model.Candidate != "" {
		detail := ""
		other, err := openCandidate(cfg)
		if err == nil {
			detail = fmt.Sprintf("%s, whole", other.ID())
		}
		add("candidate", detail, err)
	}
	add("data-dir", fmt.Sprintf("%s is usable", cfg.DataDir), examineLedger(ctx, cfg.DataDir))
	detail, err := examineWAF(ctx, cfg.sets())
	add("aws waf", detail, err)
	return findings
}

// examineWAF plans once against the sets that are configured, in shadow mode and with a ledger that keeps nothing: it
// reads every set, and writes none.
func examineWAF(ctx context.Context, cfg waf.Config) (detail string, err error) {
	if !cfg.Configured() {
		return "no set is configured: nothing is written to AWS", cfg.Validate()
	}
	cfg.Mode = waf.ModeShadow
	api, err := waf.NewAPI(ctx, cfg)
	if err != nil {
		return "", err
	}
	journal, err := ledger.Memory(ctx)
	if err != nil {
		return "", err
	}
	defer journal.Close()
	updater, err := waf.New(cfg, api, journal, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		return "", err
	}
	plan, err := updater.RunOnce(ctx, nil, func(policy.Hit) bool { return false }, time.Now())
	if err != nil {
		return "", err
	}
	var sets []string
	for i, c := range plan.Changes {
		holds := fmt.Sprintf("%s holds %d", c.Set, len(c.Before))
		if plan.Current[i].Sets == 0 {
			holds = fmt.Sprintf("no set is configured for %s", c.Set)
		}
		sets = append(sets, holds)
	}
	return strings.Join(sets, ", "), nil
}

// examineLedger opens the ledger for reading, since a running sidecar holds it for writing, and that is well. Then it makes
// and removes a file beside it, as a sidecar that starts makes its lock.
func examineLedger(ctx context.Context, dir string) error {
	if dir == "" {
		return errors.New("data-dir is empty: nothing outlives the process")
	}
	l, err := ledger.OpenReadOnly(ctx, dir)
	if err == nil {
		err = l.Close()
	}
	if err != nil && !errors.Is(err, ledger.ErrNone) { // a first start makes one
		return err
	}
	probe, err := os.CreateTemp(dir, ".referee-probe-*")
	for errors.Is(err, os.ErrNotExist) && dir != filepath.Dir(dir) { // and the directories on the way to it
		dir = filepath.Dir(dir)
		probe, err = os.CreateTemp(dir, ".referee-probe-*")
	}
	if err != nil {
		return fmt.Errorf("data-dir: not writable: %w; choose another directory or its owner", err)
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}
