package logs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// following runs f beside a rig that follows patterns, on a clock that goes as fast as it can.
func following(t *testing.T, dir string, f func(r *rig, stop func()), patterns ...string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{Files: patterns}, dir)
		f(r, r.start())
	})
}

// after lets the follower look for a while, and then compares all names since the start.
func (r *rig) after(d time.Duration, names ...string) {
	r.t.Helper()
	<-time.After(d)
	if got, want := r.names(), strings.Join(names, " "); len(strings.Fields(got)) != len(names) || sorted(got) != sorted(want) {
		r.t.Errorf("read %q, want %q", got, want)
	}
}

func (l logFile) truncate(size int64) {
	l.t.Helper()
	if err := os.Truncate(l.path, size); err != nil {
		l.t.Fatal(err)
	}
}

func TestAFileThatIsCutShortIsNotReadTwice(t *testing.T) {
	for _, head := range []string{"", strings.Repeat("# a header that never changes\n", 30)} { // shorter and longer than what tells files apart
		l, dir := logFile{t, filepath.Join(t.TempDir(), "access.log")}, t.TempDir()
		l.append(head)
		size := int64(len(head))
		line := int64(len(combinedOf("alphaone")) + 1)
		following(t, dir, func(r *rig, stop func()) {
			l.names("alphaone", "alphatwo", "betatwoo", "betafour") // of one length
			r.after(time.Second, "alphaone", "alphatwo", "betatwoo", "betafour")
			l.truncate(size + 2*line)
			r.after(time.Second, "alphaone", "alphatwo", "betatwoo", "betafour")
			l.names("gammaone")
			r.after(time.Second, "alphaone", "alphatwo", "betatwoo", "betafour", "gammaone")
			l.truncate(size + line + line/2) // within a line: what is left of it is none
			r.after(time.Second, "alphaone", "alphatwo", "betatwoo", "betafour", "gammaone")
			l.append("what goes on here is no line of its own\n")
			l.names("gammatwo")
			r.after(time.Second, "alphaone", "alphatwo", "betatwoo", "betafour", "gammaone", "gammatwo")
			stop()
		}, l.path)
		l.truncate(size + line) // while nobody is here
		following(t, dir, func(r *rig, _ func()) {
			r.after(time.Second)
			l.names("deltaone")
			r.after(time.Second, "deltaone")
		}, l.path)
	}
}

// pod is a container's log as Kubernetes keeps it: a link to a file that the kubelet rotates by renaming.
func pod(t *testing.T) (link string, log logFile) {
	t.Helper()
	pods, containers := t.TempDir(), t.TempDir()
	link, log = filepath.Join(containers, "shop-7d4b9_default_nginx-0a1b.log"), logFile{t, filepath.Join(pods, "0.log")}
	log.append("")
	if err := os.Symlink(log.path, link); err != nil {
		t.Fatal(err)
	}
	return link, log
}

func TestALinkIsFollowedThroughTheRotationOfItsTarget(t *testing.T) {
	link, log := pod(t)
	following(t, t.TempDir(), func(r *rig, _ func()) {
		log.names("alphaone")
		r.after(time.Second, "alphaone")
		old := logFile{t, log.path + ".20261123-031241"}
		log.rename(old.path)
		old.names("betatwo")
		log.names("gammathree")
		r.after(time.Second, "alphaone", "betatwo", "gammathree")
		// The container is started again: the link means another file.
		next := logFile{t, filepath.Join(filepath.Dir(log.path), "1.log")}
		next.append("")
		if err := os.Symlink(next.path, link+"~"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(link+"~", link); err != nil {
			t.Fatal(err)
		}
		log.names("deltafour")
		next.append("2026-11-23T02:59:59.123456789Z stdout F " + jsonOf("epsilonfive") + "\n")
		r.after(time.Second, "alphaone", "betatwo", "gammathree", "deltafour", "epsilonfive")
	}, link)
}

func TestATargetRotatedWhileNobodyWasHereIsReadToItsEnd(t *testing.T) {
	link, log := pod(t)
	dir := t.TempDir()
	following(t, dir, func(r *rig, stop func()) {
		log.names("alphaone")
		r.after(time.Second, "alphaone")
		stop()
	}, link)
	log.names("betatwo")
	log.rename(log.path + ".20261123-031241")
	log.names("gammathree")
	following(t, dir, func(r *rig, _ func()) { r.after(time.Second, "betatwo", "gammathree") }, link)
}

func TestAFileThatALinkPointsToIsReadOnce(t *testing.T) {
	dir := t.TempDir()
	l := logFile{t, filepath.Join(dir, "access-20261123.log")}
	l.append("")
	if err := os.Symlink(l.path, filepath.Join(dir, "access.log")); err != nil {
		t.Fatal(err)
	}
	following(t, "", func(r *rig, _ func()) {
		l.names("alphaone")
		r.after(time.Second, "alphaone")
	}, filepath.Join(dir, "*.log"))
}

func TestAWriterThatReopensLateLosesNothing(t *testing.T) {
	l := logFile{t, filepath.Join(t.TempDir(), "access.log")}
	l.append("")
	following(t, "", func(r *rig, _ func()) {
		l.names("alphaone")
		old := logFile{t, l.path + ".1"}
		l.rename(old.path)
		r.after(goneAfter/2, "alphaone")
		old.names("betatwo")
		r.after(time.Second, "alphaone", "betatwo")
		l.names("gammathree")
		r.after(afterlife/2, "alphaone", "betatwo", "gammathree")
		old.names("deltafour")
		r.after(afterlife, "alphaone", "betatwo", "gammathree", "deltafour")
	}, l.path)
}

func TestAFileThatIsGoneIsForgottenAndOneOfItsNameIsNew(t *testing.T) {
	dir := t.TempDir()
	l, named := logFile{t, filepath.Join(dir, "a.log")}, logFile{t, filepath.Join(dir, "named")}
	l.append("")
	named.append("")
	following(t, t.TempDir(), func(r *rig, stop func()) {
		l.names("alphaone")
		named.names("betatwo")
		r.after(time.Second, "alphaone", "betatwo")
		for _, gone := range []logFile{l, named} {
			if err := os.Remove(gone.path); err != nil {
				t.Fatal(err)
			}
		}
		r.after(goneAfter+2*afterlife, "alphaone", "betatwo")
		l.names("gammathree")
		named.names("deltafour")
		r.after(2*globEvery, "alphaone", "betatwo", "gammathree", "deltafour")
		if err := os.Remove(l.path); err != nil {
			t.Fatal(err)
		}
		<-time.After(goneAfter + 2*afterlife)
		stop()
		if len(r.follower.files) != 1 || len(r.memory.kept.Files) != 1 || r.memory.kept.Files[named.path].Offset == 0 {
			t.Errorf("%d files are followed and %v remembered, want the named one alone", len(r.follower.files), r.memory.kept.Files)
		}
	}, filepath.Join(dir, "*.log"), named.path)
}

func TestAFileOnADiskThatComesLateGoesOnWhereItEnded(t *testing.T) {
	dir, disk := t.TempDir(), filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	l := logFile{t, filepath.Join(disk, "access.log")}
	following(t, dir, func(r *rig, stop func()) {
		l.names("alphaone")
		r.after(2*globEvery, "alphaone")
		stop()
	}, l.path)
	l.names("betatwo")
	if err := os.Rename(disk, disk+"~"); err != nil {
		t.Fatal(err)
	}
	following(t, dir, func(r *rig, _ func()) {
		r.after(time.Second)
		if err := os.Rename(disk+"~", disk); err != nil {
			t.Fatal(err)
		}
		r.after(time.Second, "betatwo")
	}, l.path)
}

func TestMoreFilesThanAreFollowedAreSaid(t *testing.T) {
	dir := t.TempDir()
	for i := range maxFollowed + 1 {
		logFile{t, filepath.Join(dir, fmt.Sprint(i, ".log"))}.append("")
	}
	following(t, "", func(r *rig, _ func()) {
		<-time.After(time.Second)
		if err, _ := r.troubleWith("logs-files"); err == nil || !strings.Contains(err.Error(), "narrow") {
			t.Errorf("trouble %v", err)
		}
		for i := range 2 {
			if err := os.Remove(filepath.Join(dir, fmt.Sprint(i, ".log"))); err != nil {
				t.Fatal(err)
			}
		}
		<-time.After(goneAfter + afterlife + 2*globEvery)
		if err, _ := r.troubleWith("logs-files"); err != nil {
			t.Errorf("trouble %v", err)
		}
	}, filepath.Join(dir, "*.log"))
}
