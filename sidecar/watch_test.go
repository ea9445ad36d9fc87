package sidecar

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestAFileCountsAsChangedOnceItStandsStill(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "model")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	write := func(path, text string, second int64) {
		t.Helper()
		must(os.WriteFile(path, []byte(text), 0o600))
		must(os.Chtimes(path, time.Time{}, time.Unix(second, 0)))
	}
	var w watched
	f := func(what string, want ...bool) {
		t.Helper()
		for look, changed := range want {
			if got := w.changed(path); got != changed {
				t.Errorf("%s, look %d: %v, want %v", what, look+1, got, changed)
			}
		}
	}
	f("nothing there", false, false)
	write(path, "one", 1)
	f("a first file", false, true, false, false)
	write(path, "two", 2)
	f("written over", false, true, false)
	write(path, "two", 3)
	f("the same bytes at another time", false, true, false)
	write(path, "three", 4)
	f("being written", false)
	write(path, "three and more", 5)
	f("still being written", false)
	f("written", true, false)

	write(path+".next", "four and a bit", 5)
	must(os.Rename(path+".next", path))
	f("another file of the same size and time", false, true, false)

	must(os.Remove(path))
	f("gone", false, true, false)
	write(filepath.Join(dir, "a"), "aaa", 6)
	write(filepath.Join(dir, "b"), "bbb", 6)
	must(os.Symlink("a", path))
	f("a link", false, true, false)
	must(os.Symlink("b", path+".next"))
	must(os.Rename(path+".next", path))
	f("a link that points elsewhere", false, true, false)

	path = filepath.Join(dir, "a")
	f("another path", false, true, false)
	path = ""
	f("no path", false, false)
}
