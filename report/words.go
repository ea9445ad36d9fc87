package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"referee/policy"
	"referee/waf"
)

// oneIn is a benign tail as N in "at most 1 in N", rounded down to two digits: 4.3e-5 is 23,000.
func oneIn(tail float64) uint64 {
	if !(tail > 0) {
		return 0
	}
	n := math.Floor(1 / tail * (1 + 1e-6)) // a float32 of 1e-3 is a little more than that
	digits := math.Pow(10, max(0, math.Floor(math.Log10(n))-1))
	return uint64(math.Floor(n/digits) * digits)
}

// grouped writes 21000 as 21,000.
func grouped[T int | uint64](n T) string {
	s := strconv.FormatUint(uint64(n), 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// percent is a share from 0 to 1 in percent, with two digits that matter.
func percent(share float64) string {
	p := 100 * share
	switch {
	case p == 0 || p >= 99.5:
		return fmt.Sprintf("%.0f %%", p)
	case p < 0.001:
		return "< 0.001 %"
	case p < 10:
		return fmt.Sprintf("%.2g %%", p)
	}
	return fmt.Sprintf("%.0f %%", p)
}

// few is a number that may be less than one.
func few(n float64) string {
	switch {
	case n == 0 || n >= 10:
		return grouped(uint64(math.Round(n)))
	case n < 0.1:
		return "< 0.1"
	}
	return fmt.Sprintf("%.1f", n)
}

// count is a number with its noun: 1 name, 2 names.
func count[T int | uint64](n T, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return grouped(n) + " " + noun + "s"
}

// share is a part of a whole in percent, with as many digits as it needs to be told from 0 and from 100.
func share(part, whole uint64) string {
	if whole == 0 {
		return "0 %"
	}
	p := 100 * float64(part) / float64(whole)
	switch {
	case part == 0 || part == whole:
		return fmt.Sprintf("%.0f %%", p)
	case p < 0.01:
		return "< 0.01 %"
	case p > 99.99:
		return "> 99.99 %"
	case p < 1:
		return fmt.Sprintf("%.2f %%", p)
	}
	return fmt.Sprintf("%.1f %%", p)
}

// span is a length of time as people say it, in two units at most: 90m is 1 hour 30 minutes.
func span(d time.Duration) string {
	in := func(unit time.Duration, noun string, less time.Duration, lesser string) string {
		said := count(int(d/unit), noun)
		if n := int(d % unit / less); n > 0 {
			said += " " + count(n, lesser)
		}
		return said
	}
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return count(int(d/time.Second), "second")
	case d < time.Hour:
		return in(time.Minute, "minute", time.Second, "second")
	case d < 2*day:
		return in(time.Hour, "hour", time.Minute, "minute")
	}
	return in(day, "day", time.Hour, "hour")
}

// printable makes a string safe to show: whatever is not printable ASCII becomes an escape, so that it can neither
// command a terminal nor reorder nor imitate text; and it is cut at 300 bytes.
func printable(s string) string { return escape(s, 300) }

func escape(s string, most int) string {
	if len(s) <= most && plain(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		if b.Len() >= most {
			return b.String() + "..."
		}
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case r >= ' ' && r <= '~':
			b.WriteRune(r)
		default:
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		}
		s = s[n:]
	}
	return b.String()
}

func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// exemption says in words why a name is never blocked.
func exemption(word string) string {
	switch word {
	case policy.Own.String():
		return "it is one of your own hosts"
	case policy.Listed.String():
		return "it is on your never-block list"
	case policy.ClosedRegistry.String():
		return "its registry is closed to the public"
	case policy.Popular.String():
		return "it is a popular name"
	case policy.Labelled.String():
		return "you labelled it benign"
	case policy.NotExempt.String():
		return "it was exempt then; it is not now"
	}
	return printable(word)
}

// noName says in words why a Referer has no name.
func noName(word string) string {
	switch word {
	case "empty":
		return "no Referer"
	case "relative":
		return "no scheme in it"
	case "scheme":
		return "a scheme without a host"
	case "malformed":
		return "malformed"
	case "address":
		return "an IP address"
	case "nonpublic":
		return "not a public name"
	}
	return printable(word)
}

// verdict says in words what was said of a request.
func verdict(word string) string {
	switch word {
	case policy.DGA.String():
		return "flagged: looks generated"
	case policy.Benign.String():
		return "ordinary"
	case policy.Abstain.String():
		return "too short to tell"
	case policy.Exempt.String():
		return "never blocked"
	case policy.Invalid.String():
		return "no name in it"
	}
	return printable(word)
}

// setName is what a WAF set is called.
func setName(s waf.SetKind) string {
	switch s {
	case waf.SetNames:
		return "names (regex)"
	case waf.SetIPv4:
		return "clients (IPv4)"
	case waf.SetIPv6:
		return "clients (IPv6)"
	}
	return printable(string(s))
}

// outcome says in words how a generation ended.
func outcome(o waf.Outcome) string {
	switch o {
	case waf.Shadow:
		return "planned (shadow)"
	case waf.Planned:
		return "not confirmed"
	case waf.Written:
		return "written"
	case waf.Failed:
		return "failed"
	}
	return printable(string(o))
}

// answer is the report in a few sentences, the most important first.
func (r *Report) answer() []string {
	names, clients := r.Names, r.Clients
	all := func(h Hits, noun string) string { return count(h.Active+h.Past, noun) }
	period := span(r.Generated.Sub(r.Since))
	var s []string
	switch total := names.Active + names.Past + clients.Active + clients.Past; {
	case r.Totals.Requests == 0 && total == 0:
		return []string{
			fmt.Sprintf("No request was judged in the last %s.", period),
			"Check that traffic reaches the sidecar: GET /v1/check, /v1/observe or the proxy.",
		}
	case total == 0 && r.Mode == Shadow:
		s = append(s, fmt.Sprintf("Nothing would have been blocked in the last %s.", period))
	case total == 0:
		s = append(s, fmt.Sprintf("Nothing was blocked in the last %s.", period))
	case r.Mode == Shadow:
		s = append(s, fmt.Sprintf("Referee would have blocked %s and %s in the last %s.", all(names, "name"), all(clients, "client"), period),
			fmt.Sprintf("It would block %s and %s now. This is shadow mode: nothing is written to AWS.",
				count(names.Active, "name"), count(clients.Active, "client")))
	default:
		s = append(s, fmt.Sprintf("%s and %s are to be blocked now.", count(names.Active, "name"), count(clients.Active, "client")),
			r.inSets(),
			fmt.Sprintf("In the last %s there were %s and %s.", period, all(names, "name"), all(clients, "client")))
	}
	s = append(s, fmt.Sprintf("%s of %s (%s) carried a flagged name.",
		grouped(r.flagged()), count(r.Totals.Requests, "request"), share(r.flagged(), r.Totals.Requests)))
	if n := r.savedRequests(); n > 0 {
		s = append(s, fmt.Sprintf("Never-block lists spared %s whose names look generated too.", count(n, "request")))
	}
	if r.Ready.Answer != "" {
		s = append([]string{r.Ready.Answer}, s...)
	}
	return s
}

// counted says from when requests are counted, where that is before Since; else it is "".
func (r *Report) counted() string {
	from := r.Since.Truncate(time.Hour)
	if first := r.Totals.First; !first.IsZero() && first.Before(from) {
		from = first // a day, as the ledger keeps what is older
	}
	if from.Equal(r.Since) {
		return ""
	}
	return fmt.Sprintf("Requests are counted in whole hours, old ones in whole days: from %s UTC.", minute(from))
}

// warning says what makes the report less than it seems, or "".
func (r *Report) warning() string {
	if r.Totals.Dropped == 0 {
		return ""
	}
	return fmt.Sprintf("%s were dropped because the queue was full: there may be more than this report shows.",
		count(r.Totals.Dropped, "sighting"))
}

// inSets says what AWS holds, by the generations that are known to be written.
func (r *Report) inSets() string {
	var names, clients, open int
	for _, s := range r.Sets {
		switch {
		case s.Outcome != waf.Written:
			open++
		case s.Set == waf.SetNames:
			names += s.Entries
		default:
			clients += s.Entries
		}
	}
	text := fmt.Sprintf("The WAF sets hold %s and %s.", count(names, "name"), count(clients, "client"))
	if open > 0 {
		text += fmt.Sprintf(" Not known to be written: %s.", count(open, "set"))
	}
	return text
}
