package scan

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"referee/training/shapes"
)

var (
	speedLines = flag.Int("scan.lines", 0, "lines of the file that TestSpeed scans; 0 skips it")
	memoryGB   = flag.Int("scan.gigabytes", 0, "what TestMemoryStaysFlat sends through a pipe; 0 skips it")
)

// traffic writes combined lines as a busy site's server does. Of a hundred requests ten have no Referer and 85 one of 3,000 other
// sites, the popular ones most: from 20,000 visitors, who each come by one to three of them. Five carry a name that was never
// seen before, from 2,000 bots.
type traffic struct {
	r        *rand.Rand
	at       time.Time
	families []*shapes.Family
	sites    []string
	agents   []string
}

func newTraffic(seed uint64) *traffic {
	t := &traffic{r: rand.New(rand.NewPCG(seed, 0)), at: time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)}
	for i := range 30 {
		t.families = append(t.families, shapes.NewFamily([]shapes.Kind{shapes.Random, shapes.Hex, shapes.Base32}[i%3], t.r, nil))
	}
	words := strings.Fields("garden kitchen news daily travel book shop music photo house market school sport city home art world green blue coffee bike river")
	sites := shapes.NewFamily(shapes.Words, t.r, words)
	for range 3000 {
		t.sites = append(t.sites, sites.Domain())
	}
	for i := range 40 {
		t.agents = append(t.agents, fmt.Sprintf("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.0.0 Safari/537.36", 100+i))
	}
	return t
}

func (t *traffic) line(b []byte) []byte {
	t.at = t.at.Add(time.Duration(t.r.IntN(4)) * time.Millisecond)
	client, kind := t.r.Uint32N(20_000), t.r.IntN(100)
	if kind < 5 {
		client = 1<<20 + client%2000
	}
	b = netip.AddrFrom4([4]byte{81, byte(client >> 16), byte(client >> 8), byte(client)}).AppendTo(b)
	b = append(b, " - - ["...)
	b = t.at.AppendFormat(b, "02/Jan/2006:15:04:05 -0700")
	b = append(b, `] "GET /products/`...)
	b = strconv.AppendInt(b, t.r.Int64N(5000), 10)
	b = append(b, `?ref=1 HTTP/1.1" 200 `...)
	b = strconv.AppendInt(b, t.r.Int64N(100_000), 10)
	b = append(b, ` "`...)
	switch {
	case kind >= 90:
		b = append(b, '-')
	case kind < 5:
		b = append(append(append(b, "http://"...), t.families[t.r.IntN(len(t.families))].Domain()...), '/')
	default:
		pick := float64((client*2654435761+t.r.Uint32N(1+client%3)*40503)>>8&0xffff) / 0x10000
		b = append(append(append(b, "https://www."...), t.sites[int(float64(len(t.sites))*pick*pick*pick)]...), '/')
	}
	b = append(b, `" "`...)
	b = append(b, t.agents[t.r.IntN(len(t.agents))]...)
	return append(b, "\"\n"...)
}

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
