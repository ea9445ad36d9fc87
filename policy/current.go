package policy

import "referee/evidence"

// Current is a hit with the figures that the evidence has by now. What stands is decided on anew only where it would last noticeably
// longer or there is twice the evidence, so that its figures are up to half of what was seen. What was decided stays: until when,
// by which model and rules, why it came back. A hit whose evidence is forgotten is returned as it is.
func (p *Policy) Current(st *evidence.State, h Hit) Hit {
	var now Hit
	switch h.Kind {
	case KindName:
		n := st.Name(h.Domain)
		if n == nil {
			return h
		}
		now = p.nameHit(n)
	case KindClient:
		c := st.Client(h.Client.Addr())
		if c == nil {
			return h
		}
		flagged := flaggedOf(c.Names.Items(), p.weighing(st))
		if len(flagged) == 0 {
			return h
		}
		now = p.clientHit(c, flagged, p.cfg.Client.MinFlagged)
	}
	if now.Sightings < h.Sightings { // it was forgotten in between
		return h
	}
	if now.Model == h.Model {
		h.Score, h.Tail = now.Score, now.Tail
	}
	h.Sightings, h.Networks, h.Flagged, h.Distinct, h.Rank, h.Names = now.Sightings, now.Networks, now.Flagged, now.Distinct, now.Rank, now.Names
	if now.First.Before(h.First) {
		h.First = now.First
	}
	if now.Last.After(h.Last) {
		h.Last = now.Last
	}
	// What follows those that tell the figures is of the decision: witnesses, odds, an attack.
	h.Reasons = append(now.Reasons, h.Reasons[min(len(now.Reasons), len(h.Reasons)):]...)
	return h
}
