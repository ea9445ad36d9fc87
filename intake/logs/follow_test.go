package logs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// log is a log that a server writes.
type logFile struct {
	t    *testing.T
	path string
}

func (l logFile) append(lines ...string) {
	l.t.Helper()
	f, err := os.OpenFile(l.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		l.t.Fatal(err)
	}
	defer f.Close()
	for _, line := range lines {
		if _, err := f.WriteString(line); err != nil {
			l.t.Fatal(err)
		}
	}
}

func (l logFile) names(names ...string) {
	l.t.Helper()
	for _, n := range names {
		l.append(combinedOf(n) + "\n")
	}
}

func (l logFile) rename(to string) {
	l.t.Helper()
	if err := os.Rename(l.path, to); err != nil {
		l.t.Fatal(err)
	}
}

func TestAFileIsFollowedThroughRotationTruncationAndHalfLines(t *testing.T) {
	l := logFile{t, filepath.Join(t.TempDir(), "access.log")}
	l.names("beforetime")
	r := newRig(t, Config{Files: []string{l.path}}, t.TempDir())
	r.start()
	r.eventually("the file is open", func() bool { r.memory.mu.Lock(); defer r.memory.mu.Unlock(); return len(r.memory.kept.Files) == 1 })

	l.names("alphaone")
	half := combinedOf("betatwo")
	l.append(half[:40])
	r.want("alphaone")
	l.append(half[40:] + "\n")
	r.want("alphaone", "betatwo")

	// logrotate's create: the server writes to the old file until it is told to reopen.
	old := logFile{t, l.path + ".1"}
	l.rename(old.path)
	l.append("")
	old.names("gammathree")
	l.names("deltafour")
	r.want("alphaone", "betatwo", "gammathree", "deltafour")

	// copytruncate.
	if err := os.Truncate(l.path, 0); err != nil {
		t.Fatal(err)
	}
	l.names("epsilonfive")
	r.want("alphaone", "betatwo", "gammathree", "deltafour", "epsilonfive")

	// copytruncate, and grown beyond what it was before anybody looked.
	if err := os.WriteFile(l.path, []byte(strings.Repeat(combinedOf("zetasix")+"\n", 3)), 0o600); err != nil {
		t.Fatal(err)
	}
	r.want("alphaone", "betatwo", "gammathree", "deltafour", "epsilonfive", "zetasix", "zetasix", "zetasix")
}

func TestAFileThatIsMissingAtTheStartIsReadFromItsBeginning(t *testing.T) {
	l := logFile{t, filepath.Join(t.TempDir(), "access.log")}
	r := newRig(t, Config{Files: []string{l.path}}, "")
	r.start()
	r.eventually("it was looked for", func() bool { r.mu.Lock(); defer r.mu.Unlock(); _, looked := r.trouble["logs-files"]; return looked })
	l.names("alphaone", "betatwo")
	r.want("alphaone", "betatwo")
}

func TestAPatternTakesUpNewFilesAndNoneTwice(t *testing.T) {
	dir := t.TempDir()
	a, b := logFile{t, filepath.Join(dir, "a.log")}, logFile{t, filepath.Join(dir, "b.log")}
	a.append("")
	following(t, "", func(r *rig, _ func()) {
		a.names("alphaone")
		r.after(time.Second, "alphaone")
		a.rename(a.path + ".1") // the pattern matches this too
		a.names("betatwo")
		b.names("gammathree")
		r.after(2*globEvery, "alphaone", "betatwo", "gammathree")
		<-time.After(2 * afterlife)
		r.after(2*globEvery, "alphaone", "betatwo", "gammathree")
	}, filepath.Join(dir, "*.log*"))
}

func TestReadingGoesOnWhereItEndedEvenIfTheFileWasRotatedMeanwhile(t *testing.T) {
	dir := t.TempDir()
	l := logFile{t, filepath.Join(t.TempDir(), "access.log")}
	l.names("beforetime")
	first := newRig(t, Config{Files: []string{l.path}}, dir)
	stop := first.start()
	first.eventually("the file is open", func() bool {
		first.memory.mu.Lock()
		defer first.memory.mu.Unlock()
		return len(first.memory.kept.Files) == 1
	})
	l.names("alphaone")
	first.want("alphaone")
	stop()

	l.names("betatwo")
	second := newRig(t, Config{Files: []string{l.path}}, dir)
	stop = second.start()
	second.want("betatwo")
	stop()

	l.names("gammathree")
	l.rename(l.path + ".1")
	l.names("deltafour")
	third := newRig(t, Config{Files: []string{l.path}}, dir)
	third.start()
	third.want("gammathree", "deltafour")
}
