package features

import (
	"strings"
	"testing"

	"golang.org/x/net/publicsuffix"
	"pgregory.net/rapid"
)

// xnetSuffix is x/net's answer for the ICANN section: where a private rule prevails, what is behind it is asked again.
func xnetSuffix(host string) string {
	for rest := host; ; {
		suffix, icann := publicsuffix.PublicSuffix(rest)
		_, parent, found := strings.Cut(suffix, ".")
		if icann || !found {
			return suffix
		}
		rest = parent
	}
}

func startOfSuffix(host string) int {
	return suffixStart(rules(), host, strings.LastIndexByte(host, '.')+1)
}

func TestTheSuffixListIsThatOfTheXNetThatIsRequired(t *testing.T) {
	header, _, _ := strings.Cut(icannList, "\n")
	if want := publicsuffix.List.String(); !strings.Contains(header, want) {
		t.Errorf("icann.txt is %s\nbut x/net has  %s: run go generate ./features", header, want)
	}
}

func TestEachRuleSplitsHostsAsXNetDoes(t *testing.T) {
	f := func(host string) {
		t.Helper()
		if got, want := host[startOfSuffix(host):], xnetSuffix(host); got != want {
			t.Errorf("%s: suffix %s, want %s", host, got, want)
		}
	}
	count := 0
	for rule := range entries(icannList) {
		rule = strings.TrimLeft(rule, "*!.")
		f(rule)
		f("a." + rule)
		f("b.a." + rule)
		f("www." + rule)
		f("x" + rule)
		f("com." + rule)
		count++
	}
	if count < 6000 {
		t.Errorf("%d rules: the list is cut short", count)
	}
}

func TestAnyHostSplitsAsXNetDoes(t *testing.T) {
	var suffixes []string
	for rule := range entries(icannList) {
		suffixes = append(suffixes, strings.TrimLeft(rule, "*!."))
	}
	label := rapid.OneOf(
		rapid.StringMatching(`[a-z0-9_]([a-z0-9_-]{0,10}[a-z0-9_])?`),
		rapid.SampledFrom([]string{"com", "co", "www", "city", "gov", "github", "s3", "duckdns", "io", "uk", "jp", "ck", "kawasaki", "bd"}),
	)
	tail := rapid.OneOf(rapid.SampledFrom(suffixes), label, rapid.SampledFrom([]string{"github.io", "s3.amazonaws.com", "blogspot.com"}))
	rapid.Check(t, func(t *rapid.T) {
		host := strings.Join(append(rapid.SliceOfN(label, 0, 4).Draw(t, "labels"), tail.Draw(t, "tail")), ".")
		if strings.Trim(host, "0123456789.") == "" {
			return // an address, of which suffixStart is not asked
		}
		if got, want := host[startOfSuffix(host):], xnetSuffix(host); got != want {
			t.Fatalf("%s: suffix %s, want %s", host, got, want)
		}
	})
}

func TestTheICANNSectionAndDynamicDNSDecideWhatTheNameIs(t *testing.T) {
	f := func(host, domain, label string) {
		t.Helper()
		want := Name{Host: host, Domain: domain, Label: label}
		if got, reason := read(host); got != want || reason != Named {
			t.Errorf("%s: got %+v, %v; want %+v", host, got, reason, want)
		}
	}
	f("kq3v9z.com", "kq3v9z.com", "kq3v9z")
	f("a.b.kq3v9z.co.uk", "kq3v9z.co.uk", "kq3v9z")
	f("townofsenecawoodcowi.gov", "townofsenecawoodcowi.gov", "townofsenecawoodcowi")
	f("kq3v9z.pvt.k12.ma.us", "kq3v9z.pvt.k12.ma.us", "kq3v9z")

	// Wildcards and their exceptions: *.ck, !www.ck, *.kawasaki.jp, !city.kawasaki.jp.
	f("kq3v9z.gov.ck", "kq3v9z.gov.ck", "kq3v9z")
	f("shop.www.ck", "www.ck", "www")
	f("kq3v9z.any.kawasaki.jp", "kq3v9z.any.kawasaki.jp", "kq3v9z")
	f("www.city.kawasaki.jp", "city.kawasaki.jp", "city")

	// Private rules do not count: who owns the domain answers for its labels.
	f("d111111abcdef8.cloudfront.net", "cloudfront.net", "cloudfront")
	f("kq3v9z.github.io", "github.io", "github")
	f("kq3v9z.s3.eu-west-1.amazonaws.com", "amazonaws.com", "amazonaws")
	f("kq3v9z.blogspot.co.uk", "blogspot.co.uk", "blogspot")
	f("en-m-wikipedia-org.translate.goog", "translate.goog", "translate")

	// Dynamic DNS: the label counts, wherever below it the request came from; the service's own site is its own.
	f("kq3v9z.duckdns.org", "kq3v9z.duckdns.org", "kq3v9z")
	f("www.kq3v9z.ddns.net", "kq3v9z.ddns.net", "kq3v9z")
	f("kq3v9z.no-ip.co.uk", "kq3v9z.no-ip.co.uk", "kq3v9z")
	f("kq3v9z.mooo.com", "kq3v9z.mooo.com", "kq3v9z")
	f("www.duckdns.org", "duckdns.org", "duckdns")
	f("duckdns.org", "duckdns.org", "duckdns")
	f("kq3v9zduckdns.org", "kq3v9zduckdns.org", "kq3v9zduckdns")

	// TLDs that the list does not know, and domains of which only the TLD is known.
	f("lilaeled.bazar", "lilaeled.bazar", "lilaeled")
	f("www.ponedobla.bit", "ponedobla.bit", "ponedobla")
	f("kq3v9z.xn--p1ai", "kq3v9z.xn--p1ai", "kq3v9z")
}

func TestSomeHostsAreNotPublicNames(t *testing.T) {
	f := func(host string) {
		t.Helper()
		if got, reason := read(host); reason != NotPublic || got != (Name{}) {
			t.Errorf("%s: got %+v, %v; want nonpublic", host, got, reason)
		}
	}
	f("intranet")
	f("localhost")
	f("com")
	f("co.uk")
	f("k12.ma.us")
	f("anything.ck")
	f("city.nagoya.example")
	f("wiki.corp")
	f("fritzbox.home.arpa")
	f("printer.local")
	f("ip-10-0-0-1.eu-west-1.compute.internal")
	f("3g2upl4pq6kufc4m.onion")
	f("4.3.2.1.in-addr.arpa")
	f("db.service.consul")
}

func TestDynamicDNSServicesAreOnThePublicSuffixListWhereWeSayThatTheyAre(t *testing.T) {
	listed, others, ok := strings.Cut(dynamicList, "// --- Not there ---")
	if !ok {
		t.Fatal("dynamic.txt has lost its second part")
	}
	for domain := range entries(listed) {
		if suffix, icann := publicsuffix.PublicSuffix("x." + domain); suffix != domain || icann {
			t.Errorf("%s is not in the private section (%s)", domain, suffix)
		}
	}
	for domain := range entries(others) {
		if suffix, _ := publicsuffix.PublicSuffix("x." + domain); suffix == domain {
			t.Errorf("%s is there by now: move it", domain)
		}
	}
	for domain := range entries(dynamicList) {
		if start := startOfSuffix(domain); start == 0 || labelBefore(domain, start) != 0 {
			t.Errorf("%s is not one label below an ICANN suffix: split never asks for it", domain)
		}
	}
}
