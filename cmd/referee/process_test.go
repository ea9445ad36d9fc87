package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// build makes the real binary once for all tests.
var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "referee-binary-")
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "referee")
	out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return binary, nil
})

// process is a running referee serve.
type process struct {
	t         *testing.T
	cmd       *exec.Cmd
	addresses map[string]string // of its listeners, by name
	log       *syncBuffer
	ended     chan error
}

// serve starts the real binary with a configuration file and waits until it serves.
func serve(t *testing.T, config string, env ...string) *process {
	t.Helper()
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "referee.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, log: &syncBuffer{}, ended: make(chan error, 1)}
	p.cmd = exec.Command(binary, "--config", file, "serve", "--log-format", "json")
	p.cmd.Env = append(os.Environ(), env...)
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended already
		if t.Failed() {
			t.Logf("its log:\n%s", p.log)
		}
	})
	serving := make(chan map[string]string, 1)
	go p.read(stderr, serving)
	select {
	case p.addresses = <-serving:
	case err := <-p.ended:
		t.Fatalf("referee serve ended: %v\n%s", err, p.log)
	case <-time.After(30 * time.Second):
		t.Fatalf("referee serve does not serve:\n%s", p.log)
	}
	return p
}

// read keeps the log, finds in it where the process listens, and sees its end.
func (p *process) read(stderr io.Reader, serving chan<- map[string]string) {
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		fmt.Fprintln(p.log, lines.Text())
		var line struct {
			Msg       string
			Addresses map[string]string
		}
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "serving" {
			serving <- line.Addresses
		}
	}
	p.ended <- p.cmd.Wait()
}

// url is an address on one of the process's listeners.
func (p *process) url(listener, path string) string {
	return "http://" + p.addresses[listener] + path
}

// get returns the status and body of a GET.
func (p *process) get(listener, path string) (int, string) {
	p.t.Helper()
	response, err := http.Get(p.url(listener, path))
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// check asks /v1/check about one request and returns the answer.
func (p *process) check(client, referer string) *http.Response {
	p.t.Helper()
	request, err := http.NewRequest(http.MethodGet, p.url("api", "/v1/check"), nil)
	if err != nil {
		p.t.Fatal(err)
	}
	request.Header.Set("Referer", referer)
	request.Header.Set("X-Forwarded-For", client)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	response.Body.Close()
	return response
}

// reportJSON is what the tests read of /report.json.
type reportJSON struct {
	Totals  struct{ Requests uint64 }
	Names   hitsJSON
	Clients hitsJSON
}

type hitsJSON struct {
	Active int
	List   []hitJSON
}

type hitJSON struct {
	Name    string
	Client  string
	Expires time.Time
}

func (p *process) report() reportJSON {
	p.t.Helper()
	status, body := p.get("admin", "/report.json")
	if status != http.StatusOK {
		p.t.Fatalf("/report.json: %d %s", status, body)
	}
	var r reportJSON
	if err := json.Unmarshal([]byte(body), &r); err != nil {
		p.t.Fatalf("/report.json: %v in %s", err, body)
	}
	return r
}

// stop ends the process as an orchestrator does, and returns how it ended.
func (p *process) stop(signal os.Signal) error {
	p.t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		p.t.Fatal(err)
	}
	select {
	case err := <-p.ended:
		return err
	case <-time.After(30 * time.Second):
		p.t.Fatal("the process does not end")
		return nil
	}
}

// eventually asks until it is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !so() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s", what)
		}
		<-time.After(100 * time.Millisecond)
	}
}

// syncBuffer is a buffer for a writer and a reader.
type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *syncBuffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// freeAddress is a loopback address that nobody listens on right now, by TCP or UDP, and with a port that the kernel gives to no
// connection of its own choice: those begin at 32768.
func freeAddress(t *testing.T) string {
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

func netipPrefix(cidr string) string { return netip.MustParsePrefix(cidr).String() }
