package training

import (
	"net/url"
	"slices"
	"time"

	"referee/classifier"
	"referee/features"
)

// Speed is how long a name takes on one core of the machine that measured, medians of several rounds, beside yardsticks of the
// same rounds. Clocks and neighbours differ: compare ratios.
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
	timedRounds = 5
)

// Time measures the speed of a model on the names of sets. now is the clock.
func Time(m *classifier.Model, sets []Set, now func() time.Time) *Speed {
	var benign, late, referers []string
	regression, _ := m.Alone()
	for _, set := range sets {
		for _, n := range spread(set.Names, timedNames) {
			if set.Role == Clean {
				benign = append(benign, n.Label)
				referers = append(referers, "https://www."+n.Domain+"/")
			}
			if set.Role != Benign && !m.Cleared(n.Label) {
				late = append(late, n.Label)
			}
		}
	}
	score := func(label string) float32 { return m.Score(features.Name{Label: label}) }
	var rounds [4][]float64
	for range timedRounds {
		for i, once := range []func(){
			func() { scoreAll(score, benign) },
			func() { scoreAll(score, late) },
			func() { scoreAll(regression, benign) },
			func() { parseAll(referers) },
		} {
			began := now()
			once()
			rounds[i] = append(rounds[i], float64(now().Sub(began)))
		}
	}
	per := func(i, names int) float64 {
		slices.Sort(rounds[i])
		return rounds[i][timedRounds/2] / float64(max(names, 1))
	}
	s := &Speed{
		Names: len(benign), Benign: per(0, len(benign)), EveryStage: per(1, len(late)),
		Regression: per(2, len(benign)), Parse: per(3, len(benign)),
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
