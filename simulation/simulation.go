// Package simulation plays traffic against the evidence and the policy, to measure what no log can show: how often a client
// that people sit behind would be blocked, and how soon an attack is. Names and their scores are real; who sends which,
// when and from where is drawn.
package simulation

import (
	"cmp"
	"context"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"time"

	"referee/classifier"
	"referee/evidence"
	"referee/policy"
)

// Source is names of one kind with what the model says of them: a list of people's names, or a family of generated ones.
type Source struct {
	Name  string
	Names []Scored
}

// Scored is one name.
type Scored struct {
	Result classifier.Result
	Exempt bool // policy never blocks it
}

// Group is families of one kind, over which detection is averaged.
type Group struct {
	Name     string
	Families []Source
}

// World is what traffic is drawn from.
type World struct {
	People []Source // by the name of their list
	Groups []Group
}

// Settings say what to play.
type Settings struct {
	Policy   *policy.Policy
	Evidence evidence.Config
	Seed     uint64
	Clients  int // people's clients in all, for the rate of errors
	Families int // of each group, at most, that attacks are played with
	Runs     int // of each attack with each of them; of a single client with each family 200 times as many
}

// day is one site for 24 hours: its evidence, and what is blocked.
type day struct {
	*rand.Rand
	s      Settings
	st     *evidence.State
	hits   *policy.Hits
	now    time.Time
	events []event
}

// event is one request to come.
type event struct {
	evidence.Sighting
	kind sender
	id   int // of the sender, among those of its kind
}

// sender is who sends a request.
type sender uint8

const (
	visitor sender = iota // a person's browser
	shared                // an office, a school or a mobile network behind one address
	crawler               // a search engine's or a monitor's
	bot                   // what is to be caught
	numSenders
)

var senderNames = [numSenders]string{"visitors", "shared addresses", "crawlers", "bots"} //nolint:gochecknoglobals // never changed

// start is when a day begins: any Monday.
var start = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC) //nolint:gochecknoglobals // never changed

// tick is how often the policy decides. The sidecar does each second; what it finds out later it finds out all the same.
const tick = 10 * time.Minute

func newDay(s Settings, seed uint64) *day {
	return &day{
		Rand: rand.New(rand.NewPCG(s.Seed, seed)), s: s, now: start,
		st: evidence.New(s.Evidence, evidence.Key{byte(seed), byte(seed >> 8), byte(seed >> 16), 1}),
	}
}

// play runs the events in order, and calls each for every one of them after the policy has looked at those before it.
// It decides each step from a time of the day on, and once more at the end.
func (d *day) play(from, step time.Duration, each func(e *event)) {
	slices.SortStableFunc(d.events, func(a, b event) int { return cmp.Compare(a.Time, b.Time) })
	next := start.Add(from)
	for i := range d.events {
		e := &d.events[i]
		for at := time.Unix(0, e.Time); !at.Before(next); next = next.Add(step) {
			d.decide(next)
		}
		d.st.Add(e.Sighting)
		if each != nil {
			each(e)
		}
	}
	d.decide(next)
}

func (d *day) decide(now time.Time) {
	d.now = now
	d.st.Expire(now)
	d.hits, _ = d.s.Policy.Decide(d.hits, d.st, now)
}

// blocked says which hit, if any, a request would meet.
func (d *day) blocked(e *event) (byName, byClient bool) {
	if !e.Exempt {
		_, byName = d.hits.Name(e.Result.Domain)
	}
	_, byClient = d.hits.Client(e.Client)
	return byName, byClient
}

func (d *day) send(kind sender, id int, n *Scored, client netip.Addr, agent, path uint32, at time.Duration) {
	d.events = append(d.events, event{evidence.Sighting{
		Result: n.Result, Exempt: n.Exempt, Client: client, Agent: agent, Path: path, Time: start.Add(at).UnixNano(),
	}, kind, id})
}

// within is a time of day, most often in the sixteen hours in which people are awake.
func (d *day) within(from, length time.Duration) time.Duration {
	return from + time.Duration(d.Int64N(int64(length)))
}

// zipf draws a rank below n, the i-th with a chance of about 1/(i+q): what is popular is sent by many.
func (d *day) zipf(n int, q float64) int {
	// The inverse of the continuous distribution: exact enough for traffic, and without tables.
	u := d.Float64()
	hi := float64(n) + q
	x := q*pow(hi/q, u) - q
	return min(int(x), n-1)
}

// parallel runs n independent parts on all processors; each must draw from a generator of its own, so the result does not
// depend on how many there are. It stops early when ctx ends.
func parallel(ctx context.Context, n int, run func(i int), progress func(done, total int)) error {
	var wg sync.WaitGroup
	var mu sync.Mutex
	next, done := 0, 0
	for range min(runtime.GOMAXPROCS(0), n) {
		wg.Go(func() {
			for {
				mu.Lock()
				i := next
				next++
				mu.Unlock()
				if i >= n || ctx.Err() != nil {
					return
				}
				run(i)
				mu.Lock()
				done++
				progress(done, n)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return ctx.Err()
}

func hours(n float64) time.Duration { return time.Duration(n * float64(time.Hour)) }

// address draws a client in one of so many networks, IPv6 once in four times. first keeps the addresses of people and of bots
// apart.
func (d *day) address(first byte, networks int) netip.Addr {
	network := d.IntN(max(networks, 1))
	if d.IntN(4) == 0 {
		return netip.AddrFrom16([16]byte{
			0x20, 0x01, first, byte(network >> 16), byte(network >> 8), byte(network),
			byte(d.IntN(256)), byte(d.IntN(256)), // the address of its /64, which is what a hit names
		})
	}
	return netip.AddrFrom4([4]byte{first + byte(network>>16), byte(network >> 8), byte(network), byte(1 + d.IntN(254))})
}
