package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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
	goneAfter   = time.Minute     // a file whose name is gone for so long is over, as those of containers that ended
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
	toomany  bool     // more files than are followed
	globbed  time.Time
	saved    time.Time
	lines    int // of this piece
	buffer   []byte
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
	if w.toomany {
		errs = append(errs, fmt.Errorf("logs.files: there are more than %d, and the others are not read; narrow the patterns", maxFollowed))
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

// last takes what a rotated file ended with, and forgets it. If its name means no other file now, that is forgotten too, or
// the memory would grow with every container.
func (w *follower) last(f *followed) {
	if !slices.ContainsFunc(w.files, func(o *followed) bool { return o.path == f.path && o.f != nil && o != f }) {
		w.in.memory.change(func(m *remembered) { delete(m.Files, f.path) })
	}
	if len(f.tail) > 0 && !f.long {
		w.r.take(f.tail)
	}
	w.finished = append(w.finished, f.head)
	if len(w.finished) > 64 {
		w.finished = w.finished[1:]
	}
	f.close()
}

// expand looks what the paths and patterns mean now.
func (w *follower) expand() {
	w.toomany = false
	for _, pattern := range w.in.cfg.Files {
		paths := []string{pattern}
		if strings.ContainsAny(pattern, "*?[") {
			paths, _ = filepath.Glob(pattern) // a bad pattern matches nothing
		}
		for _, path := range paths {
			known := slices.ContainsFunc(w.files, func(f *followed) bool { return f.path == path && f.rotated.IsZero() })
			if known || path != pattern && w.isOld(path) {
				continue
			}
			if len(w.files) >= maxFollowed {
				w.toomany = true
				return
			}
			w.files = append(w.files, &followed{path: path, fresh: w.begun})
		}
	}
}

// isOld tells what a pattern matches and is not to be read: a compressed file, and one that is or was followed by another
// name, before its rotation or through a link.
func (w *follower) isOld(path string) bool {
	if strings.HasSuffix(path, ".gz") || strings.HasSuffix(path, ".zst") {
		return true
	}
	info, err := os.Stat(path)
	if err != nil {
		return false
	}
	for _, f := range w.files {
		if other, err := f.stat(); err == nil && os.SameFile(other, info) {
			return true
		}
	}
	head, err := readHead(path)
	return err == nil && slices.ContainsFunc(w.finished, func(old []byte) bool { return len(old) > 0 && bytes.HasPrefix(head, old) })
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
