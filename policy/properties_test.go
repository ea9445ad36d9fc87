package policy

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"referee/classifier"
	"referee/evidence"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

var sameHits = cmp.Options{cmpopts.EquateComparable(netip.Prefix{}), cmp.AllowUnexported(Hits{}), cmpopts.EquateEmpty()}

// world is a run of seconds with traffic, in which names, clients, lists and time vary.
type world struct {
	p    []*Policy // the second exempts half of the world
	r    *rand.Rand
	seed uint64
	st   *evidence.State
}

func newWorld(t *testing.T) *world {
	cfg := defaults()
	cfg.NeverBlock.Suffixes = []string{"kq3v9z7xw0.com", "kq3v9z7xw2.com", "kq3v9z7xw4.com"}
	cfg.NeverBlock.Clients = []string{"81.2.0.0/17"}
	return &world{p: []*Policy{newPolicy(t, defaults()), newPolicy(t, cfg)}}
}

// requests adds some at a time after noon.
func (w *world) requests(st *evidence.State, n int, after time.Duration) {
	for range n {
		i := w.r.IntN(12)
		domain, tail := fmt.Sprintf("kq3v9z7xw%d.com", i), float32(flagged)
		if i > 6 {
			domain, tail = fmt.Sprintf("example%d.org", i), ordinary
		}
		client := netip.AddrFrom4([4]byte{81, 2, byte(w.r.IntN(5) * 50), byte(w.r.IntN(3) + 1)})
		st.Add(evidence.Sighting{
			Result: classifier.Result{Domain: domain, Score: 9.31, Tail: tail}, Client: client, Time: noon.Add(after).UnixNano(),
			Blocked: w.r.IntN(6) == 0, Session: w.r.IntN(40) == 0,
		})
	}
}

// run drives a State and its hits through some hours, and shows each step to check.
func (w *world) run(t *rapid.T, check func(p *Policy, active, hits *Hits, decisions []Decision, now time.Time)) {
	w.seed = rapid.Uint64().Draw(t, "seed")
	w.r = rand.New(rand.NewPCG(w.seed, 1))
	st := newState()
	w.st = st
	var active *Hits
	after := time.Duration(0)
	for range rapid.IntRange(1, 12).Draw(t, "steps") {
		after += time.Duration(w.r.IntN(30*60)) * time.Minute
		w.requests(st, w.r.IntN(20), after-time.Duration(w.r.IntN(3600))*time.Second)
		now := noon.Add(after)
		st.Expire(now)
		p := w.p[min(1, w.r.IntN(5)/4)]
		hits, decisions := p.Decide(active, st, now)
		again, same := p.Decide(active, st, now)
		if d := cmp.Diff(hits, again, sameHits) + cmp.Diff(decisions, same, sameHits); d != "" {
			t.Fatal("Decide is not a function of its arguments", d)
		}
		check(p, active, hits, decisions, now)
		active = hits
	}
}

func TestNothingExemptIsEverAHit(t *testing.T) {
	w := newWorld(t)
	rapid.Check(t, func(t *rapid.T) {
		w.run(t, func(p *Policy, _, hits *Hits, decisions []Decision, _ time.Time) {
			for _, h := range hits.All() {
				if p.ExemptHit(h) {
					t.Fatalf("%s is exempt and a hit", h.Key())
				}
			}
			for _, d := range decisions {
				if d.Action != Release && p.ExemptHit(d.Hit) {
					t.Fatalf("%s is exempt: %s", d.Hit.Key(), d.Action)
				}
			}
		})
	})
}

func TestHitsLeaveByExpiryOrExemptionAndNothingElse(t *testing.T) {
	w := newWorld(t)
	rapid.Check(t, func(t *rapid.T) {
		w.run(t, func(p *Policy, active, hits *Hits, _ []Decision, now time.Time) {
			for _, h := range active.All() {
				if _, stays := find(hits, h); !stays && h.Expires.After(now) && !p.ExemptHit(h) && !hits.Spared(h, now) {
					t.Fatalf("%s left before its time", h.Key())
				}
			}
			for _, h := range hits.All() {
				if !h.Expires.After(now) {
					t.Fatalf("%s is a hit after its time", h.Key())
				}
			}
		})
	})
}

func TestEveryChangeOfTheHitsIsDecidedOnceAndExplained(t *testing.T) {
	w := newWorld(t)
	rapid.Check(t, func(t *rapid.T) {
		w.run(t, func(_ *Policy, active, hits *Hits, decisions []Decision, now time.Time) {
			byKey := map[string]Decision{}
			for _, d := range decisions {
				if _, twice := byKey[d.Hit.Key()]; twice || d.Why == "" || !d.Time.Equal(now) || len(d.Hit.Reasons) == 0 {
					t.Fatalf("twice or not explained: %+v", d)
				}
				byKey[d.Hit.Key()] = d
			}
			for _, h := range hits.All() {
				before, was := find(active, h)
				d, decided := byKey[h.Key()]
				switch {
				case !was && d.Action != Block, was && !cmp.Equal(before, h, sameHits) && d.Action != Extend,
					decided && !cmp.Equal(d.Hit, h, sameHits), was && h.Expires.Before(before.Expires):
					t.Fatalf("%s: was %v, decision %+v", h.Key(), was, d)
				}
			}
			for _, h := range active.All() {
				if _, stays := find(hits, h); !stays && byKey[h.Key()].Action != Release && byKey[h.Key()].Action != Spare {
					t.Fatalf("%s left without a decision", h.Key())
				}
			}
		})
	})
}

// Of more clients than may stand, those that cannot outrank any are passed over: which of them stand in the end is the same.
func TestWhoStandsOfTooManyDoesNotDependOnWhoIsPassedOver(t *testing.T) {
	w := newWorld(t)
	full := 0
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 4).Draw(t, "limit")
		w.run(t, func(p *Policy, active, _ *Hits, _ []Decision, now time.Time) {
			settled := func(pass bool) (keys []string) {
				hits, decisions := active, []Decision{{}}
				for range 10 {
					d := p.decider(hits, w.st, now, limit)
					if !pass {
						d.last = nil
					}
					if hits, decisions = d.all(); len(decisions) == 0 {
						break
					}
				}
				if len(decisions) > 0 {
					t.Fatalf("ten times at one moment there is something to decide: %+v", decisions)
				}
				for _, h := range hits.All() {
					keys = append(keys, h.Key())
				}
				if len(hits.clients) == limit {
					full++
				}
				return keys
			}
			if d := cmp.Diff(settled(false), settled(true)); d != "" {
				t.Fatalf("all looked into (-), some passed over (+):\n%s", d)
			}
		})
	})
	if full == 0 {
		t.Error("there were never too many")
	}
}

func find(hits *Hits, h Hit) (Hit, bool) {
	if h.Kind == KindClient {
		return hits.Client(h.Client.Addr())
	}
	return hits.Name(h.Domain)
}

func TestOneNetworkAloneNeverMakesANameAHit(t *testing.T) {
	p := newPolicy(t, defaults())
	rapid.Check(t, func(t *rapid.T) {
		network := rapid.SampledFrom([]string{"81.2.69.0/24", "2a00:1450:1::/48"}).Draw(t, "network")
		base := netip.MustParsePrefix(network).Addr().AsSlice()
		st := newState()
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		for range rapid.IntRange(1, 300).Draw(t, "requests") {
			for i := len(base) / 3 * 3; i < len(base); i++ { // below /24 and /48
				base[i] = byte(r.Uint32())
			}
			for i := 6; i < len(base); i++ {
				base[i] = byte(r.Uint32())
			}
			a, _ := netip.AddrFromSlice(base)
			see(st, fmt.Sprintf("kq3v9z7xw%d.com", r.IntN(4)), 1e-6, a.String(), time.Duration(r.IntN(86400))*time.Second)
		}
		hits, _ := p.Decide(nil, st, noon.Add(24*time.Hour))
		for _, h := range hits.All() {
			if h.Kind == KindName {
				t.Fatalf("%s: %q", h.Key(), h.Reasons)
			}
		}
	})
}

// TestARestartChangesNoDecision: the hits of a State and of one restored from its rows are the same.
func TestARestartChangesNoDecision(t *testing.T) {
	w := newWorld(t)
	rapid.Check(t, func(t *rapid.T) {
		w.r = rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		st, back := newState(), newState()
		w.requests(st, 100, time.Hour)
		for _, row := range st.Changes() {
			if err := back.Restore(row); err != nil {
				t.Fatal(err)
			}
		}
		hits, _ := w.p[0].Decide(nil, st, noon.Add(2*time.Hour))
		again, _ := w.p[0].Decide(nil, back, noon.Add(2*time.Hour))
		if d := cmp.Diff(hits, again, sameHits); d != "" {
			t.Fatal(d)
		}
	})
}
