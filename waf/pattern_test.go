package waf

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// domains draws registered names as policy hands them over: one label and a public suffix.
func domains() *rapid.Generator[string] {
	label := rapid.StringMatching(`[a-z0-9_]([a-z0-9-]{0,22}[a-z0-9])?`)
	suffix := rapid.SampledFrom([]string{"com", "net", "info", "co.uk", "xn--p1ai", "duckdns.org", "com.br"})
	return rapid.Custom(func(t *rapid.T) string { return label.Draw(t, "label") + "." + suffix.Draw(t, "suffix") })
}

// fitting keeps as many of names as one pattern takes.
func fitting(names []string) []string {
	layout, _ := packer{patterns: 1, branches: 8}.pack(names, nil)
	return layout[0]
}

// usualForms are the ways in which a Referer names a host.
func usualForms(host string) []string {
	return []string{
		"http://" + host, "https://" + host, "https://" + host + "/", "https://www." + host + "/a/b.html",
		"https://a.b-c.d_e." + host + "/", "http://" + host + ":8080", "http://" + host + ":8080/x?y=z#f",
		"http://user@" + host + "/", "https://user:pa.ss@www." + host + "/", "https://" + host + "./", "https://" + host + ".",
		"https://" + host + ".:443/", "https://" + host + "?q=1", "https://" + host + "#top",
		strings.ToUpper("https://www." + host + "/Path"), "HTTPS://" + strings.ToUpper(host) + "/",
	}
}

// otherHosts are Referers of other hosts that hold a name somewhere.
func otherHosts(name string) []string {
	glue := strings.Repeat("y", 30) // longer than any label drawn
	return []string{
		"https://google.com/search?q=http://" + name + "/", "https://google.com/" + name + "/", "https://google.com/#" + name,
		"https://google.com?u=https://" + name, "https://google.com#https://" + name + "/", "https://google.com/a." + name + "/",
		"https://google.com/x@" + name, "https://" + name + ".example.org/", "https://" + glue + name + "/", "https://" + name + "x/",
		"https://" + name + "-x.org/", "https://" + name + "@google.com/", "https://" + name + "..google.com/",
		"ftp://" + name + "/", "android-app://" + name + "/", "//" + name + "/", name, "x https://" + name + "/",
		"https:/" + name + "/", "",
	}
}

func TestAPatternFindsItsNamesInEveryUsualRefererAndNoOtherHost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := fitting(rapid.SliceOfNDistinct(domains(), 1, 12, rapid.ID).Draw(t, "names"))
		p := render(names)
		if len(p) > maxPatternLen || strings.Count(p, "|") > 8 {
			t.Fatalf("%q is over the limits", p)
		}
		if err := verify(p, names); err != nil {
			t.Fatal(err)
		}
		re := regexp.MustCompile(p)
		for _, name := range names {
			for _, referer := range usualForms(name) {
				if !re.MatchString(strings.ToLower(referer)) {
					t.Errorf("%q does not find %q", p, referer)
				}
			}
			for _, referer := range otherHosts(name) {
				if re.MatchString(strings.ToLower(referer)) {
					t.Errorf("%q finds %q", p, referer)
				}
			}
		}
		other := domains().Filter(func(d string) bool { return !slices.Contains(names, d) }).Draw(t, "other")
		for _, referer := range usualForms(other) {
			if re.MatchString(strings.ToLower(referer)) {
				t.Errorf("%q finds %q", p, referer)
			}
		}
	})
}

func TestTheOneOtherHostIsOneWithTheNameAsUserOfAPassword(t *testing.T) {
	re := regexp.MustCompile(render([]string{"kq3v9z.com"}))
	if !re.MatchString("https://kq3v9z.com:x@google.com/") {
		t.Error("the comment at patternHead is out of date")
	}
}

func TestAPatternIsReadBackAsItsNames(t *testing.T) {
	f := func(pattern string, want ...string) {
		t.Helper()
		got, err := hostsOf(pattern)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("hostsOf(%q) = %q, %v; want %q", pattern, got, err, want)
		}
	}
	frame := func(body string) string { return patternHead + body + patternTail }
	f(frame(`kq3v9z\.com`), "kq3v9z.com")
	f(frame(`(?:a|b)\.com|c\.co\.uk`), "a.com", "b.com", "c.co.uk")
	f(frame(`k(?:ab|cd)(?:e|f)?\.com`), "kab.com", "kabe.com", "kabf.com", "kcd.com", "kcde.com", "kcdf.com")
	f(frame(`k[a-c]\.com|ka\.com`), "ka.com", "kb.com", "kc.com")
}

func TestAPatternThatIsNotAFiniteListOfNamesIsNotRead(t *testing.T) {
	f := func(pattern string) {
		t.Helper()
		if got, err := hostsOf(pattern); err == nil {
			t.Errorf("hostsOf(%q) = %q", pattern, got)
		}
	}
	frame := func(body string) string { return patternHead + body + patternTail }
	f(`evil`)
	f(`kq3v9z\.com`)
	f(frame(``))
	f(frame(`kq3v9z.com`)) // an unescaped dot
	f(frame(`k*\.com`))
	f(frame(`k+\.com`))
	f(frame(`k{2}\.com`))
	f(frame(`[a-z][a-z][a-z]\.com`)) // 17,576 names
	f(frame(`(?i:k)\.com`))
	f(frame(`(k)\.com`))     // still finite, but a capture
	f(frame(`k\.com|`))      // any host: the empty name
	f(frame(`|k\.com`))      //
	f(frame(`k\.com)|(?:x`)) // out of the group and back
	f(frame(`k\.com)|x|(?:y\.com`))
	f(frame(`k\.com|[`))
	f(frame(`k\.com\`))
	f(frame(`\Qk\.com`))
	f(frame(`k\.com\.`)) // the root's dot is the tail's
	f(frame(`com`))      // one label
	f(frame(`1\.2`))     // no letter at the end: an address
	f(patternHead + `k\.com` + `)`)
	f(`x` + frame(`k\.com`))
}

func TestAPatternThatDoesNotFindExactlyItsNamesIsNotSound(t *testing.T) {
	f := func(pattern, problem string, names ...string) {
		t.Helper()
		if err := verify(pattern, names); err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("verify(%q, %q) = %v, want %q in it", pattern, names, err, problem)
		}
	}
	f(render([]string{"a.com", "b.com"}), "instead of", "a.com")
	f(render([]string{"a.com"}), "instead of", "a.com", "b.com")
	f(render([]string{strings.Repeat("a", 160) + ".com"}), "longer than 200", strings.Repeat("a", 160)+".com")
	f(`.*`, "form", "a.com")
}

func TestAHostIsLettersDigitsHyphensAndUnderscores(t *testing.T) {
	f := func(host string, want bool) {
		t.Helper()
		if got := validHost(host); got != want {
			t.Errorf("validHost(%q) = %v", host, got)
		}
	}
	f("kq3v9z.com", true)
	f("_x-1.xn--p1ai", true)
	f("4chan.org", true)
	f("", false)
	f("com", false)
	f(".com", false)
	f("a..com", false)
	f("a.com.", false)
	f("A.com", false)
	f("a b.com", false)
	f("a|b.com", false)
	f("a\n.com", false)
	f("bücher.de", false)
	f("1.2.3.4", false)
	f(strings.Repeat("a", 64)+".com", false)
	f(strings.Repeat("a.", 126)+"com", false)
}

func TestPackingKeepsWithinTheLimitsAndLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfNDistinct(domains(), 0, 120, rapid.ID).Draw(t, "names")
		most := rapid.IntRange(0, maxPatterns).Draw(t, "most")
		p := packer{maxPatterns, rapid.IntRange(2, maxBranches).Draw(t, "branches"), nil}
		before, _ := p.pack(rapid.Permutation(names).Draw(t, "earlier order"), nil)
		p.patterns = most
		layout, waiting := p.pack(names, before)
		if len(layout) > most {
			t.Fatalf("%d patterns of %d", len(layout), most)
		}
		for _, group := range layout {
			if err := verify(render(group), group); err != nil {
				t.Error(err)
			}
		}
		all := slices.Concat(append(layout, waiting)...)
		if slices.Sort(all); !slices.Equal(all, slices.Sorted(slices.Values(names))) {
			t.Errorf("got %q from %q", all, names)
		}
		again, _ := p.pack(names, layout)
		if !slices.EqualFunc(layout, again, slices.Equal) {
			t.Errorf("packed again, %q became %q", layout, again)
		}
	})
}

func TestPackingOneMoreNameRewritesOnePattern(t *testing.T) {
	var names []string
	for _, suffix := range []string{"com", "net", "org"} {
		for c := 'a'; c <= 'j'; c++ {
			names = append(names, "kq3v9z"+string(c)+"."+suffix)
		}
	}
	p := packer{patterns: maxPatterns, branches: 8}
	before, waiting := p.pack(names, nil)
	if len(waiting) > 0 {
		t.Fatalf("%q wait", waiting)
	}
	after, _ := p.pack(append([]string{"first.net"}, names...), before)
	changed := 0
	for _, group := range after {
		if !slices.ContainsFunc(before, func(was []string) bool { return render(was) == render(group) }) {
			changed++
		}
	}
	if changed != 1 {
		t.Errorf("%d patterns changed", changed)
	}
}

// FuzzAPatternThatIsReadFindsWhatItIsReadAs takes anything for the body of a pattern: what is read back as names must
// be found by the whole pattern, and nothing longer.
func FuzzAPatternThatIsReadFindsWhatItIsReadAs(f *testing.F) {
	for _, body := range []string{`kq3v9z\.com`, `(?:a|b)\.com|c\.net`, `k(?:a|)[b-d]?\.co\.uk`, `a\.com)|(?:b\.com`, `\Qa.com`, `[\]`, `(?i)a\.b`} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		p := patternHead + body + patternTail
		hosts, err := hostsOf(p)
		if err != nil {
			return
		}
		re, err := regexp.Compile(p)
		if err != nil {
			t.Fatalf("%q is read as %q and does not compile: %v", p, hosts, err)
		}
		for _, h := range hosts {
			if !re.MatchString("https://"+h+"/") || re.MatchString("https://"+h+"-x.example/") {
				t.Errorf("%q is read as %q", p, h)
			}
		}
		for _, other := range []string{"https://", "https:///", "https://example.org/", "https://x/", "http://?", "x"} {
			if re.MatchString(other) && !slices.Contains(hosts, "example.org") {
				t.Errorf("%q is read as %q and finds %q", p, hosts, other)
			}
		}
	})
}
