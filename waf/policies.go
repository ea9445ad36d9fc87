package waf

import "fmt"

// Proposal is what is to stand in one set, before places are given.
type Proposal struct {
	Set     SetKind
	Present int       // entries in the set now
	Want    []Entry   // what is to stand in it, adopted entries included
	Adopt   []Entry   // those of Want that were adopted in this plan
	Remove  []Removal // what is to leave
	Dropped []Dropped // what is asked for and barred
	Refused string    // what a policy did not let happen, in words; an error to whoever runs the plan
	Held    string    // why nothing is to be written, in words; no error
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
// the explained ones leave, none of them happens. The entries stay until the expiry that the journal knows. Hits that
// were lost on the way here are the likely cause, and a wiped set would be the damage. Nothing can force it: an owner who
// wants entries out exempts them.
func KeepUnexplained(p Proposal) Proposal {
	var gone []Entry
	explained := make([]Removal, 0, len(p.Remove))
	for _, r := range p.Remove {
		if r.Cause == Gone {
			gone = append(gone, r.Entry)
		} else {
			explained = append(explained, r)
		}
	}
	left := p.Present - len(explained)
	if len(gone) == 0 || len(p.Want) > 0 && 2*len(p.Want) >= left {
		return p
	}
	p.Refused = fmt.Sprintf("%d of %d entries would leave the %s set and nothing says why: no expiry and no exemption."+
		" They stay until they expire; what must go now goes onto the never-block list", len(gone), p.Present, p.Set)
	p.Want = append(p.Want, gone...)
	p.Remove = explained
	return p
}
