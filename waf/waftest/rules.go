package waftest

import (
	"cmp"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
)

// rule is what the endpoint understands of a web ACL's rule: references to its sets, alone or under And, Or and Not.
type rule struct {
	Name       string
	Priority   int
	Statement  *statement
	Action     map[string]any
	RuleLabels []struct{ Name string }
}

type statement struct {
	IPSetReferenceStatement *struct {
		ARN                    string
		IPSetForwardedIPConfig *struct{ HeaderName, FallbackBehavior, Position string }
	}
	RegexPatternSetReferenceStatement *struct {
		ARN                 string
		FieldToMatch        struct{ SingleHeader *struct{ Name string } }
		TextTransformations []struct{ Type string }
	}
	AndStatement, OrStatement *struct{ Statements []*statement }
	NotStatement              *struct{ Statement *statement }
}

// capacity is what a statement costs in web ACL capacity units (docs.aws.amazon.com/waf/latest/developerguide, pages of
// the statements): an IP set 1, and 4 more where any address of a header counts; a regex pattern set 25, and 10 for each
// text transformation; And, Or and Not what is in them. It fails for a set that is not there.
func (s *Server) capacity(st *statement) (int, *apiError) {
	switch {
	case st == nil:
		return 0, invalidParameter("A statement is missing.", "STATEMENT", "")
	case st.IPSetReferenceStatement != nil:
		ref := st.IPSetReferenceStatement
		if s.byARN(ref.ARN) == nil {
			return 0, nonexistent()
		}
		if ref.IPSetForwardedIPConfig != nil && ref.IPSetForwardedIPConfig.Position == "ANY" {
			return 5, nil
		}
		return 1, nil
	case st.RegexPatternSetReferenceStatement != nil:
		ref := st.RegexPatternSetReferenceStatement
		if s.byARN(ref.ARN) == nil {
			return 0, nonexistent()
		}
		n := 25
		for _, t := range ref.TextTransformations {
			if t.Type != "NONE" {
				n += 10
			}
		}
		return n, nil
	}
	sum := 0
	for _, sub := range st.inner() {
		n, fail := s.capacity(sub)
		if fail != nil {
			return 0, fail
		}
		sum += n
	}
	return sum, nil
}

func (st *statement) inner() []*statement {
	switch {
	case st.AndStatement != nil:
		return st.AndStatement.Statements
	case st.OrStatement != nil:
		return st.OrStatement.Statements
	case st.NotStatement != nil:
		return []*statement{st.NotStatement.Statement}
	}
	return nil
}

func (s *Server) checkCapacity(in input) (any, *apiError) {
	sum := 0
	for _, r := range in.Rules {
		n, fail := s.capacity(r.Statement)
		if fail != nil {
			return nil, fail
		}
		sum += n
	}
	if sum > 5000 {
		return nil, limitExceeded(5000, "WCU")
	}
	return struct{ Capacity int }{sum}, nil
}

func (s *Server) byARN(arn string) *set {
	i := slices.IndexFunc(s.sets, func(e *set) bool { return e.arn() == arn })
	if i < 0 {
		return nil
	}
	return s.sets[i]
}

// HTTPRequest is a request as a web ACL sees it.
type HTTPRequest struct {
	Peer    netip.Addr          // who opened the connection: a client, or an edge server before it
	Headers map[string][]string // names in any case
}

func (r HTTPRequest) header(name string) (value string, found bool) {
	for n, values := range r.Headers {
		if strings.EqualFold(n, name) && len(values) > 0 {
			return strings.Join(values, ","), true // as AWS inspects a header that comes twice
		}
	}
	return "", false
}

// Evaluated is what a web ACL would do with a request.
type Evaluated struct {
	Action string   // of the rule that ended it: Block, Captcha, Challenge or Allow; empty when none did
	Rule   string   // that rule's name
	Labels []string // put on it up to then
}

// Evaluate puts a request to rules, given as the JSON list that a web ACL takes, as AWS would: by priority, up to the first
// whose action ends the evaluation; Count only labels.
func (s *Server) Evaluate(rules []byte, r HTTPRequest) (Evaluated, error) {
	var list []rule
	if err := json.Unmarshal(rules, &list); err != nil {
		return Evaluated{}, err
	}
	slices.SortFunc(list, func(a, b rule) int { return cmp.Compare(a.Priority, b.Priority) })
	s.mu.Lock()
	defer s.mu.Unlock()
	var out Evaluated
	for _, rule := range list {
		if !s.matches(rule.Statement, r) {
			continue
		}
		for _, l := range rule.RuleLabels {
			out.Labels = append(out.Labels, l.Name)
		}
		for action := range rule.Action {
			if action != "Count" {
				out.Action, out.Rule = action, rule.Name
				return out, nil
			}
		}
	}
	return out, nil
}

func (s *Server) matches(st *statement, r HTTPRequest) bool {
	matches := func(sub *statement) bool { return s.matches(sub, r) }
	switch {
	case st == nil:
		return false
	case st.AndStatement != nil:
		return !slices.ContainsFunc(st.inner(), func(sub *statement) bool { return !matches(sub) })
	case st.OrStatement != nil:
		return slices.ContainsFunc(st.inner(), matches)
	case st.NotStatement != nil:
		return !matches(st.NotStatement.Statement)
	case st.IPSetReferenceStatement != nil:
		ref := st.IPSetReferenceStatement
		e := s.byARN(ref.ARN)
		if e == nil {
			return false
		}
		config := ref.IPSetForwardedIPConfig
		if config == nil {
			return e.match.matches(Request{Client: r.Peer.Unmap()})
		}
		value, found := r.header(config.HeaderName)
		if !found {
			return false // without the header the rule is not applied at all (IPSetForwardedIPConfig)
		}
		hops := strings.Split(value, ",")
		switch config.Position {
		case "FIRST":
			hops = hops[:1]
		case "LAST":
			hops = hops[len(hops)-1:]
		}
		for _, hop := range hops {
			a, err := netip.ParseAddr(strings.TrimSpace(hop))
			if err != nil {
				return config.FallbackBehavior == "MATCH"
			}
			if e.match.matches(Request{Client: a.Unmap()}) {
				return true
			}
		}
		return false
	case st.RegexPatternSetReferenceStatement != nil:
		ref := st.RegexPatternSetReferenceStatement
		e := s.byARN(ref.ARN)
		if e == nil || ref.FieldToMatch.SingleHeader == nil {
			return false
		}
		value, found := r.header(ref.FieldToMatch.SingleHeader.Name)
		for _, t := range ref.TextTransformations {
			if t.Type == "LOWERCASE" {
				value = strings.ToLower(value)
			}
		}
		return found && e.match.matches(Request{Referer: value})
	}
	return false
}
