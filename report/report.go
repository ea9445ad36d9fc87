// Package report says what Referee saw, what it would block or did block, and why: one pass over the ledger, rendered as
// text, JSON and a self-contained HTML page.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"referee/policy"
	"referee/waf"
)

// The modes of the sidecar, as a Report names them.
const (
	Shadow  = "shadow"  // plans, and writes nothing to AWS
	Enforce = "enforce" // keeps the WAF sets filled
)

// Report is what happened from Since to Generated. Its JSON is a contract: field names and words stay, new ones may be
// added. All times are RFC 3339 in UTC. Lists are never null; a list that was cut says so in a field beside it.
type Report struct {
	Generated   time.Time    `json:"generated"`
	Since       time.Time    `json:"since"`
	Mode        string       `json:"mode"` // "shadow" or "enforce"
	Settings    Settings     `json:"settings"`
	Totals      Totals       `json:"totals"`
	Names       Hits         `json:"names"`       // names that would be or were blocked
	Clients     Hits         `json:"clients"`     // clients that would be or were blocked
	Saved       Saved        `json:"saved"`       // what never-block kept from being blocked
	Sets        []Set        `json:"sets"`        // the WAF sets as the last generations left or planned them
	Generations []Generation `json:"generations"` // the newest first, at most 50
	Labels      Labels       `json:"labels"`      // what the owner said of single names
	Ready       Readiness    `json:"readiness"`   // whether to enforce, and why
	WhatIf      WhatIf       `json:"what_if"`     // what other settings would block
	Attacks     Attacks      `json:"attacks"`     // cohorts whose names were generated
	Near        Near         `json:"near_misses"` // what a rule kept from being blocked
	Series      Series       `json:"series"`      // what the plots show
	Spared      []Spared     `json:"spared"`      // clients that a verified session spoke for; the newest first, at most 500
	Orders      []Order      `json:"orders"`      // what the owner ordered; the newest first, at most 200
	Troubles    []Trouble    `json:"troubles"`    // sets that are left alone now
	Alerts      []Alert      `json:"alerts"`      // what the owner was told; the newest first, at most 200
	Candidates  []Comparison `json:"candidates"`  // what candidate models would have done; the newest first, at most 5
}

// Settings are the model and the policy in force when the report was made. A hit names those that it was decided by.
type Settings struct {
	Model      string  `json:"model"`       // 12 hexadecimal digits
	Scorer     string  `json:"scorer"`      // what computes the score
	Calibrated int     `json:"calibrated"`  // clean benign names that the benign tail was measured on
	Policy     string  `json:"policy"`      // 12 hexadecimal digits
	Confidence string  `json:"confidence"`  // "sensitive", "balanced", "strict" or the benign tail
	BenignTail float64 `json:"benign_tail"` // a name at or below it is flagged
	Score      float64 `json:"score"`       // the log-odds that this asks for
	OneIn      uint64  `json:"one_in"`      // the benign tail as 1 in N
}

// Totals are the counts of the hours from the one that Since lies in.
type Totals struct {
	First          time.Time         `json:"first,omitzero"`   // the start of the first hour with a request; absent if there is none
	Hours          int               `json:"hours"`            // hours with a request
	Requests       uint64            `json:"requests"`         // requests judged
	Verdicts       map[string]uint64 `json:"verdicts"`         // by verdict: dga, benign, abstain, exempt, invalid; all present
	NoName         map[string]uint64 `json:"no_name"`          // the invalid ones by reason: empty, relative, scheme, …; all present
	Saved          map[string]uint64 `json:"saved"`            // requests that never-block saved, by exemption: own, listed, …; all present
	Blocked        uint64            `json:"blocked"`          // requests that Referee itself answered with 403
	Dropped        uint64            `json:"dropped"`          // sightings that found the queue full: no evidence came of them
	FlaggedKept    uint64            `json:"flagged_kept"`     // sightings of flagged names kept one by one
	FlaggedLeftOut uint64            `json:"flagged_left_out"` // those that only counted, since their hour had enough
}

// State says how a hit stands.
type State string

const (
	Active   State = "active"   // blocked now, or would be
	Expired  State = "expired"  // not seen again in time
	Released State = "released" // let go before its time: Why says why
)

// Hits are the hits of one kind.
type Hits struct {
	Active  int   `json:"active"`   // how many stand now
	Past    int   `json:"past"`     // how many ended since Since
	LeftOut int   `json:"left_out"` // how many of both are not listed
	List    []Hit `json:"list"`     // the active first, then by rank; at most 5,000
}

// Hit is a name or a client that would be or was blocked, with what speaks for it.
type Hit struct {
	Name         string    `json:"name,omitempty"`   // "kq3v9z.com"
	Client       string    `json:"client,omitempty"` // "198.51.100.7/32", an IPv6 /64
	State        State     `json:"state"`
	Why          string    `json:"why"`     // the last decision, in one sentence
	Decided      time.Time `json:"decided"` // when that was
	Reasons      []string  `json:"reasons"` // in words, the strongest first
	FlaggedNames []string  `json:"flagged_names,omitempty"`
	Score        float32   `json:"score"`       // log-odds of the name, or of the client's highest name
	BenignTail   float32   `json:"benign_tail"` // the share of clean benign names that score at least as high
	OneIn        uint64    `json:"one_in"`      // the same as 1 in N, rounded down to two digits
	Sightings    uint64    `json:"sightings"`   // requests with the name, or the client's requests with flagged names
	Networks     int       `json:"networks,omitempty"`
	Flagged      int       `json:"flagged,omitempty"`  // of a client: distinct flagged names
	Distinct     int       `json:"distinct,omitempty"` // of a client: distinct external names
	Rank         float64   `json:"rank"`
	First        time.Time `json:"first"`
	Last         time.Time `json:"last"`
	Expires      time.Time `json:"expires"`
	Model        string    `json:"model"`
	Policy       string    `json:"policy"`

	Label       policy.Says  `json:"label,omitempty"`       // of a name: what the owner said of it
	Explanation *Explanation `json:"explanation,omitempty"` // of the name, or of a client's strongest; of the first 500
	Examples    []Example    `json:"examples,omitempty"`    // the newest requests, at most 3; of the first 500
}

// Saved is what would have been flagged, were it not on a never-block list.
type Saved struct {
	Names   int         `json:"names"`    // how many names
	LeftOut int         `json:"left_out"` // how many of them are not listed
	List    []SavedName `json:"list"`     // by sightings; at most 1,000
}

// SavedName is one name that never-block saved.
type SavedName struct {
	Name       string    `json:"name"`
	Exemption  string    `json:"exemption"` // "own", "listed", "closed-registry", "popular"; "none" if it is exempt no more
	Score      float32   `json:"score"`
	BenignTail float32   `json:"benign_tail"`
	OneIn      uint64    `json:"one_in"`
	Sightings  uint64    `json:"sightings"` // since First, which may lie before the report's Since
	First      time.Time `json:"first"`
	Last       time.Time `json:"last"`
}

// Set is one WAF set by its newest generation that did not fail.
type Set struct {
	Set        waf.SetKind `json:"set"` // "names", "ipv4", "ipv6"
	Generation int64       `json:"generation"`
	Time       time.Time   `json:"time"`
	Outcome    waf.Outcome `json:"outcome"` // "shadow": only planned; "written": in AWS; "planned": not known to be written yet
	Entries    int         `json:"entries"` // names or clients in it
	Items      int         `json:"items"`   // patterns or CIDRs in it
	Sample     []string    `json:"sample"`  // the first of these items, at most 20
}

// Generation is one change of a WAF set.
type Generation struct {
	ID      int64       `json:"id"`
	Time    time.Time   `json:"time"`
	Set     waf.SetKind `json:"set"`
	Outcome waf.Outcome `json:"outcome"`
	Error   string      `json:"error,omitempty"`
	Why     string      `json:"why"`
	Items   int         `json:"items"` // in the set after it
	Added   int         `json:"added"`
	Removed int         `json:"removed"`
	Model   string      `json:"model"`
	Policy  string      `json:"policy"`
}

// JSON writes the report as indented JSON in ASCII and a newline: what clients sent can command no terminal that it is printed
// on, and reorder nothing there.
func (r *Report) JSON(w io.Writer) error {
	e := json.NewEncoder(ascii{w})
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// ascii escapes, in JSON, all that is not printable ASCII. It is written to in whole documents.
type ascii struct{ w io.Writer }

func (a ascii) Write(data []byte) (int, error) {
	out := make([]byte, 0, len(data)+len(data)/16)
	for rest := data; len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		rest = rest[n:]
		switch {
		case r < 0x7f: // encoding/json escapes control characters itself; line ends and indents are its own
			out = append(out, byte(r))
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	if _, err := a.w.Write(out); err != nil {
		return 0, err
	}
	return len(data), nil
}

// Commands are what to type to say what is known of a hit. A name that is not plain is not put into a command.
func (h Hit) Commands() []string {
	label := func(name, says string) []string {
		if !shellSafe(name) {
			return nil
		}
		return []string{"referee label " + name + " " + says}
	}
	if h.Client != "" {
		commands := []string{"referee waf unblock " + h.Client}
		for _, name := range h.FlaggedNames[:min(len(h.FlaggedNames), 3)] {
			commands = append(commands, label(name, "dga")...)
		}
		return commands
	}
	return slices.Concat(label(h.Name, "dga"), label(h.Name, "benign"))
}

// shellSafe says whether a name is letters, digits, dots and hyphens alone and no flag.
func shellSafe(name string) bool {
	return name != "" && len(name) < 254 && name[0] != '-' && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '.'
	})
}

// flagged is the number of requests that carried a flagged name.
func (r *Report) flagged() uint64 { return r.Totals.Verdicts[policy.DGA.String()] }

func (r *Report) savedRequests() (n uint64) {
	for _, s := range r.Totals.Saved {
		n += s
	}
	return n
}
