package waftest

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// matcher is what a set's items compile to.
type matcher interface{ matches(Request) bool }

// Request is what the rules over the sets look at.
type Request struct {
	Client  netip.Addr // the address that the rule's forwarded-IP configuration yields
	Referer string     // the header's value as sent
}

// Match says which sets a request matches, by name: those that would block it, were each set referenced by a rule that
// blocks, a regex pattern set on the Referer header under the text transformation LOWERCASE. All scopes and Regions
// count.
func (s *Server) Match(r Request) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.Client = r.Client.Unmap()
	r.Referer = strings.ToLower(r.Referer)
	var names []string
	for _, e := range s.sets {
		if e.match.matches(r) {
			names = append(names, e.name)
		}
	}
	return names
}

// addresses are CIDRs by their length, so that one look-up a length answers.
type addresses map[int]map[netip.Prefix]struct{}

func newAddresses() addresses { return addresses{} }

func (a addresses) add(p netip.Prefix) {
	if a[p.Bits()] == nil {
		a[p.Bits()] = map[netip.Prefix]struct{}{}
	}
	a[p.Bits()][p] = struct{}{}
}

func (a addresses) matches(r Request) bool {
	for bits, set := range a {
		p, err := r.Client.Prefix(bits)
		if _, in := set[p]; in && err == nil {
			return true
		}
	}
	return false
}

type patterns []*regexp.Regexp

func (p patterns) matches(r Request) bool {
	return slices.ContainsFunc(p, func(re *regexp.Regexp) bool { return re.MatchString(r.Referer) })
}
