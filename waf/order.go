package waf

import (
	"cmp"
	"slices"
	"time"
)

// Verb is what an Order says.
type Verb string

const (
	OrderHold     Verb = "hold"     // add nothing until resume; what stands leaves when it expires
	OrderResume   Verb = "resume"   // ends hold and withdraw
	OrderUnblock  Verb = "unblock"  // Values leave and are kept out until Until
	OrderWithdraw Verb = "withdraw" // every own entry leaves, and none comes, until resume
	OrderRollback Verb = "rollback" // Values leave and are kept out until Until, Entries come back until they expire
	OrderForce    Verb = "force"    // the next tick may take out what nothing explains, however much it is
	OrderAsk      Verb = "ask"      // Referee's own: Entries wait for an approval
	OrderApprove  Verb = "approve"  // the entries of the request with the id Of may come, until they expire
)

// Order is what the owner said about the sets, or what he was asked. Orders are only ever added: what stands is what
// they add up to.
type Order struct {
	ID      int64     `json:"id"` // given by the journal, ascending
	Time    time.Time `json:"time"`
	Verb    Verb      `json:"verb"`
	Values  []string  `json:"values,omitempty"`  // domains, CIDRs, or whole patterns that are not Referee's
	Entries []Entry   `json:"entries,omitempty"` // as they shall come back (no expiry: as long as they are hits), or wait for approval
	Of      int64     `json:"of,omitempty"`      // the request that is approved
	Until   time.Time `json:"until,omitzero"`    // when it counts no more; zero: never
	Why     string    `json:"why,omitempty"`
}

// Standing is what orders add up to at one moment.
type Standing struct {
	Held      *Order           // hold or withdraw, when that is the last word
	Force     []int64          // orders to force that wait for a tick
	Kept      map[string]Order // by value: what the owner wants kept out
	Restored  []Entry          // what a rollback brought back
	Approved  map[string]time.Time
	Requested map[string]bool // values in requests that wait for an approval
	Requests  []Order         // those requests
}

// Fold adds orders up, in the order of their ids.
func Fold(orders []Order, now time.Time) Standing {
	s := Standing{Kept: map[string]Order{}, Approved: map[string]time.Time{}, Requested: map[string]bool{}}
	orders = slices.Clone(orders)
	slices.SortFunc(orders, func(a, b Order) int { return cmp.Compare(a.ID, b.ID) })
	asked, restored := map[int64]Order{}, map[string]Entry{}
	for _, o := range orders {
		if !o.Until.IsZero() && !now.Before(o.Until) {
			continue
		}
		switch o.Verb {
		case OrderHold, OrderWithdraw:
			s.Held = &o
		case OrderResume:
			s.Held = nil
		case OrderForce:
			s.Force = append(s.Force, o.ID)
		case OrderAsk:
			asked[o.ID] = o
		case OrderApprove:
			for _, e := range asked[o.Of].Entries {
				s.Approved[e.id()] = e.Expires
			}
			delete(asked, o.Of)
		case OrderUnblock, OrderRollback:
			// What was said of one entry, unblock, outweighs what is said of all.
			for _, v := range o.Values {
				if o.Verb == OrderUnblock || s.Kept[v].Verb != OrderUnblock {
					s.Kept[v] = o
				}
				delete(restored, v)
			}
			for _, e := range o.Entries {
				if s.Kept[e.Value].Verb == OrderUnblock {
					continue
				}
				delete(s.Kept, e.Value)
				restored[e.Value] = e
			}
		}
	}
	for _, e := range restored {
		if now.Before(e.Expires) {
			e.Adopted, e.Kept = false, false
			s.Restored = append(s.Restored, e)
		}
	}
	for _, o := range asked {
		s.Requests = append(s.Requests, o)
		for _, e := range o.Entries {
			s.Requested[e.id()] = true
		}
	}
	slices.SortFunc(s.Requests, func(a, b Order) int { return cmp.Compare(a.ID, b.ID) })
	return s
}

// Withdrawn says whether every own entry is to leave.
func (s Standing) Withdrawn() bool { return s.Held != nil && s.Held.Verb == OrderWithdraw }
