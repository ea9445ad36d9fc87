package waf

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"regexp"
	"strings"
	"testing"
)

// column reads the first column of a gzipped list of the corpora, or skips the test where they are absent.
func column(t testing.TB, path string) []string {
	f, err := os.Open("../../shared/corpora/" + path)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("the corpora are not here: " + path)
	}
	must(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	must(t, err)
	var out []string
	for s := bufio.NewScanner(z); s.Scan(); {
		name, _, _ := strings.Cut(s.Text(), "\t")
		if validHost(name) && strings.Count(name, ".") >= 1 {
			out = append(out, name)
		}
	}
	return out
}

// TestAttackNamesArePackedDenselyAndFindNoBenignName packs the names of attacks as they come and puts the patterns to
// the popular names of the web, as hosts and as queries of each other.
func TestAttackNamesArePackedDenselyAndFindNoBenignName(t *testing.T) {
	attack := append(column(t, "dev/dga_known_families_unseen.tsv.gz"), column(t, "dev/dga_unseen_families.tsv.gz")...)
	benign := column(t, "popular_stable.txt.gz")
	r := rand.New(rand.NewPCG(1, 2))
	placed, draws := 0, 20
	for range draws {
		var names []string
		for _, i := range r.Perm(len(attack))[:400] {
			names = append(names, attack[i])
		}
		layout, _ := pack(names, nil, maxPatterns)
		for _, group := range layout {
			placed += len(group)
		}
	}
	t.Logf("%.1f names in a set", float64(placed)/float64(draws))
	if placed < 70*draws {
		t.Errorf("%d names in %d sets", placed, draws)
	}
	layout, _ := pack(attack[:200], nil, maxPatterns)
	for _, group := range layout {
		re := regexp.MustCompile(render(group))
		for i := 0; i < len(benign); i += 7 {
			if referer := "https://www." + benign[i] + "/x?q=https://" + group[0] + "/"; re.MatchString(referer) {
				t.Errorf("%s finds %s", re, referer)
			}
		}
	}
}

func BenchmarkPlanOfTenThousandNames(b *testing.B) {
	var desired []Entry
	for i, name := range column(b, "dev/dga_unseen_families.tsv.gz") {
		desired = append(desired, Entry{Kind: SetNames, Value: name, Rank: float64(i), Expires: in(day)})
	}
	desired = rank(desired[:10_000])
	p := Plan{Time: start, Current: []State{{Set: SetNames}}, Desired: desired, Barred: nobody, Policies: []Policy{KeepUnexplained}}
	p.Current[0].Items = p.Calculate().Changes[0].After
	b.ReportAllocs()
	for b.Loop() {
		if c := p.Calculate().Changes[0]; c.Changed() {
			b.Fatal(c.Why())
		}
	}
}

func BenchmarkPlanOfTenThousandClients(b *testing.B) {
	var desired []Entry
	for i := range maxAddresses {
		desired = append(desired, Entry{Kind: SetIPv4, Value: fmt.Sprintf("198.%d.%d.7/32", i/250, i%250), Rank: float64(i), Expires: in(day)})
	}
	p := Plan{Time: start, Current: []State{{Set: SetIPv4}}, Desired: rank(desired), Barred: nobody, Policies: []Policy{KeepUnexplained}}
	first := p.Calculate().Changes[0]
	p.Current[0] = State{Set: SetIPv4, Items: first.After, Last: Generation{After: first.After, Entries: first.Entries}}
	b.ReportAllocs()
	for b.Loop() {
		if c := p.Calculate().Changes[0]; c.Changed() {
			b.Fatal(c.Why())
		}
	}
}
