package training

import (
	"net/url"
	"slices"
	"time"

	"referee/classifier"
	"referee/features"
)

// Speed is how long a name takes on one core of the machine that measured, the best of several rounds (what else runs only adds), beside
// yardsticks of the same rounds. Clocks differ: compare ratios.
type Speed struct {
	Names         int     `json:"names"`          // benign names in a round
	Benign        float64 `json:"benign_ns"`      // a clean benign name that is in no cache
	EveryStage    float64 `json:"every_stage_ns"` // a name that the first stage does not clear; 0 if there is none
	Regression    float64 `json:"regression_ns"`  // yardstick: the first stage alone, of benign names
	Parse         float64 `json:"url_parse_ns"`   // yardstick: net/url.Parse of the benign names as Referers
	BenignToParse float64 `json:"benign_to_url_parse"`
}

const (
	timedNames  = 4_000
	timedRounds = 7
)

// Time measures the speed of models on the names of sets, in rounds that take turns. now is the clock.
func Time(sets []Set, now func() time.Time, models ...*classifier.Model) []*Speed {
	runs := make([]*timed, len(models))
	for i, m := range models {
		runs[i] = newTimed(m, sets)
	}
	for range timedRounds {
		for _, run := range runs {
			run.round(now)
		}
	}
	speeds := make([]*Speed, len(models))
	for i, run := range runs {
		speeds[i] = run.speed()
	}
	return speeds
}

// timed is a model with what it is timed on, and how long each round took.
type timed struct {
	score, regression      func(label string) float32
	benign, late, referers []string
	rounds                 [4][]float64
}

func newTimed(m *classifier.Model, sets []Set) *timed {
	t := &timed{score: func(label string) float32 { return m.Score(features.Name{Label: label}) }}
	t.regression, _ = m.Alone()
	for _, set := range sets {
		for _, n := range spread(set.Names, timedNames) {
			if set.Role == Clean {
				t.benign = append(t.benign, n.Label)
				t.referers = append(t.referers, "https://www."+n.Domain+"/")
			}
			if set.Role != Benign && !m.Cleared(n.Label) {
				t.late = append(t.late, n.Label)
			}
		}
	}
	return t
}

func (t *timed) round(now func() time.Time) {
	for i, once := range []func(){
		func() { scoreAll(t.score, t.benign) },
		func() { scoreAll(t.score, t.late) },
		func() { scoreAll(t.regression, t.benign) },
		func() { parseAll(t.referers) },
	} {
		began := now()
		once()
		t.rounds[i] = append(t.rounds[i], float64(now().Sub(began)))
	}
}

func (t *timed) speed() *Speed {
	per := func(i, names int) float64 {
		return slices.Min(t.rounds[i]) / float64(max(names, 1))
	}
	s := &Speed{
		Names: len(t.benign), Benign: per(0, len(t.benign)), EveryStage: per(1, len(t.late)),
		Regression: per(2, len(t.benign)), Parse: per(3, len(t.benign)),
	}
	s.BenignToParse = s.Benign / max(s.Parse, 1)
	return s
}

// spread takes names evenly from a list: lists are sorted, and their first names are alike.
func spread(names []Entry, n int) []Entry {
	if len(names) <= n {
		return names
	}
	taken := make([]Entry, n)
	for i := range taken {
		taken[i] = names[i*len(names)/n]
	}
	return taken
}

func scoreAll(score func(label string) float32, labels []string) (sum float32) {
	for _, label := range labels {
		sum += score(label)
	}
	return sum
}

func parseAll(referers []string) (hosts int) {
	for _, r := range referers {
		if u, err := url.Parse(r); err == nil && u.Host != "" {
			hosts++
		}
	}
	return hosts
}
