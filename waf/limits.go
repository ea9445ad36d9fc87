package waf

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// alwaysTolerated is how many requests without a flagged Referer in an hour never count as collateral: on a quiet site
// a single one may be a large share.
const alwaysTolerated = 20

// leastTraffic is how many requests without a flagged Referer must have been counted before their shares mean something:
// just after a start, which forgets the hour before, a few page views of one client are a large one.
const leastTraffic = 1000

// LimitShare is what max-share is noted under where troubles are: not a set, but it holds back additions to two.
const LimitShare SetKind = "max-share"

// limits are the policies that all sets share in one tick: the owner's word and the limits of damage.
func (u *Updater) limits(ctx context.Context, desired []Entry, standing Standing, now time.Time) []Policy {
	var policies []Policy
	if o := standing.Held; o != nil {
		why := fmt.Sprintf("%s since %s", map[Verb]string{OrderHold: "held", OrderWithdraw: "withdrawn"}[o.Verb], o.Time.UTC().Format(time.DateTime))
		if o.Why != "" {
			why += " (" + o.Why + ")"
		}
		why += ": `referee waf resume` ends it"
		if policies = append(policies, PauseAdditions(why)); standing.Withdrawn() {
			policies = append(policies, Withdraw(why))
		}
	}
	over := u.held
	if over == "" {
		over = u.collateral(desired)
		u.noteShare(ctx, over, now)
	}
	if over != "" {
		policies = append(policies, PauseClients(over))
		u.raise(AboutHeld, "max-share", over)
	} else {
		u.clear(AboutHeld, "max-share")
	}
	u.metrics.held.WithLabelValues("owner").Set(map[bool]float64{true: 1}[standing.Held != nil])
	u.metrics.held.WithLabelValues("max-share").Set(map[bool]float64{true: 1}[over != ""])
	return policies
}

// HoldClients has the Updater add no client, as a running one does that has counted the traffic: for a look from outside.
func (u *Updater) HoldClients(why string) { u.held = why }

// noteShare keeps what max-share holds for those who look from outside: what it says of the last hour, for an hour.
func (u *Updater) noteShare(ctx context.Context, over string, now time.Time) {
	if u.traffic == nil || u.noted != nil && u.noted.Error == over && (over == "" || now.Sub(u.noted.Until) < -30*time.Minute) {
		return
	}
	t := Trouble{Since: now, Until: now.Add(time.Hour), Class: ClassHeld, Error: over}
	if u.noted != nil && u.noted.Error != "" {
		t.Since = u.noted.Since
	}
	note := &t
	if over == "" {
		note = nil
	}
	if err := u.journal.Trouble(ctx, LimitShare, note); err != nil {
		u.log.Warn("waf limit not noted in the ledger", "error", err)
		return
	}
	u.noted = &t
}

// collateral says whether blocking these clients would hit too many requests that nothing speaks against, in words.
func (u *Updater) collateral(desired []Entry) (over string) {
	if u.traffic == nil || u.cfg.MaxShare == 0 {
		return ""
	}
	var hit, all float64
	for _, e := range desired {
		p, err := netip.ParsePrefix(e.Value)
		if e.Kind == SetNames || err != nil {
			continue
		}
		n, of := u.traffic(p)
		hit, all = hit+n, max(all, of)
	}
	share := 0.0
	if all > 0 {
		share = max(0, hit) / all
	}
	u.metrics.collateral.Set(share)
	if share <= u.cfg.MaxShare || hit <= alwaysTolerated || all < leastTraffic {
		return ""
	}
	// In round figures, so that it is told once and not each time that a request comes.
	return fmt.Sprintf("the clients to be blocked sent about %.1g %% of the last hour's requests without a flagged Referer, above waf.max-share %v:"+
		" no client is added. `referee report` shows them; exempt those that are none (never-block.clients), or raise waf.max-share",
		100*share, u.cfg.MaxShare)
}

// adds is the policy of max-adds: what is left of the hour's additions.
func (r *run) adds(ctx context.Context) (Policy, error) {
	added, err := r.journal.Added(ctx, r.plan.Time.Add(-time.Hour))
	if err != nil {
		return nil, r.journalError(fmt.Errorf("the last hour's additions: %w", err))
	}
	// What was planned and not written counts, for it may be there. It is to be taken up again, so it does not count twice.
	if g := r.last[r.kind]; g.Outcome == Planned && r.plan.Time.Sub(g.Time) < time.Hour {
		added -= g.Adds
	}
	return MostAdds(r.cfg.MaxAdds-added, fmt.Sprintf("waf.max-adds: %d added in an hour", r.cfg.MaxAdds)), nil
}

// follow does what a tick leaves to do: it asks for approval, tells what was held, and marks what was carried out.
func (u *Updater) follow(ctx context.Context, plan Plan, standing Standing, now time.Time) error {
	var ask []Entry
	limited := 0
	approval := 0
	for _, c := range plan.Changes {
		for _, p := range c.Postponed {
			switch {
			case p.Approval:
				approval++
				if !standing.Requested[p.id()] {
					ask = append(ask, p.Entry)
				}
			case c.Limited && p.Why != fewWhy && standing.Held == nil:
				limited++
			}
		}
		if c.Refused != "" {
			u.raise(AboutHeld, string(c.Set), c.Refused)
		} else {
			u.clear(AboutHeld, string(c.Set))
		}
	}
	u.metrics.held.WithLabelValues("approval").Set(map[bool]float64{true: 1}[approval > 0])
	u.metrics.held.WithLabelValues("max-adds").Set(map[bool]float64{true: 1}[limited > 0])
	if limited > 0 {
		u.raise(AboutHeld, "max-adds", fmt.Sprintf("waf.max-adds: %d added in an hour, which is the most; the rest waits, the highest ranks first."+
			" `referee waf plan` shows it", u.cfg.MaxAdds))
	} else {
		u.clear(AboutHeld, "max-adds")
	}
	if u.cfg.Mode != ModeEnforce || !u.cfg.Writer {
		return nil
	}
	if len(ask) > 0 {
		o := Order{Time: now, Verb: OrderAsk, Entries: ask, Until: slices.MaxFunc(ask, func(a, b Entry) int { return a.Expires.Compare(b.Expires) }).Expires}
		id, err := u.journal.Order(ctx, o)
		if err != nil {
			return &Error{Class: ClassJournal, Err: fmt.Errorf("keeping a request for approval: %w", err), Fix: "nothing is added meanwhile"}
		}
		o.ID = id
		standing.Requests = append(standing.Requests, o)
	}
	asking := map[string]bool{}
	for _, o := range standing.Requests {
		id := fmt.Sprint(o.ID)
		asking[id] = true
		u.raise(AboutApproval, id, requestText(o))
	}
	u.clearOthers(AboutApproval, asking)
	for _, id := range standing.Force {
		if slices.ContainsFunc(kinds(), func(kind SetKind) bool { return u.forced[kind] < id }) {
			continue // a set could not be read or written: its turn comes while the order counts, and the others have had theirs
		}
		if err := u.journal.Carried(ctx, id); err != nil {
			return &Error{Class: ClassJournal, Err: fmt.Errorf("marking order %d as carried out: %w", id, err)}
		}
	}
	return nil
}
