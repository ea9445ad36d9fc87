package ledger

import (
	"fmt"
	"testing"
	"time"

	"referee/policy"
)

func TestChangesAreWhatMadeOrEndedAHitOldestFirst(t *testing.T) {
	l := memory(t)
	at := func(i int) time.Time { return noon.Add(time.Duration(i) * time.Second) }
	var all []policy.Decision
	for i := range 2500 { // three pages
		d := decide([]policy.Action{policy.Block, policy.Extend, policy.Release, policy.Extend, policy.Spare}[i%5], at(i), nameHit(fmt.Sprintf("k%d.com", i), 1, at(i)))
		all = append(all, d)
	}
	commitTo(t, l, Batch{Decisions: all})
	for _, since := range []int{0, 7, 2499, 2600} {
		want := since
		for d, err := range l.Changes(t.Context(), at(since)) {
			if err != nil {
				t.Fatal(err)
			}
			for want < len(all) && all[want].Action == policy.Extend {
				want++
			}
			if want == len(all) {
				t.Fatalf("since %d there is also %+v", since, d)
			}
			if !d.Time.Equal(at(want)) || d.Action != all[want].Action || d.Hit.Domain != all[want].Hit.Domain {
				t.Fatalf("since %d, number %d is %s of %s", since, want, d.Action, d.Hit.Domain)
			}
			want++
		}
		if want < len(all)-1 {
			t.Errorf("since %d it ends at %d", since, want)
		}
	}
}
