package ledger

import (
	"testing"
	"time"
)

func TestWhatTheOwnerWasToldIsKeptForAsLongAsDecisions(t *testing.T) {
	l := memory(t)
	told := func(i int) Alert {
		return Alert{Time: noon.Add(time.Duration(i) * days), Kind: "held", Text: "a plan is held"}
	}
	commitTo(t, l, Batch{Alerts: []Alert{told(0), told(1)}})
	commitTo(t, l, Batch{Alerts: []Alert{told(2)}})
	f := func(since time.Time, limit int, want ...Alert) {
		t.Helper()
		got, err := l.Alerts(t.Context(), since, limit)
		if err != nil {
			t.Fatal(err)
		}
		diff(t, "alerts", got, want)
	}
	f(time.Time{}, 0, told(2), told(1), told(0))
	f(noon.Add(days), 0, told(2), told(1))
	f(time.Time{}, 1, told(2))
	tidy(t, l, usual, noon.Add(364*days))
	f(time.Time{}, 0, told(2), told(1), told(0))
	tidy(t, l, usual, noon.Add(366*days))
	f(time.Time{}, 0, told(2), told(1))
}
