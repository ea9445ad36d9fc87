package main

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"

	"referee/ledger"
)

var kills = flag.Int("kills", 2, "how often the sidecar is killed; make soak-ledger does it 100 times")

// TestAKilledSidecarLosesNoDecisionThatItReported kills the real binary under load, at a moment of chance after it has
// reported new hits, again and again on one data directory.
func TestAKilledSidecarLosesNoDecisionThatItReported(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	config := fmt.Sprintf(`
listen: 127.0.0.1:0
health: {listen: 127.0.0.1:0}
admin: {listen: 127.0.0.1:0}
data-dir: %s
shutdown: {delay: 0s}
`, data)
	var head ledger.Head
	var reported []string
	for round := range *kills {
		p := serve(t, config)
		if round > 0 {
			missing(t, round, reported, active(p.report()))
		}
		load := newLoad(p, round)
		eventually(t, "it reports a new hit", func() bool {
			return slices.ContainsFunc(active(p.report()), func(key string) bool { return !slices.Contains(reported, key) })
		})
		reported = active(p.report())
		if err := p.stop(syscall.SIGKILL); err == nil {
			t.Fatal("a killed process ended well")
		}
		load.end()
		head = wholeChain(t, round, data, head)
		if t.Failed() {
			return
		}
	}
	t.Logf("%d kills under load, %d hits reported and kept, the chain whole up to link %d", *kills, len(reported), head.Seq)
}

// active is what a report says is blocked, or would be.
func active(r reportJSON) (keys []string) {
	for _, h := range slices.Concat(r.Names.List, r.Clients.List) {
		keys = append(keys, h.Name+h.Client)
	}
	return keys
}

func missing(t *testing.T, round int, reported, now []string) {
	t.Helper()
	for _, key := range reported {
		if !slices.Contains(now, key) {
			t.Errorf("after kill %d, %s was reported and is lost", round, key)
		}
	}
}

func wholeChain(t *testing.T, round int, data string, before ledger.Head) ledger.Head {
	t.Helper()
	l, err := ledger.OpenReadOnly(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	v, err := l.Verify(t.Context(), []ledger.Head{before}, nil)
	if err != nil || v.Wrong > 0 || v.Head.Seq <= before.Seq {
		t.Errorf("after kill %d: %+v, %v; the head was %s", round+1, v, err, before)
	}
	return v.Head
}

// load sends generated names from a few clients, each round others, and ordinary ones, until it ends.
type load struct {
	stop    chan struct{}
	senders sync.WaitGroup
}

func newLoad(p *process, round int) *load {
	l := &load{stop: make(chan struct{})}
	for sender := range 4 {
		l.senders.Go(func() {
			client := &http.Client{}
			rng := rand.New(rand.NewPCG(uint64(round), uint64(sender)))
			for i := 0; ; i++ {
				select {
				case <-l.stop:
					return
				default:
				}
				referer := ordinaryReferers[i%len(ordinaryReferers)]
				if i%2 == 0 {
					referer = "https://" + attackNames[i/2%len(attackNames)] + "/"
				}
				request, err := http.NewRequest(http.MethodGet, p.url("api", "/v1/check"), nil)
				if err != nil {
					panic(err) // the address came from the process itself
				}
				request.Header.Set("Referer", referer)
				request.Header.Set("X-Forwarded-For", fmt.Sprintf("81.%d.%d.%d", 2+round%200, rng.IntN(3), rng.IntN(3)))
				response, err := client.Do(request)
				if err != nil {
					continue // it was killed
				}
				response.Body.Close()
			}
		})
	}
	return l
}

func (l *load) end() {
	close(l.stop)
	l.senders.Wait()
}

func TestARunningSidecarForgetsAClient(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	p := serve(t, fmt.Sprintf(`
listen: 127.0.0.1:0
health: {listen: 127.0.0.1:0}
admin: {listen: 127.0.0.1:0}
data-dir: %s
shutdown: {delay: 0s}
`, data))
	sendTraffic(t, p)
	hits := func() int { return p.report().Clients.Active }
	eventually(t, "the attack's clients are hits", func() bool { return hits() == len(attackClients) })
	out, err := referee(t, "ledger", "forget", attackClients[0], "--data-dir", data)
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if n := hits(); n != len(attackClients)-1 {
		t.Errorf("%d clients are hits, want %d", n, len(attackClients)-1)
	}
	if err := p.stop(syscall.SIGTERM); err != nil { // which writes down what is in memory
		t.Error(err)
	}
	holdsNot(t, data, attackClients[0])
	if out, err := referee(t, "ledger", "verify", "--data-dir", data); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// referee runs the real binary to its end.
func referee(t *testing.T, args ...string) (string, error) {
	t.Helper()
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(binary, args...).CombinedOutput()
	return string(out), err
}

// holdsNot looks for an address in every file of a directory, as text and as bytes.
func holdsNot(t *testing.T, dir, address string) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(data, []byte(address)) || bytes.Contains(data, netip.MustParseAddr(address).AsSlice()) {
			t.Errorf("%s still holds %s", f.Name(), address)
		}
	}
}
