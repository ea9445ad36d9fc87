//go:build linux

package main

import (
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"

	"referee/training/shapes"
)

// A browser's request as an ALB passes it on, of about 700 bytes.
const (
	beforeAgent = " HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/"
	afterAgent  = ".0.0.0 Safari/537.36\r\n" +
		"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n" +
		"Accept-Language: en-US,en;q=0.9,de;q=0.8\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n" +
		"Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n" +
		"X-Forwarded-Proto: https\r\nX-Forwarded-Port: 443\r\nX-Amzn-Trace-Id: Root=1-67891233-abcdef012345678912345678\r\nX-Forwarded-For: "
)

const (
	// Each client whose evidence has changed is in the ledger's journal each second: so many clients are what that
	// costs at most, and few of them are what a request costs by itself.
	manyClients = 20_000
	fewClients  = 64
	usualNames  = 3_000
	// cacheNames is classifier.cache's default: a flood is the harder to bear the more names are usual.
	cacheNames = 65_536
	floodShare = 95 // of a hundred
)

// traffic makes requests, always the same ones for a seed. It is not safe for concurrent use.
type traffic struct {
	r      *rand.Rand
	target string
	name   func() string // of the next Referer
	made   int           // by the flood: of usual names
	client func() uint32
}

func newTraffic(target string, clients uint32) *traffic {
	t := &traffic{r: rand.New(rand.NewPCG(1, 1)), target: target}
	t.client = func() uint32 { return t.r.Uint32N(clients) }
	return t
}

// usual has Referers of a busy site: 3,000 others' names, the popular ones most.
func usual(target string, clients uint32) *traffic {
	t := newTraffic(target, clients)
	t.name = func() string {
		pick := t.r.Float64()
		return humanName(int(usualNames * pick * pick * pick))
	}
	return t
}

// unseen has a name in each Referer that was not there before: of three words, as people choose them.
func unseen(target string, clients uint32) *traffic {
	t := newTraffic(target, clients)
	i := cacheNames
	t.name = func() string {
		i++
		return humanName(i)
	}
	return t
}

// flood sends 95 requests of a hundred with a generated name that was not there before, from any of a million clients. The others
// have usual names, as many as the cache holds, the popular ones most. share 0 is the time before the flood.
func flood(target string, share int) *traffic {
	t := newTraffic(target, manyClients)
	zipf := rand.NewZipf(t.r, 1.1, 1, cacheNames-1)
	var families []*shapes.Family
	for range 30 {
		families = append(families, shapes.NewFamily(shapes.Random, t.r, nil))
	}
	flooding := false
	t.name = func() string {
		if flooding = t.r.IntN(100) < share; flooding {
			return families[t.r.IntN(len(families))].Domain()
		}
		t.made++
		return humanName(int(zipf.Uint64()))
	}
	t.client = func() uint32 {
		if flooding {
			return manyClients + t.r.Uint32N(1<<20)
		}
		return t.r.Uint32N(manyClients)
	}
	return t
}

// next appends the next request.
func (t *traffic) next(b []byte) []byte {
	name := t.name()
	client := t.client()
	b = append(append(append(b, "GET "...), t.target...), "/products/"...)
	b = strconv.AppendInt(b, t.r.Int64N(5000), 10)
	b = append(b, "?ref=1"...)
	b = append(b, beforeAgent...)
	b = strconv.AppendInt(b, 120+t.r.Int64N(20), 10)
	b = append(b, afterAgent...)
	b = netip.AddrFrom4([4]byte{81, byte(client >> 16), byte(client >> 8), byte(client)}).AppendTo(b)
	b = append(append(b, "\r\nReferer: https://www."...), name...)
	return append(b, "/some/page?q=1\r\n\r\n"...)
}

// humanName is the i-th of about two million names of one to three words.
func humanName(i int) string {
	n := len(words)
	name := words[i%n]
	if i /= n; i > 0 {
		name += words[i%n]
	}
	if i /= n; i > 0 {
		name += words[i%n]
	}
	if i /= n; i > 0 {
		name += strconv.Itoa(i)
	}
	return name + ".com"
}

var words = strings.Fields(`garden kitchen news daily travel book shop music photo house market school sport city home art world green
	blue coffee bike river mountain forest ocean summer winter spring auto health family money phone game movie fashion style beauty
	design studio media digital cloud data tech smart power energy solar water fire stone wood metal glass paper print color light
	dark night day time clock watch gold silver diamond jewel ring gift flower rose tree leaf seed farm food bread cake wine beer tea
	sugar salt spice fish meat apple orange lemon cherry berry nut pizza burger pasta rice soup salad cook chef table chair bed sofa
	lamp door window wall floor roof brick tool craft hobby toy doll baby kids`)

// looped goes round the first n requests of t, so that making them takes no time.
func looped(t *traffic, n int) func([]byte) []byte {
	made := make([][]byte, n)
	for i := range made {
		made[i] = t.next(nil)
	}
	i := 0
	return func(b []byte) []byte {
		i = (i + 1) % n
		return append(b, made[i]...)
	}
}
