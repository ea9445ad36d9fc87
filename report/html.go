package report

import (
	"bufio"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"io"
	"time"

	"referee/policy"
)

//go:embed page.css
var pageCSS string

//go:embed page.html
var pageHTML string

// page is parsed once and never changed.
var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"printable": printable,
	"count": func(n any, noun string) string {
		if i, ok := n.(int); ok {
			return count(i, noun)
		}
		return count(n.(uint64), noun)
	},
	"grouped": func(n any) string {
		if i, ok := n.(int); ok {
			return grouped(i)
		}
		return grouped(n.(uint64))
	},
	"share":     share,
	"minute":    minute,
	"stamp":     func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"exemption": exemption,
	"setName":   setName,
	"outcome":   outcome,
}).Parse(pageHTML))

// ContentSecurityPolicy is the header to serve the HTML with: nothing but the page's own style, which it names by its
// hash. The page carries the same as a meta element, so that it is as strict when it is opened as a file.
func ContentSecurityPolicy() string { return contentSecurityPolicy() + "; frame-ancestors 'none'" }

// contentSecurityPolicy is without frame-ancestors, which a meta element may not hold (CSP 3, section 3.3).
func contentSecurityPolicy() string {
	sum := sha256.Sum256([]byte(pageCSS))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'"
}

// view is what the page is made from.
type view struct {
	Report                     *Report
	CSS                        template.CSS
	CSP                        string
	Answer                     []string
	Warning                    string
	Verb, NamesNow, ClientsNow string
	Flagged, SavedRequests     uint64
	ActiveNames, PastNames     hitTable
	ActiveClients, PastClients hitTable
	Verdicts                   []verdictRow
}

// hitTable is one table of hits: what its first, its fifth and its last column are called, and its rows.
type hitTable struct {
	Noun, Width, End string
	List             []Hit
}

type verdictRow struct {
	Word  string
	Count uint64
	Parts []verdictRow
}

// HTML writes the report as one page that needs nothing else: no script, no font, no picture, no network.
func (r *Report) HTML(w io.Writer) error {
	v := view{
		Report: r, CSS: template.CSS(pageCSS), CSP: contentSecurityPolicy(), //nolint:gosec // our own file
		Answer: r.answer(), Warning: r.warning(), Flagged: r.flagged(), SavedRequests: r.savedRequests(),
		Verb: "that would be blocked", NamesNow: "names it would block now", ClientsNow: "clients it would block now",
	}
	if r.Mode == Enforce {
		v.Verb, v.NamesNow, v.ClientsNow = "to block", "names to block now", "clients to block now"
	}
	active, past := r.Names.split()
	v.ActiveNames, v.PastNames = hitTable{"Name", "Networks", "Until", active}, hitTable{"Name", "Networks", "Ended", past}
	active, past = r.Clients.split()
	v.ActiveClients, v.PastClients = hitTable{"Client", "Flagged names", "Until", active}, hitTable{"Client", "Flagged names", "Ended", past}
	for _, word := range byCount(r.Totals.Verdicts) {
		row := verdictRow{Word: verdict(word), Count: r.Totals.Verdicts[word]}
		if word == policy.Invalid.String() {
			for _, reason := range byCount(r.Totals.NoName) {
				if n := r.Totals.NoName[reason]; n > 0 {
					row.Parts = append(row.Parts, verdictRow{Word: noName(reason), Count: n})
				}
			}
		}
		v.Verdicts = append(v.Verdicts, row)
	}
	b := bufio.NewWriter(w)
	if err := page.Execute(b, v); err != nil {
		return err
	}
	return b.Flush()
}

// split parts the list into what stands and what is past: the active come first.
func (h Hits) split() (active, past []Hit) {
	for i := range h.List {
		if h.List[i].State != Active {
			return h.List[:i], h.List[i:]
		}
	}
	return h.List, nil
}
