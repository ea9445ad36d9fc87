package policy

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"referee/classifier"

	"golang.org/x/net/publicsuffix"
)

func TestTheHotPathDoesNotAllocate(t *testing.T) {
	cfg := defaults()
	cfg.NeverBlock.Hosts = []string{"app.shop.co.uk"}
	cfg.NeverBlock.Suffixes = []string{"partner.com"}
	p := newPolicy(t, cfg)
	hits := NewHits([]Hit{{Kind: KindName, Domain: "kq3v9z7xw.com"}, {Kind: KindClient, Client: netip.MustParsePrefix("81.2.69.1/32")}})
	client := netip.MustParseAddr("::ffff:81.2.69.1")
	f := func(what string, run func()) {
		t.Helper()
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
	for _, host := range []string{
		"www.kq3v9z7xw.com", "www.google.com", "townofsenecawoodcowi.gov", "x.app.shop.co.uk", "shop.co.uk", "a.partner.com",
		"a-label-of-more-than-32-bytes-which-is-not-rare.com",
	} {
		n := parse(t, host)
		f(host, func() { p.Judge(n, classifier.Result{Tail: 1e-5}) })
	}
	f("Own", func() { p.Own("www.kq3v9z7xw.com") })
	f("ExemptClient", func() { p.ExemptClient(client) })
	f("Hits", func() { hits.Name("kq3v9z7xw.com"); hits.Client(client) })
}

// BenchmarkJudge measures one verdict for a name whose score is known, next to finding that name's public suffix.
func BenchmarkJudge(b *testing.B) {
	cfg := defaults()
	cfg.NeverBlock.Hosts = []string{"app.shop.co.uk"}
	p := newPolicy(b, cfg)
	for _, host := range []string{"www.kq3v9z7xw.com", "www.google.com", "www.nasa.gov"} {
		n := parse(b, host)
		b.Run(host, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.Judge(n, classifier.Result{Tail: 1e-5})
			}
		})
	}
	b.Run("x/net/publicsuffix of www.google.com", func(b *testing.B) {
		for b.Loop() {
			publicsuffix.PublicSuffix("www.google.com")
		}
	})
}

func BenchmarkExemptClient(b *testing.B) {
	p := newPolicy(b, defaults())
	for _, addr := range []string{"81.2.69.1", "192.168.1.1", "2001:4860::1"} {
		a := netip.MustParseAddr(addr)
		b.Run(addr, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.ExemptClient(a)
			}
		})
	}
}

// BenchmarkDecide measures one tick of the background: at rest, with everything remembered that fits, and in an attack.
func BenchmarkDecide(b *testing.B) {
	p := newPolicy(b, defaults())
	address := func(i int) string {
		return netip.AddrFrom4([4]byte{81, byte(i >> 14), byte(i >> 6), byte(i<<2 + 1)}).String()
	}
	run := func(name string, clients int) {
		b.Run(name, func(b *testing.B) {
			st := newState()
			for i := range clients {
				for n := range 4 {
					see(st, fmt.Sprintf("kq3v9z%d.com", (i*4+n)*7919%20_000), flagged, address(i), 0)
				}
			}
			hits, first := p.Decide(nil, st, noon.Add(time.Minute))
			b.Logf("%d hits, %d decided at once", hits.Len(), len(first))
			b.ReportAllocs()
			b.ResetTimer()
			i := 0
			for b.Loop() {
				i++
				b.StopTimer()
				bot := netip.AddrFrom4([4]byte{82, byte(i >> 16), byte(i >> 8), byte(i)}).String()
				for n := range 4 { // one new bot in each tick
					see(st, fmt.Sprintf("kq3v9z%d.com", n), flagged, bot, time.Minute)
				}
				b.StartTimer()
				hits, _ = p.Decide(hits, st, noon.Add(2*time.Minute))
			}
		})
	}
	run("1,000 bots", 1000)
	run("60,000 bots", 60_000)
}
