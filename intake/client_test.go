package intake

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var privateRanges = []string{"127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"}

func parseProxies(t testing.TB, list ...string) *Proxies {
	t.Helper()
	p, err := ParseProxies(list)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func byteLines(s []string) [][]byte {
	lines := make([][]byte, len(s))
	for i := range s {
		lines[i] = []byte(s[i])
	}
	return lines
}

func TestTheClientIsTheFirstAddressFromTheRightThatIsNoProxy(t *testing.T) {
	cloudFront := "130.176.0.0/16" // one of its origin-facing ranges
	proxies := parseProxies(t, append(privateRanges, cloudFront)...)
	f := func(want, peer string, forwarded ...string) {
		t.Helper()
		lines := byteLines(forwarded)
		got := proxies.Client(netip.MustParseAddr(peer), lines)
		if want == "" && got.IsValid() || want != "" && got.String() != want {
			t.Errorf("peer %s, X-Forwarded-For %q: got %s, want %q", peer, forwarded, got, want)
		}
	}
	// What stands to the left of the first stranger is his own word.
	f("9.9.9.9", "9.9.9.9")
	f("9.9.9.9", "9.9.9.9", "1.1.1.1")
	f("8.8.8.8", "10.0.0.5", "8.8.8.8")
	f("8.8.8.8", "10.0.0.5", "1.1.1.1, 8.8.8.8")
	f("8.8.8.8", "127.0.0.1", "1.1.1.1, 8.8.8.8, 10.0.0.5")
	f("8.8.8.8", "::1", "10.0.0.9, 8.8.8.8, 130.176.1.2, 10.0.0.5")

	// Several lines are one list.
	f("8.8.8.8", "10.0.0.5", "1.1.1.1", "8.8.8.8")
	f("8.8.8.8", "10.0.0.5", "8.8.8.8", "10.0.0.6")
	f("8.8.8.8", "10.0.0.5", "1.1.1.1, 8.8.8.8", "10.0.0.6, 10.0.0.7")
	f("8.8.8.8", "10.0.0.5", "", "8.8.8.8", " \t")

	// Every form that proxies write.
	f("8.8.8.8", "10.0.0.5", "8.8.8.8:51234")
	f("2600::1", "10.0.0.5", "2600::1")
	f("2600::1", "10.0.0.5", "[2600::1]")
	f("2600::1", "10.0.0.5", "[2600::1]:443")
	f("2600::1", "10.0.0.5", "2600:0:0::0001")
	f("8.8.8.8", "10.0.0.5", "::ffff:8.8.8.8")
	f("8.8.8.8", "10.0.0.5", "[::FFFF:0808:0808]:80")
	f("8.8.8.8", "::ffff:10.0.0.5", "8.8.8.8")
	f("8.8.8.8", "10.0.0.5", "\t8.8.8.8 ,10.0.0.1\t")

	// It stops at the first that does not parse.
	f("", "10.0.0.5", "8.8.8.8, unknown")
	f("", "10.0.0.5", "8.8.8.8, _secret, 10.0.0.1")
	f("", "10.0.0.5", "8.8.8.8,")
	f("", "10.0.0.5", "8.8.8.8,,10.0.0.1")
	f("", "10.0.0.5", "8.8.8.8:")
	f("", "10.0.0.5", "8.8.8.8:99999")
	f("", "10.0.0.5", "8.8.8.8:+80")
	f("", "10.0.0.5", "08.8.8.8")
	f("", "10.0.0.5", "8.8.8")
	f("", "10.0.0.5", "[8.8.8.8]")
	f("", "10.0.0.5", "[2600::1")
	f("", "10.0.0.5", "[2600::1]443")
	f("", "10.0.0.5", `"8.8.8.8"`)
	f("", "10.0.0.5", "2600::1%eth0")
	f("", "10.0.0.5", "8.8.8.8 1.1.1.1")
	f("", "10.0.0.5", strings.Repeat("8", 4096))

	// Where all are proxies nobody is the client.
	f("", "10.0.0.5")
	f("", "10.0.0.5", "")
	f("", "10.0.0.5", "192.168.1.1, 10.0.0.1")
	f("", "130.176.1.2", "10.0.0.1")
	f("169.254.1.1", "10.0.0.5", "8.8.8.8, 169.254.1.1")

	// A chain that no real installation has costs no more than one that is real.
	f("", "10.0.0.5", "8.8.8.8"+strings.Repeat(",10.0.0.1", maxHops))
	f("8.8.8.8", "10.0.0.5", "8.8.8.8"+strings.Repeat(",10.0.0.1", maxHops-2))
}

func TestWithoutTrustedProxiesThePeerIsTheClient(t *testing.T) {
	var none *Proxies
	got := none.Client(netip.MustParseAddr("9.9.9.9"), [][]byte{[]byte("8.8.8.8")})
	if got != netip.MustParseAddr("9.9.9.9") {
		t.Errorf("got %s", got)
	}
}

// The three modes of an ALB (routing.http.xff_header_processing.mode), as its targets see them: append adds its peer on the
// right, preserve passes on what the client wrote, remove sends none.
func TestTheClientBehindAnALBInEachOfItsModes(t *testing.T) {
	appends := parseProxies(t, privateRanges...)
	f := func(want string, p *Proxies, peer string, forwarded ...string) {
		t.Helper()
		got := p.Client(netip.MustParseAddr(peer), byteLines(forwarded))
		if want == "" && got.IsValid() || want != "" && got.String() != want {
			t.Errorf("peer %s, X-Forwarded-For %q: got %s, want %q", peer, forwarded, got, want)
		}
	}
	const alb = "10.0.1.17"
	f("8.8.8.8", appends, alb, "8.8.8.8")                        // nobody wrote one
	f("8.8.8.8", appends, alb, "1.1.1.1, 8.8.8.8")               // the client wrote one
	f("8.8.8.8", appends, alb, "10.0.0.1, 8.8.8.8:51234")        // with client ports (xff_client_port.enabled)
	f("8.8.8.8", appends, "127.0.0.1", "1.1.1.1, 8.8.8.8, "+alb) // an ingress between it and us
	f("8.8.8.8", appends, alb, "1.1.1.1, 8.8.8.8, 10.0.0.9")     // Envoy's ext_authz has added itself

	preserves := appends.Heedless()
	f("", preserves, alb, "1.1.1.1")
	f("", preserves, alb, "1.1.1.1, 10.0.0.1")
	f("", preserves, "127.0.0.1", "1.1.1.1, "+alb)
	f("9.9.9.9", preserves, "9.9.9.9", "1.1.1.1") // somebody who got past the load balancer is known by the connection

	f("", appends, alb) // remove
	f("", appends.Heedless(), alb)
}

func TestTrustedProxiesThatCannotBeMeantAreRefused(t *testing.T) {
	f := func(entry, want string) {
		t.Helper()
		_, err := ParseProxies([]string{"10.0.0.0/8", entry})
		switch {
		case want == "" && err != nil:
			t.Errorf("%q: %v", entry, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "trusted-proxies: ")):
			t.Errorf("%q: got %v, want something about %q", entry, err, want)
		}
	}
	f("192.168.0.1", "")
	f(" 192.168.0.0/16 ", "")
	f("10.1.2.3/8", "")
	f("::ffff:10.0.0.0/104", "")
	f("0.0.0.0/0", "trusts every address")
	f("::/0", "trusts every address")
	f("::ffff:0.0.0.0/96", "trusts every address")
	f("::ffff:0.0.0.0/95", "write the IPv4 range itself")
	f("10.0.0.0/33", `"10.0.0.0/33" is neither`)
	f("load-balancer", `"load-balancer" is neither`)
	f("fe80::1%eth0", "is neither")
	f("", "is neither")
}

func TestRangesThatOverlapHoldWhatTheirPrefixesHold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		addr := rapid.Custom(func(t *rapid.T) netip.Addr {
			// A few bits, so that prefixes nest and addresses fall into them.
			b := rapid.SliceOfN(rapid.ByteMax(3), 4, 4).Draw(t, "bytes")
			if rapid.Bool().Draw(t, "v6") {
				b = append([]byte{0x26, 12: 0}, b[1:]...)
			}
			a, _ := netip.AddrFromSlice(b)
			return a
		})
		var prefixes []netip.Prefix
		for range rapid.IntRange(0, 12).Draw(t, "prefixes") {
			a := addr.Draw(t, "prefix")
			prefixes = append(prefixes, netip.PrefixFrom(a, rapid.IntRange(1, a.BitLen()).Draw(t, "bits")).Masked())
		}
		r := newRanges(prefixes)
		a := addr.Draw(t, "address")
		want := false
		for _, p := range prefixes {
			want = want || p.Contains(a)
		}
		if got := r.contain(a); got != want {
			t.Fatalf("%s in %v: got %v, want %v", a, prefixes, got, want)
		}
	})
}

// naiveClient is Client written for clarity, with the net package in place of netip and our own scanning.
func naiveClient(trusted []string, peer string, forwarded []string) string {
	var chain []string
	for _, line := range forwarded {
		if strings.Trim(line, " \t") != "" {
			chain = append(chain, strings.Split(line, ",")...)
		}
	}
	chain = append(chain, peer)
	for i := len(chain) - 1; i >= 0 && i > len(chain)-1-maxHops; i-- {
		host := strings.Trim(chain[i], " \t")
		if h, port, err := net.SplitHostPort(host); err == nil {
			if !isPort([]byte(":" + port)) {
				return ""
			}
			host = h
		} else if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
			host = host[1 : len(host)-1]
			if !strings.Contains(host, ":") {
				return ""
			}
		}
		if strings.HasPrefix(strings.Trim(chain[i], " \t"), "[") && !strings.Contains(host, ":") {
			return ""
		}
		ip := net.ParseIP(host)
		if ip == nil {
			return ""
		}
		isTrusted := false
		for _, cidr := range trusted {
			_, n, _ := net.ParseCIDR(cidr)
			isTrusted = isTrusted || n.Contains(ip)
		}
		if !isTrusted {
			return ip.String()
		}
	}
	return ""
}

func TestTheClientIsTheOneThatANaiveWalkFinds(t *testing.T) {
	proxies := parseProxies(t, privateRanges...)
	elements := []string{
		"8.8.8.8", "1.1.1.1:443", "2600::1", "[2600::2]", "[2600::3]:80", "10.0.0.1", "127.0.0.1:9", "fd00::1", "::1",
		"::ffff:8.8.4.4", "unknown", "", "8.8.8.8:", "[::1", "300.1.1.1", "192.0.2.1", "2001:db8::1", "10.0.0.1%1", "[9.9.9.9]:80",
	}
	rapid.Check(t, func(t *rapid.T) {
		peer := rapid.SampledFrom([]string{"8.8.8.8", "10.0.0.1", "::1", "2600::9"}).Draw(t, "peer")
		var forwarded []string
		for range rapid.IntRange(0, 3).Draw(t, "lines") {
			separator := rapid.SampledFrom([]string{",", ", ", "\t,"}).Draw(t, "separator")
			forwarded = append(forwarded, strings.Join(rapid.SliceOfN(rapid.SampledFrom(elements), 0, 20).Draw(t, "elements"), separator))
		}
		lines := byteLines(forwarded)
		got := ""
		if a := proxies.Client(netip.MustParseAddr(peer), lines); a.IsValid() {
			got = a.String()
		}
		if want := naiveClient(privateRanges, peer, forwarded); got != want {
			t.Fatalf("peer %s, X-Forwarded-For %q: got %q, want %q", peer, forwarded, got, want)
		}
	})
}

func FuzzClientIsWhatANaiveWalkFinds(f *testing.F) {
	f.Add("8.8.8.8, 10.0.0.1", "[2600::1]:80")
	f.Add("unknown,, [", "::ffff:8.8.8.8:1")
	f.Add(" \t", "1.1.1.1%0")
	proxies := parseProxies(f, privateRanges...)
	f.Fuzz(func(t *testing.T, a, b string) {
		got := proxies.Client(netip.MustParseAddr("10.0.0.5"), [][]byte{[]byte(a), []byte(b)})
		want := naiveClient(privateRanges, "10.0.0.5", []string{a, b})
		if got.IsValid() && got.String() != want || !got.IsValid() && want != "" {
			t.Errorf("%q, %q: got %s, want %q", a, b, got, want)
		}
		if got.Is4In6() || got.Zone() != "" {
			t.Errorf("%q, %q: %s is not how this address is written", a, b, got)
		}
	})
}

func TestTheClientIsFoundWithoutAllocating(t *testing.T) {
	proxies := parseProxies(t, privateRanges...)
	peer := netip.MustParseAddr("10.0.0.5")
	lines := [][]byte{[]byte("1.1.1.1, [2600::1]:443"), []byte("10.0.0.7, 10.0.0.8:1234")}
	if n := testing.AllocsPerRun(100, func() {
		if !proxies.Client(peer, lines).IsValid() {
			t.Fatal("no client")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkClient(b *testing.B) {
	proxies := parseProxies(b, privateRanges...)
	peer := netip.MustParseAddr("10.0.0.5")
	for name, lines := range map[string][][]byte{
		"ALB":              {[]byte("203.5.113.7")},
		"CDN, ALB, client": {[]byte("1.1.1.1, 2600:1f18:4c7e::17, 10.0.0.8")},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				proxies.Client(peer, lines)
			}
		})
	}
}
