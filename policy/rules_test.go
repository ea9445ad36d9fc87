package policy

import (
	"fmt"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"referee/classifier"
	"referee/evidence"
)

// shipped are all rules as the program has them by default.
func shipped() Config {
	c := defaults()
	c.Name.MinSuspects, c.Name.MaxReaders, c.Name.Crowd = 2, 5, 20
	c.Client.Alpha, c.Client.Beta = 1e-6, 0.05
	c.Cohort = CohortRule{MinFlagged: 10, MinClients: 5}
	return c
}

// request is a sighting with the looks of its sender.
func request(st *evidence.State, domain string, tail float32, client string, agent, path uint32, after time.Duration) {
	st.Add(evidence.Sighting{
		Result: classifier.Result{Domain: domain, Score: 9.31, Tail: tail}, Client: netip.MustParseAddr(client),
		Agent: agent, Path: path, Time: noon.Add(after).UnixNano(),
	})
}

// stranger is the i-th client address: each in a /24 of its own.
func stranger(i int) string { return netip.AddrFrom4([4]byte{81, byte(i >> 8), byte(i), 7}).String() }

func generated(i int) string { return fmt.Sprintf("kq3v9z7xw%d.com", i) }

func has(hits *Hits, key string) bool {
	for _, h := range hits.All() {
		if h.Key() == key {
			return true
		}
	}
	return false
}

func TestAClientIsAHitOnceTheSequentialTestIsSure(t *testing.T) {
	p := newPolicy(t, shipped())
	f := func(low, high, others int, want bool) {
		t.Helper()
		st := newState()
		for i := range low {
			see(st, generated(i), 1e-6, bot, 0)
		}
		for i := range high {
			see(st, generated(100+i), flagged, bot, 0)
		}
		for i := range others {
			see(st, fmt.Sprintf("shop-%d.com", i), ordinary, bot, 0)
		}
		hits, _ := p.Decide(nil, st, noon.Add(time.Minute))
		if got := has(hits, "client:"+bot+"/32"); got != want {
			t.Errorf("%d names of a tail of 1e-6, %d of 4.7e-5, %d others: %v", low, high, others, got)
		}
	}
	f(3, 0, 0, false) // three could be a reader of the worst audience: 1 in 750,000
	f(4, 0, 0, true)
	f(0, 3, 0, false) // a higher tail speaks for a generator less
	f(0, 5, 0, true)
	f(4, 0, 2, false)
	f(5, 0, 1, true)
	f(5, 0, 2, true)
	f(5, 0, 4, false)
	f(8, 0, 8, false) // no more than half
	f(9, 0, 8, true)
}

func TestOneNameSaysLittleHoweverLowItsTail(t *testing.T) {
	s := newPolicy(t, shipped()).wald
	for _, tail := range []float32{1e-9, 1e-5, 5e-5} {
		if r := s.ratio(tail); r > math.Log(100) {
			t.Errorf("a tail of %v is %.1f times likelier from a generator", tail, math.Exp(r))
		}
	}
	if s.ratio(0.5) >= 0 || s.ratio(1) >= 0 {
		t.Error("an ordinary name does not speak for people")
	}
	if want := math.Log(0.95e6); s.enough != want {
		t.Errorf("%v is enough, want ln((1−β)/α) = %v", s.enough, want)
	}
}

func TestAModelWithoutFiguresHasNoTest(t *testing.T) {
	s := newSequential(ClientRule{Alpha: 1e-6}, nil)
	if _, enough := s.test(nil, nil); !enough {
		t.Error("nothing could ever be enough")
	}
}

func TestANameOfReadersIsNoHitHoweverOftenItIsSent(t *testing.T) {
	p := newPolicy(t, shipped())
	st := newState()
	for i := range 50 {
		see(st, "zxqwvkjh.com", flagged, stranger(i), 0)
	}
	if hits, _ := p.Decide(nil, st, noon.Add(time.Minute)); hits.Len() > 0 {
		t.Errorf("hits: %v", hits.All())
	}
}

func TestANameOfSuspectsIsAHit(t *testing.T) {
	p := newPolicy(t, shipped())
	f := func(suspects, readers int, want bool) {
		t.Helper()
		st := newState()
		for i := range suspects {
			see(st, "zxqwvkjh.com", flagged, stranger(i), 0)
			see(st, generated(i), flagged, stranger(i), 0)
		}
		for i := range readers {
			see(st, "zxqwvkjh.com", flagged, stranger(1000+i), 0)
		}
		see(st, "zxqwvkjh.com", flagged, stranger(0), time.Minute)
		hits, _ := p.Decide(nil, st, noon.Add(time.Hour))
		if got := has(hits, "name:zxqwvkjh.com"); got != want {
			t.Errorf("%d suspects and %d readers: %v", suspects, readers, got)
		}
	}
	f(2, 0, true)
	f(1, 1, false)
	f(3, 2, true)
	f(3, 3, false)
	f(20, 5, true)
	f(20, 6, false)   // it has readers
	f(500, 20, false) // however many suspects send it
}

// audienceOf has readers of many kinds send a name over a day.
func audienceOf(st *evidence.State, domain string, readers int) {
	for i := range readers {
		request(st, domain, flagged, stranger(i), uint32(i%9+1), 1, time.Duration(i%12)*time.Hour)
	}
}

func TestTheNameOfAnAudienceCountsAgainstNobody(t *testing.T) {
	f := func(what string, want bool, cfg Config, send func(st *evidence.State)) {
		t.Helper()
		st := newState()
		send(st)
		hits, _ := newPolicy(t, cfg).Decide(nil, st, noon.Add(13*time.Hour))
		if got := has(hits, "client:"+bot+"/32"); got != want {
			t.Errorf("%s: %v", what, got)
		}
	}
	advertising := func(readers int) func(*evidence.State) {
		return func(st *evidence.State) {
			for i := range 6 {
				audienceOf(st, generated(i), readers)
				request(st, generated(i), flagged, bot, 1, 1, 12*time.Hour)
			}
		}
	}
	// Nobody else sends them.
	f("names of its own", true, shipped(), advertising(0))
	// Everybody who sends them sends all six, and nothing else: these are bots.
	f("names of a botnet", true, shipped(), advertising(40))
	// Each is sent by an audience of its own.
	apart := func(st *evidence.State) {
		for i := range 6 {
			for r := range 40 {
				request(st, generated(i), flagged, stranger(i*100+r), uint32(r%9+1), 1, time.Duration(r%12)*time.Hour)
			}
			request(st, generated(i), flagged, bot, 1, 1, 12*time.Hour)
		}
	}
	f("names of audiences", false, shipped(), apart)
	off := shipped()
	off.Name.Crowd = 0
	f("names of audiences, the rule off", true, off, apart)
	f("of one kind of agent", true, shipped(), func(st *evidence.State) {
		for i := range 6 {
			for r := range 40 {
				request(st, generated(i), flagged, stranger(i*100+r), 1, 1, time.Duration(r%12)*time.Hour)
			}
			request(st, generated(i), flagged, bot, 1, 1, 12*time.Hour)
		}
	})
}

func TestAFloodOfOneRequestPerClientIsAnAttack(t *testing.T) {
	p := newPolicy(t, shipped())
	st := newState()
	for i := range 40 {
		request(st, generated(i), flagged, stranger(i), 7, 3, 0)
	}
	request(st, "xwvtqzkj.com", flagged, stranger(200), 8, 3, 0) // another agent
	request(st, "example.org", ordinary, stranger(201), 7, 3, 0) // another name
	attacks := p.Attacks(st)
	if len(attacks) != 1 || attacks[0].Network.IsValid() || attacks[0].Clients != 41 && attacks[0].Clients < 30 {
		t.Fatalf("attacks: %+v", attacks)
	}
	if len(attacks[0].Names) != namesShown || !strings.Contains(attacks[0].String(), "of any network") {
		t.Errorf("it is described as %q with %d names", &attacks[0], len(attacks[0].Names))
	}
	hits, decisions := p.Decide(nil, st, noon.Add(time.Minute))
	f := func(client string, want bool) {
		t.Helper()
		if got := has(hits, "client:"+client+"/32"); got != want {
			t.Errorf("%s: %v", client, got)
		}
	}
	f(stranger(0), true)
	f(stranger(39), true)
	f(stranger(200), false)
	f(stranger(201), false)
	if !strings.Contains(decisions[0].Why, "part of an attack: ") {
		t.Errorf("it says %q", decisions[0].Why)
	}
}

func TestACohortThatSendsMostlyOrdinaryNamesIsNoAttack(t *testing.T) {
	p := newPolicy(t, shipped())
	f := func(what string, want int, send func(st *evidence.State)) {
		t.Helper()
		st := newState()
		send(st)
		if got := p.Attacks(st); len(got) != want {
			t.Errorf("%s: %+v", what, got)
		}
	}
	each := func(st *evidence.State, n, others, clients int) {
		for i := range n {
			request(st, generated(i), flagged, stranger(i%clients), 7, 3, 0)
		}
		for i := range others {
			request(st, fmt.Sprintf("shop-%d.com", i), ordinary, stranger(i%clients), 7, 3, 0)
		}
	}
	f("enough", 1, func(st *evidence.State) { each(st, 20, 10, 10) })
	f("no more than half", 0, func(st *evidence.State) { each(st, 20, 20, 10) })
	f("too few names", 0, func(st *evidence.State) { each(st, 9, 0, 9) })
	f("too few clients", 0, func(st *evidence.State) { each(st, 20, 0, 4) })
	f("of one network too", 2, func(st *evidence.State) {
		for i := range 20 {
			request(st, generated(i), flagged, fmt.Sprintf("81.2.69.%d", i+1), 7, 3, 0)
		}
	})
	off := shipped()
	off.Cohort.MinFlagged = 0
	st := newState()
	each(st, 20, 0, 20)
	if got := newPolicy(t, off).Attacks(st); len(got) != 0 {
		t.Errorf("with the rule off: %+v", got)
	}
}
