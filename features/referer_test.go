package features

import "testing"

func TestARefererHoldsAName(t *testing.T) {
	f := func(in, host, domain, label string) {
		t.Helper()
		var p Parser
		got, reason := p.Referer([]byte(in))
		if want := (Name{host, domain, label}); got != want || reason != Named {
			t.Errorf("%q: got %+v, %v; want %+v", in, got, reason, want)
		}
	}
	f("https://kq3v9z.com/", "kq3v9z.com", "kq3v9z.com", "kq3v9z")
	f("http://www.Example.co.uk:8080/a?b#c", "www.example.co.uk", "example.co.uk", "example")
	f("HTTPS://user:pass@www.example.com./", "www.example.com", "example.com", "example")
	f("https://d111111abcdef8.cloudfront.net/", "d111111abcdef8.cloudfront.net", "cloudfront.net", "cloudfront")
	f("https://kq3v9z.duckdns.org", "kq3v9z.duckdns.org", "kq3v9z.duckdns.org", "kq3v9z")
	f("https://m\u00fcnchen.de/", "xn--mnchen-3ya.de", "xn--mnchen-3ya.de", "xn--mnchen-3ya")
	f("http://ex%61mple.com", "example.com", "example.com", "example")
	f("http://kq3v9z.bazar/", "kq3v9z.bazar", "kq3v9z.bazar", "kq3v9z")
}
