package features

import (
	_ "embed"
	"strings"
	"sync"
)

// icannList is the ICANN section of the public suffix list as golang.org/x/net/publicsuffix has it, one rule a line. A
// test compares the two, so raising x/net means running go generate.
//
// Why not x/net itself: each of its lookups allocates (it first tries the host as an IP address, and the error goes to
// the heap), takes several times as long as all else that reading a Referer does, and answers for the private section
// too, of which the way back to the ICANN section must be asked once more.
//
//go:generate go run gen.go
//go:embed icann.txt
var icannList string

// dynamicList holds the domains below which the label is scored.
//
//go:embed dynamic.txt
var dynamicList string

// rule is what the lists know of the end of a host.
type rule uint8

const (
	isSuffix    rule = 1 << iota // a public suffix
	hasDeeper                    // longer public suffixes end in it
	hasWildcard                  // each label below it is a public suffix: *.ck
	isException                  // except this one: !www.ck
	isDynamic                    // a dynamic DNS service's domain
)

// rules is what the lists know, by suffix. A top-level label that is only a public suffix is left out: each top-level
// label is one, listed or not (the list's own rule "*"). It is read once in the life of the process, in about a
// millisecond.
var rules = sync.OnceValue(func() map[string]rule {
	rules := make(map[string]rule, 8<<10)
	for suffix := range entries(icannList) {
		kind := isSuffix
		if parent, ok := strings.CutPrefix(suffix, "*."); ok {
			suffix, kind = parent, hasWildcard
		} else if exception, ok := strings.CutPrefix(suffix, "!"); ok {
			suffix, kind = exception, isException
		}
		_, parent, below := strings.Cut(suffix, ".")
		if below || kind != isSuffix {
			rules[suffix] |= kind
		}
		for below {
			rules[parent] |= hasDeeper
			_, parent, below = strings.Cut(parent, ".")
		}
	}
	for domain := range entries(dynamicList) {
		rules[domain] |= isDynamic
	}
	return rules
})

// entries yields the lines of a list that are neither empty nor comments.
func entries(list string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for line := range strings.Lines(list) {
			line = strings.TrimSpace(line)
			if line != "" && !strings.HasPrefix(line, "//") && !yield(line) {
				return
			}
		}
	}
}
