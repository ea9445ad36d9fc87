package training

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"referee/features"
)

// Entry is one name of a list.
type Entry struct {
	Domain string // registrable, lower-case, as features.Name has it
	Label  string // what a model reads of it
	Group  string // the second column: a benign name's source, a generated one's family. Without a column the file's name
	Place
}

// Place is where something stands in a list.
type Place struct {
	File string
	Line int
}

// String is file:line.
func (p Place) String() string { return fmt.Sprintf("%s:%d", p.File, p.Line) }

// Drop counts lines that were left out for one reason.
type Drop struct {
	Reason string
	Count  int
	First  Place
}

// Drops counts what was left out, by reason.
type Drops []Drop

func (d *Drops) add(reason string, where Place) {
	for i := range *d {
		if (*d)[i].Reason == reason {
			(*d)[i].Count++
			return
		}
	}
	*d = append(*d, Drop{reason, 1, where})
}

// maxLine bounds a line of a list, in bytes: the longest Referer that servers accept, with room.
const maxLine = 64 << 10

// ReadList calls each with every name of a list: plain text or gzip, a name or URL a line, after it a tab and its source
// or family where they are known. A byte-order mark, CRLF, blank lines, lines that begin with #, upper case and U-labels
// are all right. Lines without a registrable name are counted in drops. A file of which less than half are names, or
// with a line that no list has (binary, endless, more columns), is refused with its line.
func ReadList(path string, drops *Drops, each func(Entry)) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("list: %w", err)
	}
	defer file.Close()
	in, err := decompressed(file)
	if err != nil {
		return fmt.Errorf("list %s: %w", path, err)
	}
	r := listReader{path: path, group: baseName(path), drops: drops, each: each, groups: map[string]string{}}
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, maxLine), maxLine)
	for lines.Scan() {
		r.line++
		if err := r.read(lines.Bytes()); err != nil {
			return fmt.Errorf("list %s:%d: %w", path, r.line, err)
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return fmt.Errorf("list %s:%d: longer than %d bytes: is this a list of names, one a line?", path, r.line+1, maxLine)
	} else if err != nil {
		return fmt.Errorf("list %s:%d: %w", path, r.line+1, err)
	}
	return r.finish()
}

// decompressed looks through gzip, by its magic number and not by the file's name.
func decompressed(file io.Reader) (io.Reader, error) {
	in := bufio.NewReaderSize(file, maxLine)
	if head, err := in.Peek(2); err == nil && head[0] == 0x1f && head[1] == 0x8b {
		return gzip.NewReader(in)
	}
	return in, nil
}

// baseName is a file's name without directories and the endings of lists.
func baseName(path string) string {
	name := filepath.Base(path)
	for _, ending := range []string{".gz", ".tsv", ".txt", ".csv"} {
		name = strings.TrimSuffix(name, ending)
	}
	return name
}

type listReader struct {
	path   string
	group  string
	drops  *Drops
	each   func(Entry)
	parser features.Parser
	groups map[string]string // one string each, not one a line

	line, names, others int
	firstOther          string
}

func (r *listReader) read(line []byte) error {
	if r.line == 1 {
		line = bytes.TrimPrefix(line, []byte("\uFEFF"))
	}
	line = bytes.TrimRight(line, "\r")
	if text := bytes.TrimSpace(line); len(text) == 0 || text[0] == '#' {
		return nil
	}
	if bytes.IndexByte(line, 0) >= 0 {
		return errors.New("a NUL byte: want text or gzip")
	}
	raw, group, two := bytes.Cut(line, []byte("\t"))
	if bytes.IndexByte(group, '\t') >= 0 {
		return errors.New("more than two columns: want a name, a tab and its source or family")
	}
	name, reason := r.parser.Bare(bytes.TrimSpace(raw))
	if reason != features.Named {
		r.drops.add("no registrable name ("+reason.String()+")", Place{r.path, r.line})
		if r.others++; r.others == 1 {
			r.firstOther = fmt.Sprintf("%d: %q", r.line, bytes.ToValidUTF8(raw[:min(len(raw), 60)], []byte("?")))
		}
		return nil
	}
	r.names++
	entry := Entry{Group: r.group, Place: Place{r.path, r.line}}
	if group = bytes.TrimSpace(group); two && len(group) > 0 {
		entry.Group = r.intern(group)
	}
	entry.Domain = strings.Clone(name.Domain)
	entry.Label = entry.Domain[:len(name.Label)]
	r.each(entry)
	return nil
}

func (r *listReader) intern(group []byte) string {
	if known, ok := r.groups[string(group)]; ok {
		return known
	}
	own := string(group)
	r.groups[own] = own
	return own
}

func (r *listReader) finish() error {
	switch {
	case r.names == 0 && r.others == 0:
		return fmt.Errorf("list %s: empty", r.path)
	case r.names < r.others:
		return fmt.Errorf("list %s:%s is no name, like %d of %d lines: want one name a line, after it a tab and its source or family",
			r.path, r.firstOther, r.others, r.names+r.others)
	}
	return nil
}

// Sort puts the most frequent reason first.
func (d Drops) Sort() {
	slices.SortStableFunc(d, func(a, b Drop) int { return b.Count - a.Count })
}
