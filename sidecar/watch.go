package sidecar

import (
	"context"
	"os"
	"time"
)

// watched tells when there is another file under a path, by looking at it now and then. A look costs a microsecond and
// sees every way in which files come to be replaced: written over, renamed, or behind a link that points elsewhere, as
// Kubernetes swaps its volumes. Notifications (inotify) would be faster and miss some: they follow one file and not the
// path, know nothing of other machines on a network file system, and are dropped when a queue or a limit is full.
//
// A file counts once two looks in a row find the same, so that one that is being written is left alone. One that pauses
// for longer is opened and refused by its checksum, and counts again when it goes on.
type watched struct {
	path          string
	last, counted os.FileInfo // nil: there is none
}

// changed looks at path once.
func (w *watched) changed(path string) bool {
	if w.path != path {
		*w = watched{path: path}
	}
	if path == "" {
		return false
	}
	now, err := os.Stat(path)
	if err != nil {
		now = nil // gone, or behind what cannot be read: who opens it learns why
	}
	settled := same(w.last, now)
	if w.last = now; !settled || same(w.counted, now) {
		return false
	}
	w.counted = now
	return true
}

func same(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// watchModels takes up model files as they change. The first files count as changed too, which closes the gap between
// their loading and the first look; they are found to be what is in use.
func (s *Sidecar) watchModels(ctx context.Context) {
	if s.config.Model.Watch == 0 {
		return
	}
	tick := time.NewTicker(s.config.Model.Watch)
	defer tick.Stop()
	files := map[role]*watched{live: {}, candidate: {}}
	for {
		select {
		case <-tick.C:
			for r, file := range files {
				if file.changed(s.judging.Load().config.Model.file(r)) {
					s.takeUp(r)
				}
			}
		case <-ctx.Done():
			return
		}
	}
}
