package scan

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"referee/training/shapes"
)

// traffic writes combined lines as a busy site's server does.
//
// The ordinary kind is of a site, ownHost, under an attack of today's size. Visitors, 20,000 of them, look at pages, a hundred at a time; a
// page fetches up to four parts, the rest is in browsers' caches. Of all lines 67 % are such parts, with the page as Referer, and 8 % come from
// another page of the site; 13 % come from one of 3,000 other sites, the popular ones most, 7 % have no Referer, and 5 % carry a name that was
// never seen before: nine in ten of them made of words, the tenth generated, from one of 300 bots.
//
// The harsh kind is under a flood: of a hundred lines ten have no Referer, 85 one of the 3,000 other sites, and five a generated name that
// was never seen before, from one of 2,000 bots. It has no visits: each line is of any client, so that what is known of it is in no cache.
type traffic struct {
	r        *rand.Rand
	at       time.Time
	harsh    bool
	views    [100]view
	families []*shapes.Family
	sites    []string
	agents   []string
}

// view is a page under way to a visitor.
type view struct {
	client uint32
	page   int64
	parts  int // still to be fetched
}

// ownHost is whose pages the ordinary traffic is about.
const ownHost = "www.example.com"

func newTraffic(seed uint64) *traffic {
	t := &traffic{r: rand.New(rand.NewPCG(seed, 0)), at: time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC), harsh: true}
	for i := range 30 {
		t.families = append(t.families, shapes.NewFamily([]shapes.Kind{shapes.Random, shapes.Hex, shapes.Base32}[i%3], t.r, nil))
	}
	sites := shapes.NewFamily(shapes.Words, t.r, strings.Fields(words)[:24])
	for range 3000 {
		t.sites = append(t.sites, sites.Domain())
	}
	for i := range 40 {
		t.agents = append(t.agents, fmt.Sprintf("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.0.0 Safari/537.36", 100+i))
	}
	return t
}

func newOrdinaryTraffic(seed uint64) *traffic {
	t := newTraffic(seed)
	t.harsh = false
	for i := range t.agents {
		system := []string{"X11; Linux x86_64", "Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7", "Linux; Android 10; K"}[i%4]
		t.agents[i] = strings.Replace(t.agents[i], "Windows NT 10.0; Win64; x64", system, 1)
	}
	return t
}

const words = `garden kitchen news daily travel book shop music photo house market school sport city home art world green blue coffee bike river
wood stone fine dental studio group health care legal tax auto parts craft design digital media print paper press farm food fresh bread wine
hotel tours villa beach sun sea lake mountain valley forest north south west east old new best smart easy quick simple happy little big royal
grand prime first family kids baby pet dog cat horse bird fish flower tree leaf rose gold silver iron steel glass light fire water air solar
power energy tech soft data cloud code web net link point line bridge gate tower castle church park street road camp club team league fan
game play toy hobby dance film radio voice story poem letter post mail deal sale gift card bank trust fund invest loan credit money coin`

func (t *traffic) line(b []byte) []byte {
	t.at = t.at.Add(time.Duration(t.r.IntN(4)) * time.Millisecond)
	if t.harsh {
		return t.floodLine(b)
	}
	return t.ordinaryLine(b)
}

func (t *traffic) ordinaryLine(b []byte) []byte {
	v := &t.views[t.r.IntN(len(t.views))]
	if v.parts > 0 {
		v.parts--
		b = t.sender(b, v.client)
		switch part := t.r.Int64N(4); part {
		case 0:
			b = fmt.Appendf(b, "/static/css/main.%d.css", v.page%3)
		case 1:
			b = fmt.Appendf(b, "/static/js/app.%d.js", v.page%3)
		case 2:
			b = fmt.Appendf(b, "/api/v1/stock/%d", v.page)
		default:
			b = fmt.Appendf(b, "/images/products/%d/%d.webp", v.page, part)
		}
		b = fmt.Appendf(t.status(b), "https://%s/products/%d", ownHost, v.page)
		return t.end(b, v.client)
	}
	v.client, v.page, v.parts = t.r.Uint32N(20_000), int64(5000*t.skewed()), t.r.IntN(5)
	kind := t.r.IntN(200)
	if kind < 3 {
		v.client, v.parts = 1<<20+v.client%300, 0
	}
	b = fmt.Appendf(t.sender(b, v.client), "/products/%d?ref=1", v.page)
	b = t.status(b)
	switch {
	case kind < 3:
		b = fmt.Appendf(b, "http://%s/", t.families[t.r.IntN(len(t.families))].Domain())
	case kind < 30:
		b = fmt.Appendf(b, "https://%s/", t.newName())
	case kind < 108:
		b = t.site(b, v.client)
	case kind < 150:
		b = append(b, '-')
	default:
		b = fmt.Appendf(b, "https://%s/category/%d/", ownHost, v.page%40)
	}
	return t.end(b, v.client)
}

// newName is a name that somebody could have thought of.
func (t *traffic) newName() string {
	all := strings.Fields(words)
	pick := func(list []string) string { return list[t.r.IntN(len(list))] }
	return pick(all) + pick([]string{"", "-"}) + pick(all) + pick(all) + pick([]string{".com", ".de", ".org", ".net", ".co.uk", ".fr", ".it", ".info"})
}

func (t *traffic) floodLine(b []byte) []byte {
	client, kind := t.r.Uint32N(20_000), t.r.IntN(100)
	if kind < 5 {
		client = 1<<20 + client%2000
	}
	b = t.sender(b, client)
	b = append(b, "/products/"...)
	b = strconv.AppendInt(b, t.r.Int64N(5000), 10)
	b = append(b, "?ref=1"...)
	b = t.status(b)
	switch {
	case kind >= 90:
		b = append(b, '-')
	case kind < 5:
		b = append(append(append(b, "http://"...), t.families[t.r.IntN(len(t.families))].Domain()...), '/')
	default:
		b = t.site(b, client)
	}
	return t.end(b, client)
}

func (t *traffic) sender(b []byte, client uint32) []byte {
	b = netip.AddrFrom4([4]byte{81, byte(client >> 16), byte(client >> 8), byte(client)}).AppendTo(b)
	b = append(b, " - - ["...)
	b = t.at.AppendFormat(b, "02/Jan/2006:15:04:05 -0700")
	return append(b, `] "GET `...)
}

func (t *traffic) status(b []byte) []byte {
	b = append(b, ` HTTP/1.1" 200 `...)
	b = strconv.AppendInt(b, t.r.Int64N(100_000), 10)
	return append(b, ` "`...)
}

// site is one of the one to three other sites that a visitor comes by.
func (t *traffic) site(b []byte, client uint32) []byte {
	pick := float64((client*2654435761+t.r.Uint32N(1+client%3)*40503)>>8&0xffff) / 0x10000
	return append(append(append(b, "https://www."...), t.sites[int(float64(len(t.sites))*pick*pick*pick)]...), '/')
}

// skewed is a number below one, mostly a small one.
func (t *traffic) skewed() float64 { x := t.r.Float64(); return x * x * x }

func (t *traffic) end(b []byte, client uint32) []byte {
	b = append(b, `" "`...)
	agent := t.r.IntN(len(t.agents))
	if !t.harsh {
		agent = int(client) % len(t.agents)
	}
	b = append(b, t.agents[agent]...)
	return append(b, "\"\n"...)
}
