package simulation

import (
	"context"
	"math"
	"net/netip"

	"gonum.org/v1/gonum/stat/distuv"
)

func pow(base, exponent float64) float64 { return math.Pow(base, exponent) }

// audience is who reads a site: the sources of the external names they come from, and how much of them each is. Errors go
// together by language, so a site has one.
type audience struct {
	name  string
	share float64 // of all sites
	mix   map[string]float64
}

// audiences weigh towards those that are hard: of real sites fewer are Chinese or full of advertising.
var audiences = []audience{ //nolint:gochecknoglobals // never changed
	{"international", 0.40, map[string]float64{
		"benign_stable_multi_year": 0.4, "benign_tail_com_net_org": 0.2, "benign_old_alexa_opendns": 0.2,
		"benign_tranco_2026-08_sample": 0.15, "hard_adtech": 0.05,
	}},
	{"French", 0.15, map[string]float64{"benign_tail_fr_2017": 0.8, "benign_stable_multi_year": 0.15, "hard_adtech": 0.05}},
	{"Chinese", 0.15, map[string]float64{"hard_chinese": 0.85, "hard_chinese_numeric": 0.05, "benign_stable_multi_year": 0.1}},
	{"acronyms, Polish and Turkish", 0.15, map[string]float64{
		"hard_consonant_or_digit_mix": 0.15, "hard_long_sld_ge20": 0.1, "hard_shortener_vanity": 0.25,
		"benign_tail_com_net_org": 0.3, "benign_stable_multi_year": 0.2,
	}},
	{"advertising", 0.10, map[string]float64{"hard_adtech": 0.4, "hard_shortener_vanity": 0.2, "benign_stable_multi_year": 0.4}},
	{"government", 0.05, map[string]float64{"benign_gov_edu": 0.6, "benign_stable_multi_year": 0.4}},
}

const (
	clientsOfADay = 25_000
	sharedShare   = 0.03  // of clients: carrier-grade NAT, offices
	crawlerShare  = 0.002 // of clients
	manyNames     = 200   // that a shared address sends in a day, at most
	agents        = 60
	paths         = 300
)

// Errors is how often people's clients would be blocked.
type Errors struct {
	Confidence string
	Rows       []ErrorRow // by audience, the sum last
}

// ErrorRow counts over one audience.
type ErrorRow struct {
	Audience     string
	Days         int
	Clients      int
	Requests     int
	Flagged      int // requests with a flagged name
	AnyFlagged   int // clients with at least one flagged name: what would be blocked without evidence
	ByClient     int // clients that became a hit
	ByName       int // clients of which a request met the hit of a name
	Names        int // distinct names that were sent
	NamesBlocked int // of these, those that became a hit
	Of           [numSenders]int
}

// Upper is the upper 95 % bound of a rate of k in n (Clopper and Pearson 1934, one-sided).
func Upper(k, n int) float64 {
	if n == 0 || k >= n {
		return 1
	}
	return distuv.Beta{Alpha: float64(k) + 1, Beta: float64(n - k)}.Quantile(0.95)
}

// Measure plays days of people alone, until so many clients were there.
func Measure(ctx context.Context, w World, s Settings, confidence string, progress func(done, total int)) (Errors, error) {
	days := (s.Clients + clientsOfADay - 1) / clientsOfADay
	rows := make([]ErrorRow, days)
	err := parallel(ctx, days, func(i int) {
		// Audiences by turns of 20 days, so that their shares are exact and do not depend on the draw.
		at, turn := 0.0, (float64(i%20)+0.5)/20
		a := &audiences[0]
		for k := range audiences {
			if at += audiences[k].share; turn < at {
				a = &audiences[k]
				break
			}
		}
		rows[i] = peopleOnly(w, s, a, uint64(i))
	}, progress)
	if err != nil {
		return Errors{}, err
	}
	out := Errors{Confidence: confidence}
	total := ErrorRow{Audience: "all"}
	for k := range audiences {
		sum := ErrorRow{Audience: audiences[k].name}
		for i := range rows {
			if rows[i].Audience == sum.Audience {
				sum.add(&rows[i])
			}
		}
		total.add(&sum)
		out.Rows = append(out.Rows, sum)
	}
	out.Rows = append(out.Rows, total)
	return out, nil
}

func (r *ErrorRow) add(o *ErrorRow) {
	r.Days += o.Days
	r.Clients += o.Clients
	r.Requests += o.Requests
	r.Flagged += o.Flagged
	r.AnyFlagged += o.AnyFlagged
	r.ByClient += o.ByClient
	r.ByName += o.ByName
	r.Names += o.Names
	r.NamesBlocked += o.NamesBlocked
	for i := range r.Of {
		r.Of[i] += o.Of[i]
	}
}

func peopleOnly(w World, s Settings, a *audience, seed uint64) ErrorRow {
	d := newDay(s, seed)
	d.people(w, a, clientsOfADay)
	row := ErrorRow{Audience: a.name, Days: 1, Clients: clientsOfADay, Requests: len(d.events)}
	flagged, byName := map[netip.Addr]bool{}, map[netip.Addr]bool{}
	kinds, names := map[netip.Addr]sender{}, map[string]bool{}
	d.play(tick, tick, func(e *event) {
		kinds[e.Client] = e.kind
		names[e.Result.Domain] = true
		if !e.Exempt && !e.Result.Abstain && e.Result.Tail <= s.Policy.Threshold() {
			row.Flagged++
			flagged[e.Client] = true
		}
		if name, _ := d.blocked(e); name {
			byName[e.Client] = true
		}
	})
	row.AnyFlagged, row.ByName, row.Names = len(flagged), len(byName), len(names)
	for _, h := range d.hits.All() {
		if h.Client.IsValid() {
			row.ByClient++
			row.Of[kinds[h.Client.Addr()]]++
		} else {
			row.NamesBlocked++
		}
	}
	return row
}

// people draws the requests of so many clients of an audience.
func (d *day) people(w World, a *audience, clients int) {
	var sources []Source
	var upTo []float64
	sum := 0.0
	for _, s := range w.People {
		if share := a.mix[s.Name]; share > 0 && len(s.Names) > 0 {
			// Which names are popular differs by site.
			names := make([]Scored, len(s.Names))
			for i, j := range d.Perm(len(s.Names)) {
				names[i] = s.Names[j]
			}
			sum += share
			sources, upTo = append(sources, Source{s.Name, names}), append(upTo, sum)
		}
	}
	if len(sources) == 0 {
		return
	}
	name := func() *Scored {
		u := d.Float64() * sum
		k := 0
		for k < len(upTo)-1 && u >= upTo[k] {
			k++
		}
		return &sources[k].Names[d.zipf(len(sources[k].Names), 10)]
	}
	for id := range clients {
		client := d.address(20, clients/3)
		agent, path := uint32(1+d.zipf(agents, 3)), func() uint32 { return uint32(1 + d.zipf(paths, 2)) }
		kind, names := visitor, 1
		switch u := d.Float64(); {
		case u < crawlerShare:
			kind, names = crawler, 100+d.IntN(200)
		case u < crawlerShare+sharedShare:
			kind, names = shared, 5+d.IntN(manyNames-5)
		default: // one, and each further one with a chance of 0.4
			for d.Float64() < 0.4 && names < 50 {
				names++
			}
		}
		from := d.within(0, hours(16))
		for range names {
			n := name()
			if kind == shared {
				agent, from = uint32(1+d.zipf(agents, 3)), d.within(0, hours(20))
			}
			for range 1 + d.IntN(3) {
				d.send(kind, id, n, client, agent, path(), d.within(from, hours(4)))
			}
		}
	}
}
