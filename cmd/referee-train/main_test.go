package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"referee/training/shapes"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"referee-train": main})
}

func TestCommandLine(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:  "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"lists": lists, "publish": publish},
	})
}

// lists writes small lists in the form of the corpora: benign.tsv of joined words, dga.tsv of four families.
func lists(ts *testscript.TestScript, _ bool, _ []string) {
	benign, generated := smallLists()
	ts.Check(os.WriteFile(ts.MkAbs("benign.tsv"), []byte(benign), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("dga.tsv"), []byte(generated), 0o600))
}

// publish serves the files under publish/ as their publishers would, cutting each first answer off after 20 bytes, and puts the
// server's address into $MIRROR.
func publish(ts *testscript.TestScript, _ bool, _ []string) {
	files := http.FileServer(http.Dir(ts.MkAbs("publish")))
	var asked sync.Map
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if path := r.URL.Path; path == "/api/lists/date/latest" || r.Header.Get("Range") != "" || r.Method == http.MethodHead {
			files.ServeHTTP(w, r)
		} else if _, again := asked.LoadOrStore(path, true); again {
			files.ServeHTTP(w, r)
		} else {
			files.ServeHTTP(&cutter{w}, r)
		}
	}))
	ts.Defer(server.Close)
	ts.Setenv("MIRROR", server.URL)
}

// cutter is a connection that breaks after 20 bytes of content.
type cutter struct{ http.ResponseWriter }

func (c *cutter) Write(p []byte) (int, error) {
	if len(p) <= 20 {
		return c.ResponseWriter.Write(p)
	}
	c.ResponseWriter.Write(p[:20])
	c.ResponseWriter.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

func smallLists() (benign, generated string) {
	words := strings.Fields(`time year people way day man thing woman life child world school state family student group
		country problem hand part place case week company system program question work night point home water room
		mother area money story fact month lot right study book eye job word business issue side kind head house`)
	random := rand.New(rand.NewPCG(3, 3))
	seen := map[string]bool{}
	var b, g strings.Builder
	for len(seen) < 8000 {
		label := words[random.IntN(len(words))] + words[random.IntN(len(words))] + words[random.IntN(len(words))]
		if !seen[label] {
			seen[label] = true
			fmt.Fprintf(&b, "%s.com\t%s\n", label, []string{"walk", "toplist"}[len(seen)%2])
		}
	}
	for i, kind := range []shapes.Kind{shapes.Random, shapes.Hex, shapes.Random, shapes.Words} {
		family := shapes.NewFamily(kind, random, words)
		for range 500 {
			fmt.Fprintf(&g, "%s\tfamily%d\n", family.Domain(), i)
		}
	}
	return b.String(), g.String()
}

// interrupter is a standard error on which the work is interrupted as soon as training is told.
type interrupter struct {
	bytes.Buffer
	interrupt context.CancelFunc
}

func (i *interrupter) Write(p []byte) (int, error) {
	if strings.HasPrefix(string(p), "training") {
		i.interrupt()
	}
	return i.Buffer.Write(p)
}

func TestAnInterruptedTrainingLeavesWhatWasThere(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	b, g := smallLists()
	benign, generated, out, card := write("benign.tsv", b), write("dga.tsv", g), write("old.model", "old"), filepath.Join(dir, "card.md")
	ctx, interrupt := context.WithCancel(context.Background())
	errs := &interrupter{interrupt: interrupt}
	status := run(ctx, []string{"train", "--benign", benign, "--dga", generated, "--out", out, "--card", card, "--keep-all", "--epochs", "1000000"}, &bytes.Buffer{}, errs)
	if status != failed || !strings.Contains(errs.String(), "interrupted; nothing was written") {
		t.Errorf("status %d\n%s", status, errs)
	}
	if got, err := os.ReadFile(out); err != nil || string(got) != "old" {
		t.Errorf("the model that was there is %q, %v", got, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 3 {
		t.Errorf("%v are left, %v", left, err)
	}
}
