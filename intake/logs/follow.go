package logs

import (
	"bytes"
	"context"
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

const (
	followEvery = 250 * time.Millisecond
	globEvery   = 5 * time.Second
	saveEvery   = time.Second
	afterlife   = 5 * time.Second // a rotated file is still read: its writer is told to reopen after the rename
	headBytes   = 512             // tell one file from another, whatever it is called
	readPiece   = 256 << 10
	maxFollowed = 1000
)

// follower reads files as they grow. It looks at them four times a second instead of being woken: that works on every file
// system, network mounts among them, and a second more does not matter to a log.
type follower struct {
	in       *Intake
	r        *reader
	files    []*followed
	finished [][]byte // how the last rotated files began: a pattern may match their new names
	begun    bool     // begin is over: what appears now is read from its beginning
	globbed  time.Time
	saved    time.Time
	lines    int // of this piece
	buffer   []byte
}

// followed is one file.
type followed struct {
	path    string
	f       *os.File
	offset  int64  // of what was judged: tail begins there
	tail    []byte // the beginning of a line
	long    bool   // within a line that is too long
	head    []byte // how it begins
	fresh   bool   // it was not there at the start: read it from its beginning
	rotated time.Time
	missing bool // that was said
}

func newFollower(in *Intake) *follower {
	return &follower{in: in, r: in.reader(fromFile), buffer: make([]byte, readPiece)}
}

// begin notes where files end now: what is in them already does not count, what is appended or appears from now on does.
func (w *follower) begin() {
	w.globbed = time.Now()
	w.expand()
	for _, f := range slices.Clone(w.files) {
		if err := w.open(f); err != nil {
			w.in.trouble("logs-files", fmt.Errorf("logs.files: %w", err)) // reading it is tried again
		}
	}
	w.begun = true
}

func (w *follower) run(ctx context.Context) {
	defer func() {
		w.remember()
		for _, f := range w.files {
			f.close()
		}
	}()
	for {
		more := w.look()
		if now := time.Now(); now.Sub(w.saved) >= saveEvery {
			w.saved = now
			w.remember()
			w.in.trouble("logs-memory", w.in.memory.write())
		}
		wait := followEvery
		if more {
			wait = piecePause
		}
		if !pause(ctx, wait) {
			return
		}
	}
}

// look reads what is new, a piece of each file; it reports whether there is more.
func (w *follower) look() (more bool) {
	if now := time.Now(); now.Sub(w.globbed) >= globEvery {
		w.globbed = now
		w.expand()
	}
	w.lines = 0
	var errs []error
	for _, f := range slices.Clone(w.files) {
		for w.lines < pieceLines {
			again, err := w.read(f)
			if err != nil {
				errs = append(errs, fmt.Errorf("logs.files: %w", err))
				break
			}
			if !again {
				break
			}
		}
	}
	w.in.trouble("logs-files", errors.Join(errs...))
	w.files = slices.DeleteFunc(w.files, func(f *followed) bool {
		if f.rotated.IsZero() || time.Since(f.rotated) < afterlife {
			return false
		}
		w.last(f)
		return true
	})
	return w.lines >= pieceLines
}

// last takes what a rotated file ended with, and forgets it.
func (w *follower) last(f *followed) {
	if len(f.tail) > 0 && !f.long {
		w.r.take(f.tail)
	}
	w.finished = append(w.finished, f.head)
	if len(w.finished) > 64 {
		w.finished = w.finished[1:]
	}
	f.close()
}

func (f *followed) close() {
	if f.f != nil {
		_ = f.f.Close() // it was only read
		f.f = nil
	}
}

// expand looks what the paths and patterns mean now.
func (w *follower) expand() {
	for _, pattern := range w.in.cfg.Files {
		paths := []string{pattern}
		if strings.ContainsAny(pattern, "*?[") {
			paths, _ = filepath.Glob(pattern) // a bad pattern matches nothing
		}
		for _, path := range paths {
			known := slices.ContainsFunc(w.files, func(f *followed) bool { return f.path == path && f.rotated.IsZero() })
			if known || len(w.files) >= maxFollowed || path != pattern && w.isOld(path) {
				continue
			}
			w.files = append(w.files, &followed{path: path, fresh: w.begun})
		}
	}
}

// isOld tells what a pattern matches and nobody appends to: a compressed file, or one that was followed under another name.
func (w *follower) isOld(path string) bool {
	if strings.HasSuffix(path, ".gz") || strings.HasSuffix(path, ".zst") {
		return true
	}
	info, err := os.Stat(path)
	if err != nil {
		return false
	}
	for _, f := range w.files {
		if f.f == nil {
			continue
		}
		if open, err := f.f.Stat(); err == nil && os.SameFile(open, info) {
			return true
		}
	}
	head, err := readHead(path)
	return err == nil && slices.ContainsFunc(w.finished, func(old []byte) bool { return len(old) > 0 && bytes.HasPrefix(head, old) })
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
	if f.fresh {
		return nil
	}
	var at position
	var known bool
	w.in.memory.change(func(m *remembered) { at, known = m.Files[f.path] })
	head, err := headOf(file, headBytes)
	switch {
	case err != nil:
		return err
	case known && bytes.HasPrefix(head, at.Head) && at.Offset <= info.Size():
		f.offset = at.Offset
	case known: // it was rotated, or truncated, while nobody was here
		w.catchUp(f.path, at)
	default: // the first time: what was before does not count
		f.offset = info.Size()
		var before [1]byte
		if _, err := file.ReadAt(before[:], max(info.Size()-1, 0)); err == nil && before[0] != '\n' {
			f.long = true // its last line is half written: what is left of it is no line
		}
	}
	return nil
}

// catchUp reads what was still appended to a file before it was rotated while nobody was here.
func (w *follower) catchUp(path string, at position) {
	siblings, _ := filepath.Glob(path + "?*")
	if stem, found := strings.CutSuffix(path, filepath.Ext(path)); found {
		more, _ := filepath.Glob(stem + "?*") // access-20261123.log
		siblings = append(siblings, more...)
	}
	for _, sibling := range siblings {
		head, err := readHead(sibling)
		if err != nil || sibling == path || len(at.Head) == 0 || !bytes.HasPrefix(head, at.Head) {
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
	if info.Size() < f.offset+int64(len(f.tail)) || !bytes.HasPrefix(head, f.head) {
		f.offset, f.tail, f.long, f.head = 0, f.tail[:0], false, nil
		f.fresh = true
	}
	if len(head) > len(f.head) {
		f.head = head
	}
	return nil
}

// atEnd looks whether the name means another file now. If it does, both are read for a while.
func (w *follower) atEnd(f *followed) {
	if !f.rotated.IsZero() {
		return
	}
	now, err := os.Stat(f.path)
	if err != nil {
		return // renamed away, and the new one is not there yet
	}
	if open, err := f.f.Stat(); err != nil || os.SameFile(open, now) {
		return
	}
	f.rotated = time.Now()
	w.files = append(w.files, &followed{path: f.path, fresh: true})
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

// remember notes how far the files were read. Within a line that was too long nothing is noted: it would be half of one.
func (w *follower) remember() {
	w.in.memory.change(func(m *remembered) {
		for _, f := range w.files {
			if f.f != nil && f.rotated.IsZero() && !f.long {
				m.Files[f.path] = position{Head: f.head, Offset: f.offset}
			}
		}
	})
}
