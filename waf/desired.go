package waf

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"referee/policy"
)

// Dropped is something that was wanted in a set and must not be written, and why, in words.
type Dropped struct {
	Set   SetKind `json:"set"`
	Value string  `json:"value"`
	Why   string  `json:"why"`
}

// desire turns hits into the entries that they ask for, the highest rank first. Expired hits ask for nothing; what is
// of a form that cannot be written is dropped.
func desire(hits []policy.Hit, now time.Time) ([]Entry, []Dropped) {
	var entries []Entry
	var dropped []Dropped
	for _, h := range hits {
		if !now.Before(h.Expires) {
			continue
		}
		if e, why := entryOf(h); why != "" {
			dropped = append(dropped, Dropped{Set: e.Kind, Value: e.Value, Why: why})
		} else {
			entries = append(entries, e)
		}
	}
	return rank(entries), dropped
}

// entryOf returns the entry of a hit, and why it must not be written if so.
func entryOf(h policy.Hit) (Entry, string) {
	e := Entry{Rank: h.Rank, Expires: h.Expires}
	if h.Kind == policy.KindName {
		e.Kind, e.Value = SetNames, h.Domain
		switch {
		case !validHost(h.Domain):
			return e, "not a host name of letters, digits, hyphens and underscores"
		case len(render([]string{h.Domain})) > maxPatternLen:
			return e, "too long for a pattern"
		}
		return e, ""
	}
	a, bits := h.Client.Addr(), 32
	e.Kind, e.Value = SetIPv4, h.Client.String()
	if a.Is6() {
		e.Kind, bits = SetIPv6, 64
	}
	switch {
	case h.Kind != policy.KindClient || !h.Client.IsValid():
		return e, "neither a name nor a client"
	case a.Is4In6() || h.Client.Bits() != bits || h.Client != h.Client.Masked():
		return e, "not a /32 of IPv4 or a /64 of IPv6"
	case !a.IsGlobalUnicast() || a.IsPrivate():
		return e, "not a public address"
	}
	return e, ""
}

// hit is what an entry can say of its hit: enough to ask whether it is exempt.
func (e Entry) hit() policy.Hit {
	if e.Kind == SetNames {
		return policy.Hit{Kind: policy.KindName, Domain: e.Value}
	}
	p, err := netip.ParsePrefix(e.Value)
	if err != nil {
		return policy.Hit{Kind: policy.KindClient}
	}
	return policy.Hit{Kind: policy.KindClient, Client: p}
}

// rank sorts entries, the first to get a place first: what is foreign, hits by rank, what was adopted. Of entries of the
// same value the first stays, with the latest expiry among them.
func rank(entries []Entry) []Entry {
	slices.SortStableFunc(entries, func(a, b Entry) int {
		if ca, cb := class(a), class(b); ca != cb {
			return ca - cb
		}
		return cmp.Or(cmp.Compare(b.Rank, a.Rank), strings.Compare(a.Value, b.Value))
	})
	at := make(map[string]int, len(entries))
	kept := entries[:0]
	for _, e := range entries {
		if i, dup := at[e.id()]; dup {
			if e.Expires.After(kept[i].Expires) {
				kept[i].Expires = e.Expires
			}
			continue
		}
		at[e.id()] = len(kept)
		kept = append(kept, e)
	}
	return kept
}

func class(e Entry) int {
	switch {
	case e.Foreign:
		return 0
	case e.Adopted:
		return 2
	}
	return 1
}

// validHost says whether h is a registered name in the A-label form that Referers are matched in: at least two labels
// of letters, digits, hyphens and underscores, the last with a letter so that it is no address (RFC 1123, section 2.1).
func validHost(h string) bool {
	if len(h) > 253 || !strings.Contains(h, ".") {
		return false
	}
	var label string
	for label = range strings.SplitSeq(h, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return strings.ContainsFunc(label, func(r rune) bool { return r >= 'a' && r <= 'z' })
}
