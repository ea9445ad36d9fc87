package scan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"referee/evidence"
	"referee/policy"
)

// Rating is how much of a threat a name or a client is.
//
//	low       flagged, with less evidence than the rule asks for: it would not be blocked
//	medium    the rule is met: it would be blocked
//	high      the same, and 10 distinct client networks sent the name, or the client sent 10 distinct flagged names
//	critical  the same with 30
//
// Ten and thirty are three and ten times what the rules ask for by default, and what the evidence counts exactly.
type Rating string

const (
	Low      Rating = "low"
	Medium   Rating = "medium"
	High     Rating = "high"
	Critical Rating = "critical"
)

const (
	highCount     = 10
	criticalCount = 30
)

var ratings = []Rating{Low, Medium, High, Critical}

// AtLeast reports whether r is other or above it.
func (r Rating) AtLeast(other Rating) bool {
	return slices.Index(ratings, r) >= slices.Index(ratings, other)
}

// Rated is a name or a client with its rating.
type Rated struct {
	Rating    Rating    `json:"rating"`
	Name      string    `json:"name,omitempty"`
	Client    string    `json:"client,omitempty"` // a /32 or /64
	Score     float32   `json:"score"`            // of the name, or of the client's highest
	Tail      float32   `json:"benign_tail"`
	Sightings uint64    `json:"sightings"`          // requests with the name, or the client's with flagged names
	Networks  int       `json:"networks,omitempty"` // of a name: distinct client networks; 0 where it is rated low
	Flagged   int       `json:"flagged,omitempty"`  // of a client: distinct flagged names; 0 where it is rated low
	Rank      float64   `json:"rank"`
	First     time.Time `json:"first"`
	Last      time.Time `json:"last"`
	Why       string    `json:"why"`
}

// What is that which is rated: the name or the client.
func (r Rated) What() string { return cmp.Or(r.Name, r.Client) }

// ratingOf is the rating of a hit.
func ratingOf(h *policy.Hit) Rating {
	n := h.Networks
	if h.Kind == policy.KindClient {
		n = h.Flagged
	}
	switch {
	case n >= criticalCount:
		return Critical
	case n >= highCount:
		return High
	}
	return Medium
}

// lows are what was flagged and may not be a hit: the first maxLows names and clients.
type lows struct {
	names   map[string]*low
	clients map[netip.Prefix]*low
	leftOut int // flagged requests of others
}

// low is what is known of one of them.
type low struct {
	Score       float32 `json:"score"`
	Tail        float32 `json:"tail"`
	Sightings   uint64  `json:"sightings"`
	First, Last int64
}

// maxLows bounds memory: 100 bytes each.
const maxLows = 20_000

func newLows() lows { return lows{names: map[string]*low{}, clients: map[netip.Prefix]*low{}} }

func (l *lows) add(s *evidence.Sighting) {
	name := l.names[s.Result.Domain]
	if name == nil && len(l.names) < maxLows {
		name = &low{First: s.Time, Tail: 1}
		l.names[s.Result.Domain] = name
	}
	if name == nil {
		l.leftOut++
	} else {
		name.see(s)
	}
	if !s.Client.IsValid() {
		return
	}
	prefix := evidence.ClientPrefix(s.Client)
	client := l.clients[prefix]
	if client == nil && len(l.clients) < maxLows {
		client = &low{First: s.Time, Tail: 1}
		l.clients[prefix] = client
	}
	if client != nil {
		client.see(s)
	}
}

func (l *low) see(s *evidence.Sighting) {
	if s.Result.Tail < l.Tail || s.Result.Tail == l.Tail && s.Result.Score > l.Score {
		l.Score, l.Tail = s.Result.Score, s.Result.Tail
	}
	l.Sightings++
	l.First, l.Last = min(l.First, s.Time), max(l.Last, s.Time)
}

// restore takes up what an earlier scan flagged.
func (l *lows) restore(s *savedState) error {
	if s.Names != nil {
		l.names = s.Names
	}
	for text, c := range s.Clients {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return fmt.Errorf("state: %w", err)
		}
		l.clients[prefix] = c
	}
	return nil
}

// rate joins the hits, with the evidence that there is by now, with what never became one.
func (l *lows) rate(last []policy.Decision, rules *policy.Policy, st *evidence.State) (names, clients []Rated) {
	hit := map[string]bool{}
	names, clients = []Rated{}, []Rated{}
	for i := range last {
		h := last[i].Hit
		if hit[h.Key()] = true; rules.ExemptHit(h) {
			continue
		}
		if action := last[i].Action; action == policy.Block || action == policy.Extend {
			h = rules.Current(st, h)
		}
		r := Rated{
			Rating: ratingOf(&h), Name: h.Domain, Score: h.Score, Tail: h.Tail, Sightings: h.Sightings,
			Networks: h.Networks, Flagged: h.Flagged, Rank: h.Rank, First: h.First, Last: h.Last,
		}
		if len(h.Reasons) > 0 {
			r.Why = h.Reasons[0]
		}
		if h.Kind == policy.KindClient {
			r.Client = h.Client.String()
			clients = append(clients, r)
		} else {
			names = append(names, r)
		}
	}
	for domain, n := range l.names {
		if !hit[string(policy.KindName)+":"+domain] {
			now := rules.Current(st, policy.Hit{Kind: policy.KindName, Domain: domain})
			rated := n.rated()
			rated.Name, rated.Networks = domain, now.Networks
			names = append(names, rated)
		}
	}
	for prefix, n := range l.clients {
		if !hit[string(policy.KindClient)+":"+prefix.String()] {
			now := rules.Current(st, policy.Hit{Kind: policy.KindClient, Client: prefix})
			rated := n.rated()
			rated.Client, rated.Flagged = prefix.String(), max(now.Flagged, 1) // which may be forgotten
			clients = append(clients, rated)
		}
	}
	for _, list := range [][]Rated{names, clients} {
		slices.SortFunc(list, func(a, b Rated) int {
			return cmp.Or(slices.Index(ratings, b.Rating)-slices.Index(ratings, a.Rating), cmp.Compare(b.Rank, a.Rank),
				cmp.Compare(b.Sightings, a.Sightings), cmp.Compare(a.What(), b.What()))
		})
	}
	return names, clients
}

func (l *low) rated() Rated {
	return Rated{
		Rating: Low, Score: l.Score, Tail: l.Tail, Sightings: l.Sightings,
		First: time.Unix(0, l.First).UTC(), Last: time.Unix(0, l.Last).UTC(),
		Why: fmt.Sprintf("flagged in %d requests: not evidence enough to block", l.Sightings),
	}
}

// AtLeast counts what is rated so or higher.
func (r *Result) AtLeast(least Rating) (names, clients int) {
	count := func(list []Rated) (n int) {
		for _, rated := range list {
			if rated.Rating.AtLeast(least) {
				n++
			}
		}
		return n
	}
	return count(r.Names), count(r.Clients)
}
