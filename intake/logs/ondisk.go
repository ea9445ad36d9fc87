package logs

import (
	"io/fs"
	"os"
	"slices"
	"sync"
)

// onDisk is what files say that are replaced while the process runs: certificates and keys. Each use looks whether they
// changed, a stat a file: they are used a few times a minute, and nobody has to send a signal. What was read stays in use
// while what replaced it cannot be read, as between the writing of a certificate and that of its key.
type onDisk[T any] struct {
	paths []string
	read  func() (T, error)
	told  func(error) // of each change: nil when it was taken up

	mu   sync.Mutex
	seen []fs.FileInfo // nil for one that could not be looked at
	last T
}

// open reads the files for the first time, when there is nothing to keep.
func (d *onDisk[T]) open() (err error) {
	d.seen = d.look()
	d.last, err = d.read()
	return err
}

// now is what the files say. It is safe for concurrent use.
func (d *onDisk[T]) now() T {
	d.mu.Lock()
	defer d.mu.Unlock()
	// Looked at before it is read: what changes in between is seen at the next use.
	if seen := d.look(); !slices.EqualFunc(seen, d.seen, unchanged) {
		d.seen = seen
		next, err := d.read()
		if err == nil {
			d.last = next
		}
		d.told(err)
	}
	return d.last
}

func (d *onDisk[T]) look() []fs.FileInfo {
	seen := make([]fs.FileInfo, len(d.paths))
	for i, path := range d.paths {
		if info, err := os.Stat(path); err == nil {
			seen[i] = info
		}
	}
	return seen
}

func unchanged(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == b
	}
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}
