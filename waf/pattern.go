package waf

import (
	"fmt"
	"regexp/syntax"
	"slices"
	"strings"
)

// AWS's limits on a regex pattern set (docs.aws.amazon.com/waf/latest/developerguide/limits.html), none adjustable.
// The API model allows 512 characters; the service enforces 200. It also refuses "a large number" of alternatives
// without naming it: 8 is on the safe side, 10 was seen to pass, and Config.Branches chooses.
const (
	maxPatterns   = 10
	maxPatternLen = 200
	maxBranches   = 10
)

// A pattern is head, the names, tail. It is matched against the lower-cased Referer and finds a name as the host or as
// the end of the host: from the scheme on, over userinfo and sub-domains but never over a '/', '?' or '#', so that no
// path or query of another host counts; and up to the end of the host, with the root's dot if it was written.
//
// One other host does match: https://kq3v9z.com:x@google.com/, where the name is the user of a password. Browsers
// strip userinfo from Referers (W3C Referrer Policy, section 8.4), so only a client that forges the header sends that.
// Excluding it would cost 8 of the 200 characters.
const (
	patternHead = `^https?://(?:[^/?#]*[.@])?(?:`
	patternTail = `)\.?(?:[:/?#]|$)`
)

// render writes names as one pattern, those of one suffix sharing it: (?:a|b)\.com|c\.net.
func render(names []string) string {
	labels := map[string]*node{}
	for _, name := range names {
		label, suffix, _ := strings.Cut(name, ".")
		if labels[suffix] == nil {
			labels[suffix] = newNode("", false)
		}
		labels[suffix] = labels[suffix].with(label)
	}
	terms := make([]string, 0, len(labels))
	for suffix, l := range labels {
		terms = append(terms, group(l.branches(), false)+`\.`+strings.ReplaceAll(suffix, ".", `\.`))
	}
	slices.Sort(terms)
	return patternHead + strings.Join(terms, "|") + patternTail
}

// maxExpansion bounds what one pattern may expand to. Its 200 characters hold far fewer names when Referee wrote it.
const maxExpansion = 1000

// hostsOf expands a pattern of Referee's form into the names it finds, sorted. Any other pattern is an error.
//
// The body between head and tail is parsed by itself: that it parses shows that its parentheses, brackets and escapes
// end within it, and its alphabet leaves no flag group, quotation or escape but that of a dot. So what it means alone
// is what it means in place.
func hostsOf(pattern string) ([]string, error) {
	body, ok := strings.CutPrefix(pattern, patternHead)
	if body, ok = cutSuffix(body, patternTail, ok); !ok {
		return nil, fmt.Errorf("pattern %q is not of Referee's form", pattern)
	}
	if strings.Trim(strings.ReplaceAll(body, `\.`, ""), "abcdefghijklmnopqrstuvwxyz0123456789-_|?:()[]") != "" {
		return nil, fmt.Errorf("pattern %q holds more than names", pattern)
	}
	tree, err := syntax.Parse(body, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w", pattern, err)
	}
	hosts, err := expand(tree)
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w", pattern, err)
	}
	for _, h := range hosts {
		if !validHost(h) {
			return nil, fmt.Errorf("pattern %q finds %q, which is not a host name", pattern, h)
		}
	}
	slices.Sort(hosts)
	return slices.Compact(hosts), nil
}

func cutSuffix(s, suffix string, ok bool) (string, bool) {
	s, cut := strings.CutSuffix(s, suffix)
	return s, cut && ok
}

// expand lists the strings that a finite expression matches whole.
func expand(re *syntax.Regexp) ([]string, error) {
	switch re.Op {
	case syntax.OpEmptyMatch:
		return []string{""}, nil
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase == 0 {
			return []string{string(re.Rune)}, nil
		}
	case syntax.OpCharClass:
		var out []string
		for i := 0; i < len(re.Rune); i += 2 {
			for r := re.Rune[i]; r <= re.Rune[i+1]; r++ {
				if out = append(out, string(r)); len(out) > maxExpansion {
					return nil, fmt.Errorf("a class of more than %d characters", maxExpansion)
				}
			}
		}
		return out, nil
	case syntax.OpQuest:
		out, err := expand(re.Sub[0])
		return append(out, ""), err
	case syntax.OpAlternate:
		var out []string
		for _, sub := range re.Sub {
			more, err := expand(sub)
			if err != nil {
				return nil, err
			}
			if out = append(out, more...); len(out) > maxExpansion {
				return nil, fmt.Errorf("more than %d names", maxExpansion)
			}
		}
		return out, nil
	case syntax.OpConcat:
		out := []string{""}
		for _, sub := range re.Sub {
			more, err := expand(sub)
			if err != nil {
				return nil, err
			}
			if len(out)*len(more) > maxExpansion {
				return nil, fmt.Errorf("more than %d names", maxExpansion)
			}
			next := make([]string, 0, len(out)*len(more))
			for _, a := range out {
				for _, b := range more {
					next = append(next, a+b)
				}
			}
			out = next
		}
		return out, nil
	}
	return nil, fmt.Errorf("%q has no finite list of names", re)
}

// verify shows that a pattern is within the limits and finds exactly these names.
func verify(pattern string, names []string) error {
	if len(pattern) > maxPatternLen {
		return fmt.Errorf("pattern %q is longer than %d characters", pattern, maxPatternLen)
	}
	hosts, err := hostsOf(pattern)
	if err != nil {
		return err
	}
	if want := slices.Sorted(slices.Values(names)); !slices.Equal(hosts, want) {
		return fmt.Errorf("pattern %q finds %q instead of %q", pattern, hosts, want)
	}
	return nil
}
