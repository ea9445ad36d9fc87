package classifier_test

import (
	"strings"

	"referee/features"
)

// wellKnown are labels of well-known sites of many countries and kinds.
var wellKnown = strings.Fields(`
	google youtube facebook wikipedia instagram whatsapp reddit amazon twitter linkedin pinterest netflix microsoft
	office bing yahoo duckduckgo ecosia startpage qwant baidu yandex naver daum seznam sogou
	github gitlab bitbucket stackoverflow stackexchange sourceforge npmjs pypi debian ubuntu archlinux freebsd
	kernel golang python rust-lang mozilla apache nginx cloudflare fastly akamai digitalocean hetzner
	theguardian nytimes washingtonpost bbc cnn reuters bloomberg economist independent telegraph latimes usatoday
	forbes businessinsider huffpost politico axios propublica theatlantic newyorker nationalgeographic smithsonianmag
	spiegel zeit faz sueddeutsche bild heise golem tagesschau derstandard orf srf nzz blick lemonde lefigaro
	liberation leparisien ouest-france elpais elmundo abc marca repubblica corriere lastampa ansa gazeta onet
	interia wyborcza przegladsportowy idnes novinky sme pravda hvg index telex blic kurir dnevnik jutarnji hurriyet
	milliyet sabah haberturk aftonbladet expressen svt dagbladet nrk politiken berlingske yle helsinginsanomat delfi
	postimees lrytas publico expresso globo uol folha estadao terra clarin lanacion infobae eltiempo emol latercera
	eluniversal milenio reforma timesofindia indiatimes ndtv thehindu hindustantimes dawn geo prothomalo dailystar
	asahi yomiuri mainichi nikkei rakuten kakaku nicovideo ameblo chosun joongang donga straitstimes bangkokpost
	rappler inquirer detik kompas tribunnews tempo thestar smh theage stuff nzherald news24 iol nation vanguardngr
	aljazeera haaretz ynet ahram gulfnews khaleejtimes arabnews
	ebay etsy walmart target costco bestbuy homedepot lowes ikea zalando otto mediamarkt saturn allegro ceneo
	mercadolibre leboncoin marktplaats gumtree craigslist subito avito olx willhaben ricardo tutti kleinanzeigen
	aliexpress alibaba taobao tmall jd flipkart myntra snapdeal shopee lazada tokopedia bukalapak coupang gmarket
	booking airbnb expedia tripadvisor kayak skyscanner trivago agoda hostelworld ryanair easyjet lufthansa klm
	airfrance britishairways emirates delta deutschebahn sncf trenitalia renfe thetrainline nationalrail
	paypal stripe visa mastercard americanexpress chase wellsfargo bankofamerica hsbc barclays santander bbva
	bnpparibas commerzbank sparkasse unicredit intesasanpaolo raiffeisen nordea swedbank
	spotify soundcloud bandcamp deezer twitch vimeo dailymotion imdb rottentomatoes letterboxd goodreads
	steampowered epicgames ubisoft nintendo playstation xbox gog roblox minecraft chess lichess
	sciencedirect springer nature researchgate academia jstor arxiv elsevier wiley tandfonline coursera edx udemy
	khanacademy duolingo quizlet harvard stanford mit
	weather accuweather wetter meteofrance metoffice windy openstreetmap mapquest webmd mayoclinic healthline
	medlineplus doctolib adobe apple samsung huawei xiaomi sony panasonic siemens bosch volkswagen mercedes-benz
	bmw toyota honda hyundai peugeot renault fiat volvo tesla nike adidas zara uniqlo decathlon
	mcdonalds starbucks cocacola nestle danone unilever loreal lego disney marvel
	wordpress blogger tumblr medium substack squarespace wix shopify mailchimp hubspot salesforce zendesk
	atlassian slack zoom dropbox notion figma canva trello asana grammarly deepl archive
`)

// benignNames are what Referers mostly hold: ordinary names of ordinary lengths.
func benignNames() []features.Name {
	names := make([]features.Name, len(wellKnown))
	for i, label := range wellKnown {
		names[i] = name(label+".com", label)
	}
	return names
}
