package waf

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Proposal is what is to stand in one set, before places are given.
type Proposal struct {
	Set       SetKind
	Present   int         // entries in the set now
	Want      []Entry     // what is to stand in it, adopted and foreign entries included
	Adopt     []Entry     // those of Want that were adopted in this plan
	Remove    []Removal   // what is to leave
	Dropped   []Dropped   // what is asked for and barred
	Postponed []Postponed // what a policy does not let in now
	Refused   string      // what a policy did not let happen, in words; an error to whoever runs the plan
	Held      string      // why nothing is to be written, in words; no error

	in       map[string]bool // ids of what is in the set
	mostAdds int             // additions that may get a place; negative: any number
	addsWhy  string
}

// Postponed is an entry that is wanted, has not been in the set, and may not come in now.
type Postponed struct {
	Entry
	Why      string `json:"why"`
	Approval bool   `json:"approval,omitempty"` // the owner's word is what it waits for
}

// Policy changes a proposal. Modes and limits are policies, so that every mode plans alike.
type Policy func(Proposal) Proposal

// Hold lets a plan be made and shown, but not written.
func Hold(why string) Policy {
	return func(p Proposal) Proposal {
		if p.Held == "" {
			p.Held = why
		}
		return p
	}
}

// KeepUnexplained minds removals that nothing explains: where they would empty the set, or leave less than half of what
// the explained ones leave, none of them happens. The entries stay until the expiry that the journal knows, whatever
// comes in meanwhile, or until their hits are back. Hits that were lost on the way here are the likely cause, and a
// wiped set would be the damage. `referee waf sync --force` leaves this policy out of one tick.
//
// New entries make up for nothing: another policy or a lack of room may keep them out. So its place among the policies
// does not matter, but that Withdraw comes after it.
func KeepUnexplained(p Proposal) Proposal {
	var gone []Entry
	explained := make([]Removal, 0, len(p.Remove))
	minded := false
	for _, r := range p.Remove {
		if r.Cause != Gone {
			explained = append(explained, r)
			continue
		}
		minded = minded || r.Kept
		r.Kept = true
		gone = append(gone, r.Entry)
	}
	if !minded && len(gone) <= p.stays() {
		return p
	}
	p.Refused = fmt.Sprintf("%d of %d entries would leave the %s set and nothing says why: no expiry and no exemption."+
		" They stay until they expire; `referee waf plan` lists them, `referee waf sync --force` lets them go", len(gone), p.Present, p.Set)
	p.Want = append(p.Want, gone...)
	p.Remove = explained
	return p
}

// stays counts the wanted entries that are in the set already and Referee's own.
func (p Proposal) stays() int {
	own, n := maps.Clone(p.in), 0
	for _, e := range p.Want {
		if e.Foreign {
			delete(own, e.id())
		}
	}
	for _, e := range p.Want {
		if own[e.id()] {
			n++
		}
	}
	return n
}

// Withdraw takes every own entry out and lets none in, whatever another policy wanted kept: it comes after KeepUnexplained.
func Withdraw(why string) Policy {
	return func(p Proposal) Proposal {
		p = postpone(p, why, false, func(Entry) bool { return true })
		p.Want = slices.DeleteFunc(p.Want, func(e Entry) bool {
			if !e.Foreign {
				p.Remove = append(p.Remove, Removal{e, Withdrawn})
			}
			return !e.Foreign
		})
		p.Adopt, p.Refused = nil, ""
		return p
	}
}

// PauseAdditions lets nothing in that is not in already. What is in leaves as ever.
func PauseAdditions(why string) Policy {
	return func(p Proposal) Proposal { return postpone(p, why, false, func(Entry) bool { return true }) }
}

// PauseClients is PauseAdditions for clients alone: names block nobody's other requests.
func PauseClients(why string) Policy {
	return func(p Proposal) Proposal {
		return postpone(p, why, false, func(e Entry) bool { return e.Kind != SetNames })
	}
}

// AskFirst lets in what was approved, for as long as the approval said, and nothing else that is new.
func AskFirst(approved map[string]time.Time, now time.Time) Policy {
	return func(p Proposal) Proposal {
		return postpone(p, "waits for `referee waf approve`", true, func(e Entry) bool { return !now.Before(approved[e.id()]) })
	}
}

// MostAdds lets at most n additions have a place, those of the highest rank.
func MostAdds(n int, why string) Policy {
	return func(p Proposal) Proposal {
		if p.mostAdds < 0 || n < p.mostAdds {
			p.mostAdds, p.addsWhy = max(0, n), why
		}
		return p
	}
}

// postpone moves the additions that which names from what is wanted to what is postponed.
func postpone(p Proposal, why string, approval bool, which func(Entry) bool) Proposal {
	kept := make([]Entry, 0, len(p.Want))
	for _, e := range p.Want {
		if p.in[e.id()] || e.Foreign || !which(e) {
			kept = append(kept, e)
		} else {
			p.Postponed = append(p.Postponed, Postponed{e, why, approval})
		}
	}
	p.Want = kept
	return p
}
