package sidecar_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"referee/ledger"
	"referee/sidecar"
)

func TestExamineRefusesADirectoryThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	l, err := ledger.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	f := func(dir, want string) {
		t.Helper()
		for _, finding := range sidecar.Examine(t.Context(), sidecar.Config{DataDir: dir}) {
			if finding.Name != "data-dir" {
				continue
			}
			if got := errorText(finding.Err); want == "" && got != "" || !strings.Contains(got, want) {
				t.Errorf("data-dir %s: %q, want %q", dir, got, want)
			}
			return
		}
		t.Errorf("data-dir %s: it was not looked at", dir)
	}
	f(t.TempDir(), "")
	f(filepath.Join(dir, "first", "start"), "")

	for path, mode := range map[string]os.FileMode{filepath.Dir(dir): 0o755, filepath.Join(dir, ledger.FileName): 0o444, dir: 0o555} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = os.Chmod(dir, 0o755) }) //nolint:gosec // for t.TempDir, which removes it
	asNobody(t)
	f(dir, "not writable")
	f(filepath.Join(dir, "first", "start"), "not writable")
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// asNobody takes from root what root may do to any file, for this thread alone, until the test ends.
func asNobody(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	if err := syscall.Setfsuid(65534); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = syscall.Setfsuid(0) })
}
