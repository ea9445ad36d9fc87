package training

import (
	"bytes"
	"slices"
	"strings"

	"referee/features"
)

// form says where in a line of a list the name stands, and its source or family.
type form struct {
	separator   byte
	name, group int  // columns; group is −1 where there is none
	free        bool // further columns are no mistake
}

// plainForm is a name, and after a tab its source or family, and nothing else.
func plainForm() form { return form{separator: '\t', name: 0, group: 1} }

// nameHeaders and groupHeaders are what published lists call their columns: Majestic "Domain", CrUX "origin".
func nameHeaders() []string {
	return []string{"domain", "origin", "host", "hostname", "fqdn", "url", "name"}
}

func groupHeaders() []string { return []string{"family", "source"} }

// formOf tells the form from the first line: a header that names its columns, ranks before names, or the plain form.
func formOf(first []byte, parser *features.Parser) (f form, header bool) {
	f = form{separator: '\t', group: -1, free: true}
	for _, separator := range []byte("\t,;") {
		if bytes.IndexByte(first, separator) >= 0 {
			f.separator = separator
			break
		}
	}
	cells := f.cells(nil, first)
	named := func(cell []byte) bool { _, reason := parser.Bare(cell); return reason == features.Named }
	column := func(words []string) int {
		return slices.IndexFunc(cells, func(cell []byte) bool { return slices.Contains(words, strings.ToLower(string(cell))) })
	}
	if at := column(nameHeaders()); at >= 0 && !slices.ContainsFunc(cells, named) {
		f.name, f.group = at, column(groupHeaders())
		return f, true
	}
	if len(cells) > 1 && isRank(cells[0]) && named(cells[1]) {
		f.name = 1
		return f, false
	}
	return plainForm(), false
}

func isRank(cell []byte) bool {
	return len(cell) > 0 && len(bytes.Trim(cell, "0123456789")) == 0
}

// cells splits a line at its separators; quotes protect them, and are taken off. The cells are views of the line.
func (f form) cells(dst [][]byte, line []byte) [][]byte {
	for {
		end := bytes.IndexByte(line, f.separator)
		if len(line) > 0 && line[0] == '"' && f.separator != '\t' {
			if quote := bytes.IndexByte(line[1:], '"'); quote >= 0 {
				if end = bytes.IndexByte(line[quote+2:], f.separator); end >= 0 {
					end += quote + 2
				}
			}
		}
		cell := line
		if end >= 0 {
			cell = line[:end]
		}
		dst = append(dst, bytes.TrimSpace(bytes.Trim(bytes.TrimSpace(cell), `"`)))
		if end < 0 {
			return dst
		}
		line = line[end+1:]
	}
}
