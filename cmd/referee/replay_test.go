package main

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// corpora are the development lists, where they lie beside the checkout.
const corpora = "../../../shared/corpora/dev"

// The planted attack: 200 generated names, each sent by one bot alone.
const (
	bots          = 20
	namesPerBot   = 10
	networks      = 5 // from which each real Referer is replayed
	realReferers  = "referer_real_raw.tsv.gz"
	generatedList = "dga_known_families_unseen.tsv.gz"
)

// TestRealReferersBesideAPlantedAttack replays the Referers of 22 public access logs, with the filter of popular names
// off, beside an attack with generated names that no model was trained on. It lists every name that becomes a hit;
// go test -v shows the list.
func TestRealReferersBesideAPlantedAttack(t *testing.T) {
	logs := readColumns(t, realReferers)
	for _, c := range []struct {
		confidence, attack string
		plant              func(*testing.T) map[string][]string
	}{
		{"sensitive", "names of all families", mixedAttack},
		{"balanced", "names of all families", mixedAttack},
		{"sensitive", "a family a bot", familyAttack},
		{"balanced", "a family a bot", familyAttack},
	} {
		t.Run(c.confidence+", "+c.attack, func(t *testing.T) {
			attack, confidence := c.plant(t), c.confidence
			p := serve(t, fmt.Sprintf(`
listen: 127.0.0.1:0
health: {listen: 127.0.0.1:0}
admin: {listen: 127.0.0.1:0}
data-dir: %s
shutdown: {delay: 0s}
confidence: %s
never-block: {popular: false}
`, t.TempDir(), confidence))
			sent := 0
			for network := range networks {
				for i, log := range slices.Sorted(maps.Keys(logs)) {
					for _, referer := range logs[log] {
						p.check(fmt.Sprintf("91.%d.%d.7", 10+network, i), referer)
						sent++
					}
				}
			}
			for _, client := range slices.Sorted(maps.Keys(attack)) {
				var flagged []string
				for _, name := range attack[client] {
					if p.check(client, "http://"+name+"/").Header.Get("X-Referee-Verdict") == "dga" {
						flagged = append(flagged, name)
					}
					sent++
				}
				t.Logf("%s: bot %s: %d of %d names flagged: %q", confidence, client, len(flagged), len(attack[client]), flagged)
			}
			eventually(t, "the ledger has every request", func() bool { return p.report().Totals.Requests == uint64(sent) })
			r := p.report()
			caught := 0
			for _, hit := range r.Clients.List {
				client := strings.TrimSuffix(hit.Client, "/32")
				if _, isBot := attack[client]; isBot {
					caught++
				} else {
					t.Errorf("a client of the real logs became a hit: %s", hit.Client)
				}
			}
			t.Logf("%s: %d requests, %d of %d bots caught", confidence, sent, caught, len(attack))
			for _, hit := range r.Names.List {
				t.Logf("%s: a name became a hit: %s", confidence, hit.Name)
			}
			t.Logf("%s: every flagged name of the real logs: %q", confidence, flaggedNames(t, p, logs))
		})
	}
}

// flaggedNames asks the running sidecar again for the verdict on every real Referer.
func flaggedNames(t *testing.T, p *process, logs map[string][]string) []string {
	t.Helper()
	flagged := map[string]bool{}
	for _, referers := range logs {
		for _, referer := range referers {
			response := p.check("10.0.0.1", referer)
			if response.Header.Get("X-Referee-Verdict") == "dga" {
				flagged[response.Header.Get("X-Referee-Name")] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(flagged))
}

// mixedAttack is a flood that borrows names wherever it finds them: each bot draws from all families alike, those of
// dictionary words included.
func mixedAttack(t *testing.T) map[string][]string {
	t.Helper()
	families := readColumns(t, generatedList)
	names := slices.Sorted(maps.Keys(families))
	r := rand.New(rand.NewPCG(2, 2016))
	attack := map[string][]string{}
	for bot := range bots {
		for range namesPerBot {
			all := families[names[r.IntN(len(names))]]
			attack[botAddress(bot)] = append(attack[botAddress(bot)], all[r.IntN(len(all))])
		}
	}
	return attack
}

// familyAttack is what infected machines do: each bot has the names of one family. Families of dictionary words are left
// out: half of such bots pass, as the model card has it, and the draw would say little about either.
func familyAttack(t *testing.T) map[string][]string {
	t.Helper()
	families := readColumns(t, generatedList)
	wordlist := map[string]bool{}
	for _, line := range readLines(t, filepath.Join("..", "families.tsv")) {
		if columns := strings.Split(line, "\t"); columns[1] == "wordlist" {
			wordlist[columns[0]] = true
		}
	}
	names := slices.Sorted(maps.Keys(families))
	names = slices.DeleteFunc(names, func(family string) bool { return wordlist[family] || len(families[family]) < namesPerBot })
	r := rand.New(rand.NewPCG(1, 2016))
	attack := map[string][]string{}
	for bot, i := range r.Perm(len(names))[:bots] {
		all := families[names[i]]
		for _, j := range r.Perm(len(all))[:namesPerBot] {
			attack[botAddress(bot)] = append(attack[botAddress(bot)], all[j])
		}
		t.Logf("bot %s: %s", botAddress(bot), names[i])
	}
	return attack
}

func botAddress(bot int) string { return fmt.Sprintf("85.%d.4.9", 20+bot) }

// readColumns reads a development list: its first column, grouped by its second.
func readColumns(t *testing.T, name string) map[string][]string {
	t.Helper()
	groups := map[string][]string{}
	for _, line := range readLines(t, name) {
		if columns := strings.Split(line, "\t"); len(columns) > 1 {
			groups[columns[1]] = append(groups[columns[1]], columns[0])
		}
	}
	return groups
}

// readLines reads a file beside the development lists, or skips the test where they are not there.
func readLines(t *testing.T, name string) []string {
	t.Helper()
	f, err := os.Open(filepath.Join(corpora, name))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("the development corpora are not there")
	} else if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	if strings.HasSuffix(name, ".gz") {
		unzipped, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		lines = bufio.NewScanner(unzipped)
	}
	lines.Buffer(nil, 1<<20)
	var all []string
	for lines.Scan() {
		all = append(all, lines.Text())
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}
