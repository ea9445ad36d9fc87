package training

import (
	"fmt"
	"slices"
	"strings"

	"referee/classifier"
	"referee/features"
)

// Role is what a set of names is for in an evaluation.
type Role string

// The roles. The beginning of a set's name tells them; which sets are clean may be said otherwise.
const (
	Clean     Role = "clean"     // without generated names in them; the thresholds come from these
	Benign    Role = "benign"    // benign…, hard…: benign names of other kinds, shown beside
	Generated Role = "generated" // dga…: the second column is the family
)

// CleanSets are the patterns of path.Match for the names of clean sets.
var CleanSets = []string{"benign_stable*", "benign_tail*"} //nolint:gochecknoglobals // never changed

// Set is a named list to evaluate with.
type Set struct {
	Name  string
	Role  Role
	Names []Entry
}

// ReadSet reads a list. Its role follows from its name: clean if a pattern of clean matches. Every line with a name counts,
// as in referee score.
func ReadSet(name, path string, clean []string, drops *Drops) (Set, error) {
	s := Set{Name: name}
	switch {
	case matches(clean, name):
		s.Role = Clean
	case strings.HasPrefix(name, "benign"), strings.HasPrefix(name, "hard"):
		s.Role = Benign
	case strings.HasPrefix(name, "dga"):
		s.Role = Generated
	default:
		return s, fmt.Errorf("set %s: want a name like %s (clean: thresholds come from them), or one that begins with benign, hard or dga",
			name, strings.Join(clean, " or "))
	}
	err := ReadList(path, drops, func(e Entry) { s.Names = append(s.Names, e) })
	return s, err
}

// lengthBands are the bands of LengthRow.
var lengthBands = [...][2]int{{1, 6}, {7, 8}, {9, 10}, {11, 12}, {13, 16}, {17, features.MaxLabel}}

// groupNames are in the order of the tables.
var groupNames = []string{
	"known random", "known wordlist", "unseen random", "unseen wordlist",
	"known random, simulated", "known wordlist, simulated", "unseen random, simulated", "unseen wordlist, simulated", overall,
}

// overall is the group of all families that are not simulated.
const overall = "all, none simulated"

// isIn says whether a family's group is, or is a part of, another.
func isIn(group, whole string) bool {
	return group == whole || whole == overall && !strings.HasSuffix(group, ", simulated")
}

// Known lists the families that a model's trainer was given, the left out ones included.
func Known(info classifier.Info) []string {
	var names []string
	for _, f := range slices.Concat(info.Families, info.LeftOut) {
		names = append(names, f.Name)
	}
	return names
}

// Group says where a family counts that a model knows or not: "known random", "unseen wordlist" and the like.
func (k Kinds) Group(family string, known []string) string { return group(family, k[family], known) }

// group says where a family counts. Simulated families stand apart: they are not malware.
func group(family, kind string, known []string) string {
	seen, how := "unseen", "random"
	if slices.Contains(known, family) {
		seen = "known"
	}
	if kind == Wordlist {
		how = Wordlist
	}
	if family != original(family) {
		how += ", simulated"
	}
	return seen + " " + how
}
