package ledger

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"referee/evidence"
	"referee/policy"
	"referee/waf"
)

// childVariable makes the test binary play the process that is killed: it holds the data directory.
const childVariable = "REFEREE_TEST_LEDGER_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childVariable); dir != "" {
		fmt.Fprintln(os.Stderr, writeUntilKilled(os.Stdout, dir))
		return
	}
	m.Run()
}

// lastName is a name seen each second: its row says what the last commit was.
const lastName = "last.com"

// writeUntilKilled commits one batch and one generation after another, and says each one's name once it is promised.
func writeUntilKilled(out io.Writer, dir string) error {
	ctx := context.Background()
	l, err := Open(ctx, dir)
	if err != nil {
		return err
	}
	l.recent.chunks = 5 // so that chunks move all the time
	old, err := l.Decisions(ctx, time.Time{}, 0)
	if err != nil {
		return err
	}
	for i := len(old); ; i++ {
		domain := fmt.Sprintf("k%d.com", i)
		err := l.Commit(ctx, Batch{
			Hour: noon, Counts: map[string]uint64{"decisions": 1},
			Rows: []evidence.Row{
				{Kind: evidence.KindName, Key: domain, Seen: noon, Data: make([]byte, 300)},
				{Kind: evidence.KindName, Key: lastName, Seen: noon, Data: []byte(domain)},
			},
			Flagged:   []evidence.Sighting{sighting(domain, "198.51.100.7", noon)},
			Decisions: []policy.Decision{decide(policy.Block, noon, nameHit(domain, 1, noon.Add(time.Hour)))},
		})
		if err != nil {
			return err
		}
		fmt.Fprintln(out, domain)
		id, err := l.Propose(ctx, generation(waf.SetNames, nil, []string{domain}))
		if err != nil {
			return err
		}
		fmt.Fprintln(out, "generation", id)
	}
}

var kills = flag.Int("ledger.kills", 5, "how often the process is killed; make soak-ledger does it 100 times")

func TestAKilledProcessLosesNoDecisionThatItReported(t *testing.T) {
	dir := t.TempDir()
	promised := map[string]bool{}
	var head Head
	for round := range *kills {
		child := exec.CommandContext(t.Context(), os.Args[0])
		child.Env = append(os.Environ(), childVariable+"="+dir)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			promised[lines.Text()] = true
			if n == 20+37*(round%5) { // somewhere in the next write
				child.Process.Kill()
			}
		}
		child.Wait()
		if len(promised) < 20*(round+1) {
			t.Fatalf("round %d: the child ended early", round)
		}
		head = afterTheKill(t, dir, promised, head)
		if t.Failed() {
			return
		}
	}
	t.Logf("%d kills, %d decisions and generations promised and kept, the chain whole up to link %d", *kills, len(promised), head.Seq)
}

// afterTheKill returns the head of the chain, which must go on from the one that the kill before left.
func afterTheKill(t *testing.T, dir string, promised map[string]bool, before Head) Head {
	t.Helper()
	ctx := t.Context()
	l, err := Open(ctx, dir) // the lock went with the process
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	kept := map[string]bool{}
	decisions, err := l.Decisions(ctx, time.Time{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range decisions {
		kept[d.Hit.Domain] = true
	}
	generations, err := l.Generations(ctx, time.Time{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range generations {
		kept[fmt.Sprint("generation ", g.ID)] = true
	}
	for p := range promised {
		if !kept[p] {
			t.Errorf("%s was reported and is lost", p)
		}
	}
	active, err := l.ActiveHits(ctx, noon)
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	n := len(decisions)
	for r, err := range l.Evidence(ctx) {
		switch {
		case err != nil:
			t.Fatal(err)
		case r.Key != lastName:
			rows++
		case string(r.Data) != fmt.Sprintf("k%d.com", n-1):
			t.Errorf("the evidence is that of %s, and there are %d decisions", r.Data, n)
		}
	}
	if counted := counts(t, l, noon); len(active) != n || rows != n || counted["decisions"] != uint64(n) || counted[CountFlaggedKept] != uint64(n) {
		t.Errorf("half a batch is there: %d decisions, %d active hits, %d evidence rows, counted %v", n, len(active), rows, counted)
	}
	return whole(t, l, before).Head
}
