package report

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"referee/ledger"
)

// How much of the comparisons is listed at most.
const (
	maxComparisons = 5
	maxCompared    = 500 // new hits, and lost hits, of each comparison
)

// Comparison is what a candidate model would have done in the place of the live one, on the names of live traffic that are
// neither exempt nor labelled, at the confidence of that time. It decided nothing.
type Comparison struct {
	Live      string         `json:"live"`      // the model that judged
	Candidate string         `json:"candidate"` // the one in its shadow
	First     time.Time      `json:"first"`     // the start of the first hour in which they were compared
	Last      time.Time      `json:"last"`      // and of the last one
	Names     Flagged        `json:"names"`     // distinct names, since the sidecar's start or the candidate's
	Requests  Flagged        `json:"requests"`  // requests that carried them
	Skipped   uint64         `json:"skipped"`   // requests left out, because too many new names came at once
	New       DifferingNames `json:"new"`       // what the candidate alone flags now
	Lost      DifferingNames `json:"lost"`      // what the live model alone flags
}

// Flagged are counts by which of two models flags a name at the confidence.
type Flagged struct {
	Both      uint64 `json:"both"`
	Neither   uint64 `json:"neither"`
	Candidate uint64 `json:"candidate"` // the candidate alone: new hits
	Live      uint64 `json:"live"`      // the live one alone: lost hits
}

func (f Flagged) all() uint64 { return f.Both + f.Neither + f.Candidate + f.Live }

func (f Flagged) agreed() uint64 { return f.Both + f.Neither }

// DifferingNames are names that one model alone flags at the confidence in force.
type DifferingNames struct {
	Names   int             `json:"names"`
	LeftOut int             `json:"left_out"` // how many of them are not listed
	List    []DifferingName `json:"list"`     // by sightings; at most 500
}

// DifferingName is a name that one model alone flags.
type DifferingName struct {
	Name           string    `json:"name"`
	Score          float32   `json:"score"` // of the live model
	BenignTail     float32   `json:"benign_tail"`
	OneIn          uint64    `json:"one_in"`
	CandidateScore float32   `json:"candidate_score"`
	CandidateTail  float32   `json:"candidate_benign_tail"`
	CandidateOneIn uint64    `json:"candidate_one_in"`
	Sightings      uint64    `json:"sightings"`
	First          time.Time `json:"first"`
	Last           time.Time `json:"last"`
}

func (r *Report) compare(ctx context.Context, l *ledger.Ledger, threshold float32, since time.Time) error {
	r.Candidates = []Comparison{}
	hours, err := l.Hours(ctx, r.Since)
	if err != nil {
		return err
	}
	type pair struct{ live, candidate string }
	found := map[pair]*Comparison{}
	for _, h := range hours {
		for counter, n := range h.Counts {
			live, candidate, what, ok := ledger.ParseCandidateCount(counter)
			if !ok {
				continue
			}
			c := found[pair{live, candidate}]
			if c == nil {
				c = &Comparison{Live: live, Candidate: candidate, First: h.Start}
				found[pair{live, candidate}] = c
			}
			c.Last = h.Start
			c.count(what, n)
		}
	}
	for _, c := range found {
		r.Candidates = append(r.Candidates, *c)
	}
	slices.SortFunc(r.Candidates, func(a, b Comparison) int {
		return cmp.Or(b.Last.Compare(a.Last), b.First.Compare(a.First), cmp.Compare(a.Live+a.Candidate, b.Live+b.Candidate))
	})
	r.Candidates, _ = cut(r.Candidates, maxComparisons)
	for i := range r.Candidates {
		c := &r.Candidates[i]
		names, err := l.ComparedNames(ctx, c.Live, c.Candidate, since)
		if err != nil {
			return err
		}
		for _, n := range names {
			list := &c.New
			switch live, candidate := n.LiveTail <= threshold, n.CandidateTail <= threshold; {
			case live == candidate:
				continue // the confidence is another one now
			case live:
				list = &c.Lost
			}
			list.List = append(list.List, DifferingName{
				Name: n.Domain, Score: n.LiveScore, BenignTail: n.LiveTail, OneIn: oneIn(float64(n.LiveTail)),
				CandidateScore: n.CandidateScore, CandidateTail: n.CandidateTail, CandidateOneIn: oneIn(float64(n.CandidateTail)),
				Sightings: n.Sightings, First: seconds(n.First), Last: seconds(n.Last),
			})
		}
		for _, list := range []*DifferingNames{&c.New, &c.Lost} {
			list.Names = len(list.List)
			list.List, list.LeftOut = cut(list.List, maxCompared)
		}
	}
	return nil
}

func (c *Comparison) count(what string, n uint64) {
	into := map[string]*uint64{
		"names.both": &c.Names.Both, "names.neither": &c.Names.Neither, "names.candidate": &c.Names.Candidate, "names.live": &c.Names.Live,
		"requests.both": &c.Requests.Both, "requests.neither": &c.Requests.Neither,
		"requests.candidate": &c.Requests.Candidate, "requests.live": &c.Requests.Live, "skipped": &c.Skipped,
	}[what]
	if into != nil {
		*into += n
	}
}

// interval is a share in percent with its 95 % interval (Wilson 1927), which takes names for independent draws.
func interval(part, whole uint64) string {
	if whole == 0 {
		return share(part, whole)
	}
	const z = 1.96
	n, p := float64(whole), float64(part)/float64(whole)
	middle, half := p+z*z/(2*n), z*math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	percent := func(x float64) string { return fmt.Sprintf("%.2g", 100*min(1, max(0, x/(1+z*z/n)))) }
	low := middle - half
	if part == 0 {
		low = 0
	}
	return fmt.Sprintf("%s, 95 %% interval %s to %s %%", share(part, whole), percent(low), percent(middle+half))
}

// Answer is a comparison in a sentence.
func (c *Comparison) Answer() string {
	if c.Names.all() == 0 {
		return "Nothing was compared yet."
	}
	s := fmt.Sprintf("The models agree on %s of %s. In the place of the live one the candidate would flag %s more (%s) and %s fewer (%s).",
		grouped(c.Names.agreed()), count(c.Names.all(), "name"), grouped(c.Names.Candidate), interval(c.Names.Candidate, c.Names.all()),
		grouped(c.Names.Live), interval(c.Names.Live, c.Names.all()))
	if c.Skipped > 0 {
		s += fmt.Sprintf(" %s were left out, because too many new names came at once.", count(c.Skipped, "request"))
	}
	return s
}

// flaggedRow is one line of the table of a comparison.
type flaggedRow struct {
	Word            string
	Names, Requests uint64
}

// Rows are the counts of a comparison in words.
func (c *Comparison) Rows() []flaggedRow {
	return []flaggedRow{
		{"neither flags it", c.Names.Neither, c.Requests.Neither},
		{"both flag it", c.Names.Both, c.Requests.Both},
		{"the candidate alone: new hits", c.Names.Candidate, c.Requests.Candidate},
		{"the live model alone: lost hits", c.Names.Live, c.Requests.Live},
	}
}

func (r *Report) textCandidates(w *strings.Builder) {
	for i := range r.Candidates {
		c := &r.Candidates[i]
		heading(w, fmt.Sprintf("Candidate model %s beside %s, %s to %s", printable(c.Candidate), printable(c.Live), day(c.First), day(c.Last.Add(time.Hour))))
		for line := range strings.Lines(wrap(c.Answer())) {
			fmt.Fprintf(w, "  %s\n", strings.TrimRight(line, " \n"))
		}
		t := newTable("flagged by", "names", "requests")
		right(t, 2, 3)
		for _, row := range c.Rows() {
			t.AppendRow(table.Row{row.Word, grouped(row.Names), grouped(row.Requests)})
		}
		render(w, t)
		textDiffering(w, "New hits: the candidate alone flags", c.New)
		textDiffering(w, "Lost hits: the live model alone flags", c.Lost)
	}
}

func textDiffering(w *strings.Builder, title string, d DifferingNames) {
	if d.Names == 0 {
		return
	}
	fmt.Fprintf(w, "  %s %s\n", title, count(d.Names, "name"))
	t := newTable("name", "1 in (live)", "1 in (candidate)", "seen", "first", "last")
	right(t, 2, 3, 4)
	shown := d.List[:min(len(d.List), textRows)]
	for _, n := range shown {
		t.AppendRow(table.Row{printable(n.Name), grouped(n.OneIn), grouped(n.CandidateOneIn), grouped(n.Sightings), day(n.First), day(n.Last)})
	}
	render(w, t)
	more(w, d.Names-len(shown))
}
