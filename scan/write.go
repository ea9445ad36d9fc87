package scan

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// textRows is how many names, and how many clients, a terminal is shown.
const textRows = 20

// JSON writes the result as one indented object, the report in it.
func (r *Result) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// TSV writes one line for each name and client that is rated, the highest rating first, without a header: rating, kind, name
// or client, score, benign tail, requests, networks (of a name) or flagged names (of a client), first, last.
func (r *Result) TSV(w io.Writer) error {
	b := bufio.NewWriter(w)
	for _, rating := range []Rating{Critical, High, Medium, Low} {
		for _, list := range []struct {
			kind  string
			rated []Rated
		}{{"name", r.Names}, {"client", r.Clients}} {
			for _, x := range list.rated {
				if x.Rating == rating {
					fmt.Fprintf(b, "%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s\n", x.Rating, list.kind, x.What(), figure(x.Score), figure(x.Tail),
						x.Sightings, max(x.Networks, x.Flagged), stamp(x.First), stamp(x.Last))
				}
			}
		}
	}
	return b.Flush()
}

// Text writes the result for a terminal.
func (r *Result) Text(w io.Writer) error {
	b := bufio.NewWriter(w)
	what := ""
	if r.Skipped > 0 {
		what = fmt.Sprintf(" (%d more were read before)", r.Skipped)
	}
	fmt.Fprintf(b, "Read %s in %s%s: %s, %s\n", plural(uint64(max(r.Bytes, 0)), "byte"), plural(uint64(r.Sources), "source"), what,
		plural(r.Lines, "line"), plural(r.Requests, "request"))
	if !r.First.IsZero() {
		fmt.Fprintf(b, "The lines tell of %s to %s UTC\n", r.First.Format("2006-01-02 15:04"), r.Last.Format("2006-01-02 15:04"))
	}
	if r.Interrupted {
		fmt.Fprintln(b, "Interrupted: this is what was found until then")
	}
	if r.Elsewhere > 0 {
		fmt.Fprintf(b, "%s that other WAF rules answered: no evidence\n", plural(r.Elsewhere, "request"))
	}
	fmt.Fprintf(b, "Flagged: %s of %s; names that never-block spared: %d\n\n", plural(r.Flagged, "request"), grouped(r.Judged), r.Spared)
	table(b, "Names", "networks", r.Names, func(x Rated) int { return x.Networks })
	table(b, "Clients", "flagged names", r.Clients, func(x Rated) int { return x.Flagged })
	if r.LeftOut > 0 {
		fmt.Fprintf(b, "%s of names rated low are not listed: there were too many names.\n\n", plural(uint64(r.LeftOut), "request"))
	}
	if r.Unread > 0 {
		fmt.Fprintf(b, "Not read: %s of %s\n", plural(r.Unread, "line"), grouped(r.Lines))
		for _, why := range r.Why {
			fmt.Fprintf(b, "  %10s  %s\n", grouped(why.Lines), why.Why)
			for _, example := range why.Example {
				fmt.Fprintf(b, "              %s\n", printable(example))
			}
		}
	}
	return b.Flush()
}

func table(b *bufio.Writer, title, width string, list []Rated, n func(Rated) int) {
	count := map[Rating]int{}
	for _, x := range list {
		count[x.Rating]++
	}
	fmt.Fprintf(b, "%s: %d critical, %d high, %d medium, %d low\n", title, count[Critical], count[High], count[Medium], count[Low])
	if len(list) == 0 {
		fmt.Fprintln(b)
		return
	}
	fmt.Fprintf(b, "  %-9s %-40s %9s %13s  %-16s  %-16s\n", "rating", strings.ToLower(title[:len(title)-1]), "requests", width, "first", "last")
	for _, x := range list[:min(len(list), textRows)] {
		fmt.Fprintf(b, "  %-9s %-40s %9d %13d  %-16s  %-16s\n", x.Rating, x.What(), x.Sightings, n(x),
			x.First.Format("2006-01-02 15:04"), x.Last.Format("2006-01-02 15:04"))
	}
	if more := len(list) - textRows; more > 0 {
		fmt.Fprintf(b, "  and %d more: --format tsv or json lists them\n", more)
	}
	fmt.Fprintln(b)
}

// figure gives six significant digits, as every output of Referee.
func figure(f float32) string { return strconv.FormatFloat(float64(f), 'g', 6, 32) }

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func plural(n uint64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return grouped(n) + " " + noun + "s"
}

// grouped writes 1234567 as 1,234,567.
func grouped(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// printable makes bytes of a log safe for a terminal: what is not printable becomes a Go escape.
func printable(s string) string {
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		quoted := strconv.Quote(s)
		return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
	}
	return s
}
