package waftest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// set is an IP set or a regex pattern set.
type set struct {
	kind        kind
	name, id    string
	scope       string
	region      string
	description *string
	version     string // of an IP set: IPV4 or IPV6
	items       []string
	token       string
	match       matcher
	tags        []tag
	was         *shown // what reads still show; nil: what it is
}

type kind string

const (
	ipSet        kind = "ipset"
	regexSet     kind = "regexpatternset"
	accountID         = "123456789012"
	globalRegion      = "us-east-1" // the only one that knows scope CLOUDFRONT
)

func (s *set) arn() string {
	where := "regional"
	if s.scope == "CLOUDFRONT" {
		where = "global"
	}
	return fmt.Sprintf("arn:aws:wafv2:%s:%s:%s/%s/%s/%s", s.region, accountID, where, s.kind, s.name, s.id)
}

type summary struct {
	Name        string
	ID          string  `json:"Id"`
	Description *string `json:",omitempty"`
	LockToken   string
	ARN         string
}

func (s *set) summary() summary {
	return summary{Name: s.name, ID: s.id, Description: s.description, LockToken: s.token, ARN: s.arn()}
}

// find returns the index of the set that a request names: by id, name, scope and Region together.
func (s *Server) find(k kind, in input) (int, *apiError) {
	i := slices.IndexFunc(s.sets, func(e *set) bool {
		return e.kind == k && e.id == in.ID && e.name == in.Name && e.scope == in.Scope && e.region == in.region
	})
	if i < 0 {
		return 0, nonexistent()
	}
	return i, nil
}

func nonexistent() *apiError {
	return &apiError{
		Code:    "WAFNonexistentItemException",
		Message: "AWS WAF couldn’t perform the operation because your resource doesn’t exist.",
	}
}

// shown is a set as it was, until a moment.
type shown struct {
	until       time.Time
	items       []string
	token       string
	description *string
}

func (s *Server) create(k kind, in input) (any, *apiError) {
	n := 0
	for _, e := range s.sets {
		if e.kind != k || e.scope != in.Scope || e.region != in.region {
			continue
		}
		if n++; e.name == in.Name {
			return nil, &apiError{
				Code:    "WAFDuplicateItemException",
				Message: "AWS WAF couldn’t perform the operation because some resource in your request is a duplicate of an existing one.",
			}
		}
	}
	if most := map[kind]int{ipSet: s.limits.IPSets, regexSet: s.limits.PatternSets}[k]; n >= most {
		return nil, limitExceeded(most, "sets")
	}
	e := &set{
		kind: k, name: in.Name, id: newID(), scope: in.Scope, region: in.region, description: in.Description,
		version: in.IPAddressVersion, token: newID(),
	}
	if fail := in.checkTags(); fail != nil {
		return nil, fail
	}
	if fail := e.fill(s.limits, in.items(k)); fail != nil {
		return nil, fail
	}
	e.tag(in.Tags)
	s.sets = append(s.sets, e)
	return struct{ Summary summary }{e.summary()}, nil
}

// update replaces a set whole: a description that is not sent again is gone.
func (s *Server) update(k kind, in input) (any, *apiError) {
	i, fail := s.find(k, in)
	if fail != nil {
		return nil, fail
	}
	e := s.sets[i]
	if e.token != in.LockToken {
		return nil, staleToken()
	}
	old := shown{s.now().Add(s.delay), e.items, e.token, e.description}
	if fail := e.fill(s.limits, in.items(k)); fail != nil {
		return nil, fail
	}
	if s.delay > 0 && (e.was == nil || !s.now().Before(e.was.until)) {
		e.was = &old
	}
	e.description, e.token = in.Description, newID()
	return struct{ NextLockToken string }{e.token}, nil
}

func (s *Server) remove(k kind, in input) (any, *apiError) {
	i, fail := s.find(k, in)
	if fail != nil {
		return nil, fail
	}
	if s.sets[i].token != in.LockToken {
		return nil, staleToken()
	}
	s.sets = slices.Delete(s.sets, i, i+1)
	return struct{}{}, nil
}

// list answers with one page, ordered by id so that markers stay good while sets come and go.
func (s *Server) list(k kind, in input) (any, *apiError) {
	limit := 100 // PaginationLimit of the API model: 1 to 100
	if in.Limit != nil {
		limit = *in.Limit
	}
	all := []summary{}
	for _, e := range s.sets {
		if e.kind == k && e.scope == in.Scope && e.region == in.region && e.id > in.NextMarker {
			all = append(all, e.summary())
		}
	}
	slices.SortFunc(all, func(a, b summary) int { return strings.Compare(a.ID, b.ID) })
	out := map[string]any{}
	if len(all) > limit {
		all = all[:limit]
		out["NextMarker"] = all[limit-1].ID
	}
	out[map[kind]string{ipSet: "IPSets", regexSet: "RegexPatternSets"}[k]] = all
	return out, nil
}

func staleToken() *apiError {
	return &apiError{
		Code: "WAFOptimisticLockException",
		Message: "AWS WAF couldn’t save your changes because someone changed the resource after you started to edit it." +
			" Reapply your changes.",
	}
}

func limitExceeded(n int, what string) *apiError {
	return &apiError{
		Code: "WAFLimitsExceededException",
		Message: "AWS WAF couldn’t perform the operation because you exceeded your resource limit: at most " +
			strconv.Itoa(n) + " " + what + ".",
	}
}

// get answers with the set under its kind's name, and the token that an update needs.
func (s *Server) get(k kind, in input) (any, *apiError) {
	i, fail := s.find(k, in)
	if fail != nil {
		return nil, fail
	}
	e := s.sets[i]
	now := shown{items: e.items, token: e.token, description: e.description}
	if e.was != nil && s.now().Before(e.was.until) {
		now = *e.was
	}
	out := map[string]any{"Name": e.name, "Id": e.id, "ARN": e.arn()}
	if now.description != nil {
		out["Description"] = *now.description
	}
	if k == ipSet {
		out["IPAddressVersion"], out["Addresses"] = e.version, slices.Clone(now.items)
		return map[string]any{"IPSet": out, "LockToken": now.token}, nil
	}
	list := make([]regex, len(now.items))
	for i, p := range now.items {
		list[i].RegexString = p
	}
	out["RegularExpressionList"] = list
	return map[string]any{"RegexPatternSet": out, "LockToken": now.token}, nil
}
