package policy

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestAHitThatStandsHasTheFiguresThatTheEvidenceHas(t *testing.T) {
	p, st := newPolicy(t, defaults()), newState()
	attackName(st, "kq3v9z7xw.com", 3*time.Hour)
	attackClient(st, "81.9.9.9", 3*time.Hour)
	hits, _ := p.Decide(nil, st, noon.Add(3*time.Hour))
	see(st, "kq3v9z7xw.com", flagged, "81.2.71.1", 4*time.Hour)
	see(st, "kq3v9z7xw8.com", flagged, "81.9.9.9", 4*time.Hour)
	later, decisions := p.Decide(hits, st, noon.Add(4*time.Hour))
	if later != hits {
		t.Fatalf("there is so little more, and %v", decisions)
	}
	for _, old := range hits.All() {
		h := p.Current(st, old)
		if h.Sightings != old.Sightings+1 || h.Networks+h.Flagged != old.Networks+old.Flagged+1 || h.Rank <= old.Rank || !h.Last.Equal(noon.Add(4*time.Hour)) {
			t.Errorf("%s is %+v", h.Key(), h)
		}
		if !h.Expires.Equal(old.Expires) || len(h.Reasons) != len(old.Reasons) || strings.Join(h.Reasons, "") == strings.Join(old.Reasons, "") {
			t.Errorf("%s: until %s, because %q", h.Key(), h.Expires, h.Reasons)
		}
	}
}

func TestAHitWhoseEvidenceIsForgottenStaysAsItWasDecided(t *testing.T) {
	p, st := newPolicy(t, defaults()), newState()
	attackName(st, "kq3v9z7xw.com", 3*time.Hour)
	attackClient(st, "81.9.9.9", 3*time.Hour)
	hits, _ := p.Decide(nil, st, noon.Add(3*time.Hour))
	again := newState() // it comes back after everything was forgotten
	see(again, "kq3v9z7xw.com", flagged, "81.9.9.9", 5*time.Hour)
	for _, h := range hits.All() {
		for _, st := range []struct{ now Hit }{{p.Current(newState(), h)}, {p.Current(again, h)}} {
			if diff := cmp.Diff(h, st.now, sameHits); diff != "" {
				t.Error(diff)
			}
		}
	}
}

func TestWhatIsCurrentIsWhatWasDecidedAMomentAgo(t *testing.T) {
	w := newWorld(t)
	rapid.Check(t, func(t *rapid.T) {
		w.run(t, func(p *Policy, _, hits *Hits, decisions []Decision, _ time.Time) {
			for _, d := range decisions {
				if d.Action != Block {
					continue
				}
				if diff := cmp.Diff(d.Hit, p.Current(w.st, d.Hit), sameHits); diff != "" {
					t.Fatal(diff)
				}
			}
			for _, h := range hits.All() {
				if now := p.Current(w.st, h); now.Key() != h.Key() || now.Sightings < h.Sightings || now.Last.Before(h.Last) || !now.Expires.Equal(h.Expires) {
					t.Fatalf("%+v is now %+v", h, now)
				}
			}
		})
	})
}
