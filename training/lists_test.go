package training

import (
	"archive/zip"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"referee/features"
)

// file writes a list and returns its path.
func file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func zipped(t *testing.T, content string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// archive is a zip of files of the same content.
func archive(t *testing.T, content string, names ...string) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range names {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func zstandard(t *testing.T, content string) string {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(z.EncodeAll([]byte(content), nil))
}

func read(path string) (names []string, drops Drops, err error) {
	err = ReadList(path, &drops, func(e Entry) { names = append(names, e.Domain+" "+e.Label+" "+e.Group) })
	return names, drops, err
}

func TestAListIsReadInTheFormsThatListsHave(t *testing.T) {
	f := func(what, content string, want ...string) {
		t.Helper()
		got, _, err := read(file(t, "mine.tsv.gz", content))
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got)\n%s", what, err, diff)
		}
	}
	f("plain names", "kq3v9z.com\nwikipedia.org\n", "kq3v9z.com kq3v9z mine", "wikipedia.org wikipedia mine")
	f("a source behind a tab", "kq3v9z.com\tnecurs\n", "kq3v9z.com kq3v9z necurs")
	f("gzip, whatever the file is called", zipped(t, "kq3v9z.com\tnecurs\n"), "kq3v9z.com kq3v9z necurs")
	f("zstandard", zstandard(t, "kq3v9z.com\tnecurs\n"), "kq3v9z.com kq3v9z necurs")
	f("a list alone in a zip", archive(t, "1,kq3v9z.com\r\n", "top-1m.csv"), "kq3v9z.com kq3v9z mine")
	f("a zip as macOS makes it", archive(t, "kq3v9z.com\n", "a.csv", "__MACOSX/._a.csv"), "kq3v9z.com kq3v9z mine")
	f("two gzip files joined", zipped(t, "a1.com\n")+zipped(t, "b2.com\n"), "a1.com a1 mine", "b2.com b2 mine")
	f("a byte-order mark", "\uFEFFkq3v9z.com\n", "kq3v9z.com kq3v9z mine")
	f("lines of Windows", "kq3v9z.com\tnecurs\r\nwikipedia.org\r\n", "kq3v9z.com kq3v9z necurs", "wikipedia.org wikipedia mine")
	f("comments and blank lines", "# names\n\n  \nkq3v9z.com\n", "kq3v9z.com kq3v9z mine")
	f("a last line without its end", "kq3v9z.com", "kq3v9z.com kq3v9z mine")
	f("upper case", "KQ3V9Z.COM", "kq3v9z.com kq3v9z mine")
	f("URLs and sub-domains", "https://www.kq3v9z.co.uk/a?b=c\n", "kq3v9z.co.uk kq3v9z mine")
	f("U-labels", "bücher.de\n", "xn--bcher-kva.de xn--bcher-kva mine")
	f("the same name twice", "a1.com\na1.com\n", "a1.com a1 mine", "a1.com a1 mine")
	f("ranks before names, as Tranco and Umbrella have them", "1,google.com\n2,www.kq3v9z.com\n", "google.com google mine", "kq3v9z.com kq3v9z mine")
	f("columns of Majestic", "\uFEFFGlobalRank,TldRank,Domain,TLD\n1,1,google.com,com\n", "google.com google mine")
	f("columns of CrUX", "origin,rank\nhttps://www.kq3v9z.com,1000\n", "kq3v9z.com kq3v9z mine")
	f("a header with a family, and more columns", "seen;Family;Domain\n2026;necurs;kq3v9z.com\n", "kq3v9z.com kq3v9z necurs")
	f("quotes", "\"domain\",\"family\"\n\"kq3v9z.com\",\"a, b\"\n", "kq3v9z.com kq3v9z a, b")
	f("an empty second column", "kq3v9z.com\t\n", "kq3v9z.com kq3v9z mine")
	f("spaces around", "  kq3v9z.com \t necurs \n", "kq3v9z.com kq3v9z necurs")
}

func TestLinesWithoutANameAreCountedWithTheirReasonAndFirstPlace(t *testing.T) {
	path := file(t, "list.txt", "kq3v9z.com\n10.0.0.1\nwikipedia.org\nlocalhost\n192.168.1.1\nheise.de\n")
	names, drops, err := read(path)
	if err != nil {
		t.Fatal(err)
	}
	want := Drops{
		{"no registrable name (address)", 2, Place{path, 2}},
		{"no registrable name (nonpublic)", 1, Place{path, 4}},
	}
	if diff := cmp.Diff(want, drops); diff != "" || len(names) != 3 {
		t.Errorf("%d names (-want +got)\n%s", len(names), diff)
	}
}

func TestWhatIsNoListIsRefusedWithFileAndLine(t *testing.T) {
	f := func(what, content string, want ...string) {
		t.Helper()
		path := file(t, "list.txt", content)
		_, _, err := read(path)
		for _, part := range append(want, path) {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %v, want an error with %q", what, err, part)
			}
		}
	}
	f("nothing", "", "empty")
	f("only comments", "# nothing yet\n", "empty")
	f("ranks before names", "kq3v9z.com\n1,google.com\n2,facebook.com\n", ":2: \"1,google.com\" is no name, like 2 of 3 lines")
	f("UTF-16", "\xff\xfek\x00q\x00", "UTF-16")
	f("a zip of two lists", archive(t, "a1.com\n", "a.csv", "b.csv"), "a zip with 2 files")
	f("a zip that is cut", archive(t, "a1.com\n", "a.csv")[:60], "cut off")
	f("zstandard that is cut", zstandard(t, strings.Repeat("kq3v9z.com\n", 9))[:12], "cut off")
	f("a bomb", zipped(t, strings.Repeat("\n", freeExpansion+1)), "grows more than 200-fold")
	f("ranks for sources", strings.ReplaceAll(many(maxGroups+1, "a%d.com\t%[1]d", ""), "\t\n", "\n"), ":10001: more than 10000 sources")
	f("names without their column", "rank,domain\n1,google.com\n2\n3\n", ":3: \"2\" is no name, like 2 of 3")
	f("binary", "kq3v9z.com\n\x00\x01\x02\n", ":2: a NUL byte")
	f("a line without end", "kq3v9z.com\n"+strings.Repeat("x", maxLine+1), ":2: longer than")
	f("more columns", "kq3v9z.com\tnecurs\t2019\n", ":1: more than two columns")
	f("gzip that is cut", zipped(t, "kq3v9z.com\tnecurs\n")[:20], "cut off (unexpected EOF): fetch it again")
	if _, _, err := read(filepath.Join(t.TempDir(), "none.txt")); err == nil || !strings.Contains(err.Error(), "none.txt") {
		t.Errorf("a missing file: %v", err)
	}
}

func FuzzReadList(f *testing.F) {
	f.Add([]byte("kq3v9z.com\tnecurs\n# no\n\uFEFFb\xc3\xbccher.de\r\nhttps://www.a.co.uk/x\n"))
	f.Add([]byte("GlobalRank,TldRank,Domain,TLD\n1,1,google.com,com\n"))
	f.Add([]byte("1,\"google.com\"\n2,"))
	f.Add([]byte{0x1f, 0x8b, 8, 0})
	f.Add([]byte("PK\x03\x04"))
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd})
	f.Fuzz(func(t *testing.T, content []byte) {
		var parser features.Parser
		var drops Drops
		names, last := 0, 0
		err := readList("list", bytes.NewReader(content), &drops, func(e Entry) {
			names++
			name, reason := parser.Bare([]byte(e.Domain))
			if reason != features.Named || name.Domain != e.Domain || name.Label != e.Label {
				t.Errorf("%+v is read again as %+v, %v", e, name, reason)
			}
			if e.Line <= last {
				t.Errorf("line %d after line %d", e.Line, last)
			}
			last = e.Line
		})
		for _, d := range drops {
			names -= d.Count
		}
		if err == nil && names < 0 {
			t.Errorf("more lines were dropped than read, and no error: %v", drops)
		}
	})
}
