package fetch

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"referee/training"
)

// listOf is a list in a cache of its own.
func listOf(t testing.TB, date, content string) List {
	t.Helper()
	on, err := time.Parse(day, date)
	if err != nil {
		t.Fatal(err)
	}
	l := List{Source: "umbrella", Date: on, Path: filepath.Join(t.TempDir(), date+".csv")}
	if err := os.WriteFile(l.Path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.save(); err != nil {
		t.Fatal(err)
	}
	return l
}

func TestWhatIsLeftIsRegistrableOnceInAllListsAndNotGenerated(t *testing.T) {
	newest := listOf(t, "2026-11-22", "1,google.com\n2,www.google.com\n3,kq3v9z.net\n4,localhost\n5,new.org\n6,deep.co.uk\n7,late.com\n")
	middle := listOf(t, "2026-11-21", "1,deep.co.uk\n2,google.com\n3,kq3v9z.net\n4,late.com\n5,gone.com\n6,new.org\n")
	oldest := listOf(t, "2026-11-20", "1,google.com\n2,google.com\n3,x.deep.co.uk\n4,kq3v9z.net\n5,gone.com\n6,new2.org\n7,new2.org\n8,late.com\n")
	generated := listOf(t, "2026-01-01", "kq3v9z.net\tnecurs\nkq3v9z.net\tnecurs\nother.com\tnecurs\n")
	f := func(what string, lists []List, top int, source string, want []string, drops training.Drops) {
		t.Helper()
		n, err := Clean(lists, []string{generated.Path}, top)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if diff := cmp.Diff(want, n.Names); diff != "" || n.Source != source || n.Rows != 6 {
			t.Errorf("%s: %s, %d rows (-want +got)\n%s", what, n.Source, n.Rows, diff)
		}
		if diff := cmp.Diff(drops, n.Drops); diff != "" {
			t.Errorf("%s: dropped (-want +got)\n%s", what, diff)
		}
	}
	at := func(l List, line int) training.Place { return training.Place{File: l.Path, Line: line} }
	once := []training.Drop{
		{Reason: "another host of a name", Count: 1, First: at(newest, 2)},
		{Reason: "no registrable name (nonpublic)", Count: 1, First: at(newest, 4)},
	}
	generatedOnce := training.Drop{Reason: "in a list of generated names", Count: 1, First: at(generated, 1)}
	f("one list", []List{newest}, 0, "umbrella_2026-11-22", []string{"google.com", "new.org", "deep.co.uk", "late.com"}, append(once[:2:2], generatedOnce))
	f("three lists", []List{newest, middle, oldest}, 0, "umbrella_2026-11-20_2026-11-22", []string{"google.com", "deep.co.uk", "late.com"},
		append(once[:2:2], generatedOnce, training.Drop{Reason: "not in all 3 lists", Count: 1, First: at(newest, 5)}))
	f("the first four", []List{newest}, 4, "umbrella_2026-11-22", []string{"google.com", "new.org", "deep.co.uk"},
		append(once[:2:2], training.Drop{Reason: "behind the first 4 names", Count: 1, First: at(newest, 7)}, generatedOnce))
}

func TestAListThatCannotBeReadLeavesTheCache(t *testing.T) {
	whole := string(zipOf(t, ranks(3000, ".com")))
	f := func(what, content, want string) {
		t.Helper()
		l := listOf(t, "2026-11-22", content)
		_, err := Clean([]List{l}, nil, 0)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "run the command again") {
			t.Errorf("%s: %v, want an error with %q", what, err, want)
		}
		if left, globErr := filepath.Glob(l.Path + "*"); globErr != nil || len(left) > 0 {
			t.Errorf("%s: left in the cache: %v", what, left)
		}
	}
	f("a zip that is cut", whole[:len(whole)/2], "cut off")
	f("gzip that is cut", string(gzipOf([]byte(ranks(3000, ".com")))[:9000]), "cut off")
	f("a page of a captive portal", "<html>\n<body>Log in, please\n</html>\n", "is no name, like 3 of 3")
	f("a bomb", string(gzipOf(make([]byte, 65<<20))), "longer than")
	f("a bomb of lines", string(gzipOf([]byte(strings.Repeat("\n", 65<<20)))), "grows more than 200-fold")
}

func TestNothingLeftIsAnError(t *testing.T) {
	l := listOf(t, "2026-11-22", "1,google.com\n")
	if _, err := Clean([]List{l}, []string{l.Path}, 0); err == nil || !strings.Contains(err.Error(), "no name of") {
		t.Errorf("%v", err)
	}
}

// BenchmarkCleanAMillionRows is three lists of a million rows, and as many generated names, a tenth of them in the lists.
func BenchmarkCleanAMillionRows(b *testing.B) {
	const rows = 1_000_000
	list := func(from int) string {
		var s strings.Builder
		for i := range rows {
			fmt.Fprintf(&s, "%d,www.name%dof.com\n", i+1, from+i*7%rows)
		}
		return s.String()
	}
	lists := []List{listOf(b, "2026-11-22", list(0)), listOf(b, "2026-11-21", list(1000)), listOf(b, "2026-11-20", list(2000))}
	generated := listOf(b, "2026-01-01", list(rows-rows/10))
	b.ResetTimer()
	for b.Loop() {
		n, err := Clean(lists, []string{generated.Path}, 0)
		if err != nil || len(n.Names) != rows-rows/10-2000 {
			b.Fatalf("%d names, %v", len(n.Names), err)
		}
	}
}
