package waf

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"referee/policy"
)

func TestFillCountsWhatHasAPlaceAndWhatWaits(t *testing.T) {
	now := time.Date(2026, 3, 8, 12, 0, 0, 0, time.UTC)
	hits := func(names, v4, v6 int) (all []policy.Hit) {
		for i := range names {
			all = append(all, policy.Hit{Kind: policy.KindName, Domain: fmt.Sprintf("q%dxkz%d.com", i*7919, i), Rank: float64(-i), Expires: now.Add(time.Hour)})
		}
		for i := range v4 {
			a := netip.AddrFrom4([4]byte{8, 8, byte(i >> 8), byte(i)})
			all = append(all, policy.Hit{Kind: policy.KindClient, Client: netip.PrefixFrom(a, 32), Expires: now.Add(time.Hour)})
		}
		for i := range v6 {
			a := netip.AddrFrom16([16]byte{0x26, 0, 0, 0, 0, 0, byte(i >> 8), byte(i)})
			all = append(all, policy.Hit{Kind: policy.KindClient, Client: netip.PrefixFrom(a, 64), Expires: now.Add(time.Hour)})
		}
		return append(all, policy.Hit{Kind: policy.KindName, Domain: "gone.com", Expires: now})
	}
	got := Config{Branches: 8}.Fill(hits(2, 10_003, 1), now)
	want := []Fill{
		{Set: SetNames, Entries: 2, Items: 1, Room: 10},
		{Set: SetIPv4, Entries: 10_000, Waiting: 3, Items: 10_000, Room: 10_000},
		{Set: SetIPv6, Entries: 1, Items: 1, Room: 10_000},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}

	one, two := Config{Branches: 8}.Fill(hits(4000, 0, 0), now)[0], Config{Branches: 8, NamesSet: SetList{"a", "b"}}.Fill(hits(4000, 0, 0), now)[0]
	if one.Items != 10 || two.Items != 20 || one.Entries+one.Waiting != 4000 || two.Entries < one.Entries*3/2 {
		t.Errorf("one name set: %+v; two: %+v", one, two)
	}
}
