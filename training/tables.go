package training

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// Shipping says of each benign source whether a model trained on it may be given to others.
type Shipping map[string]bool

// ReadShipping reads the table of a SOURCES.md: Markdown rows under a header with the columns name and ship, which holds
// yes or no.
func ReadShipping(path string) (Shipping, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("sources: %w", err)
	}
	ship := Shipping{}
	name, yes := -1, -1
	for i, line := range strings.Split(strings.TrimPrefix(string(text), "\uFEFF"), "\n") {
		cells := strings.Split(line, "|")
		for j := range cells {
			cells[j] = strings.TrimSpace(cells[j])
		}
		switch {
		case len(cells) < 2:
			name, yes = -1, -1
		case slices.Contains(cells, "name") && slices.Contains(cells, "ship"):
			name, yes = slices.Index(cells, "name"), slices.Index(cells, "ship")
		case name < 0 || strings.Trim(strings.Join(cells, ""), "-:") == "":
			// a table of something else, or the line below a header
		case len(cells) <= max(name, yes):
			return nil, fmt.Errorf("sources %s:%d: fewer columns than the table's header", path, i+1)
		case cells[yes] != "yes" && cells[yes] != "no":
			return nil, fmt.Errorf("sources %s:%d: ship is %q, want yes or no", path, i+1, cells[yes])
		default:
			ship[cells[name]] = cells[yes] == "yes"
		}
	}
	if len(ship) == 0 {
		return nil, fmt.Errorf("sources %s: no table with the columns name and ship", path)
	}
	return ship, nil
}

// Kinds says of each DGA family how it makes its names: wordlist, character-random, hex-hash, pronounceable …
type Kinds map[string]string

// Wordlist is the kind of families that join dictionary words.
const Wordlist = "wordlist"

// ReadKinds reads a table of families: the family, a tab and its kind, further columns ignored. It refuses a family of
// two kinds.
func ReadKinds(path string) (Kinds, error) {
	kinds := Kinds{}
	err := eachLine(path, func(_ int, line []byte) error {
		cells := strings.Split(string(line), "\t")
		if len(cells) < 2 {
			return errors.New("want a family, a tab and its kind")
		}
		family, kind := strings.TrimSpace(cells[0]), strings.TrimSpace(cells[1])
		if before, twice := kinds[family]; twice && before != kind {
			return fmt.Errorf("family %s is %s here and %s before", family, kind, before)
		}
		kinds[family] = kind
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("families: %w", err)
	}
	return kinds, nil
}
