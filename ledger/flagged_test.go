package ledger

import (
	"testing"
	"time"

	"referee/evidence"
)

func TestExamplesAreFoundByTheKeyOfAHit(t *testing.T) {
	dir := t.TempDir()
	l := owner(t, dir)
	with := func(s evidence.Sighting, agent string) evidence.Sighting {
		s.Example = &evidence.Example{Referer: "https://a.com/<script>\x00\xff", Agent: agent, Path: "/login"}
		return s
	}
	a := with(sighting("a.com", "198.51.100.7", noon), "curl/8")
	b := with(sighting("b.com", "198.51.100.7", noon.Add(time.Second)), "") // an empty header is an example too
	c := with(sighting("a.com", "", noon.Add(2*time.Second)), "x")
	commitTo(t, l, Batch{Hour: noon, Flagged: []evidence.Sighting{a, b, c, sighting("a.com", "198.51.100.7", noon)}})
	f := func(key string, limit int, want ...evidence.Sighting) {
		t.Helper()
		for _, l := range []*Ledger{l, reader(t, dir)} {
			got, err := l.Examples(t.Context(), key, limit)
			if err != nil {
				t.Fatal(err)
			}
			var examples []Example
			for _, s := range want {
				examples = append(examples, Example{Example: *s.Example, Domain: s.Result.Domain, Client: s.Client, Time: fromNanos(s.Time)})
			}
			diff(t, key, got, examples)
		}
	}
	f("name:a.com", 0, c, a)
	f("name:a.com", 1, c)
	f("client:198.51.100.7/32", 0, b, a)
	f("client:198.51.100.8/32", 0)
	f("name:nobody.com", 0)
	for _, key := range []string{"", "name:", "client:", "client:x", "cohort:x"} {
		if _, err := l.Examples(t.Context(), key, 1); err == nil {
			t.Errorf("%q was taken for a key", key)
		}
	}
}
