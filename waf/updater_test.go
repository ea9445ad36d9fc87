package waf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"referee/policy"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"
)

const day = 24 * time.Hour

// behaviours are what must hold at any WAFv2 endpoint.
func behaviours() map[string]func(*rig) {
	return map[string]func(*rig){
		"enforce fills the three sets and keeps their descriptions":         enforceFills,
		"expired entries leave, down to empty sets":                         expiryEmpties,
		"what stands already is not written again":                          nothingTwice,
		"another writer's entries between read and write are kept":          conflictMerges,
		"what is found without a ledger stays for the default expiry":       adoption,
		"a crash between journal and write is made good":                    crashBeforeWrite,
		"a crash between write and confirmation is not written again":       crashAfterWrite,
		"an outage does not fill the journal":                               outage,
		"a write that the journal refuses does not happen":                  noJournalNoWrite,
		"shadow reads, journals what it would do once, and writes nothing":  shadow,
		"a process that is not the writer only plans":                       notTheWriter,
		"a set that does not exist is one clear error, the others go on":    missingSet,
		"an entry that becomes exempt while its update waits is not sent":   exemptAtTheLastMoment,
		"an address that AWS names as bad does not fail the rest":           badAddress,
		"of several bad names that AWS does not name only those stay out":   severalBadNames,
		"when the set is full the highest ranks are in and the rest waits":  full,
		"names that one set has no room for go into the next":               severalSets,
		"hits that vanish without a reason do not empty the set":            guard,
		"hits that vanish empty no set, whatever keeps new ones out":        guardLimits,
		"hits that vanish leave when they expire, whatever the guard said":  guardExpires,
		"what was taken out in shadow leaves when enforced, not re-adopted": shadowThenEnforce,
		"hold adds nothing, lets expire, and resume adds":                   holdAndResume,
		"withdraw takes all own entries out and lets none in":               withdraw,
		"unblock takes an entry out and keeps it out for its time":          unblock,
		"rollback brings back what left and keeps out what came":            rollback,
		"manual approval asks once, and lets in what was approved":          approval,
		"force lets one tick take out what nothing explains":                force,
		"force waits for the set that could not be read, and for no other":  forceLater,
		"no more than max-adds come in an hour, the highest first":          maxAdds,
		"clients whose blocking would hit others too are not added":         maxShare,
		"in shared sets foreign entries stay, wanted or not":                shared,
		"in shared sets what Referee put there leaves, ledger in hand":      sharedOwn,
		"an exemption takes an entry out at the next tick":                  exemption,
	}
}

func TestAgainstWaftest(t *testing.T) {
	credentialsFromEnvironment(t)
	for name, behaviour := range behaviours() {
		t.Run(name, func(t *testing.T) {
			server := serve(t)
			behaviour(newRig(t, server.URL()))
			for _, c := range server.Calls() {
				if c.Err == "ValidationException" || c.Err == "SerializationException" {
					t.Errorf("%s was not well-formed: %s", c.Action, c.Err)
				}
			}
		})
	}
}

func TestAgainstMoto(t *testing.T) {
	credentialsFromEnvironment(t)
	url := moto(t)
	for name, behaviour := range behaviours() {
		t.Run(name, func(t *testing.T) { behaviour(newRig(t, url)) })
	}
}

// moto starts moto_server, the second opinion on the wire format.
func moto(t *testing.T) string {
	path, err := exec.LookPath("moto_server")
	if err != nil {
		t.Skip("moto_server is not installed: pip install 'moto[server]'")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	must(t, l.Close())
	cmd := exec.CommandContext(t.Context(), path, "-H", "127.0.0.1", "-p", port)
	cmd.Stdout, cmd.Stderr = io.Discard, io.Discard
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Wait() }) // it ends with the test's context
	url := "http://127.0.0.1:" + port
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for range 400 {
		if resp, err := http.Get(url + "/moto-api/data.json"); err == nil {
			must(t, resp.Body.Close())
			return url
		}
		<-tick.C
	}
	t.Fatal("moto_server did not answer within 20 s")
	return ""
}

func pattern(names ...string) string { return render(names) }

func enforceFills(r *rig) {
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
		g := r.journal.generations[i]
		if g.Model != "0123456789ab" || g.Config != "balanced" || g.Why == "" || !g.Time.Equal(start) {
			r.Errorf("the generation does not say where it comes from: %+v", g)
		}
	}
}

func expiryEmpties(r *rig) {
	hits := []policy.Hit{
		nameHit("kq3v9z.com", 2, time.Hour), nameHit("xw81tt.com", 1, 2*time.Hour),
		clientHit("198.51.100.7/32", 1, time.Hour), clientHit("2001:db8:1:2::/64", 1, time.Hour),
	}
	r.tick(start, hits...)
	r.tick(in(time.Hour), hits...) // policy has not let them go yet: the expiry decides
	r.holds(SetNames, pattern("xw81tt.com"))
	r.holds(SetIPv4)
	r.restart()
	r.tick(in(2 * time.Hour))
	r.holds(SetNames)
	r.holds(SetIPv6)
	r.ended(SetNames, Written, Written, Written)
}

func nothingTwice(r *rig) {
	hits := []policy.Hit{nameHit("kq3v9z.com", 2, day), clientHit("2001:db8:1:2::/64", 1, day)}
	r.tick(start, hits...)
	hits[0].Rank, hits[0].Expires = 9, in(2*day)
	for i := range 3 {
		plan := r.tick(in(time.Duration(i)*time.Minute), hits...)
		for _, c := range plan.Changes {
			if c.Outcome != "" || c.Changed() {
				r.Errorf("%s: %s: %s", c.Set, c.Outcome, c.Why())
			}
		}
	}
	r.restart()
	r.tick(in(time.Hour), hits...)
	r.ended(SetNames, Written)
	r.ended(SetIPv6, Written)
}

func conflictMerges(r *rig) {
	raced := 0
	r.before(func() {
		switch raced++; raced {
		case 1: // the names set comes first
			r.overwrite(SetNames, pattern("other1.net"))
		case 3: // case 2 is its repetition
			r.overwrite(SetIPv4, "203.0.113.9/32")
		}
	})
	r.tick(start, nameHit("kq3v9z.com", 1, day), clientHit("198.51.100.7/32", 1, day))
	r.holds(SetNames, pattern("other1.net"), pattern("kq3v9z.com"))
	r.holds(SetIPv4, "198.51.100.7/32", "203.0.113.9/32")
	r.ended(SetNames, Failed, Written)
	r.ended(SetIPv4, Failed, Written)
}

func adoption(r *rig) {
	foreign := `^evil.*regex$`
	r.overwrite(SetNames, pattern("found1.com", "found2.com"), foreign)
	r.overwrite(SetIPv4, "203.0.113.0/24")
	hit := nameHit("kq3v9z.com", 1, 30*day)
	r.tick(start, hit)
	r.holds(SetNames, foreign, pattern("found1.com", "found2.com", "kq3v9z.com"))
	r.holds(SetIPv4, "203.0.113.0/24")
	r.ended(SetIPv4, Written) // nothing to write, but the expiry is kept
	r.restart()
	r.tick(in(23*time.Hour), hit)
	r.holds(SetIPv4, "203.0.113.0/24")
	r.restart()
	r.tick(in(24*time.Hour), hit)
	r.holds(SetIPv4)
	r.restart()
	r.tick(in(7*day), hit)
	r.holds(SetNames, pattern("kq3v9z.com"))
}

func crashBeforeWrite(r *rig) {
	hits := []policy.Hit{nameHit("kq3v9z.com", 1, time.Hour), nameHit("xw81tt.com", 1, day), clientHit("198.51.100.7/32", 1, day)}
	r.tick(start, hits...)
	r.api = dead{r.client}
	r.restart()
	r.fails(ClassOther, in(time.Hour), hits[1:]...) // one name is to leave
	r.ended(SetNames, Written, Planned)
	r.holds(SetNames, pattern("kq3v9z.com", "xw81tt.com"))

	r.api = r.client
	r.restart()
	r.tick(in(2*time.Hour), hits[1:]...)
	r.ended(SetNames, Written, Written)
	r.holds(SetNames, pattern("xw81tt.com")) // what was about to leave is not taken for a find
}

func outage(r *rig) {
	r.api = dead{r.client}
	r.restart()
	hits := hitsOf("kq3v9z.com")
	for i := range 5 {
		r.fails(ClassOther, in(time.Duration(i)*time.Minute), hits...)
	}
	r.ended(SetNames, Planned)
	if got := r.journal.generations[0].Error; !strings.Contains(got, errPowerCut.Error()) {
		r.Errorf("the journal says %q", got)
	}
	hits = append(hits, hitsOf("xw81tt.com")...)
	r.fails(ClassOther, in(time.Hour), hits...) // the plan is another one
	r.ended(SetNames, Failed, Planned)
	r.updater.remotes[SetNames] = remotes{r.remote(SetNames)}
	r.tick(in(2*time.Hour), hits...)
	r.ended(SetNames, Failed, Written)
	r.holds(SetNames, pattern("kq3v9z.com", "xw81tt.com"))
}

func crashAfterWrite(r *rig) {
	r.journal.settling = errPowerCut
	hit := nameHit("kq3v9z.com", 1, day)
	r.fails(ClassJournal, start, hit)
	r.ended(SetNames, Planned)
	r.holds(SetNames, pattern("kq3v9z.com"))

	r.journal.settling = nil
	r.before(func() { r.Error("it was written again") })
	r.tick(in(time.Minute), hit)
	r.ended(SetNames, Written)
}

func noJournalNoWrite(r *rig) {
	r.journal.broken = errors.New("disk full")
	r.fails(ClassJournal, start, nameHit("kq3v9z.com", 1, day))
	r.holds(SetNames)
	r.journal.broken = nil
	r.tick(start)
	r.journal.broken = errors.New("disk full")
	r.fails(ClassJournal, start, nameHit("kq3v9z.com", 1, day))
	r.holds(SetNames)
	r.journal.broken = nil
	r.tick(start, nameHit("kq3v9z.com", 1, day))
	r.holds(SetNames, pattern("kq3v9z.com"))
}

func shadow(r *rig) {
	r.overwrite(SetIPv4, "203.0.113.9/32")
	r.cfg.Mode = ModeShadow
	r.before(func() { r.Error("shadow wrote") })
	hits := []policy.Hit{nameHit("kq3v9z.com", 1, day), clientHit("198.51.100.7/32", 1, day)}
	for i := range 3 {
		plan := r.tick(in(time.Duration(i)*time.Minute), hits...)
		if got, want := plan.Changes[1].After, []string{"198.51.100.7/32", "203.0.113.9/32"}; !slices.Equal(got, want) {
			r.Errorf("planned %q, want %q", got, want)
		}
		if held := plan.Changes[0].Held; held != "shadow mode" {
			r.Errorf("held for %q", held)
		}
	}
	r.restart()
	r.tick(in(time.Hour), hits...)
	r.ended(SetNames, Shadow)
	r.ended(SetIPv4, Shadow)
	r.ended(SetIPv6)
}

func notTheWriter(r *rig) {
	r.cfg.Writer = false
	r.before(func() { r.Error("it wrote") })
	plan := r.tick(start, nameHit("kq3v9z.com", 1, day))
	if c := plan.Changes[0]; len(c.Add) != 1 || c.Outcome != Shadow || !strings.Contains(c.Held, "waf.writer") {
		r.Errorf("%+v", c)
	}
}

func missingSet(r *rig) {
	r.cfg.NamesSet = SetList{"gone/12345678-1234-1234-1234-123456789012"}
	r.restart()
	plan, err := r.fails(ClassMissing, start, nameHit("kq3v9z.com", 1, day), clientHit("198.51.100.7/32", 1, day))
	if !strings.Contains(err.Error(), "waf.names-set") || !strings.Contains(err.Error(), "waf.region") {
		r.Errorf("the error does not name what to set: %v", err)
	}
	r.holds(SetIPv4, "198.51.100.7/32")
	if len(plan.Changes) != 2 {
		r.Errorf("the plan has %d sets", len(plan.Changes))
	}
}

func exemptAtTheLastMoment(r *rig) {
	planned := false
	exempt := func(h policy.Hit) bool {
		if h.Domain != "kq3v9z.com" {
			return false
		}
		was := planned
		planned = true
		return was // not when it is planned, but from then on
	}
	hits := []policy.Hit{nameHit("kq3v9z.com", 2, day), nameHit("xw81tt.com", 1, day)}
	_, err := r.updater.RunOnce(r.Context(), hits, exempt, start)
	must(r, err)
	r.holds(SetNames, pattern("xw81tt.com"))
	r.ended(SetNames, Failed, Written)
}

func badAddress(r *rig) {
	r.api = fussy{r.client, "198.51.100.7/32"}
	r.restart()
	hits := []policy.Hit{
		clientHit("198.51.100.6/32", 3, day), clientHit("198.51.100.7/32", 2, day), clientHit("198.51.100.8/32", 1, day),
	}
	plan := r.tick(start, hits...)
	r.holds(SetIPv4, "198.51.100.6/32", "198.51.100.8/32")
	r.ended(SetIPv4, Failed, Written)
	if d := plan.Changes[1].Dropped; len(d) != 1 || d[0].Value != "198.51.100.7/32" || !strings.Contains(d[0].Why, "formatting") {
		r.Errorf("dropped: %+v", d)
	}
	r.tick(in(time.Minute), hits...) // it stays out
	r.ended(SetIPv4, Failed, Written)
}

// silent refuses patterns that find one of some names, and says neither which pattern nor which name.
type silent struct {
	API
	bad []string
}

func (a silent) UpdateRegexPatternSet(ctx context.Context, in *wafv2.UpdateRegexPatternSetInput, o ...func(*wafv2.Options)) (*wafv2.UpdateRegexPatternSetOutput, error) {
	for _, p := range in.RegularExpressionList {
		hosts, err := hostsOf(*p.RegexString)
		if err != nil || slices.ContainsFunc(hosts, func(h string) bool { return slices.Contains(a.bad, h) }) {
			return nil, &types.WAFInvalidParameterException{Message: aws.String("The regular expression is not supported.")}
		}
	}
	return a.API.UpdateRegexPatternSet(ctx, in, o...)
}

func severalBadNames(r *rig) {
	var hits []policy.Hit
	var good []string
	bad := []string{"kq03v9z.net", "kq17v9z.net", "kq32v9z.com"}
	for i := range 40 {
		name := fmt.Sprintf("kq%02dv9z.%s", i, []string{"com", "net"}[i%2])
		hits = append(hits, nameHit(name, float64(100-i), day))
		if !slices.Contains(bad, name) {
			good = append(good, name)
		}
	}
	r.api = silent{r.client, bad}
	r.restart()
	var plan Plan
	var err error
	ticks := 0
	for ; ticks == 0 || (err != nil || len(plan.Changes[0].Postponed) > 0) && ticks < 50; ticks++ {
		plan, err = r.updater.RunOnce(r.Context(), hits, nil, in(time.Duration(ticks)*10*time.Second))
	}
	must(r, err)
	var dropped []string
	for _, d := range plan.Changes[0].Dropped {
		if dropped = append(dropped, d.Value); !strings.Contains(d.Why, "not supported") {
			r.Errorf("%s: %s", d.Value, d.Why)
		}
	}
	slices.Sort(dropped)
	if !slices.Equal(dropped, bad) {
		r.Errorf("after %d ticks %q are in quarantine, want %q", ticks, dropped, bad)
	}
	var in []string
	for _, item := range r.items(SetNames) {
		hosts, err := hostsOf(item)
		must(r, err)
		in = append(in, hosts...)
	}
	slices.Sort(in)
	slices.Sort(good)
	if !slices.Equal(in, good) {
		r.Errorf("the set finds %q, want %q", in, good)
	}
	r.Logf("%d ticks", ticks)
}

func full(r *rig) {
	var hits []policy.Hit
	for i := range 100 {
		hits = append(hits, nameHit(fmt.Sprintf("%ck%02dq3v9z.com", 'a'+i%26, i), float64(100-i), time.Duration(i+1)*time.Hour))
	}
	plan := r.tick(start, hits...)
	if c := plan.Changes[0]; len(c.After) != 10 || len(c.Entries) != 80 || len(c.Waiting) != 20 || plan.Waiting() != 20 {
		r.Errorf("%d patterns, %d entries, %d waiting", len(c.After), len(c.Entries), len(c.Waiting))
	} else if c.Entries[79].Rank < c.Waiting[0].Rank {
		r.Error("a lower rank is in and a higher one waits")
	}
	plan = r.tick(in(5*time.Hour), hits...)
	if c := plan.Changes[0]; len(c.Add) != 5 || len(c.Remove) != 5 || len(c.Waiting) != 15 {
		r.Errorf("five expired: %s", c.Why())
	}
}

func severalSets(r *rig) {
	r.moreNames(2)
	var hits []policy.Hit
	for i := range 250 {
		hits = append(hits, nameHit(fmt.Sprintf("%ck%03dq3v9z.com", 'a'+i%26, i), float64(250-i), time.Duration(i+1)*time.Hour))
	}
	plan := r.tick(start, hits...)
	if c := plan.Changes[0]; len(c.After) != 30 || len(c.Entries) != 240 || len(c.Waiting) != 10 || c.Room != 30 {
		r.Errorf("%d of %d patterns, %d entries, %d waiting", len(c.After), c.Room, len(c.Entries), len(c.Waiting))
	}
	r.holds(SetNames, plan.Changes[0].After...)
	was, err := r.remotes(SetNames).get(r.Context())
	must(r, err)
	for i, p := range was.parts {
		if len(p.items) != 10 {
			r.Errorf("set %d holds %d patterns", i, len(p.items))
		}
	}
	r.tick(in(time.Hour), hits...) // one has expired, and one takes its place
	r.ended(SetNames, Written, Written)
	now, err := r.remotes(SetNames).get(r.Context())
	must(r, err)
	changed := 0
	for i := range now.parts {
		if *now.parts[i].token != *was.parts[i].token {
			changed++
		}
	}
	if changed != 1 {
		r.Errorf("%d sets were written for one name", changed)
	}
}

func guard(r *rig) {
	hits := []policy.Hit{nameHit("a1.com", 1, day), nameHit("a2.com", 1, day), nameHit("a3.com", 1, day), nameHit("a4.com", 1, time.Hour)}
	r.tick(start, hits...)
	r.restart()
	_, err := r.fails(ClassRefused, in(2*time.Hour), hits[0]) // a4 has expired; a2 and a3 are just gone
	if !strings.Contains(err.Error(), "2 of 4 entries") {
		r.Error(err)
	}
	r.holds(SetNames, pattern("a1.com", "a2.com", "a3.com"))
	r.fails(ClassRefused, in(3*time.Hour), hits[:2]...) // one is back, and of the other still nothing is known
	r.holds(SetNames, pattern("a1.com", "a2.com", "a3.com"))
	r.tick(in(4*time.Hour), hits[:3]...)
	r.tick(in(5*time.Hour), hits[:2]...) // one of three is within what may go
	r.holds(SetNames, pattern("a1.com", "a2.com"))
}

// guardLimits loses the hits of a set while as many new ones come, which something keeps out. It sends the old ones away
// no more than it would without them, and not when the new ones are in.
func guardLimits(r *rig) {
	hits := func(from, to int) (all []policy.Hit) {
		for i := from; i < to; i++ {
			all = append(all, clientHit(fmt.Sprintf("81.2.69.%d/32", i), float64(100-i), 9*day))
		}
		return all
	}
	old, fresh := hits(0, 10), hits(100, 110)
	values := func(hits []policy.Hit) (all []string) {
		for _, h := range hits {
			all = append(all, h.Client.String())
		}
		return all
	}
	f := func(limit string, come int, set func()) {
		r.Helper()
		r.cfg.Approve, r.cfg.MaxAdds, r.cfg.MaxShare = "auto", 0, 0
		r.journal = &memory{}
		r.overwrite(SetIPv4)
		r.restart()
		r.tick(start, old...)
		set()
		for i := range 3 { // the same, tick by tick
			plan, err := r.updater.RunOnce(r.Context(), fresh, nil, in(day+time.Duration(i)*time.Minute))
			if e, refused := errors.AsType[*Error](err); !refused || e.Class != ClassRefused || !strings.Contains(plan.Changes[1].Refused, "10 of ") {
				r.Errorf("%s: error %v", limit, err)
			}
		}
		r.holds(SetIPv4, append(values(old), values(fresh[:come])...)...)
		_, err := r.updater.RunOnce(r.Context(), append(hits(0, 10), fresh...), nil, in(2*day)) // the hits are found again
		if err != nil {
			r.Errorf("%s: %v", limit, err)
		}
	}
	f("no limit", 10, func() {})
	f("hold", 0, func() { r.order(Order{Time: in(time.Hour), Verb: OrderHold}) })
	f("max-share", 0, func() {
		r.cfg.MaxShare = 0.005
		r.restart()
		r.updater.Measure(func(netip.Prefix) (float64, float64) { return 100, 90_000 })
	})
	f("approve: manual", 0, func() {
		r.cfg.Approve = "manual"
		r.restart()
	})
	f("max-adds", 3, func() {
		r.cfg.MaxAdds = 3
		r.restart()
	})
}

func guardExpires(r *rig) {
	hit := clientHit("198.51.100.7/32", 1, time.Hour)
	r.tick(start, hit)
	hit.Expires = in(3 * time.Hour)
	r.tick(in(time.Minute), hit) // extended, which no write shows
	r.fails(ClassRefused, in(2*time.Hour))
	r.holds(SetIPv4, "198.51.100.7/32")
	r.tick(in(3 * time.Hour))
	r.holds(SetIPv4)
}

func shadowThenEnforce(r *rig) {
	hits := []policy.Hit{nameHit("kq3v9z.com", 1, time.Hour), nameHit("xw81tt.com", 1, day)}
	r.tick(start, hits...)
	r.cfg.Mode = ModeShadow
	r.restart()
	r.tick(in(2*time.Hour), hits...)
	r.holds(SetNames, pattern("kq3v9z.com", "xw81tt.com"))
	r.cfg.Mode = ModeEnforce
	r.restart()
	r.tick(in(3*time.Hour), hits...)
	r.holds(SetNames, pattern("xw81tt.com"))
	r.ended(SetNames, Written, Shadow, Written)
}

func exemption(r *rig) {
	hits := []policy.Hit{nameHit("kq3v9z.com", 1, day), clientHit("2001:db8:1:2::/64", 1, day)}
	r.tick(start, hits...)
	r.restart()
	all := func(policy.Hit) bool { return true }
	plan, err := r.updater.RunOnce(r.Context(), nil, all, in(time.Minute)) // policy has released the hits
	must(r, err)
	r.holds(SetNames)
	r.holds(SetIPv6)
	if c := plan.Changes[0]; len(c.Remove) != 1 || c.Remove[0].Cause != Barred {
		r.Errorf("%s", c.Why())
	}
}
