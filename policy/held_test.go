package policy

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"referee/evidence"
)

func TestWhatIsFlaggedAndNoHitSaysWhichRuleKeepsIt(t *testing.T) {
	cfg := shipped()
	cfg.NeverBlock.Suffixes = []string{"zxqwvkjh.com"}
	cfg.NeverBlock.Clients = []string{"81.2.70.1"}
	p := newPolicy(t, cfg)
	f := func(key string, want Rule, send func(st *evidence.State)) {
		t.Helper()
		st := newState()
		send(st)
		now := noon.Add(13 * time.Hour)
		hits, _ := p.Decide(nil, st, now)
		for _, h := range p.Held(st, hits, now, 10) {
			if strings.Contains(key, h.Domain) && h.Domain != "" || h.Client.IsValid() && strings.Contains(key, h.Client.Addr().String()) {
				if h.Rule != want || h.Why == "" {
					t.Errorf("%s: %s, %q, want %s", key, h.Rule, h.Why, want)
				}
				return
			}
		}
		if want != "" {
			t.Errorf("%s is not held by %s", key, want)
		}
	}
	names := func(client string, flaggedNames, others int) func(*evidence.State) {
		return func(st *evidence.State) {
			for i := range flaggedNames {
				see(st, generated(i), 1e-6, client, 0)
			}
			for i := range others {
				see(st, fmt.Sprintf("shop-%d.com", i), ordinary, client, 0)
			}
		}
	}
	sent := func(domain string, times, networks int) func(*evidence.State) {
		return func(st *evidence.State) {
			for i := range times {
				see(st, domain, flagged, stranger(i%networks), 0)
			}
		}
	}
	f("name zxqwvkjh.com", RuleNeverBlock, sent("zxqwvkjh.com", 5, 5))
	f("name kq3v9z7xw0.com", RuleSightings, sent(generated(0), 2, 2))
	f("name kq3v9z7xw0.com", RuleNetworks, sent(generated(0), 5, 1))
	f("name kq3v9z7xw0.com", RuleSuspects, sent(generated(0), 5, 3))
	f("name kq3v9z7xw0.com", RuleReaders, sent(generated(0), 30, 30))
	f("client 81.2.69.1", RuleFlagged, names(bot, 2, 0))
	f("client 81.2.69.1", RuleShare, names(bot, 4, 4))
	f("client 81.2.69.1", RuleAlpha, names(bot, 3, 0))
	f("client 81.2.69.1", "", names(bot, 4, 0)) // a hit
	f("client 81.2.70.1", RuleNeverBlock, names("81.2.70.1", 6, 0))
	f("client 81.2.69.1", RuleCrowd, func(st *evidence.State) {
		for i := range 6 {
			for r := range 40 {
				request(st, generated(i), flagged, stranger(i*100+r), uint32(r%9+1), 1, time.Duration(r%12)*time.Hour)
			}
			request(st, generated(i), flagged, bot, 1, 1, 12*time.Hour)
		}
	})
	f("client 81.2.69.1", RuleSession, func(st *evidence.State) {
		names(bot, 6, 0)(st)
		st.Add(evidence.Sighting{Client: netip.MustParseAddr(bot), Session: true, Time: noon.UnixNano()})
	})
}

func TestThoseNearestToBeingAHitComeFirst(t *testing.T) {
	p := newPolicy(t, shipped())
	st := newState()
	for i := range 3 {
		see(st, generated(i), 1e-6, stranger(1), 0)
	}
	for i := range 2 {
		see(st, generated(10+i), 1e-6, stranger(2), 0)
	}
	got := p.Held(st, nil, noon, 1)
	if len(got) != 1 || got[0].Client.Addr().String() != stranger(1) {
		t.Errorf("got %+v", got)
	}
}
