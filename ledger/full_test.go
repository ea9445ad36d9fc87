//go:build linux

package ledger

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"referee/evidence"
	"referee/policy"
)

// disk mounts a file system of its own in memory.
func disk(t *testing.T, options string) (dir string, remount func(options string)) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("cannot mount a file system (needs root): %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir, func(options string) {
		t.Helper()
		flags := uintptr(syscall.MS_REMOUNT)
		if options == "ro" {
			flags |= syscall.MS_RDONLY
			options = ""
		}
		if err := syscall.Mount("tmpfs", dir, "tmpfs", flags, options); err != nil {
			t.Fatal(err)
		}
	}
}

func bulky(n int) Batch {
	b := Batch{Hour: noon, Counts: map[string]uint64{"batches": 1}}
	for i := range 100 {
		b.Rows = append(b.Rows, evidence.Row{
			Kind: evidence.KindName, Key: strings.Repeat("k", n%50) + string(rune('a'+i%26)), Seen: noon, Data: make([]byte, 2000),
		})
	}
	b.Decisions = []policy.Decision{decide(policy.Block, noon, nameHit("kq3v9z.com", 1, noon))}
	return b
}

func TestABatchThatFindsTheDiskFullIsNotThereAndGoesInLater(t *testing.T) {
	dir, remount := disk(t, "size=1m")
	l := owner(t, dir)
	var err error
	good := 0
	for ; good < 1000; good++ {
		if err = l.Commit(t.Context(), bulky(good)); err != nil {
			break
		}
	}
	if err == nil || !strings.Contains(err.Error(), "disk is full") || !strings.Contains(err.Error(), "free some space") {
		t.Fatalf("after %d batches: %v", good, err)
	}
	whole := func(want int) {
		t.Helper()
		decisions, err := l.Decisions(t.Context(), time.Time{}, 0)
		if n := counts(t, l, noon)["batches"]; err != nil || len(decisions) != want || n != uint64(want) {
			t.Fatalf("%d decisions and %d counted, want %d of each (%v)", len(decisions), n, want, err)
		}
	}
	whole(good)
	remount("size=16m")
	if err := l.Commit(t.Context(), bulky(good)); err != nil {
		t.Fatalf("there is space again: %v", err)
	}
	whole(good + 1)
	l.Close()
	l = owner(t, dir)
	whole(good + 1)
}

func TestADiskThatTurnsReadOnlyRefusesTheBatchAndStillReads(t *testing.T) {
	dir, remount := disk(t, "size=16m")
	l := owner(t, dir)
	commitTo(t, l, bulky(1))
	l.Close()

	remount("ro")
	if _, err := Open(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "set data-dir to another") {
		t.Fatalf("opened for writing on a read-only disk: %v", err)
	}
	r := reader(t, dir)
	if n := counts(t, r, noon)["batches"]; n != 1 {
		t.Errorf("read %d batches, want 1", n)
	}
	r.Close()

	remount("size=16m")
	l = owner(t, dir)
	commitTo(t, l, bulky(2))
}

func TestAnUnwritableDataDirectoryIsAClearError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), filepath.Join(file, "data"))
	if err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "set data-dir to another") {
		t.Errorf("got %v", err)
	}
}
