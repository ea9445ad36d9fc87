package main

import (
	"encoding/json"
	"fmt"

	"referee/classifier"
	"referee/policy"
	"referee/sidecar"
)

type modelCommand struct {
	Inspect modelInspectCommand `cmd:"" help:"Print what a model was made from and how it measured."`
	Verify  modelVerifyCommand  `cmd:"" help:"Check a model file: checksum, bounds, golden names."`
}

type modelInspectCommand struct {
	File string `arg:"" optional:"" help:"model file; none is the one built in"`
}

func (c *modelInspectCommand) Run(std *streams) error {
	model, err := sidecar.OpenModel(sidecar.ModelConfig{File: c.File})
	if err != nil {
		return err
	}
	encoder := json.NewEncoder(std.out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(struct {
		ID   string          `json:"id"`
		Info classifier.Info `json:"info"`
	}{model.ID(), model.Info()})
}

type modelVerifyCommand struct {
	File string `arg:"" optional:"" help:"model file; none is the one built in"`
}

func (c *modelVerifyCommand) Run(std *streams) error {
	model, err := sidecar.OpenModel(sidecar.ModelConfig{File: c.File})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(std.out, "model %s is whole: checksum, bounds and golden names agree\n", model.ID())
	return err
}

type versionCommand struct{}

func (versionCommand) Run(std *streams) error {
	model, err := classifier.Default()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(std.out, "referee %s, model %s\n", version, model.ID())
	return err
}

// openPolicy opens a model and makes the policy for it: what every command needs that judges without a running sidecar.
func openPolicy(m sidecar.ModelConfig, p policy.Config) (*classifier.Model, *policy.Policy, error) {
	model, err := sidecar.OpenModel(m)
	if err != nil {
		return nil, nil, err
	}
	rules, err := policy.New(p, model)
	return model, rules, err
}
