package policy

import (
	"fmt"
	"strings"
	"time"
)

// Says is what a Label says of a name.
type Says string

const (
	SaysDGA     Says = "dga"    // flagged whatever its score, unless it is exempt
	SaysBenign  Says = "benign" // exempt
	SaysNothing Says = ""       // an earlier label is taken back
)

// Label is the owner's word on one name. Labels are only ever added: of those for one name the last one counts.
type Label struct {
	ID     int64     `json:"id"`   // given by the ledger, ascending
	Name   string    `json:"name"` // a Name's Domain
	Says   Says      `json:"label"`
	Time   time.Time `json:"time"`
	Who    string    `json:"who,omitempty"`
	Reason string    `json:"reason,omitempty"`
}

// String is a label in words, as the reasons of a decision name it.
func (l Label) String() string {
	s := "labelled " + string(l.Says)
	if l.Who != "" {
		s += " by " + l.Who
	}
	if l.Reason != "" {
		s += fmt.Sprintf(" (%s)", l.Reason)
	}
	return s
}

// With returns a Policy that differs from p in its labels alone: those of list that stand, the last one for each name.
func (p *Policy) With(list []Label) *Policy {
	next := *p
	next.labels = make(map[string]Label, len(list))
	for _, l := range list {
		if l.Says == SaysNothing {
			delete(next.labels, l.Name)
			continue
		}
		next.labels[l.Name] = l
	}
	next.id = next.hash()
	return &next
}

// Labelled returns what the owner says of a domain, if anything. It does not allocate.
func (p *Policy) Labelled(domain string) (l Label, found bool) {
	if len(p.labels) == 0 {
		return Label{}, false
	}
	l, found = p.labels[domain]
	return l, found
}

func (p *Policy) says(domain string) Says {
	l, _ := p.Labelled(domain)
	return l.Says
}

// NeverBlocks says whether, and why, a domain is never blocked, whatever its owner labelled it.
func (p *Policy) NeverBlocks(domain string) Exemption {
	bare := *p
	bare.labels = nil
	return bare.Exempts(nameOf(domain))
}

// flags reports whether a name counts as generated: by its tail, or because the owner says so. Neither overrides
// never-block. An empty domain has a tail alone.
func (p *Policy) flags(domain string, tail float32) bool {
	return tail <= p.threshold || p.says(domain) == SaysDGA
}

// because is why a name is flagged, in words.
func (p *Policy) because(domain string, score, tail float32) string {
	l, _ := p.Labelled(domain)
	switch {
	case l.Says != SaysDGA:
		return scored(score, tail)
	case tail <= p.threshold:
		return l.String() + "; " + scored(score, tail)
	}
	return l.String() + "; the model does not flag it"
}

// unlabelled says in words why labels that came or went since leave a hit without its reason, or "".
func (p *Policy) unlabelled(h *Hit) string {
	if h.Kind == KindName {
		if h.Labelled && p.says(h.Domain) != SaysDGA {
			return "it was flagged by a label alone, which was taken back"
		}
		return ""
	}
	if len(p.labels) == 0 && !h.Labelled {
		return ""
	}
	var benign []string
	dga := false
	for _, name := range h.Names {
		switch p.says(name) {
		case SaysBenign:
			benign = append(benign, name)
		case SaysDGA:
			dga = true
		}
	}
	if left := h.Flagged - len(benign); len(benign) > 0 && !p.enough(left, h.Distinct) {
		return fmt.Sprintf("labelled benign since: %s; the %d flagged names that are left are too few", strings.Join(benign, ", "), left)
	}
	if h.Labelled && !dga {
		return "the labels that it was blocked for were taken back"
	}
	return ""
}
