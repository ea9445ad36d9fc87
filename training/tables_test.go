package training

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTheTableOfSourcesSaysWhatMayBeShipped(t *testing.T) {
	path := file(t, "SOURCES.md", `# Sources

Not a row | of a table

name | origin | licence | ship | noise
---|---|---|---|---
alexa | somewhere | MIT | yes | low
radar | elsewhere | CC BY-NC | no | high

family | origin
---|---
necurs | ship
`)
	got, err := ReadShipping(path)
	if diff := cmp.Diff(Shipping{"alexa": true, "radar": false}, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
}

func TestATableOfSourcesThatLeavesDoubtIsRefused(t *testing.T) {
	f := func(content, want string) {
		t.Helper()
		_, err := ReadShipping(file(t, "SOURCES.md", content))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want an error with %q", err, want)
		}
	}
	f("nothing of the kind\n", "no table with the columns name and ship")
	f("name | ship\n---|---\nalexa | perhaps\n", `SOURCES.md:3: ship is "perhaps", want yes or no`)
	f("name | of | ship\n---|---|---\nalexa | MIT\n", "SOURCES.md:3: fewer columns")
}

func TestTheTableOfFamiliesSaysTheirKinds(t *testing.T) {
	got, err := ReadKinds(file(t, "families.tsv", "# family, kind, where\nnecurs\tcharacter-random\ttrain\nmatsnu\twordlist\n\n"))
	if diff := cmp.Diff(Kinds{"necurs": "character-random", "matsnu": Wordlist}, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	if _, err := ReadKinds(file(t, "families.tsv", "necurs\n")); err == nil || !strings.Contains(err.Error(), "families.tsv:1") {
		t.Errorf("a family without a kind: %v", err)
	}
}
