package main

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"referee/sidecar"
)

var update = flag.Bool("update", false, "write docs/configuration.md anew")

const configurationFile = "../../docs/configuration.md"

func TestConfigurationDocumentIsUpToDate(t *testing.T) {
	want := configurationDocument()
	if *update {
		if err := os.WriteFile(configurationFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(configurationFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("docs/configuration.md is stale; run go test ./cmd/referee -run Configuration -update\n%s", diff)
	}
}

func TestEveryKeyOfTheFileIsAFlagOfServe(t *testing.T) {
	var line commandLine
	parsed, err := line.parse(&streams{args: []string{"serve"}})
	if err != nil {
		t.Fatal(err)
	}
	flags := map[string]bool{}
	for _, flag := range parsed.Selected().Flags {
		flags[flag.Name] = true
	}
	for _, key := range keys(reflect.TypeFor[sidecar.Config](), "") {
		if name := strings.ReplaceAll(key.path, ".", "-"); !flags[name] {
			t.Errorf("the key %s has no flag --%s", key.path, name)
		}
	}
}

func TestTheVariableOfAFlagIsItsNameInCapitals(t *testing.T) {
	var line commandLine
	parsed, err := line.parse(&streams{args: []string{"serve"}})
	if err != nil {
		t.Fatal(err)
	}
	flags := 0
	err = kong.Visit(parsed.Model, func(node kong.Visitable, next kong.Next) error {
		if flag, isFlag := node.(*kong.Flag); isFlag && flag.Name != "help" {
			flags++
			want := []string{"REFEREE_" + strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_"))}
			if diff := cmp.Diff(want, flag.Envs); diff != "" {
				t.Errorf("--%s is another variable (-want +got):\n%s", flag.Name, diff)
			}
		}
		return next(nil)
	})
	if err != nil || flags < 3*len(keys(reflect.TypeFor[sidecar.Config](), "")) { // serve, doctor and waf have them all
		t.Errorf("%d flags were looked at, %v", flags, err)
	}
}

// key is one key of the configuration file, as the Config structs describe it.
type key struct{ path, kind, byDefault, help string }

// keys walks the Config structs as the YAML decoder does.
func keys(of reflect.Type, prefix string) []key {
	var all []key
	for i := range of.NumField() {
		field := of.Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		path := prefix + name
		_, isSection := field.Tag.Lookup("embed")
		switch {
		case name == "-":
		case isSection && strings.Contains(options, "inline"):
			all = append(all, keys(field.Type, prefix)...)
		case isSection:
			all = append(all, keys(field.Type, path+".")...)
		default:
			all = append(all, key{path, kindOf(field), field.Tag.Get("default"), field.Tag.Get("help")})
		}
	}
	return all
}

func kindOf(field reflect.StructField) string {
	if words := field.Tag.Get("enum"); words != "" {
		return strings.ReplaceAll(words, ",", ", ")
	}
	switch {
	case field.Type.String() == "time.Duration":
		return "duration"
	case field.Type.Kind() == reflect.Slice:
		return "list"
	case field.Type.Kind() == reflect.Bool:
		return "true, false"
	case field.Type.Kind() == reflect.Int, field.Type.Kind() == reflect.Float64 && field.Type.PkgPath() == "":
		return "number"
	}
	return "text"
}

func configurationDocument() string {
	var b strings.Builder
	b.WriteString(`# Configuration

One strict YAML file (` + "`referee --config FILE serve`" + `): an unknown key or a bad value is an error with its line. Every key ` + "`a.b`" + ` is also the flag
` + "`--a-b`" + ` and the variable ` + "`REFEREE_A_B`" + `; a flag wins over a variable, that over the file, and that over the default.
` + "`referee serve --dry-run`" + ` checks and exits. SIGHUP reads everything again: a bad file changes nothing and says so; listeners, the
data directory and the AWS sets change at the next start only.

This page is generated from the source; a test keeps it so.

| key | value | default | what it is for |
|---|---|---|---|
`)
	for _, k := range keys(reflect.TypeFor[sidecar.Config](), "") {
		byDefault := "–"
		if k.byDefault != "" {
			byDefault = "`" + k.byDefault + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k.path, k.kind, byDefault, strings.ReplaceAll(k.help, "|", `\|`))
	}
	return b.String()
}
