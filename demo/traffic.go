package demo

import (
	"fmt"
	"math/rand/v2"
	"net/netip"

	"referee/training/shapes"
)

// request is one request of the demo's script: who sends it, with which Referer, and whether he is an attacker. Referee is
// told the first two only.
type request struct {
	client  netip.Addr
	referer string
	attack  bool
}

// How much of what is sent.
const (
	visitors        = 400 // ordinary clients
	bots            = 60  // clients that draw new names all the time
	namesPerBot     = 12
	campaigns       = 24 // names that many clients carry
	clientsPerName  = 8
	families        = 6
	ordinarySurplus = 3 // pages an ordinary client loads per Referer
)

// script makes the demo's traffic, in random order: the same for the same seed.
func script(seed uint64) []request {
	r := rand.New(rand.NewPCG(seed, 0))
	var all []request
	for range visitors {
		client := address(r)
		for _, i := range r.Perm(len(ordinaryReferers))[:1+r.IntN(6)] {
			for range 1 + r.IntN(ordinarySurplus) {
				all = append(all, request{client: client, referer: ordinaryReferers[i]})
			}
		}
	}
	names := generated(r)
	for range bots {
		client := address(r)
		for range namesPerBot {
			all = append(all, request{client: client, referer: "http://" + names() + "/", attack: true})
		}
	}
	for range campaigns {
		name := names()
		for range clientsPerName {
			all = append(all, request{client: address(r), referer: fmt.Sprintf("https://www.%s/?id=%d", name, r.IntN(1e6)), attack: true})
		}
	}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// generated returns a source of generated names: published ones first, then those of imaginary families.
func generated(r *rand.Rand) func() string {
	made := make([]*shapes.Family, families)
	for i := range made {
		kind := []shapes.Kind{shapes.Random, shapes.Hex, shapes.Base32}[i%3]
		made[i] = shapes.NewFamily(kind, r, nil)
	}
	next := 0
	return func() string {
		next++
		if next <= len(publishedNames) {
			return publishedNames[next-1]
		}
		return made[next%families].Domain()
	}
}

// address draws a public IPv4 address, or now and then an IPv6 one. It stands in X-Forwarded-For, as an ALB would put it
// there; nothing is sent to it.
func address(r *rand.Rand) netip.Addr {
	if r.IntN(8) == 0 {
		return netip.AddrFrom16([16]byte{0x2a, 0x02, byte(r.IntN(256)), byte(r.IntN(256)), byte(r.IntN(256)), 0, byte(r.IntN(256)), 15: 1})
	}
	return netip.AddrFrom4([4]byte{byte(80 + r.IntN(15)), byte(r.IntN(256)), byte(r.IntN(256)), byte(1 + r.IntN(254))})
}

// publishedNames are what the published algorithms of real malware generate (reimplementations: J. Bader,
// domain_generation_algorithms; Netlab 360, DGA).
var publishedNames = []string{
	"bwvryyth.net", "kdszvoqlye.net", "zhoaowlswts.com", // Conficker
	"kpqejvnusacc.co.uk", "ykdfjtmathdq.org", "ihsnwksqedhbv.com", // CryptoLocker
	"kkllyxllgohs.com", "orwwccktskkh.in", "svipqqlngodn.com", // Tinba
	"mblmticirdvatogkevfm.bid", "wbocvdsgcyoqsqaocb.eu", // Ramnit
	"vgvnuhutaxyuu.cc", "qwmdcxcmjxfu.org", // Necurs
	"hvijsn1y3mlu012cnec114yq312.com", "2q635z19iaygjohfyd31931w61.net", // GameOver Zeus
	"lbvkjijhuwwkdulfcuxsutvwuoob.org", "hnztkrkmarqrshihixsctonvo.ru", // Murofet
	"ddmbplvukxfwcfvpjyje.info", "hectxzbgbpchuzroacds.com", // Qakbot
}

// ordinaryReferers are what browsers send from well-known sites, and from small ones whose names are odd to a machine:
// foreign words, acronyms, long chains.
var ordinaryReferers = []string{
	"https://www.google.com/", "https://www.bing.com/", "https://duckduckgo.com/", "https://search.yahoo.com/",
	"https://www.facebook.com/", "https://l.instagram.com/", "https://t.co/9fK2xQ", "https://www.reddit.com/",
	"https://www.linkedin.com/", "https://news.ycombinator.com/item?id=1", "https://en.wikipedia.org/wiki/Referer",
	"https://www.youtube.com/", "https://github.com/golang/go", "https://stackoverflow.com/questions/11828270",
	"https://www.nytimes.com/", "https://www.bbc.co.uk/news", "https://www.theguardian.com/international",
	"https://www.lemonde.fr/", "https://www.spiegel.de/", "https://elpais.com/", "https://www.corriere.it/",
	"https://allegro.pl/", "https://www.onet.pl/", "https://wysokieobcasy.pl/", "https://index.hu/", "https://www.hvg.hu/",
	"https://www.hurriyet.com.tr/", "https://kun.uz/", "https://www.seznam.cz/", "https://www.novinky.cz/",
	"https://www.baidu.com/", "https://www.163.com/", "https://www.51job.com/", "https://v.qq.com/",
	"https://www.rakuten.co.jp/", "https://www.naver.com/", "https://yandex.ru/search/", "https://vk.com/",
	"https://www.amazon.de/", "https://www.ebay.co.uk/", "https://www.etsy.com/", "https://www.booking.com/",
	"https://d1x2.cloudfront.net/app/", "https://someone.github.io/notes/", "https://shop.example.com/",
	"https://www.bakkerijvanderberg.nl/", "https://www.pizzeriadaluigi.it/", "https://schreinerei-mueller.de/",
	"https://www.rotterdamcentraaldistrict.com/", "https://www.przychodniazdrowia.pl/", "https://www.fodraszat.hu/",
	"https://www.harmonielesbainsdouches.fr/", "https://www.mobilyadunyasi.com.tr/", "https://www.ludwigshafen.de/",
	"https://www.nhs.uk/", "https://www.gov.uk/", "https://www.mit.edu/", "https://www.townofwells.gov/",
	"https://www.kfz-zulassung.de/", "https://www.bzga.de/", "https://www.krknews.pl/", "https://www.dhl.com/",
	"https://www.jdoqocy.com/click-100", "https://www.tkqlhce.com/click-200", // an affiliate network: never-block saves them
	"https://www.zdf.de/", "https://xkcd.com/", "https://www.ikea.com/", "https://www.hsbc.com/",
	"android-app://com.google.android.gm/", "", "-", "http://192.168.1.20/index.html", "http://intranet/",
}
