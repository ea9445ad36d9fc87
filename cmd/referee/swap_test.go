package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"referee/classifier"
	"referee/features"
)

// smallModel is a model of random weights: what it says is of no use, and is another thing for each seed. It flags about
// one in fourteen random names at the default confidence.
func smallModel(t *testing.T, seed uint64) []byte {
	t.Helper()
	const bits, clean = 12, 20_000
	r := rand.New(rand.NewPCG(seed, 0))
	p := classifier.Parts{
		Info:   classifier.Info{Scorer: "random weights", Seed: seed, MinLength: 5},
		Linear: classifier.Linear{Bits: bits, Scale: 0.005, Weights: make([]int8, features.NumBins+1<<bits)},
		Clean:  make([]float32, clean),
		Golden: []string{"google", "kq3v9z"},
	}
	for i := range p.Linear.Weights {
		p.Linear.Weights[i] = int8(r.IntN(255) - 127)
	}
	for i := range p.Clean {
		p.Clean[i] = 6*float32(i)/clean - 3
	}
	data, err := classifier.Encode(p)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// volume is a directory as Kubernetes makes one of a ConfigMap: the file is a link into ..data, itself a link, which is
// renamed over the one before.
type volume struct {
	*testing.T
	dir string
	n   int
}

func newVolume(t *testing.T, data []byte) *volume {
	t.Helper()
	v := &volume{T: t, dir: t.TempDir()}
	v.put(data)
	if err := os.Symlink(filepath.Join("..data", "model"), v.file()); err != nil {
		t.Fatal(err)
	}
	return v
}

func (v *volume) file() string { return filepath.Join(v.dir, "model") }

func (v *volume) put(data []byte) {
	v.Helper()
	v.n++
	version := fmt.Sprintf("..version-%d", v.n)
	for _, err := range []error{
		os.Mkdir(filepath.Join(v.dir, version), 0o700),
		os.WriteFile(filepath.Join(v.dir, version, "model"), data, 0o600),
		os.Symlink(version, filepath.Join(v.dir, "..next")),
		os.Rename(filepath.Join(v.dir, "..next"), filepath.Join(v.dir, "..data")),
	} {
		if err != nil {
			v.Fatal(err)
		}
	}
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// modelJSON is what the tests read of /model.
type modelJSON struct {
	ID        string
	File      string
	Refused   *struct{ Error string } `json:"last_error"`
	Candidate *modelJSON
}

func (p *process) model() modelJSON {
	p.t.Helper()
	_, body := p.get("admin", "/model")
	var m modelJSON
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		p.t.Fatalf("/model: %v in %s", err, body)
	}
	return m
}

// metric is the sum of a metric's values over all of its labels.
func (p *process) metric(name string) (sum float64) {
	p.t.Helper()
	_, body := p.get("health", "/metrics")
	for line := range strings.Lines(body) {
		if rest, ok := strings.CutPrefix(line, name); ok && (rest[0] == '{' || rest[0] == ' ') {
			v, err := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndexByte(rest, ' '):]), 64)
			if err != nil {
				p.t.Fatal(err)
			}
			sum += v
		}
	}
	return sum
}

func swapConfig(file, more string) string {
	return fmt.Sprintf(`
listen: 127.0.0.1:0
health: {listen: 127.0.0.1:0}
admin: {listen: 127.0.0.1:0}
data-dir: ""
shutdown: {delay: 0s}
never-block: {popular: false}
classifier:
  model: %s
  %s
`, file, more)
}

// randomNames are names that no list exempts.
func randomNames(n int) (names []string) {
	r := rand.New(rand.NewPCG(9, 9))
	for range n {
		label := make([]byte, 6+r.IntN(20))
		for i := range label {
			label[i] = "abcdefghijklmnopqrstuvwxyz0123456789"[r.IntN(36)]
		}
		names = append(names, string(label)+".com")
	}
	return names
}

func judged(m *classifier.Model, name string) classifier.Result {
	label, _, _ := strings.Cut(name, ".")
	return m.Judge(features.Name{Host: name, Domain: name, Label: label})
}

// said is an answer's headers.
type said struct{ score, tail, verdict string }

func TestTwentySwapsAtFullRateLoseNoRequestAndMixNoModels(t *testing.T) {
	t.Parallel()
	names := randomNames(300)
	files := [2][]byte{smallModel(t, 1), smallModel(t, 2)}
	var ids [2]string
	var want [2]map[string]said // what each model says of each name
	for i, data := range files {
		m, err := classifier.Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		ids[i], want[i] = m.ID(), map[string]said{}
		flagged := 0
		for _, name := range names {
			r := judged(m, name)
			verdict := "benign"
			if r.Tail <= float32(classifier.Balanced) {
				verdict = "dga"
				flagged++
			}
			want[i][name] = said{digits(&r.Score), digits(&r.Tail), verdict}
		}
		if flagged == 0 || flagged == len(names) {
			t.Fatalf("model %d flags %d of %d names: nothing to tell it by", i, flagged, len(names))
		}
	}
	mount := newVolume(t, files[0])
	p := serve(t, swapConfig(mount.file(), "watch: 20ms"))

	// epoch is even while one model is known to be in use, and odd while a swap is under way.
	var epoch, sent atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var senders sync.WaitGroup
	for worker := range 4 {
		senders.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for i := worker; ctx.Err() == nil; i++ {
				name := names[i%len(names)]
				request, err := http.NewRequest(http.MethodGet, p.url("api", "/v1/check"), nil)
				if err != nil {
					t.Error(err)
					return
				}
				request.Header.Set("Referer", "https://"+name+"/")
				before := epoch.Load()
				response, err := client.Do(request)
				if err != nil {
					t.Errorf("a request was lost: %v", err)
					return
				}
				_, _ = io.Copy(io.Discard, response.Body)
				response.Body.Close()
				after := epoch.Load()
				sent.Add(1)
				got := said{response.Header.Get("X-Referee-Score"), response.Header.Get("X-Referee-Tail"), response.Header.Get("X-Referee-Verdict")}
				now := before / 2 % 2
				switch {
				case response.StatusCode != http.StatusOK:
					t.Errorf("status %d", response.StatusCode)
				case before == after && before%2 == 0 && got != want[now][name]:
					t.Errorf("%s under model %d: %v, want %v (the other says %v)", name, now, got, want[now][name], want[1-now][name])
				case got != want[0][name] && got != want[1][name]:
					t.Errorf("%s: %v is of neither model: %v, %v", name, got, want[0][name], want[1][name])
				}
			}
		})
	}
	const swaps = 20
	for swap := 1; swap <= swaps; swap++ {
		began := sent.Load()
		eventually(t, "all names are in the cache", func() bool { return sent.Load()-began > int64(2*len(names)) || t.Failed() })
		epoch.Add(1)
		mount.put(files[swap%2])
		if swap%2 == 0 {
			p.signal(syscall.SIGHUP)
		}
		eventually(t, "the other model is in use", func() bool { return p.model().ID == ids[swap%2] })
		epoch.Add(1)
	}
	stop()
	senders.Wait()
	if got := p.metric("referee_requests_total"); got != float64(sent.Load()) {
		t.Errorf("%v requests were judged, %d were sent", got, sent.Load())
	}
	if got := p.metric("referee_model_swaps_total"); got != swaps {
		t.Errorf("%v swaps were counted, want %d", got, swaps)
	}
	t.Logf("%d requests over %d swaps", sent.Load(), swaps)
}

func TestABadModelFileLeavesTheOldModelAndSaysWhy(t *testing.T) {
	t.Parallel()
	first, second := smallModel(t, 1), smallModel(t, 2)
	file := filepath.Join(t.TempDir(), "model")
	write := func(data []byte) {
		t.Helper()
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(first)
	p := serve(t, swapConfig(file, "watch: 20ms"))
	const name = "https://kq3v9zx7wq.com/"
	id, score := p.model().ID, p.check("8.8.8.8", name).Header.Get("X-Referee-Score")

	refused := 0.0
	f := func(what string, change func(), why string) {
		t.Helper()
		change()
		eventually(t, what+" is refused", func() bool {
			r := p.model().Refused
			return r != nil && strings.Contains(r.Error, why) && p.metric("referee_model_refused_total") > refused
		})
		if got := p.model().ID; got != id {
			t.Errorf("%s: model %s is in use, want %s as before", what, got, id)
		}
		if got := p.check("8.8.8.8", name).Header.Get("X-Referee-Score"); got != score {
			t.Errorf("%s: a name scores %s, before %s", what, got, score)
		}
		if status, body := p.get("health", "/readyz"); status != http.StatusOK || !strings.Contains(body, `"model"`) {
			t.Errorf("%s: /readyz: %d %s; want 200, and the model degraded", what, status, body)
		}
		refused = p.metric("referee_model_refused_total")
		if !strings.Contains(p.log.String(), why) || !strings.Contains(p.log.String(), "model "+id+" stays") {
			t.Errorf("%s: the log does not say why and what stays", what)
		}
	}
	f("half a file", func() { write(second[:len(second)/2]) }, "checksum does not match")
	damaged := bytes.Clone(second)
	damaged[len(damaged)/2] ^= 1
	f("a flipped bit", func() { write(damaged) }, "damaged")
	f("another file", func() { write([]byte("not a model")) }, "not a Referee model")
	f("a file that is gone", func() {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}, "no such file")

	// The one that was there before comes back: nothing is swapped, and all is well.
	write(first)
	eventually(t, "the file is well again", func() bool { return p.model().Refused == nil })
	if _, body := p.get("health", "/readyz"); strings.Contains(body, `"model"`) {
		t.Errorf("/readyz: %s after the file came back", body)
	}
	if got := p.metric("referee_model_swaps_total"); got != 0 {
		t.Errorf("%v swaps, none was good", got)
	}

	// Written bit by bit, it is taken up when it is whole.
	for n := range 5 {
		write(second[:len(second)*(n+1)/5])
		<-time.After(50 * time.Millisecond)
	}
	eventually(t, "the second model is in use", func() bool { return p.model().ID != id && p.model().Refused == nil })
	if got := p.check("8.8.8.8", name).Header.Get("X-Referee-Score"); got == score {
		t.Error("a name scores as under the first model")
	}
}

func TestAHangupWithABadConfigurationChangesNothing(t *testing.T) {
	t.Parallel()
	first, second := smallModel(t, 1), smallModel(t, 2)
	mount := newVolume(t, first)
	p := serve(t, swapConfig(mount.file(), "watch: 0s"))
	id, config := p.model().ID, p.cmd.Args[2]
	f := func(text, why string) {
		t.Helper()
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		p.signal(syscall.SIGHUP)
		eventually(t, "the log says why: "+why, func() bool {
			_, after, found := strings.Cut(p.log.String(), "reload refused")
			return found && strings.Contains(after, why)
		})
		if got := p.model().ID; got != id {
			t.Errorf("%s: model %s is in use, want %s as before", why, got, id)
		}
	}
	mount.put(second) // a good model beside a bad configuration: not taken up by halves
	f("lisen: here", "unknown field")
	f(swapConfig(mount.file(), "cache: 0"), "classifier.cache")
	f(swapConfig(mount.file()+".gone", ""), "no such file")
	f(swapConfig(mount.file(), "candidate: "+mount.file()+".other"), "classifier.candidate")
	f(swapConfig(mount.file(), "")+"confidence: 1e-6\n", "supports tails from")

	if err := os.WriteFile(config, []byte(swapConfig(mount.file(), "watch: 0s")), 0o600); err != nil {
		t.Fatal(err)
	}
	p.signal(syscall.SIGHUP)
	eventually(t, "a good configuration takes the model up", func() bool { return p.model().ID != id })
}
