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

// The planted attack: bots of one family each, as infected machines are, and names of their own.
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
	attack := plantAttack(t)
	for _, confidence := range []string{"sensitive", "balanced"} {
		t.Run(confidence, func(t *testing.T) {
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

// plantAttack draws the bots' families, and their names, by a fixed seed. Families of dictionary words are left out: the
// model card says how little of those can be told by name.
func plantAttack(t *testing.T) map[string][]string {
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
		client := fmt.Sprintf("85.%d.4.9", 20+bot)
		for _, j := range r.Perm(len(all))[:namesPerBot] {
			attack[client] = append(attack[client], all[j])
		}
		t.Logf("bot %s: %s, %s …", client, names[i], attack[client][0])
	}
	return attack
}

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
