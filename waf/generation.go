// Package waf keeps the AWS WAF sets reconciled to the current hits: desired against current, paced, validated,
// journaled before written, reversible.
package waf

import (
	"context"
	"time"
)

// SetKind is one of the three sets that Referee fills.
type SetKind string

const (
	SetNames SetKind = "names" // a regex pattern set
	SetIPv4  SetKind = "ipv4"  // an IP set of /32
	SetIPv6  SetKind = "ipv6"  // an IP set of /64
)

// Outcome is how a generation ended.
type Outcome string

const (
	Planned Outcome = "planned" // journaled, not yet written (or the process died in between)
	Shadow  Outcome = "shadow"  // shadow mode: the plan is the end
	Written Outcome = "written"
	Failed  Outcome = "failed"
)

// Generation is one state of one WAF set, and why it came to be.
type Generation struct {
	ID      int64     `json:"id"` // given by the journal, ascending
	Time    time.Time `json:"time"`
	Set     SetKind   `json:"set"`
	Before  []string  `json:"before"` // the set's items (patterns or CIDRs) as read from AWS
	After   []string  `json:"after"`
	Entries []Entry   `json:"entries"` // what After is made from
	Adds    int       `json:"adds"`    // of Entries, those that Before does not have
	Why     string    `json:"why"`     // one sentence: "2 added, 1 expired"
	Model   string    `json:"model"`
	Config  string    `json:"config"`
	Outcome Outcome   `json:"outcome"`
	Error   string    `json:"error,omitempty"`
}

// Entry is a hit as it stands in a WAF set, or what was found in the set and adopted: see Plan.
type Entry struct {
	Kind    SetKind   `json:"kind"`
	Value   string    `json:"value"` // a domain or a CIDR; a whole pattern when Raw
	Rank    float64   `json:"rank"`
	Expires time.Time `json:"expires"`
	Adopted bool      `json:"adopted,omitempty"` // found in the set, known to no hit
	Kept    bool      `json:"kept,omitempty"`    // its hit is gone and nothing says why: see KeepUnexplained
	Raw     bool      `json:"raw,omitempty"`     // a pattern as it was found: not of Referee's form, or foreign
	Foreign bool      `json:"foreign,omitempty"` // in a shared set, and not Referee's: it is never taken out
}

// Journal is written before AWS is. Propose must be durable when it returns.
type Journal interface {
	Propose(ctx context.Context, g Generation) (id int64, err error)
	// Settle says how a generation ended. Older ones of its set that are planned still have then failed: a process that died
	// between two calls left them.
	Settle(ctx context.Context, id int64, outcome Outcome, message string) error
	// Latest returns the newest generation of each set that was Planned, Written or Shadow, for reconciling at a start.
	// It says which items are known, until when each entry may stay, and what was about to leave.
	Latest(ctx context.Context) ([]Generation, error)
	// Added sums up Generation.Adds of what was planned or written after since.
	Added(ctx context.Context, since time.Time) (int, error)

	// Orders returns the orders that still count at now and have not been carried out.
	Orders(ctx context.Context, now time.Time) ([]Order, error)
	// Order adds one, durably, and returns its id.
	Order(ctx context.Context, o Order) (id int64, err error)
	// Carried marks an order as carried out.
	Carried(ctx context.Context, id int64) error

	// Trouble keeps why a set is left alone, for those who look from outside; nil: it is not.
	Trouble(ctx context.Context, set SetKind, t *Trouble) error
}
