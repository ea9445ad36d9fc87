package waf

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"referee/policy"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// run is one tick of one set.
type run struct {
	*Updater
	kind          SetKind
	plan          Plan // what all sets share
	exempt        func(policy.Hit) bool
	model, config string
	standing      Standing
	limits        []Policy // of all sets
}

// errStale is what a set is that AWS still shows as it was before our newest write.
var errStale = errors.New("a write of ours is not visible yet")

// errBarred stops a write at its last moment.
var errBarred = errors.New("an entry became exempt while its update waited for its turn")

// once reads, plans and writes, and again when another writer was faster or AWS refused an entry.
func (r *run) once(ctx context.Context) (*State, *Changes, error) {
	r.forget()
	for attempt := 1; ; attempt++ {
		state, changes, again, err := r.attempt(ctx)
		if !again || attempt == maxAttempts || err != nil && sleep(ctx, r.pause<<attempt) != nil {
			return state, changes, err
		}
	}
}

// attempt returns again when what it planned was overtaken, with the reason as the error.
func (r *run) attempt(ctx context.Context) (_ *State, _ *Changes, again bool, _ error) {
	was, err := r.read(ctx)
	if errors.Is(err, errStale) {
		return nil, nil, false, nil // the next tick sees it
	}
	if err != nil {
		return nil, nil, false, err
	}
	state := State{Set: r.kind, Items: was.items, Sets: len(was.parts), Last: r.last[r.kind]}
	plan := r.plan
	plan.Current = []State{state}
	plan.Barred = r.barred
	plan.Policies, err = r.policies(ctx)
	if err != nil {
		return nil, nil, false, err
	}
	changes := plan.Calculate().Changes[0]

	// What an abandoned generation knew lives on in a new one, which is journaled before the old one is given up.
	old := r.last[r.kind]
	abandon := old.Outcome == Planned && !r.resumes(changes)
	if !abandon && !r.news(changes) {
		r.note(changes)
		return &state, &changes, false, nil
	}
	g, err := r.propose(ctx, changes)
	if err == nil && abandon {
		err = r.abandon(ctx, old)
	}
	if err != nil {
		return &state, &changes, false, err
	}
	switch {
	case changes.Held != "":
		changes.Outcome, err = Shadow, r.settle(ctx, Shadow, "")
	case !changes.Changed():
		changes.Outcome, err = Written, r.settle(ctx, Written, "") // adopted entries got their expiry
	default:
		err = r.remotes[r.kind].put(ctx, was, changes.After, r.spend, r.updates.paced(func() error { return r.recheck(g) }))
		changes.Outcome, again, err = r.judge(ctx, changes, err)
	}
	if err == nil {
		r.log.Info("waf set", "set", r.kind, "outcome", changes.Outcome, "why", g.Why, "held", changes.Held)
	}
	return &state, &changes, again, err
}

// policies are the modes and limits of this set.
func (r *run) policies(ctx context.Context) ([]Policy, error) {
	var policies []Policy
	if n := len(r.standing.Force); n == 0 || r.forced[r.kind] >= r.standing.Force[n-1] {
		policies = append(policies, KeepUnexplained)
	}
	policies = append(policies, r.limits...)
	if r.cfg.Approve == "manual" {
		policies = append(policies, AskFirst(r.standing.Approved, r.plan.Time))
	}
	if r.cfg.MaxAdds > 0 {
		most, err := r.adds(ctx)
		if err != nil {
			return nil, err
		}
		policies = append(policies, most)
	}
	if n := r.few[r.kind]; n > 0 {
		policies = append(policies, MostAdds(n, fewWhy))
	}
	switch _, configured := r.remotes[r.kind]; {
	case r.cfg.Mode != ModeEnforce:
		policies = append(policies, Hold("shadow mode"))
	case !r.cfg.Writer:
		policies = append(policies, Hold("this process is not the writer: waf.writer is false"))
	case !configured:
		policies = append(policies, Hold("no set is configured: "+key(r.kind)+" is empty"))
	}
	return policies, nil
}

// read returns what AWS holds. It settles a generation that turns out to be written after all, though the process died
// or no answer came.
func (r *run) read(ctx context.Context) (reading, error) {
	remotes, configured := r.remotes[r.kind]
	if !configured {
		return reading{}, nil
	}
	was, err := remotes.get(ctx, r.reads.paced(always))
	if err != nil {
		return reading{}, r.fail(err)
	}
	if err := r.owned(ctx, was); err != nil {
		return reading{}, err
	}
	if slices.ContainsFunc(was.parts, func(p part) bool { return slices.Contains(r.spent, aws.ToString(p.token)) }) {
		return reading{}, errStale
	}
	if g := r.last[r.kind]; g.Outcome == Planned && sameItems(was.items, g.After) {
		return was, r.settle(ctx, Written, "")
	}
	return was, nil
}

// resumes says whether changes are what the newest generation was to do and has not done: it is taken up again then, so
// that a ledger does not fill while AWS cannot be written.
func (r *run) resumes(c Changes) bool {
	g := r.last[r.kind]
	return g.Outcome == Planned && c.Held == "" && c.Changed() && sameItems(g.Before, c.Before) && sameItems(g.After, c.After)
}

// abandon gives up a generation that was not written and is overtaken.
func (r *run) abandon(ctx context.Context, g Generation) error {
	err := r.journal.Settle(ctx, g.ID, Failed, cmp.Or(g.Error, "not written, or overwritten before it was seen"))
	if err != nil {
		return r.journalError(fmt.Errorf("giving up generation %d: %w", g.ID, err))
	}
	r.metrics.generations.WithLabelValues(string(r.kind), string(Failed)).Inc()
	return nil
}

// news says whether changes are to be journaled: the set would be another than the newest generation left it, or what
// was found in it got an expiry, which lives in the journal alone.
func (r *run) news(c Changes) bool {
	if len(c.Adopt) > 0 {
		return true
	}
	if c.Held == "" {
		return c.Changed()
	}
	last := r.last[r.kind]
	return !sameItems(c.After, last.After)
}

// note keeps the entries' newest expiries, by which a later plan tells why one is gone.
func (r *run) note(c Changes) {
	g := r.last[r.kind]
	g.Entries = c.Entries
	r.last[r.kind] = g
}

func (r *run) propose(ctx context.Context, c Changes) (Generation, error) {
	if r.resumes(c) {
		r.note(c)
		return r.last[r.kind], nil
	}
	g := Generation{
		Time: r.plan.Time, Set: r.kind, Before: c.Before, After: c.After, Entries: c.Entries, Adds: len(c.Add), Why: c.Why(),
		Model: r.model, Config: r.config, Outcome: Planned,
	}
	id, err := r.journal.Propose(ctx, g)
	if err != nil {
		return g, r.journalError(fmt.Errorf("journaling a generation: %w", err))
	}
	g.ID = id
	r.last[r.kind] = g
	return g, nil
}

// settle ends the newest generation. When the journal fails, the generation stays Planned and the next read tries
// again.
func (r *run) settle(ctx context.Context, o Outcome, message string) error {
	g := r.last[r.kind]
	if err := r.journal.Settle(ctx, g.ID, o, message); err != nil {
		return r.journalError(fmt.Errorf("settling generation %d as %s: %w", g.ID, o, err))
	}
	g.Outcome, g.Error = o, message
	r.last[r.kind] = g
	if o != Planned {
		r.metrics.generations.WithLabelValues(string(r.kind), string(o)).Inc()
	}
	return nil
}

func (r *run) journalError(err error) error {
	return &Error{Set: r.kind, Class: ClassJournal, Err: err, Fix: "nothing is written that the ledger does not hold"}
}

// spend remembers the lock token of a write of ours, the newest hundred of them.
func (r *run) spend(token *string) {
	r.spent = append(r.spent, aws.ToString(token))
	r.spent = r.spent[max(0, len(r.spent)-100):]
}

func (r *run) fail(err error) error { return errorOf(r.kind, r.cfg.Scope, err) }

// recheck reads back what is about to be sent and asks once more whether any of it is barred.
func (r *run) recheck(g Generation) error {
	foreign := map[string]bool{}
	for _, e := range g.Entries {
		if e.Foreign {
			foreign[e.Value] = true
		}
	}
	for _, found := range contents(State{Set: g.Set, Items: g.After, foreign: foreign}) {
		if why := r.barred(found.Entry); why != "" {
			return fmt.Errorf("%w: %s: %s", errBarred, found.Value, why)
		}
	}
	return nil
}

// barred says why an entry may not be in the set, if so. Of a pattern that is not Referee's nobody can say.
func (r *run) barred(e Entry) string {
	if o, kept := r.standing.Kept[e.Value]; kept && !e.Foreign {
		return fmt.Sprintf("kept out by order %d (%s)", o.ID, o.Verb)
	}
	switch {
	case e.Raw || e.Foreign:
		return ""
	case r.exempt != nil && r.exempt(e.hit()):
		return "exempt"
	}
	return r.quarantine[r.kind][e.Value]
}

// judge settles a generation by what the write returned. It returns again when a new plan can do better. After any
// other failure the generation stays Planned, for it may have been written all the same: the next read tells.
func (r *run) judge(ctx context.Context, c Changes, err error) (_ Outcome, again bool, _ error) {
	if err == nil {
		return Written, r.more(c), r.settle(ctx, Written, "")
	}
	if errors.Is(err, errBarred) {
		return Failed, true, errors.Join(r.fail(err), r.settle(ctx, Failed, errBarred.Error()))
	}
	item, words, named := refusedItem(err, c.Before, c.After)
	failure := errorOf(r.kind, r.cfg.Scope, err)
	switch {
	case named:
		r.isolate(item, words)
		return Failed, true, errors.Join(failure, r.settle(ctx, Failed, words))
	case failure.Class == ClassConflict:
		return Planned, true, failure
	case failure.Class == ClassInvalid && len(c.Add) > 0:
		r.fewer(c, failure.Err.Error())
		return Failed, true, errors.Join(failure, r.settle(ctx, Failed, failure.Error()))
	}
	return Planned, false, errors.Join(failure, r.settle(ctx, Planned, failure.Error()))
}

// isolate keeps what AWS named from failing the rest: an address goes into quarantine, and so does a name that has the
// pattern for itself. A pattern of several names is split, for it may be the whole that AWS does not like.
func (r *run) isolate(item, words string) {
	bad := contents(State{Set: r.kind, Items: []string{item}})
	if len(bad) > 1 {
		for _, found := range bad {
			r.together[found.Value] = len(bad) / 2
		}
		r.log.Warn("waf pattern refused by AWS, to be split", "names", len(bad), "pattern", item, "words", words)
		return
	}
	r.bar(bad[0].Value, words)
}

// bar puts an entry into quarantine.
func (r *run) bar(value, words string) {
	if r.quarantine[r.kind] == nil {
		r.quarantine[r.kind] = map[string]string{}
	}
	r.quarantine[r.kind][value] = words
	r.log.Warn("waf entry refused by AWS", "set", r.kind, "entry", value, "words", words)
}

const fewWhy = "AWS refused an update and named no entry: they are added a few at a time, to find which it is"

// fewer follows a refusal that names nothing: half as many are added at the next attempt, the highest ranks first, until it
// is one, which goes into quarantine.
func (r *run) fewer(c Changes, words string) {
	if n := len(c.Add) / 2; n > 0 {
		r.few[r.kind] = n
		return
	}
	r.bar(c.Add[0].Value, words)
}

// more lets twice as many be added after a success, and says whether some wait for just that.
func (r *run) more(c Changes) bool {
	if r.few[r.kind] == 0 {
		return false
	}
	if !slices.ContainsFunc(c.Postponed, func(p Postponed) bool { return p.Why == fewWhy }) {
		delete(r.few, r.kind)
		return false
	}
	r.few[r.kind] *= 2
	return true
}

// forget takes out of quarantine, and lets share patterns again, what no hit asks for any more.
func (r *run) forget() {
	wanted := map[string]bool{}
	for _, e := range r.plan.Desired {
		wanted[e.Value] = true
	}
	maps.DeleteFunc(r.quarantine[r.kind], func(value, _ string) bool { return !wanted[value] })
	if r.kind == SetNames {
		maps.DeleteFunc(r.together, func(name string, _ int) bool { return !wanted[name] })
	}
}
