package training

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
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
	f("a byte-order mark", "\uFEFFkq3v9z.com\n", "kq3v9z.com kq3v9z mine")
	f("lines of Windows", "kq3v9z.com\tnecurs\r\nwikipedia.org\r\n", "kq3v9z.com kq3v9z necurs", "wikipedia.org wikipedia mine")
	f("comments and blank lines", "# names\n\n  \nkq3v9z.com\n", "kq3v9z.com kq3v9z mine")
	f("a last line without its end", "kq3v9z.com", "kq3v9z.com kq3v9z mine")
	f("upper case", "KQ3V9Z.COM", "kq3v9z.com kq3v9z mine")
	f("URLs and sub-domains", "https://www.kq3v9z.co.uk/a?b=c\n", "kq3v9z.co.uk kq3v9z mine")
	f("U-labels", "bücher.de\n", "xn--bcher-kva.de xn--bcher-kva mine")
	f("the same name twice", "a1.com\na1.com\n", "a1.com a1 mine", "a1.com a1 mine")
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
	f("binary", "kq3v9z.com\n\x00\x01\x02\n", ":2: a NUL byte")
	f("a line without end", "kq3v9z.com\n"+strings.Repeat("x", maxLine+1), ":2: longer than")
	f("more columns", "kq3v9z.com\tnecurs\t2019\n", ":1: more than two columns")
	f("gzip that is cut", zipped(t, "kq3v9z.com\tnecurs\n")[:20], "unexpected EOF")
	if _, _, err := read(filepath.Join(t.TempDir(), "none.txt")); err == nil || !strings.Contains(err.Error(), "none.txt") {
		t.Errorf("a missing file: %v", err)
	}
}
