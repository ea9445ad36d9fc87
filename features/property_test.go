package features

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// fatal is what rapid's and testing's T have in common.
type fatal interface {
	Helper()
	Fatalf(format string, args ...any)
}

// checkReferer holds what is true of any bytes.
func checkReferer(t fatal, raw []byte) {
	t.Helper()
	var p Parser
	before := string(raw)
	name, reason := p.Referer(raw)
	name = name.Clone()
	if string(raw) != before {
		t.Fatalf("%q: the caller's bytes became %q", before, raw)
	}
	if slow, slowReason := slowly(urlHost, raw); slow != name || slowReason != reason {
		t.Fatalf("%q: fast %+v, %v; slow %+v, %v", raw, name, reason, slow, slowReason)
	}
	if again, againReason := p.Referer(Origin(raw)); again != name || againReason != reason {
		t.Fatalf("%q: %+v, %v; of its origin %q %+v, %v", raw, name, reason, Origin(raw), again, againReason)
	}
	bare, bareReason := p.Bare(raw)
	if slow, slowReason := slowly(bareHost, raw); slow != bare || slowReason != bareReason {
		t.Fatalf("bare %q: fast %+v, %v; slow %+v, %v", raw, bare, bareReason, slow, slowReason)
	}
	bare = bare.Clone()
	if reason == Named && bare != name {
		t.Fatalf("%q: %+v in a Referer, %+v bare", raw, name, bare)
	}
	if bareReason == Named {
		checkName(t, bare)
	} else if bare != (Name{}) || reason != Named && name != (Name{}) {
		t.Fatalf("%q: %+v with %v, %+v with %v", raw, name, reason, bare, bareReason)
	}
}

// slowly reads a Referer without the fast path.
func slowly(host func([]byte) (string, Reason), raw []byte) (Name, Reason) {
	if len(raw) > maxReferer {
		return Name{}, Malformed
	}
	found, reason := host(raw)
	if reason != Named {
		return Name{}, reason
	}
	return read(found)
}

// checkName holds what is true of any Name.
func checkName(t fatal, n Name) {
	t.Helper()
	if !publicHost.MatchString(n.Host) || len(n.Host) > maxHost {
		t.Fatalf("%q is no host", n.Host)
	}
	if n.Host != n.Domain && !strings.HasSuffix(n.Host, "."+n.Domain) {
		t.Fatalf("%+v: the domain does not end the host", n)
	}
	if n.Label == "" || strings.Contains(n.Label, ".") || !strings.HasPrefix(n.Domain, n.Label+".") {
		t.Fatalf("%+v: the label is not the domain's first", n)
	}
	for _, usual := range []string{
		"https://" + n.Host, "https://" + n.Host + "/", "HTTP://" + strings.ToUpper(n.Host) + ".:8080/?x=http://y.com",
		"http://user:pass@" + n.Host + "?q#f", " http:\\\\" + n.Host + "\n",
	} {
		var p Parser
		if again, reason := p.Referer([]byte(usual)); again != n || reason != Named {
			t.Fatalf("%+v: again from %q: %+v, %v", n, usual, again, reason)
		}
	}
	var p Parser
	if again, _ := p.Bare([]byte(n.Host)); again != n {
		t.Fatalf("%+v: again from its host: %+v", n, again)
	}
}

func TestFastAndSlowPathAgreeOnWebURLs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkReferer(t, []byte(webURLs().Draw(t, "url"))) })
}

func TestFastAndSlowPathAgreeOnBareHosts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkReferer(t, []byte(urlHosts().Draw(t, "host"))) })
}

func TestFastAndSlowPathAgreeOnAnyBytes(t *testing.T) {
	bytes := rapid.SliceOfN(rapid.Byte(), 0, 40)
	letters := rapid.SliceOfN(rapid.SampledFrom([]byte("aA0-_.:/@%[]x \t?#")), 0, 20)
	prefix := rapid.SampledFrom([]string{"", "http://", "https://"})
	rapid.Check(t, func(t *rapid.T) {
		checkReferer(t, append([]byte(prefix.Draw(t, "prefix")), rapid.OneOf(bytes, letters).Draw(t, "rest")...))
	})
}

func FuzzReferer(f *testing.F) {
	for _, seed := range []string{
		"", "-", "null", "/path", "google.com", "about:blank", "data:text/html,hi", "android-app://com.google.android.gm/",
		"https://kq3v9z.com/", "http://www.Example.co.uk:8080/a?b#c", "https://user:pa%20ss@example.com./", "http:\\\\x\\y",
		"https://m\u00fcnchen.de/", "https://xn--mnchen-3ya.de/", "http://xn--.com", "http://ex%61mple.com", "http://a..b.com/",
		"http://127.0.0.1/", "http://0x7f.1/", "http://2130706433/", "http://1.2.3.4.5/", "http://[2001:db8::1]:8080/",
		"https://a.com \t/", "https://a.com\n", "https://\t/a.com/", "https://a.com\\b", "https://a/@b.com", "http://a.com?/b", "http://a.\tcom/b",
		"ht\ttp://\u3002a\u00ad.b\uff0ec", "http://kq3v9z.duckdns.org", "http://a.city.kawasaki.jp", "http://\xff.com/", "http://a\x00b.com",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) { checkReferer(t, raw) })
}
