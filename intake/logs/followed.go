package logs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// followed is one file.
type followed struct {
	path    string
	f       *os.File
	offset  int64     // of what was judged: tail begins there
	tail    []byte    // the beginning of a line
	long    bool      // within a line that is not read: too long, or begun where nobody looked
	head    []byte    // how it begins
	fresh   bool      // it was not there at the start: read it from its beginning
	next    bool      // it took a rotated file's place: what is remembered by its name is the other's
	gone    time.Time // since when its name is
	rotated time.Time
	missing bool // that was said
}

// open opens a file and finds where to go on.
func (w *follower) open(f *followed) error {
	file, err := os.Open(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		if f.fresh = true; !f.missing {
			f.missing = true
			w.in.log.Info("a log to follow is not there yet", "path", f.path)
		}
		return nil
	}
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file", f.path)
	}
	if err != nil {
		return errors.Join(err, file.Close())
	}
	f.f, f.missing = file, false
	var at position
	var known bool
	w.in.memory.change(func(m *remembered) { at, known = m.Files[f.path] })
	head, err := headOf(file, headBytes)
	switch {
	case err != nil:
		return err
	case known && !f.next && bytes.HasPrefix(head, at.Head) && at.Offset <= info.Size(): // also one on a disk that came late
		f.offset = at.Offset
	case f.fresh:
	case known && shortened(head, at.Head, info.Size(), at.Offset):
		f.toEnd(info.Size())
	case known: // it was rotated, or truncated, while nobody was here
		w.catchUp(f.path, at)
	default: // the first time: what was before does not count
		f.toEnd(info.Size())
	}
	return nil
}

// toEnd passes over what is in a file. What is left of a line that is half written is no line.
func (f *followed) toEnd(size int64) {
	var last [1]byte
	_, err := f.f.ReadAt(last[:], max(size-1, 0))
	f.offset, f.tail, f.long = size, f.tail[:0], err == nil && last[0] != '\n'
}

// shortened tells a file that ends earlier than it did, and begins as before, from one that was begun anew: what it holds was
// read.
func shortened(head, before []byte, size, read int64) bool {
	return size > 0 && size < read && bytes.HasPrefix(before, head)
}

// catchUp reads what was still appended to a file before it was rotated while nobody was here. Behind a link the file lies
// beside its target.
func (w *follower) catchUp(path string, at position) {
	names := []string{path}
	if target, err := filepath.EvalSymlinks(path); err == nil && target != path {
		names = append(names, target)
	}
	var siblings []string
	for _, name := range names {
		for _, begins := range []string{name, strings.TrimSuffix(name, filepath.Ext(name))} { // access.log.1, access-20261123.log
			more, _ := filepath.Glob(begins + "?*")
			siblings = append(siblings, more...)
		}
	}
	for _, sibling := range siblings {
		head, err := readHead(sibling)
		if err != nil || slices.Contains(names, sibling) || len(at.Head) == 0 || !bytes.HasPrefix(head, at.Head) {
			continue
		}
		file, err := os.Open(sibling)
		if err != nil {
			continue
		}
		w.files = append(w.files, &followed{path: sibling, f: file, offset: at.Offset, head: at.Head, rotated: time.Now()})
		return
	}
}

// read reads one piece of a file; again says that it is worth to read on.
func (w *follower) read(f *followed) (again bool, err error) {
	if f.f == nil {
		if !f.rotated.IsZero() {
			return false, nil
		}
		if err := w.open(f); err != nil || f.f == nil {
			return false, err
		}
	}
	if err := w.check(f); err != nil {
		return false, err
	}
	n, err := f.f.ReadAt(w.buffer, f.offset+int64(len(f.tail)))
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("%s: %w", f.path, err)
	}
	if n == 0 {
		w.atEnd(f)
		return false, nil
	}
	w.split(f, w.buffer[:n])
	return n == len(w.buffer), nil
}

// check finds out whether a file was truncated, which copytruncate does, even if it has grown again since.
func (w *follower) check(f *followed) error {
	info, err := f.f.Stat()
	if err != nil {
		return err
	}
	head, err := headOf(f.f, headBytes)
	if err != nil {
		return err
	}
	read := f.offset + int64(len(f.tail))
	switch {
	case shortened(head, f.head, info.Size(), read):
		f.toEnd(info.Size())
		f.head = head
	case info.Size() < read || !bytes.HasPrefix(head, f.head):
		f.offset, f.tail, f.long, f.head = 0, f.tail[:0], false, head
	case len(head) > len(f.head):
		f.head = head
	}
	return nil
}

// atEnd looks whether the name means another file now. If it does, both are read for a while; if it means none for long, the
// file is over.
func (w *follower) atEnd(f *followed) {
	if !f.rotated.IsZero() {
		return
	}
	now, err := os.Stat(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		if f.gone.IsZero() {
			f.gone = time.Now() // renamed away, and the new one is not there yet
		} else if time.Since(f.gone) >= goneAfter {
			f.rotated = time.Now()
		}
		return
	}
	f.gone = time.Time{}
	if open, statErr := f.f.Stat(); err != nil || statErr != nil || os.SameFile(open, now) {
		return
	}
	f.rotated = time.Now()
	w.files = append(w.files, &followed{path: f.path, fresh: true, next: true})
}

// split judges the whole lines of what was read behind f.tail.
func (w *follower) split(f *followed, piece []byte) {
	for len(piece) > 0 {
		end := bytes.IndexByte(piece, '\n')
		if end < 0 {
			break
		}
		line := piece[:end]
		if len(f.tail) > 0 {
			f.tail = append(f.tail, line...)
			line = f.tail
		}
		f.offset += int64(len(line) + 1)
		if f.long {
			f.long = false
		} else {
			w.r.take(line)
			w.lines++
		}
		f.tail, piece = f.tail[:0], piece[end+1:]
	}
	f.tail = append(f.tail, piece...)
	if len(f.tail) > MaxLine || f.long {
		if !f.long {
			w.in.counts[fromFile][notRead].Add(1)
			w.r.tell(errTooLong, nil)
		}
		f.offset += int64(len(f.tail))
		f.tail, f.long = f.tail[:0], true
	}
}

func (f *followed) close() {
	if f.f != nil {
		_ = f.f.Close() // it was only read
		f.f = nil
	}
}

// stat looks at the file that is open, or will be.
func (f *followed) stat() (fs.FileInfo, error) {
	if f.f == nil {
		return os.Stat(f.path)
	}
	return f.f.Stat()
}

func readHead(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return headOf(f, headBytes)
}

func headOf(f *os.File, n int) ([]byte, error) {
	head := make([]byte, n)
	n, err := f.ReadAt(head, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return head[:n], err
}
