package training

import (
	"archive/zip"
	"bufio"
	"bytes"
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

// Add counts one more for a reason; where is kept of the first.
func (d *Drops) Add(reason string, where Place) {
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

// maxGroups bounds the sources or families of a list: more are ranks or remarks in the wrong column.
const maxGroups = 10_000

// ReadList calls each with every name of a list, plain, or packed with gzip, zstd or zip. A line is a name or URL, after it a tab and
// its source or family where they are known. Rows of ranking lists are read too: rank,name, or columns under a header
// of which one is called domain, origin, host or the like, and one may be called source or family. A byte-order mark, CRLF, blank lines,
// lines that begin with #, upper case and U-labels are all right. Lines without a registrable name are counted in drops. A file of which less
// than half are names, or with a line that no list has (binary, endless, more columns), is refused with its line. It
// holds one line at a time.
func ReadList(path string, drops *Drops, each func(Entry)) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("list: %w", err)
	}
	defer file.Close()
	return readList(path, file, drops, each)
}

func readList(path string, file io.Reader, drops *Drops, each func(Entry)) error {
	r := listReader{path: path, group: baseName(path), drops: drops, each: each, groups: map[string]string{}}
	if err := readLines(path, file, r.read); err != nil {
		return err
	}
	return r.finish()
}

// eachLine is readLines for a file.
func eachLine(path string, each func(number int, line []byte) error) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	return readLines(path, file, each)
}

// readLines calls each with every line that is neither blank nor a comment, without its end. Errors, its own and those
// of each, begin with the list and the line.
func readLines(path string, file io.Reader, each func(number int, line []byte) error) error {
	in, err := openText(file)
	if err != nil {
		return fmt.Errorf("list %s: %w", path, cutOff(err))
	}
	if c, ok := in.(*expandingReader); ok {
		defer c.close()
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, maxLine), maxLine)
	number := 0
	for lines.Scan() {
		number++
		line := lines.Bytes()
		if number == 1 {
			line = bytes.TrimPrefix(line, []byte("\uFEFF"))
		}
		line = bytes.TrimRight(line, "\r")
		if text := bytes.TrimSpace(line); len(text) == 0 || text[0] == '#' {
			continue
		}
		if bytes.IndexByte(line, 0) >= 0 {
			return fmt.Errorf("list %s:%d: a NUL byte: want UTF-8 text, plain or packed with gzip, zstd or zip", path, number)
		}
		if err := each(number, line); err != nil {
			return fmt.Errorf("list %s:%d: %w", path, number, err)
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return fmt.Errorf("list %s:%d: longer than %d bytes: is this a list of names, one a line?", path, number+1, maxLine)
	} else if err != nil {
		return fmt.Errorf("list %s:%d: %w", path, number+1, cutOff(err))
	}
	return nil
}

// cutOff says what an early end of a packed file means.
func cutOff(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, zip.ErrFormat) {
		return fmt.Errorf("the packed file is cut off (%w): fetch it again", err)
	}
	return err
}

// baseName is a file's name without directories and the endings of lists.
func baseName(path string) string {
	name := filepath.Base(path)
	for _, ending := range []string{".gz", ".zst", ".zip", ".tsv", ".txt", ".csv"} {
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
	form   form
	formed bool // the first line told the form
	cells  [][]byte

	line, names, others int
	firstOther          string
}

func (r *listReader) read(number int, line []byte) error {
	r.line = number
	if !r.formed {
		r.formed = true
		var header bool
		if r.form, header = formOf(line, &r.parser); header {
			return nil
		}
	}
	r.cells = r.form.cells(r.cells[:0], line)
	if len(r.cells) > 2 && !r.form.free {
		return errors.New("more than two columns: want a name, a tab and its source or family, or a header that says which is which")
	}
	if len(r.cells) <= r.form.name {
		return r.drop("too few columns", line)
	}
	name, reason := r.parser.Bare(r.cells[r.form.name])
	if reason != features.Named {
		return r.drop("no registrable name ("+reason.String()+")", line)
	}
	r.names++
	entry := Entry{Group: r.group, Place: Place{r.path, r.line}}
	if at := r.form.group; at >= 0 && at < len(r.cells) && len(r.cells[at]) > 0 {
		if entry.Group = r.intern(r.cells[at]); len(r.groups) > maxGroups {
			return fmt.Errorf("more than %d sources or families: is that column a rank or a remark?", maxGroups)
		}
	}
	entry.Domain = strings.Clone(name.Domain)
	entry.Label = entry.Domain[:len(name.Label)]
	r.each(entry)
	return nil
}

func (r *listReader) drop(reason string, line []byte) error {
	r.drops.Add(reason, Place{r.path, r.line})
	if r.others++; r.others == 1 {
		r.firstOther = fmt.Sprintf("%d: %q", r.line, bytes.ToValidUTF8(line[:min(len(line), 60)], []byte("?")))
	}
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
		return fmt.Errorf("list %s:%s is no name, like %d of %d lines: want one name a line, after it a tab and its source or family; or rank,name; or a header",
			r.path, r.firstOther, r.others, r.names+r.others)
	}
	return nil
}

// Sort puts the most frequent reason first.
func (d Drops) Sort() {
	slices.SortStableFunc(d, func(a, b Drop) int { return b.Count - a.Count })
}
