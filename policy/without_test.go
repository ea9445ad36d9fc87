package policy

import (
	"net/netip"
	"testing"
	"time"
)

func TestAClientIsTakenOutOfTheHitsAndTheirMemory(t *testing.T) {
	p := &Policy{cfg: Config{Client: ClientRule{TTL: time.Hour, TTLCap: 8 * time.Hour}}}
	at := time.Unix(1e9, 0)
	hit := func(s string) Hit { return Hit{Kind: KindClient, Client: netip.MustParsePrefix(s), Expires: at} }
	a, b := hit("198.51.100.1/32"), hit("198.51.100.2/32")
	name := Hit{Kind: KindName, Domain: "kq3v9z.com"}
	hits := remember(t, p, NewHits([]Hit{a, b, name}), []Decision{
		{Time: at, Action: Release, Hit: a},
		{Time: at, Action: Spare, Hit: a},
		{Time: at, Action: Release, Hit: b},
		{Time: at, Action: Spare, Hit: b},
	})
	next := hits.Without(a.Client)
	f := func(h *Hits, of Hit, is bool) {
		t.Helper()
		_, hit := h.Client(of.Client.Addr())
		if was := h.returns(of.Key, at) > 0; hit != is || was != is || h.Spared(of, at) != is {
			t.Errorf("%s: a hit %v, one before %v, spared %v; want %v", of.Client, hit, was, h.Spared(of, at), is)
		}
	}
	f(hits, a, true)
	f(next, a, false)
	f(next, b, true)
	if _, found := next.Name("kq3v9z.com"); !found || next.Len() != 2 {
		t.Error("another hit is gone too")
	}
	if next.Without(a.Client) != next || (*Hits)(nil).Without(a.Client) != nil {
		t.Error("hits that know nothing of it are made anew")
	}
}
