package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// arrows says which rooms each room may import: the design's table. A room that is not here may not exist.
var arrows = map[string][]string{
	"features":          {},
	"classifier":        {"features"},
	"evidence":          {"classifier", "features"},
	"policy":            {"evidence", "classifier", "features"},
	"waf":               {"policy"},
	"waf/waftest":       {},
	"ledger":            {"evidence", "policy", "waf", "classifier", "features"},
	"report":            {"ledger", "policy", "classifier", "evidence", "waf", "features"},
	"intake":            {"policy", "evidence", "classifier", "features"},
	"intake/logs":       {"intake", "policy", "evidence", "classifier", "features"},
	"alert":             {},
	"sidecar":           {"alert", "features", "classifier", "evidence", "policy", "waf", "ledger", "report", "intake", "intake/logs"},
	"scan":              {"intake", "intake/logs", "report", "ledger", "policy", "evidence", "classifier", "features"},
	"simulation":        {"policy", "evidence", "classifier"},
	"training":          {"features", "classifier", "training/shapes"},
	"training/shapes":   {},
	"deploy/examples":   {},
	"bench":             {"features", "classifier", "training/shapes"},
	"training/fetch":    {"training"},
	"demo":              {"sidecar", "report", "waf", "waf/waftest", "training/shapes"},
	"cmd/referee":       {"alert", "features", "classifier", "evidence", "policy", "intake", "intake/logs", "scan", "waf", "ledger", "report", "sidecar", "demo"},
	"cmd/referee-train": {"features", "classifier", "evidence", "policy", "simulation", "training", "training/shapes", "training/fetch"},
}

type goPackage struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

func TestArrowsBetweenRoomsPointOneWay(t *testing.T) {
	for _, p := range listPackages(t, "referee/...") {
		room := strings.TrimPrefix(p.ImportPath, "referee/")
		allowed, known := arrows[room]
		if !known {
			t.Errorf("%s: a new room; give it a line in the table, and one in the README", room)
		}
		for _, imported := range p.Imports {
			if target, own := strings.CutPrefix(imported, "referee/"); own && !slices.Contains(allowed, target) {
				t.Errorf("%s must not import %s", room, target)
			}
		}
	}
}

func TestTheSidecarNeverLinksGolearn(t *testing.T) {
	for _, p := range listPackages(t, "referee/cmd/referee") {
		for _, dep := range p.Deps {
			if strings.Contains(dep, "golearn") || strings.Contains(dep, "gonum") {
				t.Errorf("cmd/referee links %s", dep)
			}
		}
	}
}

func TestShapesAndWaftestNeedTheStandardLibraryAlone(t *testing.T) {
	for _, p := range listPackages(t, "referee/training/shapes", "referee/waf/waftest") {
		for _, imported := range p.Imports {
			if strings.Contains(imported, ".") {
				t.Errorf("%s imports %s", p.ImportPath, imported)
			}
		}
	}
}

func listPackages(t *testing.T, patterns ...string) []goPackage {
	t.Helper()
	out, err := exec.Command("go", append([]string{"list", "-json=ImportPath,Imports,Deps"}, patterns...)...).Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []goPackage
	decoder := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}
