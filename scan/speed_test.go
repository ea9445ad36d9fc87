package scan

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var (
	speedLines  = flag.Int("scan.lines", 0, "lines of the file that TestSpeed scans; 0 skips it")
	speedRounds = flag.Int("scan.rounds", 5, "how often TestSpeed runs everything")
	memoryGB    = flag.Int("scan.gigabytes", 0, "what TestMemoryStaysFlat sends through a pipe; 0 skips it")
)

// cpu runs a program on one core and returns its CPU time.
func cpu(t *testing.T, name string, args ...string) time.Duration {
	t.Helper()
	c := exec.Command(name, args...)
	c.Env = append(os.Environ(), "GOMAXPROCS=1")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return c.ProcessState.UserTime() + c.ProcessState.SystemTime()
}

func binary(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "referee")
	if out, err := exec.Command("go", "build", "-o", path, "../cmd/referee").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

func TestSpeed(t *testing.T) {
	if *speedLines == 0 {
		t.Skip("make bench-scan runs it")
	}
	dir, referee := t.TempDir(), binary(t)
	// Each is run on a whole file and on its first fifth, so that what a line costs is told from what a run does.
	logs := func(name string, begin func(seed uint64) *traffic) (whole, fifth string) {
		whole, fifth = filepath.Join(dir, name), filepath.Join(dir, name+".fifth")
		writeLog(t, fifth, begin(1), *speedLines/5)
		writeLog(t, whole, begin(1), *speedLines)
		return whole, fifth
	}
	ordinary, aFifth := logs("ordinary.log", newOrdinaryTraffic)
	flood, fifthOfFlood := logs("flood.log", newTraffic)
	rows := []struct {
		what         string
		whole, fifth string
		command      []string
	}{
		{"wc -l", ordinary, aFifth, []string{"wc", "-l"}},
		{"awk '{print $1}'", ordinary, aFifth, []string{"awk", "{print $1}"}},
		{"scan", ordinary, aFifth, []string{referee, "scan"}},
		{"scan, own hosts named", ordinary, aFifth, []string{referee, "scan", "--never-block-hosts", ownHost}},
		{"scan, own hosts named, --report", ordinary, aFifth, []string{referee, "scan", "--never-block-hosts", ownHost, "--report", filepath.Join(dir, "report.html")}},
		{"scan of a flood", flood, fifthOfFlood, []string{referee, "scan"}},
	}
	whole, fifth := make([][]time.Duration, len(rows)), make([][]time.Duration, len(rows))
	for range *speedRounds { // in turn, so that what else the machine does hits all alike
		for i, row := range rows {
			whole[i] = append(whole[i], cpu(t, row.command[0], append(row.command[1:], row.whole)...))
			fifth[i] = append(fifth[i], cpu(t, row.command[0], append(row.command[1:], row.fifth)...))
		}
	}
	info, err := os.Stat(ordinary)
	if err != nil {
		t.Fatal(err)
	}
	lines := float64(*speedLines)
	t.Logf("%.0f lines, %d MB, GOMAXPROCS=1, CPU time (user and system) a line, %d rounds, %s", lines, info.Size()>>20, *speedRounds, runtime.Version())
	t.Logf("%-32s %26s %26s %14s", "", "median (lines/s and core)", "least (lines/s and core)", "one line more")
	for i, row := range rows {
		all, part := float64(median(whole[i])), float64(median(fifth[i]))
		least := float64(slices.Min(whole[i]))
		t.Logf("%-32s %8.0f ns (%12.0f) %8.0f ns (%12.0f) %11.0f ns", row.what, all/lines, 1e9*lines/all, least/lines, 1e9*lines/least, (all-part)/(0.8*lines))
	}
}

// writeLog makes a file of so many lines.
func writeLog(t testing.TB, path string, traffic *traffic, lines int) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	var line []byte
	for range lines {
		line = traffic.line(line[:0])
		w.Write(line)
	}
	if err := errors.Join(w.Flush(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

func TestMemoryStaysFlat(t *testing.T) {
	if *memoryGB == 0 {
		t.Skip("make bench-scan-memory runs it")
	}
	c := exec.Command(binary(t), "scan", "--format", "tsv", "-")
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stdout, c.Stderr = io.Discard, os.Stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	traffic := newTraffic(1)
	w := bufio.NewWriterSize(in, 1<<20)
	var line []byte
	rss := map[int]int{}
	sent, next := 0, 0
	for sent < *memoryGB<<30 {
		line = traffic.line(line[:0])
		n, err := w.Write(line)
		if err != nil {
			t.Fatal(err)
		}
		if sent += n; sent>>30 > next {
			next = sent >> 30
			rss[next] = residentMB(t, c.Process.Pid)
			t.Logf("%3d GB: RSS %d MB", next, rss[next])
		}
	}
	w.Flush()
	in.Close()
	if err := c.Wait(); err != nil {
		t.Fatal(err)
	}
	// What is bounded fills first: names, clients, flagged sightings, the cache.
	if half, end := rss[(next+1)/2], rss[next]; float64(end) > 1.15*float64(half) {
		t.Errorf("RSS grew from %d MB at %d GB to %d MB at %d GB", half, (next+1)/2, end, next)
	}
}

func residentMB(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skip("RSS is read from /proc, which is not here")
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kb, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	n, err := strconv.Atoi(kb)
	if err != nil {
		t.Fatal(err)
	}
	return n >> 10
}
