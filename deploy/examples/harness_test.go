// Package examples holds configurations that the tests here run with the real programs, beside the real sidecar.
package examples

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// What the example files call the three of them.
const (
	exampleSite        = ":8080"
	exampleApplication = "127.0.0.1:3000"
	exampleReferee     = "127.0.0.1:8610"
	exampleSyslog      = "127.0.0.1:5514"

	exampleDirectory = "" // stands for the directory that configure makes
)

// binary is the real sidecar, built once for all tests of this package.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "referee-examples-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "referee")
	if out, err := exec.Command("go", "build", "-o", binary, "referee/cmd/referee").CombinedOutput(); err != nil {
		panic(fmt.Sprintf("go build: %v\n%s", err, out))
	}
	m.Run()
}

// program finds a real program, or skips the test by its name. Where CI is set it has to be there.
func program(t *testing.T, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is not installed, and CI is set: .ci/run installs it", names[0])
	}
	t.Skipf("%s is not installed", names[0])
	return ""
}

// freeAddress is a loopback address that nobody listens on right now, by TCP or UDP, and with a port that the kernel gives to no
// connection of its own choice: those begin at 32768.
func freeAddress(t testing.TB) string {
	t.Helper()
	for range 100 {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(20_000+rand.IntN(12_000)))
		tcp, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		udp, err := net.ListenPacket("udp", address)
		tcp.Close()
		if err == nil {
			udp.Close()
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}

// start runs a program until the test ends, and waits until it accepts connections on every address.
func start(t *testing.T, cmd *exec.Cmd, addresses ...string) *exec.Cmd {
	t.Helper()
	var said bytes.Buffer // read only when the process has ended
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		if t.Failed() {
			last := said.String()
			t.Logf("%s said last:\n%s", filepath.Base(cmd.Path), last[max(0, len(last)-4000):])
		}
	})
	for _, address := range addresses {
		eventually(t, filepath.Base(cmd.Path)+" listens on "+address, func() bool {
			select {
			case <-ended:
				t.Fatalf("%s has ended:\n%s", cmd, said.String())
			default:
			}
			return accepts(address)
		})
	}
	return cmd
}

func accepts(address string) bool {
	c, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// eventually asks until it is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !so(); <-time.After(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

// application is what stands behind everything; it counts what reaches it.
type application struct {
	address string
	served  atomic.Int64
}

func newApplication(t *testing.T) *application {
	t.Helper()
	a := &application{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a.address = l.Addr().String()
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		a.served.Add(1)
		fmt.Fprintf(w, "%s %s", r.Method, r.URL.RequestURI())
	})}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return a
}

// referee is the real sidecar at a fixed address, so that it can go and come back.
type referee struct {
	t              *testing.T
	listen, health string
	directory      string
	cmd            *exec.Cmd
	more           []string // flags
}

func newReferee(t *testing.T, more ...string) *referee {
	t.Helper()
	r := &referee{t: t, listen: freeAddress(t), health: freeAddress(t), directory: t.TempDir(), more: more}
	r.start()
	return r
}

// start runs it in enforce mode with inline: block, on the evidence that it had before.
func (r *referee) start() {
	r.t.Helper()
	r.cmd = start(r.t, exec.Command(binary, append([]string{
		"serve", "--listen", r.listen, "--health-listen", r.health, "--admin-listen", "127.0.0.1:0",
		"--mode", "enforce", "--inline", "block", "--data-dir", r.directory, "--shutdown-delay", "0s",
	}, r.more...)...), r.listen, r.health)
}

func (r *referee) kill() {
	r.t.Helper()
	if err := r.cmd.Process.Kill(); err != nil {
		r.t.Fatal(err)
	}
	eventually(r.t, "the sidecar is gone", func() bool { return !accepts(r.listen) })
}

// accuse has several clients send a generated name among others, as a bot does, until it is a current hit.
func (r *referee) accuse(referer string) {
	r.t.Helper()
	ask := func(client, referer string) int {
		request, err := http.NewRequest(http.MethodGet, "http://"+r.listen+"/v1/check", nil)
		if err != nil {
			r.t.Fatal(err)
		}
		request.Header.Set("Referer", referer)
		request.Header.Set("X-Forwarded-For", client)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			r.t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode
	}
	eventually(r.t, referer+" is a current hit", func() bool {
		for _, client := range []string{"81.2.69.142", "89.160.20.112", "175.16.199.1"} {
			for _, other := range otherGenerated {
				ask(client, "http://"+other+"/")
			}
			ask(client, referer)
		}
		return ask("81.187.0.1", referer) == http.StatusForbidden // whom nothing else is known of
	})
}

var otherGenerated = []string{
	"kpqejvnusacc.com", "ykdfjtmathdqxz.org", "ihsnwksqedhbvrt.com", "wbocvdsgcyoqsqaocb.eu", "2q635z19iaygjohfyd31931w61.net",
	"lbvkjijhuwwkdulfcuxsutvwuoob.org", "hnztkrkmarqrshihixsctonvo.ru", "ddmbplvukxfwcfvpjyje.info",
}

// requests is how many requests it has judged that came in by this way.
func (r *referee) requests(way string) (n int) {
	r.t.Helper()
	for line := range strings.SplitSeq(r.metrics(), "\n") {
		if m := requestsLine.FindStringSubmatch(line); m != nil && m[1] == way {
			count, err := strconv.ParseFloat(m[2], 64)
			if err != nil {
				r.t.Fatal(err)
			}
			n += int(count)
		}
	}
	return n
}

var requestsLine = regexp.MustCompile(`^referee_requests_total\{intake="(\w+)",.*\} (\S+)$`)

func (r *referee) metrics() string {
	r.t.Helper()
	response, err := http.Get("http://" + r.health + "/metrics")
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(body)
}

// configure copies an example's files into a directory of its own, with real addresses in the place of the example's. It
// fails where an address is missing: then the test would run something else than the example says.
func configure(t *testing.T, example string, addresses map[string]string, change ...string) string {
	t.Helper()
	directory := t.TempDir()
	files, err := os.ReadDir(example)
	if err != nil {
		t.Fatal(err)
	}
	left := map[string]bool{}
	for from := range addresses {
		left[from] = true
	}
	for _, file := range files {
		data, err := os.ReadFile(filepath.Join(example, file.Name()))
		if err != nil {
			t.Fatal(err)
		}
		text := string(data)
		for from, to := range addresses {
			if to == exampleDirectory {
				to = directory
			}
			// Lua has the port apart from the host.
			lua := strings.Replace(from, "127.0.0.1:", `"127.0.0.1", `, 1)
			if strings.Contains(text, from) || strings.Contains(text, lua) {
				delete(left, from)
			}
			text = strings.ReplaceAll(text, from, to)
			text = strings.ReplaceAll(text, lua, strings.Replace(to, "127.0.0.1:", `"127.0.0.1", `, 1))
		}
		text = strings.NewReplacer(change...).Replace(text)
		if err := os.WriteFile(filepath.Join(directory, file.Name()), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for from := range left {
		t.Fatalf("%s nowhere says %s", example, from)
	}
	if err := os.Chmod(directory, 0o755); err != nil { // workers that dropped root read there
		t.Fatal(err)
	}
	return directory
}

// site is the way in that an example configures, as an end client sees it.
type site struct {
	t       *testing.T
	address string
	client  *http.Client
}

func newSite(t *testing.T, address string) *site {
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(transport.CloseIdleConnections)
	return &site{t: t, address: address, client: &http.Client{Transport: transport, Timeout: 10 * time.Second}}
}

// get returns what an end client sees, and how long it waited.
func (s *site) get(path, referer string) (int, string, time.Duration, error) {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+s.address+path, nil)
	if err != nil {
		return 0, "", 0, err
	}
	if referer != "" {
		request.Header.Set("Referer", referer)
	}
	began := time.Now()
	response, err := s.client.Do(request)
	if err != nil {
		return 0, "", time.Since(began), err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), time.Since(began), err
}

// many sends n requests, eight at a time, and calls during with each one's number before it is sent. It returns those that
// the end client could complain about.
func (s *site) many(n int, referer string, during func(i int)) error {
	var errs []error
	var mu sync.Mutex
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				during(int(i))
				path := fmt.Sprintf("/shop/%%7Ex?q=%d", i)
				status, body, _, err := s.get(path, referer)
				if err == nil && (status != http.StatusOK || body != "GET "+path) {
					err = fmt.Errorf("request %d: %d %q", i, status, body)
				}
				if err != nil {
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// silent accepts connections and never says a word, until the returned function is called.
func silent(t *testing.T, address string) (stop func()) {
	t.Helper()
	var l net.Listener
	eventually(t, address+" is free", func() (free bool) {
		var err error
		l, err = net.Listen("tcp", address)
		return err == nil
	})
	var mu sync.Mutex
	var held []net.Conn
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			held = append(held, c)
			mu.Unlock()
		}
	}()
	return func() {
		l.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, c := range held {
			c.Close()
		}
	}
}
