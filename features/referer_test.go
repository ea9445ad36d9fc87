package features

import (
	"bufio"
	"compress/gzip"
	"os"
	"strings"
	"testing"
)

// named holds a Referer against the Name in it.
func named(t *testing.T, referer, host, domain, label string) {
	t.Helper()
	var p Parser
	got, reason := p.Referer([]byte(referer))
	if want := (Name{Host: host, Domain: domain, Label: label}); got != want || reason != Named {
		t.Errorf("%q: got %+v, %v; want %+v", referer, got, reason, want)
	}
}

// nameless holds a Referer against the reason for which it holds no Name.
func nameless(t *testing.T, referer string, want Reason) {
	t.Helper()
	var p Parser
	if got, reason := p.Referer([]byte(referer)); got != (Name{}) || reason != want {
		t.Errorf("%q: got %+v, %v; want %v", referer, got, reason, want)
	}
}

func TestARefererHoldsTheNameOfItsHost(t *testing.T) {
	f := func(referer, host, domain, label string) { t.Helper(); named(t, referer, host, domain, label) }

	f("https://kq3v9z.com/", "kq3v9z.com", "kq3v9z.com", "kq3v9z")
	f("https://kq3v9z.com", "kq3v9z.com", "kq3v9z.com", "kq3v9z")
	f("http://www.kq3v9z.co.uk/a/b?c=http://d.com#e", "www.kq3v9z.co.uk", "kq3v9z.co.uk", "kq3v9z")
	f("http://kq3v9z.com?q", "kq3v9z.com", "kq3v9z.com", "kq3v9z")
	f("http://kq3v9z.com#f", "kq3v9z.com", "kq3v9z.com", "kq3v9z")

	// What clients may add to a host without changing it.
	f("HTTPS://Www.KQ3V9Z.Com/", "www.kq3v9z.com", "kq3v9z.com", "kq3v9z")
	f("https://kq3v9z.com:8443/", "kq3v9z.com", "kq3v9z.com", "kq3v9z")
	f("https://kq3v9z.com:/", "kq3v9z.com", "kq3v9z.com", "kq3v9z")
	f("https://kq3v9z.com:00000443", "kq3v9z.com", "kq3v9z.com", "kq3v9z")
	f("https://kq3v9z.com./", "kq3v9z.com", "kq3v9z.com", "kq3v9z")
	f("https://user:pass@kq3v9z.com/", "kq3v9z.com", "kq3v9z.com", "kq3v9z")
	f("https://google.com@evil.com:80@kq3v9z.com/", "kq3v9z.com", "kq3v9z.com", "kq3v9z")
	f("https://google.com:80@kq3v9z.com/@google.com", "kq3v9z.com", "kq3v9z.com", "kq3v9z")

	// Browsers read these as the same host, so we do.
	f(" \t https://kq3v9z.com/ ", "kq3v9z.com", "kq3v9z.com", "kq3v9z")
	f("ht\ttps://kq3\nv9z.c\rom/", "kq3v9z.com", "kq3v9z.com", "kq3v9z")
	f(`https:\\kq3v9z.com\path`, "kq3v9z.com", "kq3v9z.com", "kq3v9z")
	f("https:kq3v9z.com", "kq3v9z.com", "kq3v9z.com", "kq3v9z")
	f("https:////kq3v9z.com", "kq3v9z.com", "kq3v9z.com", "kq3v9z")
	f("https://k%713v9z%2ecom/", "kq3v9z.com", "kq3v9z.com", "kq3v9z")
	f("https://ｋｑ３ｖ９ｚ．ｃｏｍ/", "kq3v9z.com", "kq3v9z.com", "kq3v9z")
	f("https://kq3v\u00ad9z。com/", "kq3v9z.com", "kq3v9z.com", "kq3v9z")

	// Labels that are no host names by RFC 952, but are in the DNS and in URLs.
	f("http://daniel_en_sander.basjes.nl/", "daniel_en_sander.basjes.nl", "basjes.nl", "basjes")
	f("https://r3---sn-4g5ednsl.googlevideo.com/", "r3---sn-4g5ednsl.googlevideo.com", "googlevideo.com", "googlevideo")
	f("https://-a-.tumblr.com/", "-a-.tumblr.com", "tumblr.com", "tumblr")

	// International names are scored as the A-labels that the DNS holds.
	f("https://MÜNCHEN.de/", "xn--mnchen-3ya.de", "xn--mnchen-3ya.de", "xn--mnchen-3ya")
	f("https://xn--mnchen-3ya.de/", "xn--mnchen-3ya.de", "xn--mnchen-3ya.de", "xn--mnchen-3ya")
	f("https://m%C3%BCnchen.de/", "xn--mnchen-3ya.de", "xn--mnchen-3ya.de", "xn--mnchen-3ya")
	f("https://faß.de/", "xn--fa-hia.de", "xn--fa-hia.de", "xn--fa-hia")

	// Lengths that the DNS just holds.
	long := strings.Repeat("a", 63)
	f("http://"+long+".com/", long+".com", long+".com", long)
	host := strings.Repeat(long+".", 3) + strings.Repeat("a", 57) + ".com"
	f("http://"+host+".:8080/", host, strings.Repeat("a", 57)+".com", strings.Repeat("a", 57))
}

func TestARefererWithoutANameSaysWhy(t *testing.T) {
	f := func(referer string, want Reason) { t.Helper(); nameless(t, referer, want) }

	f("", Empty)
	f("-", Empty)
	f(" \t ", Empty)

	f("null", Relative)
	f("/path", Relative)
	f("//kq3v9z.com/", Relative)
	f("?query", Relative)
	f("www.kq3v9z.com/", Relative)
	f("://kq3v9z.com", Relative)
	f("1http://kq3v9z.com", Relative)
	f("<script>alert(1)</script>", Relative)
	f("\x00\xff\xfe", Relative)

	f("about:blank", Scheme)
	f("data:text/html,hi", Scheme)
	f("blob:https://kq3v9z.com/1", Scheme)
	f("file:///etc/passwd", Scheme)
	f("ftp://kq3v9z.com/", Scheme)
	f("android-app://com.google.android.gm/", Scheme)
	f("chrome-extension://aapbdbdomjkkjkaonfhkkikfgjllcleb/", Scheme)
	f("kq3v9z.com:8080", Scheme) // so say URL parsers; Bare knows better

	f("http://", Malformed)
	f("http://@/", Malformed)
	f("http://:80/", Malformed)
	f("http://kq3v9z.com:65536/", Malformed)
	f("http://kq3v9z.com:80a/", Malformed)
	f("http://kq3v9z .com/", Malformed)
	f("http://kq3v9z<.com/", Malformed)
	f("http://kq3v9z'.com/", Malformed) // URL parsers let it pass; no name has it
	f("http://kq3v9z.com%00.google.com/", Malformed)
	f("http://kq3v9z.com%2fgoogle.com/", Malformed)
	f("http://kq3v9z%.com/", Malformed)
	f("http://kq3v9z\xff.com/", Malformed)
	f("http://.kq3v9z.com/", Malformed)
	f("http://kq3v9z..com/", Malformed)
	f("http://kq3v9z.com../", Malformed)
	f("http://./", Malformed)
	f("http://xn--a.com/", Malformed)
	f("http://xn--.com/", Malformed)
	f("http://kq3v9z.com.xn--/", Malformed)
	f("http://xn--kq3v9z-.com/", Malformed) // only ASCII in it
	f("http://"+strings.Repeat("a", 64)+".com/", Malformed)
	f("http://"+strings.Repeat("a.", 125)+"comm/", Malformed)
	f("http://"+strings.Repeat("ü", 64)+".com/", Malformed)
	f("http://kq3v9z.com/"+strings.Repeat("a", maxReferer), Malformed)

	f("http://127.0.0.1/", Address)
	f("http://user@127.1:8080/", Address)
	f("http://2130706433/", Address)
	f("http://0x7f.1/", Address)
	f("http://0X7F000001/", Address)
	f("http://017700000001/", Address)
	f("http://127.0.0.1./", Address)
	f("http://0x/", Address)
	f("http://１２７.0.0.1/", Address)
	f("http://%31%32%37.0.0.1/", Address)
	f("http://"+strings.Repeat("0", 100)+"127.0.0.1/", Address)
	f("http://[::1]/", Address)
	f("http://[2001:DB8::1]:8080/", Address)
	f("http://[::ffff:192.0.2.1]/", Address)
	f("http://256.1.1.1/", Malformed)
	f("http://4294967296/", Malformed)
	f("http://1.2.3.4.5/", Malformed)
	f("http://1..2/", Malformed)
	f("http://08.1/", Malformed)
	f("http://kq3v9z.1/", Malformed)
	f("http://kq3v9z.0x1f/", Malformed)
	f("http://[::1/", Malformed)
	f("http://[::1]x/", Malformed)
	f("http://[fe80::1%25eth0]/", Malformed)
	f("http://[1.2.3.4]/", Malformed)

	f("http://intranet/", NotPublic)
	f("http://INTRANET:8080/", NotPublic)
	f("http://co.uk/", NotPublic)
	f("http://printer.local/", NotPublic)
	f("http://3g2upl4pq6kufc4m.onion/", NotPublic)
}

// handmade are the values of referer_malformed_handmade.tsv.gz and what each is, judged by hand: a host, or a reason.
var handmade = map[string]string{
	"":                                                      "empty",
	"null":                                                  "relative",
	"google.com":                                            "relative",
	"www.google.com/":                                       "relative",
	`() { :; }; /bin/bash -c "id"`:                          "relative",
	"about:srcdoc":                                          "scheme",
	"data:text/html,hi":                                     "scheme",
	"javascript:void(0)":                                    "scheme",
	"file:///C:/Users/x/index.html":                         "scheme",
	"app://obsidian.md/":                                    "scheme",
	"ttp://example.com":                                     "scheme",
	"http://[2001:db8::1]:8080/a":                           "address",
	"http://[::ffff:192.0.2.1]/":                            "address",
	"http://intranet/":                                      "nonpublic",
	"https://3g2upl4pq6kufc4m.onion/":                       "nonpublic",
	"http://a..b.com/":                                      "malformed",
	"http://exa mple.com/":                                  "malformed",
	"https://xn--a.com/":                                    "malformed",
	"https://example.com%00.evil.com/":                      "malformed",
	"https://user:pa%20ss@example.com/":                     "example.com",
	"https://user@evil.com@example.com/":                    "example.com",
	"https://ex%61mple.com/":                                "example.com",
	"http://-bad-.com/":                                     "-bad-.com",
	"https://例え.テスト/":                                       "xn--r8jz45g.xn--zckzah",
	"https://xn--mnchen-3ya.de/":                            "xn--mnchen-3ya.de",
	"https://президент.рф/":                                 "xn--d1abbgf6aiiy.xn--p1ai",
	"http://тест。中国/":                                       "xn--e1aybc.xn--fiqs8s",
	"https://t.co/AbCdEf1234":                               "t.co",
	"https://d111111abcdef8.cloudfront.net/":                "d111111abcdef8.cloudfront.net",
	"https://en-m-wikipedia-org.translate.goog/":            "en-m-wikipedia-org.translate.goog",
	"https://www-nature-com.ezproxy.lib.example.edu/":       "www-nature-com.ezproxy.lib.example.edu",
	"https://l.facebook.com/l.php?u=https%3A%2F%2Fx.com":    "l.facebook.com",
	"moz-extension://2c127fa4-62c7-7e4f-90e5-472b45eecfdc/": "scheme",
	"http://" + strings.Repeat("a", 70) + ".com/":           "malformed",
	"http://" + strings.Repeat("abcd.", 70) + "com/":        "malformed",
}

func TestHandmadeReferersAreWhatWeJudgedThem(t *testing.T) {
	f := func(referer, want string) {
		t.Helper()
		var p Parser
		name, reason := p.Referer([]byte(referer))
		got := reason.String()
		if reason == Named {
			got = name.Host
		}
		if got != want {
			t.Errorf("%q: got %s, want %s", referer, got, want)
		}
	}
	for referer, want := range handmade {
		f(referer, want)
	}
	for referer := range corpus(t, "referer_malformed_handmade") {
		if want, ok := handmade[referer]; ok {
			f(referer, want)
		} else {
			t.Errorf("%q has not been judged", referer)
		}
	}
}

func TestRealReferersAreRead(t *testing.T) {
	var counts [NumReasons]int
	for referer := range corpus(t, "referer_real_raw") {
		checkReferer(t, []byte(referer))
		var p Parser
		name, reason := p.Referer([]byte(referer))
		counts[reason]++
		web := strings.HasPrefix(strings.ToLower(referer), "http")
		if web != (reason == Named || reason == Address || reason == NotPublic) {
			t.Errorf("%q: %+v, %v", referer, name, reason)
		}
	}
	// Looked at by eye: the addresses are those of scanned laboratories, what is not public is localhost, what is
	// relative are attacks.
	if want := [NumReasons]int{Named: 612, Relative: 83, Address: 116, NotPublic: 6}; counts != want {
		t.Errorf("named, empty, relative, …: %v, want %v", counts, want)
	}
}

// corpus yields the first column of a file that lies beside a checkout of this project and is no part of it.
func corpus(t *testing.T, name string) func(yield func(string) bool) {
	t.Helper()
	file, err := os.Open("../../shared/corpora/dev/" + name + ".tsv.gz")
	if err != nil {
		t.Skip("the corpora are not here: ", err)
	}
	t.Cleanup(func() { file.Close() })
	plain, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	return func(yield func(string) bool) {
		lines := bufio.NewScanner(plain)
		for lines.Scan() {
			if column, _, _ := strings.Cut(lines.Text(), "\t"); !yield(column) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBareNamesAreReadLikeHosts(t *testing.T) {
	f := func(bare, host string) {
		t.Helper()
		var p Parser
		if got, reason := p.Bare([]byte(bare)); got.Host != host || reason != Named {
			t.Errorf("%q: got %+v, %v; want %s", bare, got, reason, host)
		}
	}
	f("kq3v9z.com", "kq3v9z.com")
	f("KQ3V9Z.com.", "kq3v9z.com")
	f(" kq3v9z.com\r\n", "kq3v9z.com")
	f("kq3v9z.com/path", "kq3v9z.com")
	f("kq3v9z.com:8080", "kq3v9z.com")
	f("kq3v9z.com:8080/path", "kq3v9z.com")
	f("user@kq3v9z.com", "kq3v9z.com")
	f("президент.рф", "xn--d1abbgf6aiiy.xn--p1ai")
	f("xn--mnchen-3ya.de", "xn--mnchen-3ya.de")
	f("https://www.kq3v9z.com:8080/path", "www.kq3v9z.com")
	f("http:kq3v9z.com", "kq3v9z.com")

	g := func(bare string, want Reason) {
		t.Helper()
		var p Parser
		if got, reason := p.Bare([]byte(bare)); got != (Name{}) || reason != want {
			t.Errorf("%q: got %+v, %v; want %v", bare, got, reason, want)
		}
	}
	g("", Empty)
	g("-", Empty)
	g("/path", Relative)
	g("//kq3v9z.com", Relative)
	g("?query", Relative)
	g("about:blank", Scheme)
	g("mailto:somebody@kq3v9z.com", Scheme)
	g("android-app://com.google.android.gm/", Scheme)
	g("two words.com", Malformed)
	g("127.0.0.1", Address)
	g("[::1]:80", Address)
	g("localhost:3000", NotPublic)
	g("co.uk", NotPublic)
	g(strings.Repeat("a.", maxReferer), Malformed)
}

func TestAParserCanBeUsedAgain(t *testing.T) {
	var p Parser
	first, _ := p.Referer([]byte("https://WWW.FIRST.COM/"))
	kept := first.Clone()
	second, _ := p.Referer([]byte("https://LAST.ORG/"))
	if want := (Name{Host: "www.first.com", Domain: "first.com", Label: "first"}); kept != want {
		t.Errorf("the clone is %+v, want %+v", kept, want)
	}
	if want := (Name{Host: "last.org", Domain: "last.org", Label: "last"}); second != want {
		t.Errorf("the second name is %+v, want %+v", second, want)
	}
}

func TestOrdinaryReferersAllocateNothing(t *testing.T) {
	f := func(referer string) {
		t.Helper()
		raw := []byte(referer)
		var p Parser
		if n := testing.AllocsPerRun(100, func() { p.Referer(raw) }); n != 0 {
			t.Errorf("%q: %v allocations", referer, n)
		}
		if n := testing.AllocsPerRun(100, func() { p.Bare(raw) }); n != 0 {
			t.Errorf("bare %q: %v allocations", referer, n)
		}
	}
	f("https://kq3v9z.com/")
	f("http://www.kq3v9z.co.uk/path?query")
	f("https://WWW.KQ3V9Z.COM.:8080/")
	f("https://kq3v9z.duckdns.org")
	f("https://d111111abcdef8.cloudfront.net/")
	f("https://kq3v9z.bazar/")
	f("http://192.168.0.1/")
	f("http://intranet/")
	f("http://co.uk/")
	f("")
	f("-")
	f("/path")
	f("about:blank")
	f("android-app://com.google.android.gm/")
}

func TestReasonsHaveOneStableWordEach(t *testing.T) {
	want := []string{"named", "empty", "relative", "scheme", "malformed", "address", "nonpublic"}
	for r := range NumReasons {
		if got := Reason(r).String(); got != want[r] {
			t.Errorf("reason %d is %q, want %q", r, got, want[r])
		}
	}
	if got := Reason(NumReasons).String(); got != "unknown" {
		t.Errorf("no reason is %q", got)
	}
}

func TestLongReferersAreReadOrRefused(t *testing.T) {
	want := map[string]Reason{
		"scheme": Relative, "not a url": Relative,
		"userinfo": Named, "tabs": Named, "slashes": Named, "spaces": Named, "port": Named, "path": Named, "alabels": Named,
		"labels": Malformed, "percent": Malformed, "runes": Malformed, "marks": Malformed, "soft": Malformed, "punycode": Malformed,
	}
	for what, referer := range hostile() {
		checkReferer(t, []byte(referer))
		var p Parser
		if _, reason := p.Referer([]byte(referer)); reason != want[what] {
			t.Errorf("%s: %v, want %v", what, reason, want[what])
		}
	}
}
