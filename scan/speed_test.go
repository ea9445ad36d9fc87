package scan

import (
	"bufio"
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
	speedLines = flag.Int("scan.lines", 0, "lines of the file that TestSpeed scans; 0 skips it")
	memoryGB   = flag.Int("scan.gigabytes", 0, "what TestMemoryStaysFlat sends through a pipe; 0 skips it")
)

// cpu runs a program and returns its CPU time and what it wrote.
func cpu(t *testing.T, stdin io.Reader, name string, args ...string) (time.Duration, string) {
	t.Helper()
	c := exec.Command(name, args...)
	c.Stdin = stdin
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s %v: %v", name, args, err)
	}
	return c.ProcessState.UserTime() + c.ProcessState.SystemTime(), string(out)
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
	file := filepath.Join(t.TempDir(), "access.log")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	traffic := newTraffic(1)
	var line []byte
	for range *speedLines {
		line = traffic.line(line[:0])
		w.Write(line)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	f.Close()
	referee := binary(t)
	runs := map[string][]time.Duration{}
	rows := []string{"wc -l", "awk '{print $1}'", "referee scan"}
	for range 3 { // in turn, so that what else the machine does hits all alike
		for _, row := range rows {
			var took time.Duration
			switch row {
			case "wc -l":
				took, _ = cpu(t, nil, "wc", "-l", file)
			case "awk '{print $1}'":
				took, _ = cpu(t, nil, "awk", "{print $1}", file)
			default:
				took, _ = cpu(t, nil, referee, "scan", "--format", "tsv", file)
			}
			runs[row] = append(runs[row], took)
		}
	}
	info, _ := os.Stat(file)
	t.Logf("%d lines, %d MB, CPU time (user and system) of each program, median of 3 runs, %s, %d CPUs", *speedLines, info.Size()>>20, runtime.Version(), runtime.NumCPU())
	scanned := median(runs["referee scan"])
	for _, row := range rows {
		m := median(runs[row])
		t.Logf("%-18s %8.0f lines per ms of CPU  %6.0f ns a line  %5.2f of a scan", row, float64(*speedLines)/float64(m.Milliseconds()),
			float64(m.Nanoseconds())/float64(*speedLines), float64(m)/float64(scanned))
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
