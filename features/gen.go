//go:build ignore

// This program writes icann.txt: the ICANN section of the public suffix list, out of the golang.org/x/net that go.mod
// requires, which keeps it as text beside its tests.
package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/net/publicsuffix"
)

const header = `// The ICANN section of %s.
// Written by gen.go. This Source Code Form is subject to the terms of the Mozilla Public License, v. 2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at https://mozilla.org/MPL/2.0/.
`

func main() {
	log.SetFlags(0)
	rules, err := icannRules()
	if err != nil {
		log.Fatal(err)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, header, publicsuffix.List)
	fmt.Fprintln(&b, strings.Join(rules, "\n"))
	if err := os.WriteFile("icann.txt", b.Bytes(), 0o644); err != nil {
		log.Fatal(err)
	}
}

// icannRules reads numICANNRules and rules, of which the ICANN ones come first, from x/net's table_test.go.
func icannRules() ([]string, error) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "golang.org/x/net").Output()
	if err != nil {
		return nil, fmt.Errorf("find golang.org/x/net: %w", err)
	}
	path := filepath.Join(strings.TrimSpace(string(dir)), "publicsuffix", "table_test.go")
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		return nil, err
	}
	var rules []string
	count := 0
	ast.Inspect(file, func(node ast.Node) bool {
		value, ok := node.(*ast.ValueSpec)
		if !ok {
			return true
		}
		switch value.Names[0].Name {
		case "numICANNRules":
			count, _ = strconv.Atoi(value.Values[0].(*ast.BasicLit).Value)
		case "rules":
			for _, element := range value.Values[0].(*ast.CompositeLit).Elts {
				rule, _ := strconv.Unquote(element.(*ast.BasicLit).Value)
				rules = append(rules, rule)
			}
		}
		return false
	})
	if count == 0 || count > len(rules) {
		return nil, fmt.Errorf("%s: %d ICANN rules among %d: its form has changed", path, count, len(rules))
	}
	return rules[:count], nil
}
