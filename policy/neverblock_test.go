package policy

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"referee/classifier"
	"referee/features"
)

// bare allows nothing that the owner did not list.
func bare() Config {
	c := defaults()
	c.NeverBlock = NeverBlock{}
	return c
}

func parse(t testing.TB, host string) features.Name {
	t.Helper()
	var p features.Parser
	n, reason := p.Bare([]byte(host))
	if reason != features.Named {
		t.Fatalf("%s: %s", host, reason)
	}
	return n.Clone()
}

func TestTheVerdictFollowsFromExemptionThenAbstentionThenTail(t *testing.T) {
	cfg := defaults()
	cfg.NeverBlock.Hosts = []string{"shop.example.de"}
	p := newPolicy(t, cfg)
	f := func(host string, r classifier.Result, want Verdict, wantWhy Exemption) {
		t.Helper()
		if v, e := p.Judge(parse(t, host), r); v != want || e != wantWhy {
			t.Errorf("%s %+v is %s (%s), want %s (%s)", host, r, v, e, want, wantWhy)
		}
	}
	f("kq3v9z7xw.com", classifier.Result{Tail: 1e-4}, DGA, NotExempt)
	f("kq3v9z7xw.com", classifier.Result{Tail: 1.01e-4}, Benign, NotExempt)
	f("kq3v9z7xw.com", classifier.Result{Tail: 1e-5, Abstain: true}, Abstain, NotExempt)
	f("www.google.com", classifier.Result{Tail: 1e-5}, Exempt, Popular)
	f("townofsenecawoodcowi.gov", classifier.Result{Tail: 1e-5}, Exempt, ClosedRegistry)
	f("shop.example.de", classifier.Result{Tail: 1e-5, Abstain: true}, Exempt, Own)
}

func TestTheOwnersDomainsAreExempt(t *testing.T) {
	cfg := bare()
	cfg.NeverBlock.Hosts = []string{"app.shop.co.uk", "*.Intranet", "BÜCHER.de.", "me.ddns.net"}
	cfg.NeverBlock.Suffixes = []string{"partner.com", "cdn.network.org", "co.jp"}
	p := newPolicy(t, cfg)
	f := func(host string, want Exemption) {
		t.Helper()
		if got := p.Exempts(parse(t, host)); got != want {
			t.Errorf("%s is exempt as %s, want %s", host, got, want)
		}
	}
	f("app.shop.co.uk", Own)
	f("a.b.app.shop.co.uk", Own)
	f("shop.co.uk", Listed) // to block it would block the owner's host
	f("other.shop.co.uk", Listed)
	f("shop2.co.uk", NotExempt)
	f("workshop.co.uk", NotExempt)
	f("xn--bcher-kva.de", Own)
	f("bücher.de", Own)
	f("me.ddns.net", Own)
	f("kq3v9z.ddns.net", NotExempt)
	f("partner.com", Listed)
	f("a.partner.com", Listed)
	f("notpartner.com", NotExempt)
	f("cdn.network.org", Listed)
	f("network.org", Listed)
	f("kq3v9z.co.jp", Listed) // a whole public suffix, if the owner says so
	f("kq3v9z.com", NotExempt)
}

func TestOwnHostsAreTheListedOnesAndWhatIsUnderThem(t *testing.T) {
	cfg := bare()
	cfg.NeverBlock.Hosts = []string{"app.shop.co.uk", "intranet"}
	cfg.NeverBlock.Suffixes = []string{"partner.com"}
	p := newPolicy(t, cfg)
	f := func(host string, want bool) {
		t.Helper()
		if got := p.Own(host); got != want {
			t.Errorf("%s is own: %v", host, got)
		}
	}
	f("app.shop.co.uk", true)
	f("x.app.shop.co.uk", true)
	f("intranet", true)
	f("wiki.intranet", true)
	f("shop.co.uk", false)
	f("napp.shop.co.uk", false)
	f("partner.com", false)
	f("", false)
	if newPolicy(t, bare()).Own("app.shop.co.uk") {
		t.Error("an owner who lists nothing owns a host")
	}
}

func TestClosedRegistriesAreThoseThatCheckWhoAsks(t *testing.T) {
	f := func(suffix string, want bool) {
		t.Helper()
		if got := isClosedRegistry(suffix); got != want {
			t.Errorf("%s is closed: %v", suffix, got)
		}
	}
	for _, s := range []string{
		"gov", "mil", "edu", "int", "gov.uk", "gov.br", "sp.gov.br", "mil.br", "edu.au", "nsw.edu.au", "ac.uk", "ac.jp",
		"go.jp", "ed.jp", "gob.mx", "gouv.fr", "govt.nz", "gv.at", "gc.ca", "nhs.uk", "k12.pa.us", "edu.za",
	} {
		f(s, true)
	}
	for _, s := range []string{"com", "org", "ac", "uk", "co.uk", "ac.nz", "edu.pl", "go.it", "com.au", "gov.com", "edu.org", "mi.us", "ag", "", "a", "xn--p1ai"} {
		f(s, false)
	}
	p := newPolicy(t, defaults())
	cfg := defaults()
	cfg.NeverBlock.ClosedRegistries = false
	off := newPolicy(t, cfg)
	n := parse(t, "townofsenecawoodcowi.gov")
	if p.Exempts(n) != ClosedRegistry || off.Exempts(n) != NotExempt {
		t.Errorf("%s on, %s off", p.Exempts(n), off.Exempts(n))
	}
	if e := p.Exempts(parse(t, "gov.kq3v9z7xw.com")); e != NotExempt {
		t.Errorf("a host that begins with gov is exempt as %s", e)
	}
}

func TestClientsThatAreNoSingleClientOnTheInternetAreExempt(t *testing.T) {
	cfg := defaults()
	cfg.NeverBlock.Clients = []string{"8.8.8.0/24", "9.9.9.9", "2a00:1450::/32", "::ffff:1.2.3.0/120"}
	p := newPolicy(t, cfg)
	f := func(addr string, want bool) {
		t.Helper()
		if got := p.ExemptClient(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s is exempt: %v", addr, got)
		}
	}
	for _, a := range []string{
		"0.0.0.0", "10.1.2.3", "100.64.0.1", "100.127.255.255", "127.0.0.1", "169.254.169.254", "172.31.0.1", "192.0.2.1",
		"192.168.1.1", "198.19.255.255", "198.51.100.7", "203.0.113.7", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "::ffff:10.0.0.1",
		"64:ff9b::1", "100::1", "2001::1", "2001:db8::1", "2002:102:304::1", "fc00::1", "fe80::1%eth0", "ff02::1", "3fff::1", "5f00::1",
		"8.8.8.8", "9.9.9.9", "2a00:1450:4001::1", "1.2.3.4", "::ffff:8.8.8.8",
	} {
		f(a, true)
	}
	for _, a := range []string{
		"1.1.1.1", "9.9.9.10", "8.8.9.1", "100.63.255.255", "100.128.0.0", "172.32.0.1", "192.0.3.1", "198.20.0.1", "223.255.255.255",
		"2600::1", "2001:200::1", "2001:4860::8888", "2a00:1451::1", "2606:4700::1111", "::ffff:1.1.1.1", "3ffe::1",
	} {
		f(a, false)
	}
	if !p.ExemptClient(netip.Addr{}) {
		t.Error("no address at all is not exempt")
	}
}

func TestARangeSetContainsWhatItsPrefixesDo(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var prefixes []netip.Prefix
	for range 200 {
		a := netip.AddrFrom4([4]byte{81, byte(r.IntN(4)), byte(r.IntN(256)), byte(r.IntN(256))})
		prefixes = append(prefixes, netip.PrefixFrom(a, 16+r.IntN(17)).Masked())
	}
	set := newRanges(prefixes)
	for range 10_000 {
		a := netip.AddrFrom4([4]byte{81, byte(r.IntN(5)), byte(r.IntN(256)), byte(r.IntN(256))})
		want := slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
		if set.contains(a) != want {
			t.Fatalf("%s: %v", a, !want)
		}
	}
}

func TestPopularNamesAreExempt(t *testing.T) {
	p := newPolicy(t, defaults())
	for _, host := range []string{
		"www.google.com", "google.co.uk", "bing.com", "duckduckgo.com", "t.co", "facebook.com", "wikipedia.org", "baidu.com",
		"yandex.ru", "github.com", "linkedin.com", "d1x2.cloudfront.net",
	} {
		if e := p.Exempts(parse(t, host)); e != Popular {
			t.Errorf("%s is exempt as %s", host, e)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	const names = 1 << 18
	passed := 0
	for range names {
		if p.popular.contains(fmt.Sprintf("%x.com", r.Uint64())) {
			passed++
		}
	}
	if passed > 16 { // 4 are expected; more than 16 come once in a million times
		t.Errorf("%d of %d names that nobody knows pass as popular", passed, names)
	}
	cfg := defaults()
	cfg.NeverBlock.Popular = false
	if e := newPolicy(t, cfg).Exempts(parse(t, "www.google.com")); e != NotExempt {
		t.Errorf("switched off, google.com is exempt as %s", e)
	}
}

func TestTheFilterOfPopularNamesIsBuiltFromItsList(t *testing.T) {
	const path = "../../shared/corpora/popular_stable.txt.gz"
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("no corpora here: ", path)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var hosts []string
	for lines := bufio.NewScanner(z); lines.Scan(); {
		hosts = append(hosts, lines.Text())
	}
	built, err := BuildPopular(hosts)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(built, popularFilter) {
		t.Error("popular.filter is stale: build it again with referee-train never-block")
	}
	p := newPolicy(t, defaults())
	var parser features.Parser
	for _, h := range hosts {
		if n, reason := parser.Bare([]byte(h)); reason == features.Named && p.Exempts(n) == NotExempt {
			t.Errorf("%s is not exempt", h)
		}
	}
}

func TestEqualSetsOfPopularNamesMakeEqualFilters(t *testing.T) {
	hosts := []string{"google.com", "www.bing.com", "example.co.uk", "localhost", "co.uk"}
	a, err := BuildPopular(hosts)
	if err != nil {
		t.Fatal(err)
	}
	b, err := BuildPopular([]string{"bing.com", "EXAMPLE.co.uk", "google.com", "https://google.com/search"})
	if err != nil || !slices.Equal(a, b) {
		t.Errorf("they differ (%v)", err)
	}
	if _, err := BuildPopular([]string{"localhost", "10.0.0.1", ""}); err == nil {
		t.Error("a filter of no name was built")
	}
}

func TestADamagedFilterIsRefused(t *testing.T) {
	good, err := BuildPopular([]string{"google.com", "bing.com"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parsePopular(good); err != nil {
		t.Fatal(err)
	}
	for i := range good {
		bad := slices.Clone(good)
		bad[i] ^= 0x10
		if _, err := parsePopular(bad); err == nil {
			t.Errorf("byte %d is damaged, and the filter is taken", i)
		}
		if _, err := parsePopular(good[:i]); err == nil {
			t.Errorf("cut after %d bytes, and the filter is taken", i)
		}
	}
}

func TestDomainsCanComeFromAFile(t *testing.T) {
	f := func(content, wantError string, exempt ...string) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "list.txt")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg := bare()
		cfg.NeverBlock.DomainsFile = path
		m, err := classifier.Default()
		if err != nil {
			t.Fatal(err)
		}
		p, err := New(cfg, m)
		if wantError != "" {
			if err == nil || !strings.Contains(err.Error(), strings.ReplaceAll(wantError, "FILE", path)) {
				t.Errorf("%q: error %v, want one with %s", content, err, wantError)
			}
			return
		}
		if err != nil {
			t.Errorf("%q: %v", content, err)
			return
		}
		for _, host := range exempt {
			if e := p.Exempts(parse(t, host)); e != Listed {
				t.Errorf("%q: %s is exempt as %s", content, host, e)
			}
		}
	}
	f("kq3v9z.com\r\n# a comment\n\n  Bücher.de  # another\n*.partner.org", "", "kq3v9z.com", "www.kq3v9z.com", "bücher.de", "partner.org")
	f("\ufeffkq3v9z.com", "", "kq3v9z.com")
	f("", "")
	f("a.com\nb.com\nnot a domain\n", `FILE:3: "not a domain"`)
	f("https://kq3v9z.com/x", "FILE:1: ")
	f("10.0.0.1", "FILE:1: ")
	f("a.com\n"+strings.Repeat("x", 1<<17), "FILE:2: \"xxxx")
	cfg := bare()
	cfg.NeverBlock.DomainsFile = filepath.Join(t.TempDir(), "none.txt")
	m, _ := classifier.Default()
	if _, err := New(cfg, m); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "never-block.domains-file") {
		t.Errorf("a list that is not there: %v", err)
	}
}

func TestAConfigurationIsRefusedWithAWayOut(t *testing.T) {
	m, err := classifier.Default()
	if err != nil {
		t.Fatal(err)
	}
	f := func(change func(*Config), want string) {
		t.Helper()
		c := defaults()
		change(&c)
		if _, err := New(c, m); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %s", err, want)
		}
	}
	f(func(c *Config) { c.Confidence = 0 }, "confidence 0")
	f(func(c *Config) { c.Confidence = 1e-9 }, "choose a larger tail")
	f(func(c *Config) { c.Name.MinNetworks = 1 }, "name.min-networks: 1 lets a single client")
	f(func(c *Config) { c.Name.MinSightings = 0 }, "name.min-sightings: 0")
	f(func(c *Config) { c.Name.TTL = 0 }, "name.ttl: 0s is not between 1m0s and 2160h0m0s")
	f(func(c *Config) { c.Client.TTL = -1 }, "client.ttl: -1ns")
	f(func(c *Config) { c.Client.MinFlagged = 1 }, "client.min-flagged: 1 blocks a client for one name")
	f(func(c *Config) { c.Client.MinShare = 1 }, "client.min-share: 1")
	f(func(c *Config) { c.NeverBlock.Hosts = []string{"https://shop.de/"} }, "never-block.hosts: \"https://shop.de/\" is a URL; write the host alone, such as shop.de")
	f(func(c *Config) { c.NeverBlock.Hosts = []string{""} }, "never-block.hosts: \"\"")
	f(func(c *Config) { c.NeverBlock.Suffixes = []string{"10.0.0.1"} }, "never-block.suffixes: \"10.0.0.1\"")
	f(func(c *Config) { c.NeverBlock.Clients = []string{"8.8.8.0/40"} }, "never-block.clients: \"8.8.8.0/40\" is neither an address nor a range")
	f(func(c *Config) { c.Name.MinNetworks, c.Client.MinFlagged = 0, 0 }, "client.min-flagged")
}

func TestTheIDNamesWhatTakesEffect(t *testing.T) {
	base := newPolicy(t, defaults()).ID()
	if len(base) != 12 || base != newPolicy(t, defaults()).ID() {
		t.Errorf("id %q", base)
	}
	f := func(what string, same bool, change func(*Config)) {
		t.Helper()
		c := defaults()
		change(&c)
		if got := newPolicy(t, c).ID() == base; got != same {
			t.Errorf("%s: the same id: %v", what, got)
		}
	}
	f("another confidence", false, func(c *Config) { c.Confidence = classifier.Sensitive })
	f("another rule", false, func(c *Config) { c.Client.MinFlagged = 4 })
	f("an own host", false, func(c *Config) { c.NeverBlock.Hosts = []string{"shop.de"} })
	f("a client range", false, func(c *Config) { c.NeverBlock.Clients = []string{"8.8.8.8"} })
	f("a client range that is exempt already", true, func(c *Config) { c.NeverBlock.Clients = []string{"10.1.0.0/16"} })
	f("popular names off", false, func(c *Config) { c.NeverBlock.Popular = false })
	listed := func(hosts ...string) string {
		c := defaults()
		c.NeverBlock.Suffixes = hosts
		return newPolicy(t, c).ID()
	}
	if listed("a.com", "b.com") != listed("B.com.", "a.com", "a.com") {
		t.Error("one list in two spellings has two ids")
	}
}

func TestEveryVerdictAndExemptionHasAWord(t *testing.T) {
	var words []string
	for v := range Verdict(NumVerdicts) {
		words = append(words, v.String())
	}
	for e := range Exemption(NumExemptions) {
		words = append(words, e.String())
	}
	want := "invalid benign dga abstain exempt none own listed closed-registry popular labelled"
	if got := strings.Join(words, " "); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if Verdict(99).String() != "unknown" || Exemption(99).String() != "unknown" {
		t.Error("numbers beyond the words")
	}
}
