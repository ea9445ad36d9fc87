package sidecar

import (
	"maps"
	"slices"
	"testing"

	"referee/policy"
)

func TestAnAttackThatWasToldOfStaysSoWhileItLastsWhateverTheOrder(t *testing.T) {
	attack := func(agent uint32) policy.Attack { return policy.Attack{Agent: agent} }
	key := func(agent uint32) string { a := attack(agent); return a.Key() }
	told := map[string]bool{}
	f := func(want []uint32, largestFirst ...uint32) {
		t.Helper()
		var attacks []policy.Attack
		for _, agent := range largestFirst {
			attacks = append(attacks, attack(agent))
		}
		told = stillTold(told, attacks, 2)
		var keys []string
		for _, agent := range want {
			keys = append(keys, key(agent))
		}
		if got := slices.Sorted(maps.Keys(told)); !slices.Equal(got, slices.Sorted(slices.Values(keys))) {
			t.Errorf("of %v it tells of %v, want %v", largestFirst, got, keys)
		}
	}
	f([]uint32{1, 2}, 1, 2, 3)
	f([]uint32{1, 2}, 3, 2, 1)
	f([]uint32{1, 3}, 3, 1)
	f(nil)
}
