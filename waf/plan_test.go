package waf

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"referee/policy"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func entry(kind SetKind, value string, rank float64, expires time.Duration) Entry {
	return Entry{Kind: kind, Value: value, Rank: rank, Expires: in(expires)}
}

func adopted(kind SetKind, value string, expires time.Duration) Entry {
	return Entry{Kind: kind, Value: value, Expires: in(expires), Adopted: true}
}

// TestTheTableOfPlan follows the comment at Plan, line by line.
func TestTheTableOfPlan(t *testing.T) {
	const a, b = "198.51.100.1/32", "198.51.100.2/32"
	wanted := entry(SetIPv4, a, 1, day)
	known := func(entries ...Entry) Generation { return Generation{Entries: entries} }
	barred := func(e Entry) string { return map[bool]string{true: "exempt"}[e.Value == a] }
	f := func(line string, holds []string, desired []Entry, last Generation, barred func(Entry) string, want Changes) {
		t.Helper()
		if barred == nil {
			barred = func(Entry) string { return "" }
		}
		got := Plan{
			Time: start, Current: []State{{Set: SetIPv4, Items: holds, Last: last}}, Desired: desired, Barred: barred,
		}.Calculate().Changes[0]
		want.Set, want.Before, want.Present, want.Room = SetIPv4, holds, len(holds), maxAddresses
		if want.After == nil {
			want.After = []string{}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", line, diff)
		}
	}
	f("in, barred", []string{a}, []Entry{wanted}, known(wanted), barred, Changes{
		Remove: []Removal{{wanted, Barred}}, Dropped: []Dropped{{SetIPv4, a, "exempt"}},
	})
	f("not in, wanted, barred", nil, []Entry{wanted}, known(), barred, Changes{
		Dropped: []Dropped{{SetIPv4, a, "exempt"}},
	})
	f("not in, wanted", nil, []Entry{wanted}, known(), nil, Changes{
		After: []string{a}, Entries: []Entry{wanted}, Add: []Entry{wanted},
	})
	f("in, wanted", []string{a}, []Entry{wanted}, known(), nil, Changes{After: []string{a}, Entries: []Entry{wanted}})
	f("in, expired", []string{a}, nil, known(entry(SetIPv4, a, 1, 0)), nil, Changes{
		Remove: []Removal{{entry(SetIPv4, a, 1, 0), Expired}},
	})
	f("in, adopted earlier", []string{a}, nil, known(adopted(SetIPv4, a, time.Hour)), nil, Changes{
		After: []string{a}, Entries: []Entry{adopted(SetIPv4, a, time.Hour)},
	})
	f("in, adopted earlier and expired", []string{a}, nil, known(adopted(SetIPv4, a, 0)), nil, Changes{
		Remove: []Removal{{adopted(SetIPv4, a, 0), Expired}},
	})
	f("in, gone", []string{a}, nil, known(wanted), nil, Changes{Remove: []Removal{{wanted, Gone}}})
	f("in, taken out earlier", []string{a}, nil, Generation{Before: []string{a}}, nil, Changes{
		Remove: []Removal{{Entry{Kind: SetIPv4, Value: a}, Released}},
	})
	f("in, unknown", []string{a}, nil, Generation{Before: []string{b}}, nil, Changes{
		After: []string{a}, Entries: []Entry{adopted(SetIPv4, a, adoptClient)}, Adopt: []Entry{adopted(SetIPv4, a, adoptClient)},
	})
}

func TestAHitThatCannotBeWrittenIsDroppedWithTheReason(t *testing.T) {
	f := func(h policy.Hit, why string) {
		t.Helper()
		entries, dropped := desire([]policy.Hit{h}, start)
		switch {
		case why == "" && (len(entries) != 1 || len(dropped) != 0):
			t.Errorf("%s: dropped: %v", h.Key(), dropped)
		case why != "" && (len(entries) != 0 || len(dropped) != 1 || !strings.Contains(dropped[0].Why, why)):
			t.Errorf("%s: %v, %v; want %q", h.Key(), entries, dropped, why)
		}
	}
	f(nameHit("kq3v9z.com", 1, day), "")
	f(nameHit("KQ3V9Z.com", 1, day), "host name")
	f(nameHit("a|b.com", 1, day), "host name")
	f(nameHit(strings.Repeat(strings.Repeat("a", 50)+".", 3)+"com", 1, day), "too long")
	f(clientHit("198.51.100.7/32", 1, day), "")
	f(clientHit("2001:db8:1:2::/64", 1, day), "")
	f(clientHit("198.51.100.0/24", 1, day), "/32")
	f(clientHit("2001:db8:1:2::1/128", 1, day), "/64")
	f(clientHit("2001:db8:1:2::1/64", 1, day), "/64")
	f(clientHit("::ffff:198.51.100.7/128", 1, day), "/64")
	f(clientHit("10.0.0.1/32", 1, day), "public")
	f(clientHit("127.0.0.1/32", 1, day), "public")
	f(clientHit("169.254.0.1/32", 1, day), "public")
	f(clientHit("224.0.0.1/32", 1, day), "public")
	f(clientHit("fe80::/64", 1, day), "public")
	f(clientHit("fc00::/64", 1, day), "public")
	f(policy.Hit{Kind: policy.KindClient, Expires: in(day)}, "neither")
	f(policy.Hit{Expires: in(day)}, "neither")
}

func TestOfTwoHitsOfOneValueTheHigherRankAndTheLaterExpiryCount(t *testing.T) {
	entries, _ := desire([]policy.Hit{nameHit("a.com", 1, 2*day), nameHit("a.com", 3, day), nameHit("b.com", 2, day)}, start)
	want := []Entry{entry(SetNames, "a.com", 3, 2*day), entry(SetNames, "b.com", 2, day)}
	if diff := cmp.Diff(want, entries); diff != "" {
		t.Error(diff)
	}
}

func TestAnIPSetTakesTenThousandByRank(t *testing.T) {
	var desired []Entry
	for i := range maxAddresses + 5 {
		desired = append(desired, entry(SetIPv4, fmt.Sprintf("198.%d.%d.1/32", i/250, i%250), float64(i), day))
	}
	c := Plan{Time: start, Current: []State{{Set: SetIPv4}}, Desired: rank(desired), Barred: nobody}.Calculate().Changes[0]
	if len(c.After) != maxAddresses || len(c.Waiting) != 5 || c.Waiting[0].Rank != 4 {
		t.Errorf("%d addresses; waiting: %v", len(c.After), c.Waiting)
	}
}

func nobody(Entry) string { return "" }

// TestAPlanFromItsOwnOutcomeChangesNothing and keeps every limit, whatever is in the set and whatever is asked for.
func TestAPlanFromItsOwnOutcomeChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom(kinds()).Draw(t, "set")
		values := values(kind)
		entries := rapid.Custom(func(t *rapid.T) Entry {
			return Entry{
				Kind: kind, Value: values.Draw(t, "value"), Rank: float64(rapid.IntRange(0, 5).Draw(t, "rank")),
				Expires: in(time.Duration(rapid.IntRange(-2, 9).Draw(t, "expires")) * time.Hour), Adopted: rapid.Bool().Draw(t, "adopted"),
			}
		})
		exempt := rapid.SliceOfN(values, 0, 9).Draw(t, "exempt")
		held := rapid.SliceOfNDistinct(values, 0, 30, rapid.ID).Draw(t, "held")
		items := held
		if kind == SetNames {
			items = nil
			layout, _ := packer{patterns: 5, branches: 8}.pack(held, nil)
			for _, names := range layout {
				items = append(items, render(names))
			}
			items = append(items, rapid.SliceOfNDistinct(rapid.StringMatching(`\^evil[a-z]{3}`), 0, 4, rapid.ID).Draw(t, "raw")...)
		}
		plan := Plan{
			Time: start, Policies: []Policy{KeepUnexplained},
			Barred: func(e Entry) string { return map[bool]string{true: "exempt"}[slices.Contains(exempt, e.Value)] },
			Current: []State{{Set: kind, Items: items, Last: Generation{
				Before:  rapid.SliceOfN(rapid.SampledFrom(append(items, "")), 0, 9).Draw(t, "before"),
				Entries: rank(rapid.SliceOfN(entries, 0, 30).Draw(t, "last")),
			}}},
		}
		for _, e := range rank(rapid.SliceOfN(entries, 0, 100).Draw(t, "desired")) {
			if e.Adopted = false; e.Expires.After(start) {
				plan.Desired = append(plan.Desired, e)
			}
		}
		plan.Desired = rank(plan.Desired)
		c := plan.Calculate().Changes[0]
		within(t, c, exempt)

		plan.Current = []State{{Set: kind, Items: c.After, Last: Generation{Before: c.Before, After: c.After, Entries: c.Entries}}}
		again := plan.Calculate().Changes[0]
		if again.Changed() || len(again.Adopt) > 0 {
			t.Errorf("planned again: %s\nfirst:\n%s\nthen:\n%s", again.Why(), strings.Join(c.After, "\n"), strings.Join(again.After, "\n"))
		}
	})
}

func values(kind SetKind) *rapid.Generator[string] {
	switch n := rapid.IntRange(0, 60); kind {
	case SetIPv4:
		return rapid.Map(n, func(i int) string { return fmt.Sprintf("198.51.100.%d/32", i) })
	case SetIPv6:
		return rapid.Map(n, func(i int) string { return fmt.Sprintf("2001:db8:0:%x::/64", i+1) })
	}
	suffixes := []string{"com", "net", "co.uk"}
	return rapid.Map(rapid.IntRange(0, 120), func(i int) string { return fmt.Sprintf("kq%dv9z.%s", i, suffixes[i%3]) })
}

// within fails unless changes keep AWS's limits and what is exempt out.
func within(t *rapid.T, c Changes, exempt []string) {
	if c.Set != SetNames {
		if len(c.After) > maxAddresses || len(c.After) != len(c.Entries) {
			t.Errorf("%d addresses for %d entries", len(c.After), len(c.Entries))
		}
	} else if len(c.After) > maxPatterns {
		t.Errorf("%d patterns", len(c.After))
	}
	if len(c.Dropped) > 0 && slices.ContainsFunc(c.Dropped, func(d Dropped) bool { return d.Why != "exempt" }) {
		t.Errorf("a pattern was not sound: %v", c.Dropped)
	}
	got := []string{}
	for _, found := range contents(State{Set: c.Set, Items: c.After}) {
		if slices.Contains(exempt, found.Value) {
			t.Errorf("%q is exempt", found.Value)
		}
		if len(found.item) > maxPatternLen {
			t.Errorf("%q is too long", found.item)
		}
		got = append(got, found.Value)
	}
	want := []string{}
	for _, e := range c.Entries {
		want = append(want, e.Value)
	}
	slices.Sort(got)
	if slices.Sort(want); !slices.Equal(got, want) {
		t.Errorf("the items hold %q, the entries say %q", got, want)
	}
}

// TestRemovalsThatNothingExplainsNeverOutnumberWhatStays counts what stays of what was in the set, under every policy that
// keeps additions out after it.
func TestRemovalsThatNothingExplainsNeverOutnumberWhatStays(t *testing.T) {
	address := func(i int) string { return fmt.Sprintf("81.2.%d.%d/32", i/200, i%200) }
	others := map[string]Policy{
		"none": nil, "hold": PauseAdditions("held"), "max-share": PauseClients("over"), "approve: manual": AskFirst(nil, start),
		"max-adds used up": MostAdds(0, "max-adds"), "max-adds of 1": MostAdds(1, "max-adds"), "shadow": Hold("shadow mode"),
	}
	f := func(stay, expired, gone, foreign, more int, refused bool) {
		t.Helper()
		last := Generation{Outcome: Written}
		var items []string
		var desired []Entry
		for i := range stay + expired + gone {
			e := entry(SetIPv4, address(i), 1, day)
			switch {
			case i < stay:
				desired = append(desired, e)
			case i < stay+expired:
				e.Expires = start
			}
			items, last.Entries = append(items, e.Value), append(last.Entries, e)
		}
		last.After = items
		for i := range foreign {
			items = append(items, address(1000+i))
		}
		for i := range more { // some of them are foreign, too
			desired = append(desired, entry(SetIPv4, address(1000+i), 1, day))
		}
		for name, other := range others {
			policies := []Policy{KeepUnexplained, other}
			if other == nil {
				policies = policies[:1]
			}
			got := Plan{
				Time: start, Current: []State{{Set: SetIPv4, Items: items, Last: last}}, Desired: rank(desired), Barred: nobody,
				Policies: policies, Shared: foreign > 0,
			}.Calculate().Changes[0]
			own := 0
			for _, item := range got.After {
				if slices.Contains(last.After, item) {
					own++
				}
			}
			want := stay
			if refused {
				want += gone
			}
			if (got.Refused != "") != refused || own != want {
				t.Errorf("%s: %d stay, %d expire, %d are gone, %d come: %d are left, refused %q", name, stay, expired, gone, more, own, got.Refused)
			}
		}
	}
	f(0, 0, 0, 0, 0, false)
	f(0, 10, 0, 0, 0, false) // down to empty, all expired
	f(0, 9, 1, 0, 0, true)
	f(0, 0, 1, 0, 0, true)
	f(5, 0, 5, 0, 0, false)
	f(4, 0, 6, 0, 0, true)
	f(4, 4, 2, 0, 0, false)
	f(2, 4, 4, 0, 0, true)
	f(0, 0, 10, 0, 10, true) // new ones in their place make up for nothing
	f(4, 0, 6, 0, 100, true)
	f(5, 0, 5, 0, 100, false)
	f(0, 0, 2, 50, 0, true) // nor do those of others in a shared set
	f(0, 0, 2, 50, 60, true)
	f(2, 0, 2, 50, 60, false)
}

func TestWithdrawTakesOutWhatAnotherPolicyWantedKept(t *testing.T) {
	gone := entry(SetIPv4, "81.2.69.1/32", 1, day)
	c := Plan{
		Time: start, Barred: nobody, Policies: []Policy{KeepUnexplained, PauseAdditions("withdrawn"), Withdraw("withdrawn")},
		Current: []State{{Set: SetIPv4, Items: []string{gone.Value}, Last: Generation{Entries: []Entry{gone}}}},
	}.Calculate().Changes[0]
	if len(c.After) != 0 || c.Refused != "" || len(c.Remove) != 1 || c.Remove[0].Cause != Withdrawn {
		t.Errorf("%q are left, refused %q: %+v", c.After, c.Refused, c.Remove)
	}
}
