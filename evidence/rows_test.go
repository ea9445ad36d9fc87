package evidence

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"referee/classifier"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// content is what a State knows, in no order.
func content(s *State) map[string]any {
	all := map[string]any{}
	for n := range s.Names() {
		all["name "+n.Domain] = *n
	}
	for c := range s.Clients() {
		all["client "+c.Prefix.String()] = *c
	}
	for c := range s.Cohorts() {
		all["cohort "+cohortKeyOf(c).String()] = *c
	}
	return all
}

// traffic is some hours of requests over few names and clients. A name's tail is a function of the name, as with one model.
func traffic(t *rapid.T) []Sighting {
	all := make([]Sighting, rapid.IntRange(0, 200).Draw(t, "requests"))
	r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
	for i := range all {
		n := r.IntN(120)
		tail := []float32{1e-5, 0.005, 0.3}[n%3]
		client := numbered(r.IntN(50))
		if r.IntN(5) == 0 {
			client = fmt.Sprintf("2001:db8:%d:%d::1", r.IntN(20), r.IntN(3))
		}
		all[i] = sighting(fmt.Sprintf("name%d.com", n), tail, client, time.Duration(i)*time.Minute+time.Duration(r.IntN(1e9)))
		all[i].Exempt = n%10 == 9
		all[i].Agent, all[i].Path = uint32(r.IntN(12)), uint32(r.IntN(3))
		all[i].Blocked, all[i].Session = r.IntN(8) == 0, r.IntN(8) == 0
		if r.IntN(20) == 0 {
			all[i].Result, all[i].Session = classifier.Result{Tail: 1}, true
		}
	}
	return all
}

func stateOf(all []Sighting) *State {
	s := New(testConfig(), Key{1})
	for _, si := range all {
		s.Add(si)
	}
	return s
}

func restored(t *rapid.T, rows []Row) *State {
	s := New(testConfig(), Key{1})
	for _, r := range rows {
		if err := s.Restore(r); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestRowsBringTheStateBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := stateOf(traffic(t))
		rows := s.Changes()
		back := restored(t, rapid.Permutation(rows).Draw(t, "order of rows"))
		if d := gocmp.Diff(content(s), content(back), same); d != "" {
			t.Fatal(d)
		}
		if again := back.Changes(); len(again) > 0 {
			t.Fatalf("restoring made %d changes", len(again))
		}
		now := noon.Add(26 * time.Hour)
		s.Expire(now)
		back.Expire(now)
		if d := gocmp.Diff(content(s), content(back), same); d != "" {
			t.Fatal("after expiry", d)
		}
	})
}

func TestRowsOfTwoProcessesMakeOneState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := traffic(t)
		var one, other []Sighting
		for i, si := range all {
			if i%2 == 0 {
				one = append(one, si)
			} else {
				other = append(other, si)
			}
		}
		rows := append(stateOf(one).Changes(), stateOf(other).Changes()...)
		both := content(restored(t, rapid.Permutation(rows).Draw(t, "order of rows")))
		if d := gocmp.Diff(both, content(restored(t, rows)), same); d != "" {
			t.Fatal("in another order", d)
		}
		// A cohort begins with an interesting name, which the two saw at different times.
		cohorts := func(key string, _ any) bool { return strings.HasPrefix(key, KindCohort) }
		maps.DeleteFunc(both, cohorts)
		want := content(stateOf(all))
		maps.DeleteFunc(want, cohorts)
		if d := gocmp.Diff(want, both, same); d != "" {
			t.Fatal(d)
		}
	})
}

// TestALedgerThatAppliesTheChangesHoldsTheState drives a State to its bounds and a map as a ledger would be driven.
func TestALedgerThatAppliesTheChangesHoldsTheState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := New(smallConfig(), Key{1})
		ledger := map[string]Row{}
		commit := func() {
			for _, r := range s.Changes() {
				if _, there := ledger[r.Kind+" "+r.Key]; r.Data == nil && !there {
					t.Fatalf("%s %s is taken out, and was never put in", r.Kind, r.Key)
				}
				if r.Data == nil {
					delete(ledger, r.Kind+" "+r.Key)
				} else {
					ledger[r.Kind+" "+r.Key] = r
				}
			}
		}
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		for i := range rapid.IntRange(0, 2000).Draw(t, "requests") {
			after := time.Duration(i) * time.Minute
			tail := []float32{1e-5, 0.3}[r.IntN(2)]
			s.Add(sighting(fmt.Sprintf("name%d.com", r.IntN(150)), tail, numbered(r.IntN(150)), after))
			switch r.IntN(40) {
			case 0:
				commit()
			case 1:
				s.Expire(noon.Add(after))
			case 2: // a restart
				commit()
				s = New(smallConfig(), Key{1})
				for _, r := range ledger {
					if err := s.Restore(r); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		commit()
		back := New(smallConfig(), Key{1})
		for _, key := range slices.Sorted(maps.Keys(ledger)) {
			if err := back.Restore(ledger[key]); err != nil {
				t.Fatal(err)
			}
		}
		s.Expire(time.Unix(0, 0).Add(testConfig().Window)) // look at all that is kept, however old
		back.Expire(time.Unix(0, 0).Add(testConfig().Window))
		if got, want := keys(content(back)), keys(content(s)); !slices.Equal(got, want) {
			t.Fatal(gocmp.Diff(want, got))
		}
	})
}

func keys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

func TestRestoredEntriesExpireByTheirAge(t *testing.T) {
	s := New(testConfig(), Key{1})
	s.Add(sighting("old.com", 1e-5, "198.51.100.1", 0))
	s.Add(sighting("young.com", 1e-5, "203.0.113.1", 10*time.Hour))
	rows := s.Changes()
	slices.SortFunc(rows, func(a, b Row) int { return b.Seen.Compare(a.Seen) }) // the youngest first
	back := New(testConfig(), Key{1})
	for _, r := range rows {
		if err := back.Restore(r); err != nil {
			t.Fatal(err)
		}
	}
	back.Expire(noon.Add(25 * time.Hour))
	if back.Name("old.com") != nil || back.Name("young.com") == nil {
		t.Errorf("left: %v", keys(content(back)))
	}
	var gone []string
	for _, r := range back.Changes() {
		if r.Data == nil {
			gone = append(gone, r.Kind+" "+r.Key)
		}
	}
	slices.Sort(gone)
	if want := []string{"client 198.51.100.1/32", "name old.com"}; !slices.Equal(gone, want) {
		t.Errorf("taken out of the ledger: %v, want %v", gone, want)
	}
}

func TestARowIsShort(t *testing.T) {
	s := New(testConfig(), Key{1})
	s.Add(sighting("example.com", 0.3, "198.51.100.1", 0))
	if rows := s.Changes(); len(rows) != 1 || len(rows[0].Data) > 48 {
		t.Errorf("a client of one ordinary name takes %d bytes", len(rows[0].Data))
	}
}

func TestDamagedRowsAreRefused(t *testing.T) {
	s := New(testConfig(), Key{1})
	for i := range namesKept + 5 {
		s.Add(sighting(fmt.Sprintf("kq%dv9z.com", i), 1e-5, "198.51.100.1", time.Duration(i)*time.Second))
	}
	client := encodeClient(s.Client(netip.MustParseAddr("198.51.100.1")))
	f := func(what string, change func(*Row)) {
		t.Helper()
		r := client
		r.Data = bytes.Clone(client.Data)
		change(&r)
		back := New(testConfig(), Key{1})
		if err := back.Restore(r); err == nil {
			t.Errorf("%s: taken in", what)
		}
		if len(content(back)) > 0 {
			t.Errorf("%s: something was taken in", what)
		}
	}
	f("no data", func(r *Row) { r.Data = nil })
	f("a newer version", func(r *Row) { r.Data[0]++ })
	f("an unknown kind", func(r *Row) { r.Kind = "herd" })
	f("a kind whose keys are others", func(r *Row) { r.Kind = KindCohort })
	f("another kind", func(r *Row) { r.Kind = KindName })
	f("a range of clients", func(r *Row) { r.Key = "198.51.100.0/24" })
	f("host bits", func(r *Row) { r.Key = "2001:db8::1/64" })
	f("no prefix", func(r *Row) { r.Key = "kq3v9z.com" })
	f("a byte too many", func(r *Row) { r.Data = append(r.Data, 0) })
	for n := range client.Data {
		f(fmt.Sprintf("cut after %d bytes", n), func(r *Row) { r.Data = r.Data[:n] })
	}
}

func FuzzDecode(f *testing.F) {
	s := New(testConfig(), Key{1})
	for i := range 80 {
		s.Add(sighting(fmt.Sprintf("kq%dv9z.com", i%70), 1e-5, numbered(i%40), time.Duration(i)*time.Second))
	}
	s.Add(sighting("example.com", 0.5, "2001:db8::1", 0))
	for _, r := range s.Changes() {
		f.Add(r.Kind, r.Key, r.Data)
	}
	f.Fuzz(func(t *testing.T, kind, key string, data []byte) {
		r := Row{Kind: kind, Key: key, Data: data}
		s := New(testConfig(), Key{1})
		if err := s.Restore(r); err != nil {
			return
		}
		// What was taken in is given out in a form that is taken in, and that is the same again.
		s.Add(sighting("kq3v9z.com", 1e-5, "198.51.100.1", 0))
		for _, v := range content(s) {
			var row Row
			switch v := v.(type) {
			case Name:
				row = encodeName(&v)
			case Client:
				row = encodeClient(&v)
			case Cohort:
				row = encodeCohort(&v)
			}
			back := New(testConfig(), Key{1})
			if err := back.Restore(row); err != nil {
				t.Fatalf("%s %q: %v", row.Kind, row.Key, err)
			}
			for _, again := range content(back) {
				if d := gocmp.Diff(v, again, same); d != "" {
					t.Fatal(d)
				}
			}
		}
	})
}
