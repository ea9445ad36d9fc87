package waf

import (
	"fmt"
	"strings"
	"time"
)

// About says what a Notice is about.
type About string

const (
	AboutHeld     About = "held"     // a limit or a policy holds a plan, in part or whole
	AboutApproval About = "approval" // additions wait for the owner's word
	AboutBreaker  About = "breaker"  // a set is left alone: see Trouble
)

// Notice is what needs the owner, or needs him no more.
type Notice struct {
	About About
	Key   string // which of that kind: a set, a limit, a request's id
	Text  string // what is so and what to do, in words
	Over  bool   // it is so no longer
}

// Notify has the Updater tell f what needs the owner: at every tick, as long as it is so, and once when it is over. F must not
// wait, and tells the same no more often than he can bear.
func (u *Updater) Notify(f func(Notice)) { u.notify = f }

// raise tells a notice, and clear that it is over, if it was told since the start.
func (u *Updater) raise(about About, key, text string) {
	u.told[Notice{About: about, Key: key}] = true
	u.notify(Notice{About: about, Key: key, Text: text})
}

func (u *Updater) clear(about About, key string) {
	if n := (Notice{About: about, Key: key}); u.told[n] {
		delete(u.told, n)
		n.Over = true
		u.notify(n)
	}
}

// clearOthers clears what is about the same and not among keys.
func (u *Updater) clearOthers(about About, keys map[string]bool) {
	for n := range u.told {
		if n.About == about && !keys[n.Key] {
			u.clear(about, n.Key)
		}
	}
}

// linesShown bounds a diff in a notice: 40 lines are what a person reads on a phone.
const linesShown = 40

// requestText is an approval request in words.
func requestText(o Order) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Waiting for your approval: %d. To let all in: referee waf approve %d\n", len(o.Entries), o.ID)
	for i, e := range o.Entries {
		if i == linesShown {
			fmt.Fprintf(&b, "… and %d more: referee waf plan\n", len(o.Entries)-i)
			break
		}
		fmt.Fprintf(&b, "+ %s %s until %s\n", e.Kind, e.Value, e.Expires.UTC().Format(time.DateTime))
	}
	return b.String()
}
