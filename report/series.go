package report

import (
	"cmp"
	"context"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"referee/evidence"
	"referee/ledger"
	"referee/policy"
	"referee/waf"
)

// How much of the series is kept at most.
const (
	maxPoints   = 200 // a plot is no wider
	maxTop      = 10  // names, and networks
	maxFillings = 2000
	decades     = 8 // of benign tails, as intake.NumDecades has them
)

// Series are what the plots show.
type Series struct {
	Step     int        `json:"step_hours"`   // of Points: 1, or more where the period is long
	Points   []Point    `json:"points"`       // without gaps; at most 200
	Tails    []TailBin  `json:"tails"`        // the highest tail first; empty where none was counted
	Names    []Top      `json:"top_names"`    // flagged names with the most sightings, at most 10
	Networks []Top      `json:"top_networks"` // networks of the clients with the most flagged requests, at most 10
	Capacity []Capacity `json:"capacity"`     // what the sets held, the oldest first
}

// Point is one step of time.
type Point struct {
	Start     time.Time `json:"start"`
	Requests  uint64    `json:"requests"`
	Flagged   uint64    `json:"flagged"`   // with a flagged name
	Live      uint64    `json:"live"`      // of the names compared with a candidate model: what the live model flags, in requests
	Candidate uint64    `json:"candidate"` // and what the candidate flags
}

// TailBin is a decade of benign tails: names above From and up to To.
type TailBin struct {
	From     float64 `json:"from"`
	To       float64 `json:"to"`
	Requests uint64  `json:"requests"` // whose name lies in it and neither is exempt nor too short to tell
	Expected float64 `json:"expected"` // of benign names, one request each: To − From of all
}

// Top is one bar of a list.
type Top struct {
	What  string `json:"what"`
	Count uint64 `json:"count"`
}

// Capacity is how full a set was after a generation.
type Capacity struct {
	Set   waf.SetKind `json:"set"`
	Time  time.Time   `json:"time"`
	Items int         `json:"items"`
	Room  int         `json:"room"`
}

func (r *Report) series(ctx context.Context, src *Sources, since, now time.Time) error {
	hours, err := src.Ledger.Hours(ctx, since)
	if err != nil {
		return err
	}
	s := &r.Series
	first := since.Truncate(time.Hour).UTC()
	if len(hours) > 0 && hours[0].Start.After(first) {
		first = hours[0].Start
	}
	length := int(now.Sub(first)/time.Hour) + 1
	s.Step = (length + maxPoints - 1) / maxPoints
	s.Points, s.Tails = []Point{}, []TailBin{}
	var tails [decades]uint64
	for _, h := range hours {
		at := int(h.Start.Sub(first)/time.Hour) / s.Step
		for len(s.Points) <= at {
			s.Points = append(s.Points, Point{Start: first.Add(time.Duration(len(s.Points)*s.Step) * time.Hour)})
		}
		p := &s.Points[at]
		p.Requests += h.Counts["requests"]
		p.Flagged += h.Counts["verdict."+policy.DGA.String()]
		for counter, n := range h.Counts {
			if d, is := strings.CutPrefix(counter, "tail."); is {
				if d, err := strconv.Atoi(d); err == nil && d >= 0 && d < len(tails) {
					tails[d] += n
				}
			}
			if _, _, what, ok := ledger.ParseCandidateCount(counter); ok {
				switch what {
				case "requests.both":
					p.Live += n
					p.Candidate += n
				case "requests.live":
					p.Live += n
				case "requests.candidate":
					p.Candidate += n
				}
			}
		}
	}
	all := uint64(0)
	for _, n := range tails {
		all += n
	}
	for d, n := range tails {
		if all == 0 {
			break
		}
		b := TailBin{From: math.Pow10(-d - 1), To: math.Pow10(-d), Requests: n}
		if d == len(tails)-1 {
			b.From = 0
		}
		b.Expected = (b.To - b.From) * float64(all)
		s.Tails = append(s.Tails, b)
	}
	s.Names, s.Networks = topNames(r.Names.List), topNetworks(r.Clients.List)
	return s.capacity(ctx, src, since)
}

// topNames are the names with the most sightings.
func topNames(hits []Hit) []Top {
	top := make([]Top, 0, len(hits))
	for _, h := range hits {
		top = append(top, Top{h.Name, h.Sightings})
	}
	return largest(top)
}

// topNetworks add up the flagged requests of clients by their network.
func topNetworks(hits []Hit) []Top {
	counts := map[string]uint64{}
	for _, h := range hits {
		if p, err := netip.ParsePrefix(h.Client); err == nil {
			counts[evidence.NetworkPrefix(p.Addr()).String()] += h.Sightings
		}
	}
	top := make([]Top, 0, len(counts))
	for network, n := range counts {
		top = append(top, Top{network, n})
	}
	return largest(top)
}

func largest(top []Top) []Top {
	slices.SortFunc(top, func(a, b Top) int { return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.What, b.What)) })
	top, _ = cut(top, maxTop)
	return top
}

// capacity follows the sets through their generations. What failed changed nothing.
func (s *Series) capacity(ctx context.Context, src *Sources, since time.Time) error {
	changes, err := src.Ledger.Generations(ctx, since, maxFillings)
	if err != nil {
		return err
	}
	room := map[waf.SetKind]int{}
	for _, f := range src.WAF.Fill(nil, since) {
		room[f.Set] = f.Room
	}
	s.Capacity = []Capacity{}
	for _, c := range slices.Backward(changes) {
		if c.Outcome != waf.Failed && room[c.Set] > 0 {
			s.Capacity = append(s.Capacity, Capacity{Set: c.Set, Time: seconds(c.Time), Items: c.Items, Room: room[c.Set]})
		}
	}
	return nil
}
