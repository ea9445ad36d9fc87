package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml"

	"referee/sidecar"
)

// variables names the variable of each flag: --a-b is PREFIX_A_B. kong.DefaultEnvars takes a digit for a word of its own, and
// made IPV_4_SET of ipv4-set.
func variables(prefix string) kong.Option {
	return kong.PostBuild(func(k *kong.Kong) error {
		return kong.Visit(k.Model, func(node kong.Visitable, next kong.Next) error {
			if flag, isFlag := node.(*kong.Flag); isFlag && flag.Name != "help" {
				flag.Envs = []string{prefix + "_" + strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_"))}
				flag.Tag.Envs = flag.Envs
			}
			return next(nil)
		})
	})
}

// BeforeResolve is kong's hook between reading the arguments and filling in what they did not say. It reads the file that
// --config or REFEREE_CONFIG names, if one is named.
func (*commandLine) BeforeResolve(ctx *kong.Context) error {
	var file map[string]setting
	if path := configPath(ctx); path != "" {
		data, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("config: %w", err)
		}
		if file, err = parseConfig(data, ctx.Flags()); err != nil {
			return fmt.Errorf("config %s:\n%w", path, err)
		}
	}
	ctx.AddResolver(fileValues(file))
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

// setting is one value of the file and the keys that lead to it. A scalar is a string, which kong parses as it parses flags.
type setting struct {
	keys  []string
	value any
}

// fileValues answers for the flags that neither the command line nor the environment set.
func fileValues(file map[string]setting) kong.ResolverFunc {
	return func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		for _, variable := range flag.Envs {
			if value, set := os.LookupEnv(variable); set {
				if err := oneOf(flag, value); err != nil { // kong would not say where it is from
					return nil, fmt.Errorf("%s: %w", variable, err)
				}
				return nil, nil
			}
		}
		return file[flag.Name].value, nil
	}
}

// parseConfig checks a configuration file against every key there is, and its values against the flags of the command, and
// returns them by flag name. An error shows the line and a caret under the place.
func parseConfig(data []byte, flags []*kong.Flag) (map[string]setting, error) {
	var whole sidecar.Config
	decoder := yaml.NewDecoder(bytes.NewReader(data), yaml.Strict())
	refused := decoder.Decode(&whole)
	if placed := yaml.Error(nil); errors.As(refused, &placed) {
		return nil, errors.New(placed.FormatError(false, true))
	}
	if err := decoder.Decode(new(any)); refused == nil && !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one YAML document: nothing behind --- would be read; leave one")
	}
	var tree map[string]any
	if err := yaml.Unmarshal(data, &tree); err != nil {
		return nil, errors.New(yaml.FormatError(err, false, true))
	}
	values := map[string]setting{}
	flatten(values, nil, tree)
	for _, flag := range flags {
		if s, set := values[flag.Name]; set {
			if err := accepts(flag, s.value); err != nil {
				return nil, s.at(data, err)
			}
		}
	}
	if refused != nil && !errors.Is(refused, io.EOF) { // what a type of ours refused and no flag of this command has
		return nil, refused
	}
	return values, nil
}

// flatten turns {proxy: {listen: x}} into {proxy-listen: x}.
func flatten(into map[string]setting, keys []string, tree map[string]any) {
	for key, value := range tree {
		keys := append(slices.Clip(keys), key)
		name := strings.Join(keys, "-")
		switch value := value.(type) {
		case nil:
		case map[string]any:
			flatten(into, keys, value)
		case []any:
			items := make([]any, len(value))
			for i, item := range value {
				items[i] = fmt.Sprint(item)
			}
			into[name] = setting{keys, items}
		default:
			into[name] = setting{keys, fmt.Sprint(value)}
		}
	}
}

// at says of which key an error is, and shows its line.
func (s setting) at(data []byte, err error) error {
	path := (&yaml.PathBuilder{}).Root()
	for _, key := range s.keys {
		path = path.Child(key)
	}
	source, noPlace := path.Build().AnnotateSource(data, false)
	if noPlace != nil { // behind an alias
		return fmt.Errorf("%s: %w", strings.Join(s.keys, "."), err)
	}
	return fmt.Errorf("%s: %w\n%s", strings.Join(s.keys, "."), err, source)
}

// accepts tries a value on a flag and leaves the flag as it is.
func accepts(flag *kong.Flag, value any) error {
	scan := kong.Scan().PushTyped(value, kong.FlagValueToken)
	target := reflect.New(flag.Target.Type()).Elem()
	if err := flag.Mapper.Decode(&kong.DecodeContext{Value: flag.Value, Scan: scan}, target); err != nil {
		return err
	}
	return oneOf(flag, fmt.Sprint(target))
}

// oneOf refuses a word that is none of those that a flag takes, if it takes words.
func oneOf(flag *kong.Flag, word string) error {
	if flag.Enum == "" || slices.Contains(flag.EnumSlice(), word) {
		return nil
	}
	return fmt.Errorf("%q is none of %s", word, strings.Join(flag.EnumSlice(), ", "))
}
