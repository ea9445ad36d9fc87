package policy

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"referee/classifier"
	"referee/evidence"
)

// block adds one request after noon that a rule over the sets ended, as the intake offers it: flagged.
func block(st *evidence.State, domain, client string, after time.Duration) {
	st.Add(evidence.Sighting{
		Result: classifier.Result{Domain: domain, Score: 9.31, Tail: flagged}, Client: netip.MustParseAddr(client),
		Time: noon.Add(after).UnixNano(), Blocked: true,
	})
}

// session adds a request after noon that has nothing but a verified session.
func session(st *evidence.State, client string, after time.Duration) {
	st.Add(evidence.Sighting{
		Result: classifier.Result{Tail: 1}, Client: netip.MustParseAddr(client), Time: noon.Add(after).UnixNano(), Session: true,
	})
}

// TestWhatIsBlockedAndStillSentStaysBlocked has two hits whose evidence the window has long forgotten, as a block makes it.
func TestWhatIsBlockedAndStillSentStaysBlocked(t *testing.T) {
	cfg := defaults()
	cfg.Client.TTL = 48 * time.Hour
	p, st := newPolicy(t, cfg), newState()
	attackName(st, "kq3v9z7xw.com", 0)
	attackClient(st, bot, 0)
	hits, _ := p.Decide(nil, st, noon)
	for hour := range time.Duration(24 * 20) {
		after := hour * time.Hour
		block(st, "kq3v9z7xw.com", bot, after)
		st.Expire(noon.Add(after))
		hits, _ = p.Decide(hits, st, noon.Add(after))
		if _, blocked := hits.Name("kq3v9z7xw.com"); !blocked {
			t.Fatalf("the name is free after %v, and is still sent", after)
		}
		if _, blocked := hits.Client(netip.MustParseAddr(bot)); !blocked {
			t.Fatalf("the client is free after %v, and still sends it", after)
		}
	}
	if n := st.Name("kq3v9z7xw.com"); n.Networks.Distinct() > 0 {
		t.Fatalf("the evidence is still there, so this shows nothing: %+v", n)
	}
	st.Expire(noon.Add(24 * 60 * time.Hour))
	if hits, _ = p.Decide(hits, st, noon.Add(24*60*time.Hour)); hits.Len() > 0 {
		t.Errorf("%d hits weeks after the last request", hits.Len())
	}
}

// TestABystanderBehindABlockedNATIsFreeAtHisExpiry has an attacker leave an address that others share and go on to use. What
// the others send is not flagged, and the intake does not offer it: see TestOfBlockedRequestsOnlyTheFlaggedAreOffered.
func TestABystanderBehindABlockedNATIsFreeAtHisExpiry(t *testing.T) {
	p, st := newPolicy(t, defaults()), newState()
	attackClient(st, bot, 0)
	hits, _ := p.Decide(nil, st, noon)
	h, blocked := hits.Client(netip.MustParseAddr(bot))
	if !blocked {
		t.Fatal("the attacker is no hit")
	}
	for minute := range time.Duration(24 * 60) {
		after := minute * time.Minute
		st.Add(evidence.Sighting{ // and if it were offered
			Result: classifier.Result{Domain: fmt.Sprintf("example%d.org", minute%50), Tail: ordinary}, Client: netip.MustParseAddr(bot),
			Time: noon.Add(after).UnixNano(), Blocked: true,
		})
		hits, _ = p.Decide(hits, st, noon.Add(after))
	}
	if now, _ := hits.Client(netip.MustParseAddr(bot)); !now.Expires.Equal(h.Expires) {
		t.Errorf("a bystander's requests moved the expiry from %v to %v", h.Expires, now.Expires)
	}
	if hits, _ = p.Decide(hits, st, h.Expires); hits.Len() > 0 {
		t.Error("the bystander is blocked after the expiry")
	}
}

func TestABlockedRequestAloneMakesNoHit(t *testing.T) {
	p, st := newPolicy(t, defaults()), newState()
	for i := range 200 {
		client := netip.AddrFrom4([4]byte{81, 2, byte(i), 1}).String()
		block(st, "kq3v9z7xw.com", client, 0)
		block(st, fmt.Sprintf("kq3v9z7xw%d.com", i), bot, 0)
	}
	if hits, decisions := p.Decide(nil, st, noon); hits.Len()+len(decisions) > 0 {
		t.Errorf("%v", decisions)
	}
}

func TestAVerifiedSessionSparesItsClientAndNobodyElse(t *testing.T) {
	const other = "81.9.9.9"
	p, st := newPolicy(t, defaults()), newState()
	var hits *Hits
	step := func(name string, after time.Duration, wantClients string, wantSpared int) {
		t.Helper()
		st.Expire(noon.Add(after))
		next, decisions := p.Decide(hits, st, noon.Add(after))
		hits = next
		var clients []string
		for _, h := range clientsOf(hits) {
			clients = append(clients, h.Client.Addr().String())
		}
		spared := 0
		for _, d := range decisions {
			if d.Action == Spare {
				spared++
				if d.Hit.Client.Addr() != netip.MustParseAddr(bot) || !strings.Contains(d.Why, "verified session") {
					t.Errorf("%s: %+v", name, d)
				}
			}
		}
		if strings.Join(clients, " ") != wantClients || spared != wantSpared {
			t.Errorf("%s: hits %v, %d spared; want %q and %d", name, clients, spared, wantClients, wantSpared)
		}
	}
	is := func(want bool, after time.Duration) {
		t.Helper()
		h := Hit{Kind: KindClient, Client: evidence.ClientPrefix(netip.MustParseAddr(bot))}
		if got := hits.Spared(h, noon.Add(after)); got != want {
			t.Errorf("spared %v after %v, want %v", got, after, want)
		}
	}
	session(st, bot, 0)
	attackClient(st, bot, 0)
	attackClient(st, other, 0)
	step("the other is a hit", 0, other, 1)
	is(true, 0)
	step("said once", time.Minute, other, 0)
	attackClient(st, bot, 24*time.Hour)
	step("the session is a window ago", 24*time.Hour+time.Second, bot, 0)
	is(false, 25*time.Hour)
	session(st, bot, 25*time.Hour)
	step("a session comes to a blocked client", 25*time.Hour, "", 1)
	is(true, 25*time.Hour)
	step("it stays free", 26*time.Hour, "", 0)
}

func TestWhoWasSparedIsRememberedOverARestart(t *testing.T) {
	p, st := newPolicy(t, defaults()), newState()
	session(st, bot, 0)
	attackClient(st, bot, 0)
	_, decisions := p.Decide(nil, st, noon)
	if len(decisions) != 1 || decisions[0].Action != Spare {
		t.Fatalf("%+v", decisions)
	}
	h := decisions[0].Hit
	hits := remember(t, p, NewHits(nil), decisions)
	if !hits.Spared(h, noon.Add(time.Hour)) || hits.Spared(h, noon.Add(24*time.Hour)) {
		t.Error("spared for another time than an entry of the client may stand in a set")
	}
	if again, more := p.Decide(hits, st, noon.Add(time.Minute)); again != hits || len(more) > 0 {
		t.Errorf("told again after a restart: %+v", more)
	}
	back := Decision{Time: noon.Add(time.Hour), Action: Block, Hit: h}
	if remember(t, p, hits, []Decision{back}).Spared(h, noon.Add(time.Hour)) {
		t.Error("spared, and a hit again")
	}
}
