package ledger

import (
	"context"
	"database/sql"
	"strings"
	"time"
)

// Compared is a name of which the candidate model says something else than the live one.
type Compared struct {
	Live, Candidate               string // the models' ids
	Domain                        string
	First, Last                   time.Time
	Sightings                     uint64  // since First
	LiveScore, LiveTail           float32 // a tail of 1 where the model abstains
	CandidateScore, CandidateTail float32
}

// compared adds up names that two models judge differently, as saved does.
func (c *commit) compared(names []Compared, lim limits) error {
	if len(names) == 0 {
		return nil
	}
	add := c.bind(c.stmts.addCompared)
	for _, n := range names {
		_, err := add(n.Live, n.Candidate, n.Domain, nanos(n.First), nanos(n.Last), int64(n.Sightings),
			float64(n.LiveScore), float64(n.LiveTail), float64(n.CandidateScore), float64(n.CandidateTail))
		if err != nil {
			return err
		}
	}
	_, err := c.bind(c.stmts.trimCompared)(lim.compared)
	return err
}

// ComparedNames returns the names that a candidate model judged differently from a live one and that were seen at since
// or later, those with the most sightings first.
func (l *Ledger) ComparedNames(ctx context.Context, live, candidate string, since time.Time) ([]Compared, error) {
	return collect(ctx, l, "read the comparison of models", func(rows *sql.Rows) (n Compared, err error) {
		var first, last, sightings int64
		var scores [4]float64
		if err := rows.Scan(&n.Domain, &first, &last, &sightings, &scores[0], &scores[1], &scores[2], &scores[3]); err != nil {
			return n, err
		}
		n.Live, n.Candidate, n.First, n.Last, n.Sightings = live, candidate, fromNanos(first), fromNanos(last), uint64(sightings)
		n.LiveScore, n.LiveTail = float32(scores[0]), float32(scores[1])
		n.CandidateScore, n.CandidateTail = float32(scores[2]), float32(scores[3])
		return n, nil
	}, `SELECT domain, first, last, sightings, live_score, live_tail, candidate_score, candidate_tail FROM compared
		WHERE live = ? AND candidate = ? AND last >= ? ORDER BY sightings DESC, domain`, live, candidate, nanos(since))
}

// candidateCounts begins the names of the counts that compare a candidate model with the live one.
const candidateCounts = "candidate."

// CandidateCount is the name of a count of a comparison, for Batch.Counts: what is counted, of these two models. The ids
// must not hold dots.
func CandidateCount(live, candidate, what string) string {
	return candidateCounts + live + "." + candidate + "." + what
}

// ParseCandidateCount takes apart what CandidateCount made.
func ParseCandidateCount(counter string) (live, candidate, what string, ok bool) {
	rest, ok := strings.CutPrefix(counter, candidateCounts)
	if !ok {
		return "", "", "", false
	}
	live, rest, _ = strings.Cut(rest, ".")
	candidate, what, ok = strings.Cut(rest, ".")
	return live, candidate, what, ok
}
