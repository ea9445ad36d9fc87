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
	"slices"
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
	// The floors are those of issue 4. With as many candidates as there is room for, and with more to choose from.
	for _, f := range []struct {
		branches, drawn int
		floor           float64
	}{{8, 80, 76}, {10, 100, 83}, {8, 400, 76}, {10, 400, 83}} {
		r := rand.New(rand.NewPCG(1, 2))
		placed, draws := 0, 40
		for range draws {
			var names []string
			for _, i := range r.Perm(len(attack))[:f.drawn] {
				names = append(names, attack[i])
			}
			layout, _ := packer{patterns: maxPatterns, branches: f.branches}.pack(names, nil)
			for _, group := range layout {
				placed += len(group)
			}
		}
		mean := float64(placed) / float64(draws)
		t.Logf("%d branches, %d candidates: %.1f names in a set", f.branches, f.drawn, mean)
		if mean < f.floor {
			t.Errorf("%d branches, %d candidates: %.1f names in a set, want %v", f.branches, f.drawn, mean, f.floor)
		}
	}
	layout, _ := packer{patterns: maxPatterns, branches: 8}.pack(attack[:200], nil)
	for _, group := range layout {
		re := regexp.MustCompile(render(group))
		for i := 0; i < len(benign); i += 7 {
			if referer := "https://www." + benign[i] + "/x?q=https://" + group[0] + "/"; re.MatchString(referer) {
				t.Errorf("%s finds %s", re, referer)
			}
		}
	}
}

func BenchmarkPackingTenThousandNames(b *testing.B) {
	benchmarkPacking(b, column(b, "dev/dga_unseen_families.tsv.gz")[:10_000])
}

// BenchmarkPackingADenseFamily packs names of which nearly every one shares most of itself with some other.
func BenchmarkPackingADenseFamily(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	names := make([]string, 0, 12_000)
	for _, i := range r.Perm(1 << 14)[:cap(names)] {
		names = append(names, "xkqzvwpj"+strings.NewReplacer("0", "a", "1", "b").Replace(fmt.Sprintf("%014b", i))+".com")
	}
	benchmarkPacking(b, names)
}

// benchmarkPacking packs names, by rank, into one set and into ten.
func benchmarkPacking(b *testing.B, names []string) {
	for _, sets := range []int{1, 10} {
		p := packer{patterns: sets * maxPatterns, branches: 8}
		layout, _ := p.pack(names, nil)
		other, _ := p.pack(reversed(names), nil)
		for _, f := range []struct {
			name    string
			current [][]string
		}{{"from nothing", nil}, {"as they are", layout}, {"after ranks turned over", other}} {
			b.Run(fmt.Sprintf("sets=%d/%s", sets, f.name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					p.pack(names, f.current)
				}
			})
		}
	}
}

func BenchmarkPlanOfTenThousandNames(b *testing.B) {
	var desired []Entry
	for i, name := range column(b, "dev/dga_unseen_families.tsv.gz") {
		desired = append(desired, Entry{Kind: SetNames, Value: name, Rank: float64(i), Expires: in(day)})
	}
	desired = rank(desired[:10_000])
	p := Plan{Time: start, Current: []State{{Set: SetNames, Sets: 10}}, Desired: desired, Barred: nobody, Policies: []Policy{KeepUnexplained}}
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

func reversed(names []string) []string {
	names = slices.Clone(names)
	slices.Reverse(names)
	return names
}
