package ledger

import (
	"fmt"
	"testing"
	"time"

	"referee/policy"
)

func TestLabelsAreAddedBesideTheOwnerAndTheLastOneCounts(t *testing.T) {
	dir := t.TempDir()
	l := owner(t, dir)
	beside, err := OpenAppend(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer beside.Close()
	last := func(want int64) {
		t.Helper()
		if got, err := l.LastLabel(t.Context()); got != want || err != nil {
			t.Errorf("the last label is %d (%v), want %d", got, err, want)
		}
	}
	last(0)
	var all []policy.Label
	say := func(name string, says policy.Says, reason string) {
		t.Helper()
		label := policy.Label{Name: name, Says: says, Time: noon.Add(time.Duration(len(all)) * time.Minute), Who: "alice", Reason: reason}
		if label.ID, err = beside.Label(t.Context(), label); err != nil {
			t.Fatal(err)
		}
		all = append(all, label)
		last(label.ID)
	}
	say("kq3v9z.com", policy.SaysDGA, "seen in a campaign")
	say("back.com", policy.SaysBenign, "")
	say("kq3v9z.com", policy.SaysBenign, "no, a partner")
	say("back.com", policy.SaysNothing, "sold")
	say("other.com", policy.SaysDGA, "")

	standing, err := l.Labels(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "labels", standing, []policy.Label{all[2], all[4]})
	history, err := l.LabelHistory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "history", history, []policy.Label{all[4], all[3], all[2], all[1], all[0]})

	if _, err := beside.Label(t.Context(), policy.Label{Name: "x.com", Says: "good"}); err == nil {
		t.Error("a word that is no label was kept")
	}
	_, err = reader(t, dir).Label(t.Context(), all[0])
	wantError(t, err, ErrReadOnly)
}

func TestComparedNamesAddUpByPairAndTheOldestGoFirst(t *testing.T) {
	l := owner(t, t.TempDir())
	l.limits.compared = 3
	name := func(candidate, domain string, at time.Duration, tail float32) Compared {
		return Compared{
			Live: "a", Candidate: candidate, Domain: domain, First: noon.Add(at), Last: noon.Add(at), Sightings: 2,
			LiveScore: 1, LiveTail: 0.5, CandidateScore: 9, CandidateTail: tail,
		}
	}
	commitTo(t, l, Batch{Compared: []Compared{name("b", "x.com", 0, 1e-4), name("c", "x.com", time.Minute, 1e-4)}})
	commitTo(t, l, Batch{Compared: []Compared{name("b", "x.com", time.Hour, 1e-5)}})
	names, err := l.ComparedNames(t.Context(), "a", "b", noon)
	if err != nil {
		t.Fatal(err)
	}
	want := name("b", "x.com", 0, 1e-5)
	want.Last, want.Sightings = noon.Add(time.Hour), 4
	diff(t, "compared", names, []Compared{want})

	for i := range 3 {
		commitTo(t, l, Batch{Compared: []Compared{name("b", fmt.Sprintf("y%d.com", i), 2*time.Hour, 1e-4)}})
	}
	names, err = l.ComparedNames(t.Context(), "a", "b", noon)
	if err != nil {
		t.Fatal(err)
	}
	if len(names) != 3 || names[0].Domain != "y0.com" {
		t.Errorf("%d names are kept, the first %+v; want the three seen last", len(names), names[0])
	}
}

func TestACountOfACandidateNamesBothModels(t *testing.T) {
	f := func(counter, live, candidate, what string, ok bool) {
		t.Helper()
		if a, b, c, is := ParseCandidateCount(counter); is != ok || ok && (a != live || b != candidate || c != what) {
			t.Errorf("%s: %q %q %q %v", counter, a, b, c, is)
		}
	}
	f(CandidateCount("0a1b", "2c3d", "names.both"), "0a1b", "2c3d", "names.both", true)
	f("requests", "", "", "", false)
	f("candidate.only", "", "", "", false)
}
