package fetch

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/md5"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// publisherOf is a server that has files as the publishers have them, and faults.
type publisherOf struct {
	*httptest.Server
	t     *testing.T
	mu    sync.Mutex
	files map[string][]byte
	head  map[string]http.Header // of a path
	fault map[string][]fault     // of a path, one for each request
	asked []string               // path and range
}

// fault answers a request in place of the server.
type fault func(w http.ResponseWriter, r *http.Request, content []byte)

func newPublisher(t *testing.T) *publisherOf {
	t.Helper()
	p := &publisherOf{t: t, files: map[string][]byte{}, head: map[string]http.Header{}, fault: map[string][]fault{}}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

func (p *publisherOf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	content, ok := p.files[r.URL.Path]
	p.asked = append(p.asked, strings.TrimSpace(r.Method+" "+r.URL.Path+" "+r.Header.Get("Range")))
	var f fault
	if faults := p.fault[r.URL.Path]; len(faults) > 0 {
		f, p.fault[r.URL.Path] = faults[0], faults[1:]
	}
	for name, values := range p.head[r.URL.Path] {
		w.Header()[name] = values
	}
	p.mu.Unlock()
	switch {
	case !ok:
		http.NotFound(w, r)
	case f != nil:
		f(w, r, content)
	default:
		if w.Header().Get("ETag") == "" && w.Header().Get("Last-Modified") == "" {
			w.Header().Set("ETag", fmt.Sprintf(`"%x"`, sha1.Sum(content)))
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	}
}

// cutAfter sends so many bytes of what the server would send, and cuts the connection.
func cutAfter(n int) fault {
	return func(w http.ResponseWriter, r *http.Request, content []byte) {
		w.Header().Set("ETag", fmt.Sprintf(`"%x"`, sha1.Sum(content)))
		http.ServeContent(&cutter{w, n}, r, "", time.Time{}, bytes.NewReader(content))
	}
}

type cutter struct {
	http.ResponseWriter
	left int
}

func (c *cutter) Write(p []byte) (int, error) {
	if c.left < len(p) {
		c.ResponseWriter.Write(p[:c.left])
		c.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	c.left -= len(p)
	return c.ResponseWriter.Write(p)
}

func status(code int, header ...string) fault {
	return func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
	}
}

func zipOf(t *testing.T, content string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create("top-1m.csv")
	if err != nil {
		t.Fatal(err)
	}
	w.Write([]byte(content))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipOf(content []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write(content)
	z.Close()
	return b.Bytes()
}

const umbrellaPath = "/umbrella-static/top-1m-2026-11-22.csv.zip"

// ranks are n rows of a ranking list, so random that they do not shrink to nothing.
func ranks(n int, tld string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%d,%x%s\r\n", i+1, sha1.Sum([]byte{byte(i), byte(i >> 8)}), tld)
	}
	return b.String()
}

// fetcher has a cache of its own, waits for nothing, and keeps what it would wait and say.
type testFetcher struct {
	*Fetcher
	waits []time.Duration
	notes []string
}

func newFetcher(t *testing.T, p *publisherOf) *testFetcher {
	t.Helper()
	f := &testFetcher{}
	f.Fetcher = &Fetcher{
		Client: NewClient(), Cache: t.TempDir(), Mirror: p.URL, Agent: "test",
		Now:      func() time.Time { return time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC) },
		Wait:     func(ctx context.Context, d time.Duration) error { f.waits = append(f.waits, d); return ctx.Err() },
		Progress: func(string, int64, int64) {},
		Note:     func(what string) { f.notes = append(f.notes, what) },
		Limits:   DefaultLimits(),
	}
	t.Cleanup(f.Client.CloseIdleConnections)
	return f
}

func (f *testFetcher) fetch(t *testing.T, source string, lists int) ([]List, error) {
	t.Helper()
	return f.Lists(t.Context(), source, Select{Lists: lists, Apart: 1})
}

// one fetches today's Umbrella list, which is content in the end.
func one(t *testing.T, f *testFetcher, content []byte) List {
	t.Helper()
	lists, err := f.fetch(t, "umbrella", 1)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(lists[0].Path)
	if err != nil || !bytes.Equal(got, content) {
		t.Fatalf("%d bytes came, %v; want the %d that were sent", len(got), err, len(content))
	}
	left, err := filepath.Glob(filepath.Join(f.Cache, "umbrella", "*.part*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left in the cache: %v", left)
	}
	return lists[0]
}

func TestADownloadThatIsCutOffGoesOnWhereItWas(t *testing.T) {
	p := newPublisher(t)
	content := zipOf(t, ranks(3000, ".com"))
	p.files[umbrellaPath] = content
	p.fault[umbrellaPath] = []fault{cutAfter(1000), status(503), cutAfter(500)}
	f := newFetcher(t, p)
	one(t, f, content)
	want := []string{
		"GET " + umbrellaPath, "GET " + umbrellaPath + " bytes=1000-",
		"GET " + umbrellaPath + " bytes=1000-", "GET " + umbrellaPath + " bytes=1500-",
	}
	if diff := cmp.Diff(want, p.asked); diff != "" {
		t.Errorf("requests (-want +got)\n%s", diff)
	}
	if len(f.waits) != 3 || len(f.notes) != 3 || !strings.Contains(f.notes[0], "cut off at byte 1000") {
		t.Errorf("waited %v, said %q", f.waits, f.notes)
	}
}

func TestAnotherRunGoesOnWhereOneWasInterrupted(t *testing.T) {
	p := newPublisher(t)
	content := zipOf(t, ranks(3000, ".com"))
	p.files[umbrellaPath] = content
	p.fault[umbrellaPath] = []fault{cutAfter(2000)}
	f := newFetcher(t, p)
	ctx, interrupt := context.WithCancel(t.Context())
	f.Wait = func(ctx context.Context, _ time.Duration) error { interrupt(); return ctx.Err() }
	if _, err := f.Lists(ctx, "umbrella", Select{Lists: 1, Apart: 1}); err == nil {
		t.Fatal("no error")
	}
	one(t, f, content)
	if last := p.asked[len(p.asked)-1]; !strings.HasSuffix(last, " bytes=2000-") {
		t.Errorf("the second run asked %q", last)
	}
}

func TestAFileThatChangesMidwayIsFetchedFromItsBeginning(t *testing.T) {
	p := newPublisher(t)
	p.files[umbrellaPath] = zipOf(t, ranks(3000, ".com"))
	changed := zipOf(t, ranks(3000, ".net"))
	p.fault[umbrellaPath] = []fault{func(w http.ResponseWriter, r *http.Request, content []byte) {
		p.mu.Lock()
		p.files[umbrellaPath] = changed
		p.mu.Unlock()
		cutAfter(1000)(w, r, content)
	}}
	one(t, newFetcher(t, p), changed)
}

func TestServersWithoutRangesOrVersionsAreFetchedFromTheBeginning(t *testing.T) {
	whole := func(w http.ResponseWriter, _ *http.Request, content []byte) { w.Write(content) }
	other := func(w http.ResponseWriter, _ *http.Request, content []byte) {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes 7-%d/%d", len(content)-1, len(content)))
		w.WriteHeader(http.StatusPartialContent)
		w.Write(content[7:])
	}
	weak := func(w http.ResponseWriter, r *http.Request, content []byte) {
		w.Header().Set("ETag", `W/"1"`)
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		w.Write(content[:800])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	f := func(what string, requests int, faults ...fault) {
		t.Helper()
		p := newPublisher(t)
		content := zipOf(t, ranks(3000, ".com"))
		p.files[umbrellaPath], p.fault[umbrellaPath] = content, faults
		one(t, newFetcher(t, p), content)
		if len(p.asked) != requests {
			t.Errorf("%s: asked %q", what, p.asked)
		}
	}
	f("the range is not looked at", 2, cutAfter(1000), whole)
	f("another range than was asked for", 3, cutAfter(1000), other)
	f("the range is refused", 3, cutAfter(1000), status(416))
	f("no strong version", 2, weak)
}

// says is a server at the level of bytes, for what net/http would not send.
func says(t *testing.T, answer string) *publisherOf {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			c.Read(make([]byte, 4096))
			c.Write([]byte(answer))
			c.Close()
		}
	}()
	return &publisherOf{Server: &httptest.Server{URL: "http://" + listener.Addr().String()}}
}

func TestWhatCannotBeAListIsGivenUpWithItsReason(t *testing.T) {
	f := func(what string, p *publisherOf, want ...string) {
		t.Helper()
		fetcher := newFetcher(t, p)
		fetcher.Bytes, fetcher.Stall = 1<<20, 100*time.Millisecond
		_, err := fetcher.fetch(t, "umbrella", 1)
		for _, part := range want {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %v, want an error with %q", what, err, part)
			}
		}
		if left, globErr := filepath.Glob(filepath.Join(fetcher.Cache, "umbrella", "*.zip")); globErr != nil || len(left) > 0 {
			t.Errorf("%s: left in the cache: %v", what, left)
		}
	}
	with := func(faults ...fault) *publisherOf {
		p := newPublisher(t)
		p.files[umbrellaPath], p.fault[umbrellaPath] = zipOf(t, "1,a1.com\n"), faults
		return p
	}
	lots := func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		for range 40 {
			w.Write(make([]byte, 64<<10))
		}
	}
	stalled := func(w http.ResponseWriter, r *http.Request, _ []byte) {
		w.Write([]byte("PK"))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
	f("a length above the bound", says(t, "HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\nPK"), "9999999999 bytes: more than the 1048576")
	f("no length, and more than the bound", with(lots), "more than the 1048576 bytes")
	f("a length that is a lie", says(t, "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nPK"), "cut off at byte 2", "after 6 tries")
	f("nothing", says(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), "is empty")
	f("a server that stalls", with(stalled, stalled, stalled, stalled, stalled, stalled), "no byte for 100ms")
	f("a server in trouble", with(status(500), status(502), status(503), status(504), status(429), status(500)), "500", "after 6 tries")
	f("a refusal", with(status(401)), "401")
	f("no server", &publisherOf{Server: &httptest.Server{URL: "http://127.0.0.1:1"}}, "connection refused", "after 6 tries")
	f("no list", newPublisher(t), "no list of 2026-11-22, nor of the 3 days before")
}

func TestAServerThatSaysWhenIsWaitedFor(t *testing.T) {
	p := newPublisher(t)
	content := zipOf(t, "1,a1.com\n")
	p.files[umbrellaPath] = content
	p.fault[umbrellaPath] = []fault{status(429, "Retry-After", "7"), status(503, "Retry-After", "86400"), status(500), status(500)}
	f := newFetcher(t, p)
	one(t, f, content)
	if len(f.waits) != 4 || f.waits[0] != 7*time.Second || f.waits[1] != longestPause {
		t.Errorf("waited %v, want 7 s, the longest pause, and then what we choose", f.waits)
	}
	for i, exact := range []time.Duration{4 * time.Second, 8 * time.Second} {
		if got := f.waits[i+2]; got < exact*3/4 || got > exact*5/4 {
			t.Errorf("the pause after failure %d is %s, want about %s", i+3, got, exact)
		}
	}
}

func TestPublishedChecksumsAreHeldAgainstWhatCame(t *testing.T) {
	content := zipOf(t, "1,a1.com\n")
	sum := md5.Sum(content)
	right, wrong := hex.EncodeToString(sum[:]), strings.Repeat("0", 32)
	f := func(want string, header http.Header) {
		t.Helper()
		p := newPublisher(t)
		p.files[umbrellaPath], p.head[umbrellaPath] = content, header
		if l := one(t, newFetcher(t, p), content); l.Checked != want {
			t.Errorf("%v: checked %q, want %q", header, l.Checked, want)
		}
	}
	const s3 = "AmazonS3"
	f("the MD5 that is S3's ETag", http.Header{"Server": {s3}, "Etag": {`"` + right + `"`}})
	f("", http.Header{"Server": {s3}, "Etag": {`"` + wrong + `-2"`}})
	f("", http.Header{"Server": {s3}, "Etag": {`"` + wrong + `"`}, "X-Amz-Server-Side-Encryption": {"aws:kms"}})
	f("", http.Header{"Server": {"nginx"}, "Etag": {`"` + wrong + `"`}})

	p := newPublisher(t)
	p.files[umbrellaPath] = content
	p.head[umbrellaPath] = http.Header{"Server": {s3}, "Etag": {`"` + wrong + `"`}}
	if _, err := newFetcher(t, p).fetch(t, "umbrella", 1); err == nil || !strings.Contains(err.Error(), "the MD5 that is S3's ETag is "+wrong) {
		t.Errorf("a wrong MD5: %v", err)
	}
}

// The check values are of the catalogue of CRC algorithms: of the nine digits "123456789".
func TestTheChecksumsOfS3AreKnown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "digits")
	if err := os.WriteFile(path, []byte("123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(name, value string) {
		t.Helper()
		raw, err := hex.DecodeString(value)
		if err != nil {
			t.Fatal(err)
		}
		sums := published(http.Header{"X-Amz-Checksum-" + name: {base64.StdEncoding.EncodeToString(raw)}})
		if len(sums) != 1 {
			t.Fatalf("%s: %d checksums", name, len(sums))
		}
		if _, _, checked, err := hashFile(path, sums); err != nil || checked != "x-amz-checksum-"+strings.ToLower(name) {
			t.Errorf("%s: %q, %v", name, checked, err)
		}
	}
	f("Crc64nvme", "ae8b14860a799888")
	f("Crc32c", "e3069283")
	f("Crc32", "cbf43926")
	f("Sha256", "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225")
	if sums := published(http.Header{"X-Amz-Checksum-Crc32": {"y/Q5Jg==-3"}}); len(sums) != 0 {
		t.Error("a checksum of parts is taken for one of the file")
	}
}

func TestAListInTheCacheIsNotFetchedAgainUnlessItChanged(t *testing.T) {
	p := newPublisher(t)
	content := zipOf(t, "1,a1.com\n")
	p.files[umbrellaPath] = content
	f := newFetcher(t, p)
	first := one(t, f, content)
	second := one(t, f, content)
	if !first.New || second.New || len(p.asked) != 1 || first.SHA256 != second.SHA256 {
		t.Errorf("asked %q for %+v and %+v", p.asked, first, second)
	}
	if err := os.WriteFile(first.Path, []byte("PK damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if third := one(t, f, content); !third.New || len(f.notes) != 1 || !strings.Contains(f.notes[0], "SHA-256") {
		t.Errorf("a damaged file: %+v, said %q", third, f.notes)
	}
}

func TestTwoRunsDoNotWriteTheSameFile(t *testing.T) {
	p := newPublisher(t)
	p.files[umbrellaPath] = zipOf(t, "1,a1.com\n")
	f := newFetcher(t, p)
	var second error
	p.fault[umbrellaPath] = []fault{func(w http.ResponseWriter, _ *http.Request, content []byte) {
		_, second = f.Lists(context.Background(), "umbrella", Select{Lists: 1, Apart: 1})
		w.Write(content)
	}}
	one(t, f, p.files[umbrellaPath])
	if second == nil || !strings.Contains(second.Error(), "another run is fetching it") {
		t.Errorf("the second run: %v", second)
	}
}

func dates(lists []List) (out []string) {
	for _, l := range lists {
		out = append(out, l.Date.Format(day))
	}
	return out
}

func TestUmbrellasDaysAreTakenOneByOneAndADayWithoutAListIsPassedOver(t *testing.T) {
	p := newPublisher(t)
	for _, on := range []string{"2026-11-21", "2026-11-20", "2026-11-18", "2026-11-17"} { // today's comes tomorrow
		p.files["/umbrella-static/top-1m-"+on+".csv.zip"] = zipOf(t, "1,a1.com\n")
	}
	f := newFetcher(t, p)
	lists, err := f.fetch(t, "umbrella", 3)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"2026-11-21", "2026-11-20", "2026-11-18"}, dates(lists)); diff != "" {
		t.Error(diff)
	}
	if len(f.notes) != 1 || !strings.Contains(f.notes[0], "no list of 2026-11-19, taking that of 2026-11-18") {
		t.Errorf("said %q", f.notes)
	}
}

func (p *publisherOf) json(path string, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		p.t.Fatal(err)
	}
	p.files[path] = text
}

func TestTrancosListsAreFoundByTheirIDs(t *testing.T) {
	p := newPublisher(t)
	add := func(asked, id, created string) {
		p.json("/api/lists/date/"+asked, map[string]any{"list_id": id, "available": true, "created_on": created})
		p.files["/download/"+id+"/1000000"] = []byte("1,a1.com\r\n")
	}
	add("latest", "Q2K34", "2026-11-21T22:00:02.014599")
	add("2026-11-20", "K9QPW", "2026-11-20T22:00:01.1")
	p.json("/api/lists/date/2026-11-19", map[string]any{"available": false})
	p.json("/api/lists/date/2026-11-18", map[string]any{"list_id": "../../etc", "available": true, "created_on": "2026-11-18"})
	f := newFetcher(t, p)
	lists, err := f.fetch(t, "tranco", 2)
	if err != nil || !cmp.Equal([]string{"2026-11-21", "2026-11-20"}, dates(lists)) {
		t.Errorf("%v, %v", dates(lists), err)
	}
	if _, err := f.fetch(t, "tranco", 3); err == nil || !strings.Contains(err.Error(), `the list's ID is "../../etc"`) {
		t.Errorf("an ID that is none: %v", err)
	}
}

func TestMajesticsEarlierDaysAreThoseInTheCache(t *testing.T) {
	const path = "/majestic_million.csv"
	p := newPublisher(t)
	p.files[path] = []byte("GlobalRank,TldRank,Domain,TLD\n1,1,google.com,com\n")
	p.head[path] = http.Header{"Last-Modified": {"Sat, 21 Nov 2026 05:00:19 GMT"}}
	f := newFetcher(t, p)
	if lists, err := f.fetch(t, "majestic", 1); err != nil || !cmp.Equal([]string{"2026-11-21"}, dates(lists)) {
		t.Fatalf("%v, %v", dates(lists), err)
	}
	if _, err := f.fetch(t, "majestic", 2); err == nil || !strings.Contains(err.Error(), "fetch it each day") {
		t.Errorf("a day that is gone: %v", err)
	}
	p.head[path] = http.Header{"Last-Modified": {"Sun, 22 Nov 2026 05:00:19 GMT"}}
	if lists, err := f.fetch(t, "majestic", 2); err != nil || !cmp.Equal([]string{"2026-11-22", "2026-11-21"}, dates(lists)) {
		t.Errorf("%v, %v", dates(lists), err)
	}
}

func TestCrUXIsHeldAgainstTheHashesOfGit(t *testing.T) {
	p := newPublisher(t)
	content := gzipOf([]byte("origin,rank\nhttps://www.a1.com,1000\n"))
	h := gitBlob(int64(len(content)))()
	h.Write(content)
	file := func(name, sha string) map[string]any {
		return map[string]any{"name": name, "sha": sha, "size": len(content)}
	}
	right := hex.EncodeToString(h.Sum(nil))
	p.json("/repos/zakird/crux-top-lists/contents/data/global", []any{
		file("202606.csv.gz", right), file("202608.csv.gz", right), file("202607.csv.gz", strings.Repeat("0", 40)), file("current.csv.gz", right),
	})
	for _, month := range []string{"202606", "202607", "202608"} {
		p.files["/zakird/crux-top-lists/main/data/global/"+month+".csv.gz"] = content
	}
	f := newFetcher(t, p)
	lists, err := f.Lists(t.Context(), "crux", Select{Lists: 2, Apart: 2})
	if err != nil || !cmp.Equal([]string{"2026-08-01", "2026-06-01"}, dates(lists)) || lists[0].Checked != "Git's hash of it" {
		t.Errorf("%+v, %v", lists, err)
	}
	if _, err := f.fetch(t, "crux", 2); err == nil || !strings.Contains(err.Error(), "202607.csv.gz: Git's hash of it is 000") {
		t.Errorf("a wrong hash: %v", err)
	}
}

func TestARedirectionFromHTTPSToHTTPIsNotFollowed(t *testing.T) {
	p := newPublisher(t)
	secure := httptest.NewTLSServer(http.RedirectHandler(p.URL, http.StatusFound))
	t.Cleanup(secure.Close)
	client := secure.Client()
	client.CheckRedirect = NewClient().CheckRedirect
	if response, err := client.Get(secure.URL); err == nil || !strings.Contains(err.Error(), "from https to http:") {
		t.Errorf("%v, %v", response, err)
	}
}
