package features

import (
	neturl "net/url"
	"strings"
	"testing"

	"golang.org/x/net/publicsuffix"
)

// yardstick does what Referer does for an ordinary Referer, with net/url and x/net's public suffix list.
func yardstick(raw []byte) (host, domain string) {
	u, err := neturl.Parse(string(raw))
	if err != nil {
		return "", ""
	}
	host = strings.ToLower(u.Hostname())
	domain, err = publicsuffix.EffectiveTLDPlusOne(host)
	if err != nil {
		return "", ""
	}
	return host, domain
}

func BenchmarkReferer(b *testing.B) {
	f := func(what, referer string) {
		raw := []byte(referer)
		b.Run(what, func(b *testing.B) {
			b.ReportAllocs()
			var p Parser
			for b.Loop() {
				p.Referer(raw)
			}
		})
	}
	f("fast", "https://www.kq3v9z.com/")
	f("fast/co.uk", "https://www.kq3v9z.co.uk/path?query")
	f("fast/upper-case", "https://WWW.KQ3V9Z.COM:8080/")
	f("fast/dynamic-dns", "https://kq3v9z.duckdns.org/")
	f("fast/address", "http://192.168.0.1/")
	f("none/empty", "")
	f("none/relative", "/path")
	f("none/scheme", "android-app://com.google.android.gm/")
	f("slow/userinfo", "https://user:pass@www.kq3v9z.com/")
	f("slow/percent", "https://www.kq3v9%7a.com/")
	f("slow/xn", "https://xn--mnchen-3ya.de/")
	f("slow/unicode", "https://münchen.de/")
	b.Run("yardstick: net-url and x-net-publicsuffix", func(b *testing.B) {
		b.ReportAllocs()
		raw := []byte("https://www.kq3v9z.com/")
		for b.Loop() {
			yardstick(raw)
		}
	})
}

// BenchmarkHostile takes the longest that 64 KiB of Referer can make the parser work.
func BenchmarkHostile(b *testing.B) {
	for what, referer := range hostile() {
		raw := []byte(referer)
		b.Run(what, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(raw)))
			var p Parser
			for b.Loop() {
				p.Referer(raw)
			}
		})
	}
}

// hostile yields long Referers by what is long in them.
func hostile() map[string]string {
	return map[string]string{
		"scheme":    fill("", "a", ""),
		"userinfo":  fill("http://", "a@", "x.com/"),
		"tabs":      fill("http://", "\t", "x.com/"),
		"slashes":   fill("http://", `\`, "x.com/"),
		"spaces":    fill("", " ", "http://x.com/"),
		"port":      fill("http://x.com:", "0", "80/"),
		"labels":    fill("http://", "a.", "com/"),
		"percent":   "http://" + strings.Repeat("%c3%bc", 505) + ".com/",
		"runes":     "http://" + strings.Repeat(manyRunes(0x20000, 62)+".", 4) + "/",
		"marks":     "http://" + strings.Repeat("a"+strings.Repeat("\u0301\u0323", 30)+".", 4) + "com/",
		"soft":      "http://a" + strings.Repeat("\u00ad", 500) + ".com/",
		"punycode":  "http://" + strings.Repeat("xn--"+strings.Repeat("9", 58)+".", 4) + ".com/",
		"alabels":   "http://" + strings.Repeat("xn--mnchen-3ya.", 16) + "com/",
		"path":      fill("http://user@x.com/", "a", ""),
		"not a url": fill("() { :; };", "a", ""),
	}
}

// fill returns 64 KiB.
func fill(head, middle, tail string) string {
	return head + strings.Repeat(middle, (maxReferer-len(head)-len(tail))/len(middle)) + tail
}

// manyRunes returns n different letters, for which Punycode needs the most steps.
func manyRunes(first rune, n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteRune(first + rune(i))
	}
	return b.String()
}
