package report

import (
	"encoding/csv"
	"io"
	"strconv"
	"strings"
	"time"
)

// csvHeader names the columns: a contract, to which new ones are added at the end.
var csvHeader = []string{
	"kind", "value", "state", "score", "benign_tail", "sightings", "networks", "flagged", "distinct", "rank",
	"first", "last", "expires", "decided", "label", "reasons", "names", "model", "policy",
}

// maxCell bounds a cell, in bytes.
const maxCell = 4000

// CSV writes the hits, a line each under a line of names: RFC 4180. Times are RFC 3339 in UTC, lists are joined with " | ". What a
// spreadsheet would take for a formula begins with an apostrophe.
func (r *Report) CSV(w io.Writer) error {
	c := csv.NewWriter(w)
	if err := c.Write(csvHeader); err != nil {
		return err
	}
	number := func(n int) string { return strconv.Itoa(n) }
	float := func(f float64, bits int) string { return strconv.FormatFloat(f, 'g', -1, bits) }
	stamp := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	for _, list := range [][]Hit{r.Names.List, r.Clients.List} {
		for i := range list {
			h := &list[i]
			kind, value := "name", h.Name
			if h.Client != "" {
				kind, value = "client", h.Client
			}
			err := c.Write([]string{
				kind, cell(value), cell(string(h.State)), float(float64(h.Score), 32), float(float64(h.BenignTail), 32),
				strconv.FormatUint(h.Sightings, 10), number(h.Networks), number(h.Flagged), number(h.Distinct), float(h.Rank, 64),
				stamp(h.First), stamp(h.Last), stamp(h.Expires), stamp(h.Decided), cell(string(h.Label)),
				cell(strings.Join(h.Reasons, " | ")), cell(strings.Join(h.FlaggedNames, " | ")), cell(h.Model), cell(h.Policy),
			})
			if err != nil {
				return err
			}
		}
	}
	c.Flush()
	return c.Error()
}

// cell is text that is nothing but text, in a spreadsheet too (OWASP, CSV Injection). Whatever is not printable ASCII is escaped
// before, so that no tab, line end or full-width sign stands at the start.
func cell(s string) string {
	s = escape(s, maxCell)
	if s != "" && strings.ContainsRune("=+-@", rune(s[0])) {
		return "'" + s
	}
	return s
}
