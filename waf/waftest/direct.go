package waftest

import (
	"errors"
	"fmt"
	"slices"
)

// Set is one set as it stands, for tests and demonstrations that look at it past the protocol.
type Set struct {
	Name, ID, ARN string
	Scope         string
	Description   string
	Version       string // of an IP set: IPV4 or IPV6
	Items         []string
}

// CreateIPSet makes a REGIONAL IP set of us-east-1, as its owner would with Terraform: not a call, so it is neither
// logged nor throttled. Version is IPV4 or IPV6.
func (s *Server) CreateIPSet(name, version string, addresses ...string) (Set, error) {
	list := append([]string{}, addresses...)
	return s.direct(name, "CreateIPSet", input{IPAddressVersion: version, Addresses: &list})
}

// CreateRegexPatternSet makes a REGIONAL regex pattern set of us-east-1, likewise.
func (s *Server) CreateRegexPatternSet(name string, patterns ...string) (Set, error) {
	list := make([]regex, len(patterns))
	for i, p := range patterns {
		list[i].RegexString = p
	}
	return s.direct(name, "CreateRegexPatternSet", input{RegularExpressionList: &list})
}

func (s *Server) direct(name, create string, in input) (Set, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	in.Name, in.Scope, in.region = name, "REGIONAL", globalRegion
	act, _ := actionOf(create)
	if _, fail := act.call(s, in); fail != nil {
		return Set{}, errors.New(fail.Code + ": " + fail.Message)
	}
	return s.sets[len(s.sets)-1].export(), nil
}

// Replace puts items into a set, as another writer would: the lock token changes.
func (s *Server) Replace(name string, items ...string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.sets {
		if e.name != name {
			continue
		}
		if fail := e.fill(s.limits, items); fail != nil {
			return errors.New(fail.Code + ": " + fail.Message)
		}
		e.token = newID()
		return nil
	}
	return fmt.Errorf("waftest: no set %q", name)
}

// Sets returns all sets in the order of their making.
func (s *Server) Sets() []Set {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Set, len(s.sets))
	for i, e := range s.sets {
		all[i] = e.export()
	}
	return all
}

// Items returns what the set of that name holds, in the form in which AWS would give it back; nil when there is none.
func (s *Server) Items(name string) []string {
	for _, set := range s.Sets() {
		if set.Name == name {
			return set.Items
		}
	}
	return nil
}

func (s *set) export() Set {
	out := Set{
		Name: s.name, ID: s.id, ARN: s.arn(), Scope: s.scope, Version: s.version,
		Items: slices.Clone(s.items),
	}
	if s.description != nil {
		out.Description = *s.description
	}
	return out
}
