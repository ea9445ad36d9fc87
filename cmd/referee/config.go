package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml"

	"referee/sidecar"
)

// BeforeResolve is kong's hook between reading the arguments and filling in what they did not say. It reads the file that
// --config or REFEREE_CONFIG names, if one is named.
func (*commandLine) BeforeResolve(ctx *kong.Context) error {
	path := configPath(ctx)
	if path == "" {
		return nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("config: %w", err)
	}
	values, err := parseConfig(data)
	if err != nil {
		return fmt.Errorf("config %s:\n%w", path, err)
	}
	ctx.AddResolver(fileValues(values))
	return nil
}

func configPath(ctx *kong.Context) string {
	for _, flag := range ctx.Model.Flags {
		if flag.Name != "config" {
			continue
		}
		if path, _ := ctx.FlagValue(flag).(string); path != "" {
			return path
		}
		return os.Getenv(flag.Envs[0])
	}
	return ""
}

// fileValues answers for the flags that neither the command line nor the environment set.
func fileValues(values map[string]any) kong.ResolverFunc {
	return func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		for _, variable := range flag.Envs {
			if _, set := os.LookupEnv(variable); set {
				return nil, nil
			}
		}
		value, found := values[flag.Name]
		if !found {
			return nil, nil
		}
		return value, nil
	}
}

// parseConfig checks a configuration file against every key there is and returns its values by flag name. An error shows
// the line and a caret under the place.
func parseConfig(data []byte) (map[string]any, error) {
	var whole sidecar.Config
	decoder := yaml.NewDecoder(bytes.NewReader(data), yaml.Strict())
	if err := decoder.Decode(&whole); err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.New(yaml.FormatError(err, false, true))
	}
	if err := decoder.Decode(new(any)); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one YAML document: nothing behind --- would be read; leave one")
	}
	var tree map[string]any
	if err := yaml.Unmarshal(data, &tree); err != nil {
		return nil, errors.New(yaml.FormatError(err, false, true))
	}
	values := map[string]any{}
	flatten(values, "", tree)
	return values, nil
}

// flatten turns {proxy: {listen: x}} into {proxy-listen: x}. Scalars become strings, which kong parses as it parses flags.
func flatten(into map[string]any, prefix string, tree map[string]any) {
	for key, value := range tree {
		name := strings.TrimPrefix(prefix+"-"+key, "-")
		switch value := value.(type) {
		case nil:
		case map[string]any:
			flatten(into, name, value)
		case []any:
			items := make([]any, len(value))
			for i, item := range value {
				items[i] = fmt.Sprint(item)
			}
			into[name] = items
		default:
			into[name] = fmt.Sprint(value)
		}
	}
}
