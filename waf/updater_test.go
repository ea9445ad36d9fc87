package waf

import (
	"testing"
	"time"
)

const day = 24 * time.Hour

// behaviours are what must hold at any WAFv2 endpoint.
func behaviours() map[string]func(*rig) {
	return map[string]func(*rig){
		"enforce fills the three sets and keeps their descriptions": func(r *rig) {
			plan := r.tick(start,
				nameHit("kq3v9z.com", 2, day), nameHit("xw81tt.com", 1, day),
				clientHit("198.51.100.7/32", 1, day), clientHit("2001:db8:1:2::/64", 1, day))
			r.holds(SetNames, `^https?://(?:[^/?#]*[.@])?(?:(?:kq3v9z|xw81tt)\.com)\.?(?:[:/?#]|$)`)
			r.holds(SetIPv4, "198.51.100.7/32")
			r.holds(SetIPv6, "2001:db8:1:2::/64")
			for i, c := range plan.Changes {
				if c.Outcome != Written {
					r.Errorf("%s: %q", c.Set, c.Outcome)
				}
				was, err := r.remote(kinds()[i]).get(r.Context())
				must(r, err)
				if was.description == nil || *was.description != "kept by Referee" {
					r.Errorf("%s: the description is lost", c.Set)
				}
			}
		},
	}
}

func TestAgainstWaftest(t *testing.T) {
	for name, behaviour := range behaviours() {
		t.Run(name, func(t *testing.T) { behaviour(newRig(t, serve(t).URL())) })
	}
}
