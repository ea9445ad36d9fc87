package training

import (
	"bufio"
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
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("sources: %w", err)
	}
	defer file.Close()
	ship := Shipping{}
	name, yes := -1, -1
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		cells := strings.Split(lines.Text(), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case len(cells) < 2:
			name, yes = -1, -1
		case slices.Contains(cells, "name") && slices.Contains(cells, "ship"):
			name, yes = slices.Index(cells, "name"), slices.Index(cells, "ship")
		case name < 0 || strings.Trim(strings.Join(cells, ""), "-:") == "":
			// a table of something else, or the line below a header
		case len(cells) <= max(name, yes):
			return nil, fmt.Errorf("sources %s:%d: fewer columns than the table's header", path, n)
		case cells[yes] != "yes" && cells[yes] != "no":
			return nil, fmt.Errorf("sources %s:%d: ship is %q, want yes or no", path, n, cells[yes])
		default:
			ship[cells[name]] = cells[yes] == "yes"
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("sources %s: %w", path, err)
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

// ReadKinds reads a table of families: the family, a tab and its kind, further columns ignored.
func ReadKinds(path string) (Kinds, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("families: %w", err)
	}
	defer file.Close()
	kinds := Kinds{}
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		cells := strings.Split(lines.Text(), "\t")
		switch {
		case strings.TrimSpace(lines.Text()) == "" || strings.HasPrefix(lines.Text(), "#"):
		case len(cells) < 2:
			return nil, fmt.Errorf("families %s:%d: want a family, a tab and its kind", path, n)
		default:
			kinds[strings.TrimSpace(cells[0])] = strings.TrimSpace(cells[1])
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("families %s: %w", path, err)
	}
	return kinds, nil
}
