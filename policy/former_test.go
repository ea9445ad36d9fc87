package policy

import (
	"strconv"
	"testing"
	"time"
)

func TestAHitLastsTwiceAsLongEachTimeUpToTheCap(t *testing.T) {
	f := func(want, ttl, most time.Duration, returns int) {
		t.Helper()
		if got := longer(ttl, most, returns); got != want {
			t.Errorf("after %d returns %v, want %v", returns, got, want)
		}
	}
	const h = time.Hour
	f(24*h, 24*h, 168*h, 0)
	f(48*h, 24*h, 168*h, 1)
	f(96*h, 24*h, 168*h, 2)
	f(168*h, 24*h, 168*h, 3)
	f(168*h, 24*h, 168*h, 1000)
	f(24*h, 24*h, 0, 5)
}

func TestWhatExpiredIsRememberedUntilItComesBackOrIsForgotten(t *testing.T) {
	p := &Policy{cfg: Config{Name: NameRule{TTL: time.Hour, TTLCap: 8 * time.Hour}}}
	at := func(h int) time.Time { return time.Unix(1e9, 0).Add(time.Duration(h) * time.Hour) }
	hit := func(returns, expires int) Hit {
		return Hit{Kind: KindName, Domain: "kq3v9z.com", Returns: returns, Expires: at(expires)}
	}
	key := func() string { return hit(0, 0).Key() }
	f := func(want int, now int, decisions ...Decision) {
		t.Helper()
		if got := remember(t, p, NewHits(nil), decisions).returns(key, at(now)); got != want {
			t.Errorf("it has come back %d times, want %d", got, want)
		}
	}
	expired := Decision{Time: at(1), Action: Release, Hit: hit(0, 1)}
	f(0, 2)
	f(1, 2, expired)
	f(1, 8, expired)
	f(0, 9, expired)                                                // away for as long as the longest block
	f(0, 2, Decision{Time: at(1), Action: Release, Hit: hit(0, 5)}) // it became exempt
	f(3, 4, Decision{Time: at(3), Action: Release, Hit: hit(2, 3)})
	f(0, 3, expired, Decision{Time: at(2), Action: Block, Hit: hit(1, 4)}) // it is one again: it says so itself
}

func TestAClientThatComesBackIsBlockedForLonger(t *testing.T) {
	cfg := defaults()
	cfg.Client.TTLCap = 72 * time.Hour
	p := newPolicy(t, cfg)
	var hits *Hits
	f := func(step string, now, lasts time.Duration, want int) {
		t.Helper()
		st := newState()
		if want > 0 {
			attackClient(st, bot, now)
		}
		hits, _ = p.Decide(hits, st, noon.Add(now))
		switch {
		case want > 0 && len(clientsOf(hits)) != 1 || want == 0 && hits.Len() != 0:
			t.Fatalf("%s: %d hits", step, hits.Len())
		case want > 0 && clientsOf(hits)[0].Expires.Sub(clientsOf(hits)[0].Last) != lasts:
			t.Errorf("%s: it lasts %v, want %v", step, clientsOf(hits)[0].Expires.Sub(clientsOf(hits)[0].Last), lasts)
		}
	}
	const h = time.Hour
	f("first", 1*h, 24*h, 1)
	f("gone", 26*h, 0, 0)
	f("back", 30*h, 48*h, 1)
	f("gone again", 79*h, 0, 0)
	f("back again", 100*h, 72*h, 1)
	f("refreshed", 120*h, 72*h, 1)
	f("gone for good", 193*h, 0, 0)
	f("forgotten", 300*h, 24*h, 1)
}

func clientsOf(h *Hits) (clients []Hit) {
	for _, hit := range h.All() {
		if hit.Kind == KindClient {
			clients = append(clients, hit)
		}
	}
	return clients
}

func remember(t *testing.T, p *Policy, h *Hits, decisions []Decision) *Hits {
	t.Helper()
	hits, err := p.Remember(h, func(yield func(Decision, error) bool) {
		for _, d := range decisions {
			if !yield(d, nil) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return hits
}

// A restart after a large attack has expired must not take minutes: what is remembered is copied once, not for each decision.
func BenchmarkRememberAfterALargeAttack(b *testing.B) {
	p := newPolicy(b, defaults())
	decisions := func(yield func(Decision, error) bool) {
		for i := range maxHits {
			h := Hit{Kind: KindName, Domain: "kq" + strconv.Itoa(i) + ".com", Expires: noon}
			if !yield(Decision{Time: noon, Action: Release, Hit: h}, nil) {
				return
			}
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Remember(NewHits(nil), decisions); err != nil {
			b.Fatal(err)
		}
	}
}
