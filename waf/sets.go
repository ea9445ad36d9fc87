package waf

import (
	"context"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/wafv2"
)

// remotes are the AWS sets that one kind is spread over: one, or for names up to ten. They are read and planned as one
// set, since a pattern finds the same in any of them.
type remotes []remote

// reading is what the AWS sets of a kind hold together.
type reading struct {
	items []string
	parts []part
}

// part is what one AWS set holds, and what an update has to send back with it.
type part struct {
	items       []string
	description *string
	token       *string
	arn         string
}

func (all remotes) get(ctx context.Context, opts ...func(*wafv2.Options)) (reading, error) {
	var was reading
	for _, r := range all {
		p, err := r.get(ctx, opts...)
		if err != nil {
			return reading{}, err
		}
		was.parts = append(was.parts, p)
		for _, item := range p.items {
			if !slices.Contains(was.items, item) || r.kind != SetNames { // AWS keeps addresses distinct itself
				was.items = append(was.items, item)
			}
		}
	}
	return was, nil
}

// put brings the sets to hold items together. Those that do so already are not written; wrote is told
// the lock token of each that is.
func (all remotes) put(ctx context.Context, was reading, items []string, wrote func(token *string), opts ...func(*wafv2.Options)) error {
	for i, next := range spread(was.parts, items) {
		if sameItems(was.parts[i].items, next) {
			continue
		}
		if err := all[i].put(ctx, was.parts[i], next, opts...); err != nil {
			return err
		}
		wrote(was.parts[i].token)
	}
	return nil
}

// spread shares items out over sets, at most ten to each where there are several, so that few sets change: an item stays
// where it is, and a new one goes where one has left, else where most room is.
func spread(parts []part, items []string) [][]string {
	if len(parts) == 1 {
		return [][]string{items}
	}
	next := make([][]string, len(parts))
	left := make([]int, len(parts))
	rest := slices.Clone(items)
	for i, p := range parts {
		next[i] = []string{}
		for _, item := range p.items {
			if at := slices.Index(rest, item); at >= 0 {
				rest = slices.Delete(rest, at, at+1)
				next[i] = append(next[i], item)
			} else {
				left[i]++
			}
		}
	}
	for _, item := range rest {
		best := -1
		for i := range next {
			room := maxPatterns - len(next[i])
			if room > 0 && (best < 0 || left[i] > left[best] || left[i] == left[best] && room > maxPatterns-len(next[best])) {
				best = i
			}
		}
		next[best] = append(next[best], item) // the plan gave no more items than there is room
		left[best]++                          // it is written anyway: fill it first
	}
	return next
}
