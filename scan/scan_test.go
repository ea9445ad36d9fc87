package scan

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/klauspost/compress/zstd"

	"referee/intake/logs"
	"referee/report"
)

// write makes a log and returns its path.
func write(t *testing.T, dir, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	switch filepath.Ext(name) {
	case ".gz":
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		w.Write(data)
		w.Close()
		data = b.Bytes()
	case ".zst":
		w, err := zstd.NewWriter(nil)
		if err != nil {
			t.Fatal(err)
		}
		data = w.EncodeAll(data, nil)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func run(t *testing.T, o Options, args ...string) *Result {
	t.Helper()
	r, err := Run(t.Context(), o, args)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// found is what two scans of the same traffic must agree on.
type found struct {
	Lines, Requests uint64
	Names, Clients  []Rated
	Report          *report.Report
}

// whole is everything that r found; the bytes of random keys do not show in it.
func whole(r *Result) found { return found{r.Lines, r.Requests, r.Names, r.Clients, r.Report} }

// same compares them. When within a span of evidence it was decided may differ, and so how long a hit stands and its reasons.
func same(t *testing.T, what string, got, want found) {
	t.Helper()
	keys := func(rated []Rated) (out []string) {
		for _, r := range rated {
			out = append(out, fmt.Sprintf("%s %s: %d requests, %d networks, %d flagged names", r.What(), r.Rating, r.Sightings, r.Networks, r.Flagged))
		}
		return out
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(found{}, "Names", "Clients", "Report")); diff != "" {
		t.Errorf("%s:\n%s", what, diff)
	}
	sorted := cmpopts.SortSlices(func(a, b string) bool { return a < b })
	if diff := cmp.Diff(keys(want.Names), keys(got.Names), sorted); diff != "" {
		t.Errorf("%s, names:\n%s", what, diff)
	}
	if diff := cmp.Diff(keys(want.Clients), keys(got.Clients), sorted); diff != "" {
		t.Errorf("%s, clients:\n%s", what, diff)
	}
	if diff := cmp.Diff(want.Report.Totals, got.Report.Totals); diff != "" {
		t.Errorf("%s, totals:\n%s", what, diff)
	}
}

func lines(seed uint64, n int) []byte {
	traffic := newTraffic(seed)
	var log []byte
	for range n {
		log = traffic.line(log)
	}
	return log
}

func TestOneLogGivesOneResultHoweverItIsCutAndPacked(t *testing.T) {
	log := lines(3, 30_000)
	third := bytes.IndexByte(log[len(log)/3:], '\n') + len(log)/3 + 1
	dir := t.TempDir()
	want := whole(run(t, options(t), write(t, dir, "whole.log", log)))
	if want.Lines != 30_000 || len(want.Clients) == 0 || want.Report.Clients.Active == 0 {
		t.Fatalf("%d lines, %d clients", want.Lines, len(want.Clients))
	}
	stdin := options(t)
	stdin.Stdin = bytes.NewReader(log)
	same(t, "standard input", whole(run(t, stdin, "-")), want)
	one := options(t)
	one.Workers = 1
	same(t, "one worker", whole(run(t, one, filepath.Join(dir, "whole.log"))), want)
	forgetful := options(t)
	forgetful.Cache = 1
	same(t, "hardly a verdict remembered", whole(run(t, forgetful, filepath.Join(dir, "whole.log"))), want)
	same(t, "gzip", whole(run(t, options(t), write(t, t.TempDir(), "whole.log.gz", log))), want)
	same(t, "zstd", whole(run(t, options(t), write(t, t.TempDir(), "whole.log.zst", log))), want)

	parts := t.TempDir()
	write(t, parts, "access.log", log[third:]) // the newer one comes first by name
	write(t, parts, "access.log.1.gz", log[:third])
	same(t, "a directory", whole(run(t, options(t), parts)), want)
	same(t, "a glob", whole(run(t, options(t), filepath.Join(parts, "access.log*"))), want)

	dealt := [3][]byte{} // as three servers would have written it
	for i, line := range bytes.SplitAfter(log, []byte("\n")) {
		dealt[i%3] = append(dealt[i%3], line...)
	}
	servers := t.TempDir()
	for i, part := range dealt {
		write(t, servers, fmt.Sprintf("server%d.log", i), part)
	}
	same(t, "three servers", whole(run(t, options(t), servers)), want)
}

// spared is a flagged name under a registry closed to the public.
const spared = `81.2.3.4 - - [23/Nov/2026:03:12:41 +0100] "GET / HTTP/1.1" 200 5 "http://hvijsn1y3mlu012cnec114yq312.gov/" "-"` + "\n"

func TestAScanWithoutAReportFindsTheSame(t *testing.T) {
	path := write(t, t.TempDir(), "access.log", append(lines(3, 30_000), spared...))
	want := run(t, options(t), path)
	without := options(t)
	without.Report = false
	got := run(t, without, path)
	if got.Report != nil {
		t.Error("there is a report that nobody asked for")
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Result{}, "Report")); diff != "" {
		t.Error(diff)
	}
	told := want.Report.Totals
	if got.Judged != told.Requests || got.Flagged != told.Verdicts["dga"] || got.Spared != want.Report.Saved.Names || got.Spared == 0 {
		t.Errorf("%d of %d flagged, %d names spared; the report says %d of %d, %d", got.Flagged, got.Judged, got.Spared,
			told.Verdicts["dga"], told.Requests, want.Report.Saved.Names)
	}
}

func TestTwoScansWithAStateFileFindWhatOneFinds(t *testing.T) {
	log := lines(4, 20_000)
	half := bytes.IndexByte(log[len(log)/2:], '\n') + len(log)/2 + 1
	want := whole(run(t, options(t), write(t, t.TempDir(), "whole.log", log)))

	f := func(what string, first, second func(dir string)) {
		t.Helper()
		o, dir := options(t), t.TempDir()
		o.State = filepath.Join(t.TempDir(), "state")
		first(dir)
		before := run(t, o, dir)
		second(dir)
		after := run(t, o, dir)
		got := whole(after)
		got.Lines, got.Requests = before.Lines+after.Lines, before.Requests+after.Requests
		same(t, what, got, want)
		again := run(t, o, dir)
		if again.Lines != 0 || again.Report.Totals.Requests != want.Report.Totals.Requests {
			t.Errorf("%s: a third scan reads %d lines, and its report tells of %d requests", what, again.Lines, again.Report.Totals.Requests)
		}
	}
	f("a file that grew", func(dir string) { write(t, dir, "access.log", log[:half]) }, func(dir string) { write(t, dir, "access.log", log) })
	f("a line half written", func(dir string) { write(t, dir, "access.log", log[:half+50]) }, func(dir string) { write(t, dir, "access.log", log) })
	f("a file that was rotated", func(dir string) { write(t, dir, "access.log", log[:half]) }, func(dir string) {
		write(t, dir, "access.log.1", log[:half])
		write(t, dir, "access.log", log[half:])
	})
	f("rotated and compressed", func(dir string) { write(t, dir, "access.log", log[:half-300]) }, func(dir string) {
		os.Remove(filepath.Join(dir, "access.log"))
		write(t, dir, "access.log.1.gz", log[:half])
		write(t, dir, "access.log", log[half:])
	})
}

func TestADamagedStateFileIsNamedWithTheWayOut(t *testing.T) {
	o := options(t)
	o.State = write(t, t.TempDir(), "state", []byte("{"))
	_, err := Run(t.Context(), o, []string{write(t, t.TempDir(), "a.log", lines(1, 10))})
	if err == nil || !strings.Contains(err.Error(), o.State) || !strings.Contains(err.Error(), "delete the file") {
		t.Errorf("error %v", err)
	}
}

func TestAnEndBeforeTheEndGivesWhatWasFoundAndAStateToGoOnFrom(t *testing.T) {
	log := lines(5, 20_000)
	want := whole(run(t, options(t), write(t, t.TempDir(), "whole.log", log)))
	path := write(t, t.TempDir(), "access.log", log)
	o := options(t)
	o.State = filepath.Join(t.TempDir(), "state")
	ctx, cancel := context.WithCancel(t.Context())
	o.Progress = func(done, _ int64) {
		if done > 0 {
			cancel()
		}
	}
	before, err := Run(ctx, o, []string{path})
	if err != nil || !before.Interrupted {
		t.Fatalf("interrupted %v, %v", before, err)
	}
	o.Progress = nil
	after := run(t, o, path)
	got := whole(after)
	got.Lines, got.Requests = before.Lines+after.Lines, before.Requests+after.Requests
	same(t, "after an interruption", got, want)
}

func TestAPipeThatNeverEndsCanBeInterrupted(t *testing.T) {
	r, w := io.Pipe()
	log := lines(6, 500)
	go w.Write(log)
	o := options(t)
	o.Stdin = r
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o.Progress = func(done, _ int64) {
		if done >= int64(len(log)) {
			cancel()
		}
	}
	result, err := Run(ctx, o, []string{"-"})
	if err != nil || result.Lines != 500 || !result.Interrupted {
		t.Errorf("%d lines, %v; want the 500 that had come", result.Lines, err)
	}
}

func TestLinesThatCannotBeReadAreCountedWithExamples(t *testing.T) {
	log := string(lines(7, 100)) + "garbage\x1b[31m\n" + strings.Repeat("x", 3<<20) + "\n" + string(lines(7, 100)) +
		`203.0.113.7 - - [23/Nov/2026:03:12:41 +0100] "GET / HTTP/1.1" 200 5` + "\nlast"
	r := run(t, options(t), write(t, t.TempDir(), "a.log", []byte(log)))
	if r.Lines != 204 || r.Requests != 200 || r.Unread != 4 || len(r.Why) != 3 {
		t.Errorf("%d lines, %d requests, %d unread for %d reasons; want 204, 200, 4, 3", r.Lines, r.Requests, r.Unread, len(r.Why))
	}
	var text strings.Builder
	if err := r.Text(&text); err != nil || !strings.Contains(text.String(), `garbage\x1b[31m`) || !strings.Contains(text.String(), "longer than 1 MiB") {
		t.Errorf("%v\n%s", err, &text)
	}
}

func TestAScanOfWhichNoLineCouldBeReadHasFailed(t *testing.T) {
	o := options(t)
	o.Format = logs.Combined
	r, err := Run(t.Context(), o, []string{write(t, t.TempDir(), "a.log", []byte("{\n{\n"))})
	if err == nil || !strings.Contains(err.Error(), "none of 2 lines could be read") || r == nil {
		t.Errorf("%+v, error %v", r, err)
	}
}

func TestASourceInNoKnownFormatIsNamedAndTheOthersAreRead(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "README", []byte("This is prose,\nand more of it.\n"))
	write(t, dir, "empty.log", nil)
	write(t, dir, "access.log", lines(8, 100))
	write(t, dir, "broken.gz.log", append([]byte{0x1f, 0x8b}, "no gzip"...))
	r, err := Run(t.Context(), options(t), []string{filepath.Join(dir, "README"), filepath.Join(dir, "empty.log"), filepath.Join(dir, "access.log")})
	if err == nil || !strings.Contains(err.Error(), "README") || r.Requests != 100 {
		t.Errorf("%d requests, error %v", r.Requests, err)
	}
}

func TestASourceThatIsNotThereIsNamedAndTheOthersAreRead(t *testing.T) {
	dir := t.TempDir()
	log := write(t, dir, "access.log", lines(8, 100))
	for _, missing := range []string{filepath.Join(dir, "gone.log"), filepath.Join(dir, "*.gz"), "s3://"} {
		r, err := Run(t.Context(), options(t), []string{missing, log})
		if err == nil || !strings.Contains(err.Error(), missing) || r == nil || r.Requests != 100 {
			t.Errorf("%s: %+v, error %v", missing, r, err)
		}
		if r, err := Run(t.Context(), options(t), []string{missing}); r != nil || err == nil {
			t.Errorf("%s alone: %+v, error %v", missing, r, err)
		}
	}
}

const botLine = `{"timestamp":%d,"action":%q,"httpRequest":{"clientIp":"81.2.3.%d","headers":[{"name":"Referer","value":"http://%s/"}]},"labels":[%s]}` + "\n"

func TestWAFLinesThatOurRuleEndedAreNoNewEvidence(t *testing.T) {
	f := func(action, label string, wantNames int) {
		t.Helper()
		var log bytes.Buffer
		for i := range 6 {
			for net := range 3 {
				fmt.Fprintf(&log, strings.Replace(botLine, "81.2.3.", fmt.Sprintf("81.2.%d.", net), 1), 1795399961000+i*1000, action, 7, "hvijsn1y3mlu012cnec114yq312.com", label)
			}
		}
		r := run(t, options(t), write(t, t.TempDir(), "waf.log", log.Bytes()))
		if got := r.Report.Names.Active; got != wantNames {
			t.Errorf("%s %s: %d names, want %d", action, label, got, wantNames)
		}
	}
	const ours = `{"name":"awswaf:111122223333:webacl:site:referee:name"}`
	f("ALLOW", "", 1)
	f("ALLOW", ours, 1) // counted, and let through
	f("BLOCK", ours, 0)
	f("BLOCK", "", 0)
}

func TestRatingsFollowTheirWrittenRule(t *testing.T) {
	f := func(networks, requests int, want Rating) {
		t.Helper()
		var log bytes.Buffer
		for n := range networks {
			for range requests {
				fmt.Fprintf(&log, "81.2.%d.7 - - [23/Nov/2026:03:12:41 +0100] \"GET / HTTP/1.1\" 200 5 \"http://hvijsn1y3mlu012cnec114yq312.com/\" \"-\"\n", n)
			}
		}
		r := run(t, options(t), write(t, t.TempDir(), "a.log", log.Bytes()))
		if len(r.Names) != 1 || r.Names[0].Rating != want || r.Names[0].Networks != networks {
			t.Errorf("%d networks: %+v, want %s", networks, r.Names, want)
		}
	}
	f(1, 100, Low)
	f(2, 1, Low)
	f(2, 2, Medium)
	f(9, 2, Medium)
	f(10, 2, High)
	f(30, 2, Critical)
	grows := new(bytes.Buffer) // a name goes on after it became a hit, for less than its time to live
	for n := range 32 {        // as many networks as a name's evidence counts exactly
		fmt.Fprintf(grows, "81.2.%d.7 - - [23/Nov/2026:%02d:12:41 +0100] \"GET / HTTP/1.1\" 200 5 \"http://hvijsn1y3mlu012cnec114yq312.com/\" \"-\"\n", n, 3+n/16)
	}
	if r := run(t, options(t), write(t, t.TempDir(), "a.log", grows.Bytes())); r.Names[0].Rating != Critical || r.Names[0].Sightings != 32 || r.Names[0].Networks != 32 {
		t.Errorf("a name that grew after it became a hit: %+v", r.Names)
	}
	bots := func(names int, want Rating) {
		t.Helper()
		var log bytes.Buffer
		traffic := newTraffic(9)
		for range names {
			fmt.Fprintf(&log, "81.2.3.7 - - [23/Nov/2026:03:12:41 +0100] \"GET / HTTP/1.1\" 200 5 \"http://%s/\" \"-\"\n", traffic.families[1].Domain())
		}
		r := run(t, options(t), write(t, t.TempDir(), "a.log", log.Bytes()))
		if len(r.Clients) != 1 || r.Clients[0].Rating != want || r.Clients[0].Flagged*2 <= names || r.Clients[0].Flagged > names {
			t.Errorf("%d names: %+v, want %s", names, r.Clients, want)
		}
	}
	bots(1, Low)
	bots(4, Medium)
	bots(20, High)
	bots(60, Critical)
}

func TestTheJSONOutputHoldsRatingsAndReport(t *testing.T) {
	r := run(t, options(t), write(t, t.TempDir(), "a.log", lines(10, 5000)))
	var out bytes.Buffer
	if err := r.JSON(&out); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Lines   int
		Clients []struct{ Rating, Client string }
		Report  struct{ Totals struct{ Requests int } }
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || got.Lines != 5000 || got.Report.Totals.Requests != 5000 || len(got.Clients) == 0 {
		t.Errorf("%+v, %v", got, err)
	}
}
