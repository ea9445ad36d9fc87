package waftest

import (
	"fmt"
	"net/netip"
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode/utf8"
)

// needs names the members that an action requires besides Name and Scope.
type needs struct {
	id, token, version, addresses, patterns bool
	list                                    bool // pages, and has no Name
	arn, rules                              bool // has neither Name nor, with arn, a Scope
}

// The patterns of the API model (EntityName, EntityDescription, EntityId and LockToken).
const (
	namePattern        = `^[\w\-]+$`
	descriptionPattern = `^[\w+=:#@/\-,\.][\w+=:#@/\-,\.\s]+[\w+=:#@/\-,\.]$`
	idPattern          = `^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$`
)

func matches(pattern, s string, most int) bool {
	n := utf8.RuneCountInString(s)
	return n >= 1 && n <= most && regexp.MustCompile(pattern).MatchString(s)
}

// check applies the constraints of the API model, and the service's rule for scopes.
func (in input) check(n needs) *apiError {
	switch {
	case n.arn && in.ResourceARN == "":
		return validation("null", "resourceARN", "Member must not be null")
	case n.arn:
		return nil
	case in.Scope != "REGIONAL" && in.Scope != "CLOUDFRONT":
		return validation(in.Scope, "scope", "Member must satisfy enum value set: [CLOUDFRONT, REGIONAL]")
	case in.Scope == "CLOUDFRONT" && in.region != globalRegion:
		return invalidParameter("The scope is not valid.", "SCOPE_VALUE", in.Scope)
	case n.rules:
		return nil
	case n.list && in.Limit != nil && (*in.Limit < 1 || *in.Limit > 100):
		return validation(fmt.Sprint(*in.Limit), "limit", "Member must be between 1 and 100")
	case n.list:
		return nil
	case !matches(namePattern, in.Name, 128):
		return validation(in.Name, "name", "Member must satisfy regular expression pattern: "+namePattern)
	case in.Description != nil && !matches(descriptionPattern, *in.Description, 256):
		return validation(*in.Description, "description",
			"Member must satisfy regular expression pattern: "+descriptionPattern)
	case n.id && !matches(idPattern, in.ID, 36):
		return validation(in.ID, "id", "Member must satisfy regular expression pattern: "+idPattern)
	case n.token && !matches(idPattern, in.LockToken, 36):
		return validation(in.LockToken, "lockToken", "Member must satisfy regular expression pattern: "+idPattern)
	case n.version && in.IPAddressVersion != "IPV4" && in.IPAddressVersion != "IPV6":
		return validation(in.IPAddressVersion, "iPAddressVersion", "Member must satisfy enum value set: [IPV4, IPV6]")
	case n.addresses && in.Addresses == nil:
		return validation("null", "addresses", "Member must not be null")
	case n.patterns && in.RegularExpressionList == nil:
		return validation("null", "regularExpressionList", "Member must not be null")
	}
	return nil
}

// fill replaces the set's items, all or nothing. An empty set is allowed: terraform-provider-aws creates one in its
// acceptance tests (TestAccWAFV2RegexPatternSet_minimal), although the developer guide asks for one pattern.
func (s *set) fill(l Limits, items []string) *apiError {
	if s.kind == regexSet {
		return s.fillPatterns(l, items)
	}
	return s.fillAddresses(l, items)
}

func (s *set) fillAddresses(l Limits, items []string) *apiError {
	if len(items) > l.Addresses {
		return limitExceeded(l.Addresses, "addresses in an IP set")
	}
	kept := make([]string, len(items))
	m := newAddresses()
	for i, item := range items {
		if item == "" || len(item) > 50 || strings.TrimSpace(item) == "" {
			return validation(item, "addresses", "Member must have length between 1 and 50")
		}
		p, err := netip.ParsePrefix(item)
		if err != nil || p.Bits() == 0 || p != p.Masked() || p.Addr().Is4() != (s.version == "IPV4") || p.Addr().Is4In6() {
			return invalidParameter("The parameter contains formatting that is not valid.", "IP_ADDRESS", item)
		}
		m.add(p)
		// AWS gives IPv6 addresses back written out in full (terraform-provider-aws #22797).
		kept[i] = fmt.Sprintf("%s/%d", p.Addr().StringExpanded(), p.Bits())
	}
	s.items, s.match = kept, m
	return nil
}

func (s *set) fillPatterns(l Limits, items []string) *apiError {
	if len(items) > l.Patterns {
		return limitExceeded(l.Patterns, "patterns in a regex pattern set")
	}
	m := make(patterns, len(items))
	for i, item := range items {
		switch n := utf8.RuneCountInString(item); {
		case n < 1 || n > 512: // RegexPatternString of the API model
			return validation(item, "regularExpressionList", "Member must have length between 1 and 512")
		case n > l.PatternLen:
			return limitExceeded(l.PatternLen, "characters in a regex pattern")
		}
		re, reason := compile(item, l.Branches)
		if reason != "" {
			return invalidParameter(reason, "REGEX_PATTERN_SET", item)
		}
		m[i] = re
	}
	s.items, s.match = append([]string{}, items...), m
	return nil
}

// compile returns the pattern, or why it is refused. Go's syntax has no back-references, subroutines, conditionals,
// control verbs, \K, \R, callouts, atomic groups or possessive quantifiers, which AWS refuses too; it has captures and
// \C, which AWS refuses. Look-around, part of which AWS takes, is refused because it could not be evaluated here.
func compile(pattern string, branches int) (*regexp.Regexp, string) {
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, "The regular expression is not valid or uses a construct that is not supported: " + err.Error()
	}
	if tree.MaxCap() > 0 {
		return nil, "The regular expression captures; use (?:…)."
	}
	bars, class := 0, false
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '\\' && i+1 < len(pattern):
			if i++; pattern[i] == 'C' {
				return nil, `The regular expression uses \C, which is not supported.`
			}
		case c == '[':
			class = true
		case c == ']':
			class = false
		case c == '|' && !class:
			bars++
		}
	}
	if bars > branches {
		return nil, "The regular expression has a large number of branches."
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, "The regular expression is not valid: " + err.Error()
	}
	return re, ""
}
