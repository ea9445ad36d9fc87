// Package policy decides: from a score to a Verdict, from evidence to a Hit. A Policy is one immutable snapshot,
// swapped whole when the configuration or the model changes.
package policy

import (
	"net/netip"
	"time"
)

// Verdict is what is said of one Referer.
type Verdict uint8

const (
	Invalid Verdict = iota // no name in it
	Benign                 // the benign tail is above the chosen confidence's
	DGA                    // at or below it
	Abstain                // too short to tell
	Exempt                 // on a never-block list
	numVerdicts
)

// NumVerdicts is the number of Verdicts, for tables of counters.
const NumVerdicts = int(numVerdicts)

// Kind says what a Hit is about.
type Kind string

const (
	KindName   Kind = "name"
	KindClient Kind = "client"
)

// Hit is a name or a client that policy would block, with what speaks for it. It is a value: hits are compared, stored
// and shown, never changed in place.
type Hit struct {
	Kind      Kind         `json:"kind"`
	Domain    string       `json:"domain,omitempty"` // of a name
	Client    netip.Prefix `json:"client,omitzero"`  // of a client: /32 or /64
	Reasons   []string     `json:"reasons"`          // in words, the strongest first
	Names     []string     `json:"names,omitempty"`  // of a client: some of its flagged names
	Score     float32      `json:"score"`            // of the name, or of the client's highest name
	Tail      float32      `json:"tail"`
	Sightings uint64       `json:"sightings"`          // of the name, or of the client's flagged requests
	Networks  int          `json:"networks"`           // of a name: distinct client networks (/24, /48)
	Flagged   int          `json:"flagged,omitempty"`  // of a client: distinct flagged names
	Distinct  int          `json:"distinct,omitempty"` // of a client: distinct external names
	Returns   int          `json:"returns,omitempty"`  // how often it came back after it had expired: it lasts longer each time
	Labelled  bool         `json:"labelled,omitempty"` // it rests on the owner's labels: the scores alone are not enough
	Rank      float64      `json:"rank"`               // which goes first when a set is full; higher first
	First     time.Time    `json:"first"`
	Last      time.Time    `json:"last"`
	Expires   time.Time    `json:"expires"`
	Model     string       `json:"model"`  // the model's id
	Config    string       `json:"config"` // the policy's id
}

// Key identifies a hit among others: its kind and its domain or prefix.
func (h Hit) Key() string {
	if h.Kind == KindClient {
		return string(KindClient) + ":" + h.Client.String()
	}
	return string(KindName) + ":" + h.Domain
}

// Action is what a Decision does with a Hit.
type Action string

const (
	Block   Action = "block"   // a new hit
	Extend  Action = "extend"  // a hit seen again: a later expiry
	Release Action = "release" // expired, or now exempt
	Spare   Action = "spare"   // it would be a client's hit, or was one, but a verified session speaks for the client
)

// Decision is one change of the hits, as it is reported and kept in the ledger.
type Decision struct {
	Time   time.Time `json:"time"`
	Action Action    `json:"action"`
	Hit    Hit       `json:"hit"`
	Why    string    `json:"why"` // one sentence
}
