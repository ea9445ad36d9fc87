package waf

import (
	"cmp"
	"time"

	"referee/policy"
)

// Fill says how full hits would make one of the sets, or the name sets together.
type Fill struct {
	Set     SetKind `json:"set"`
	Entries int     `json:"entries"` // names or clients that have a place
	Waiting int     `json:"waiting"` // that have none
	Items   int     `json:"items"`   // patterns or CIDRs
	Room    int     `json:"room"`    // items that it takes
}

// Fill says how full empty sets of this configuration would be with these hits; where no name set is configured, of one. It
// lays names out as a plan does, and writes nothing.
func (c Config) Fill(hits []policy.Hit, now time.Time) []Fill {
	entries, _ := desire(hits, now)
	fills := []Fill{
		{Set: SetNames, Room: maxPatterns * max(1, len(c.NamesSet))},
		{Set: SetIPv4, Room: maxAddresses},
		{Set: SetIPv6, Room: maxAddresses},
	}
	var names []string
	for _, e := range entries { // by rank
		switch e.Kind {
		case SetNames:
			names = append(names, e.Value)
		case SetIPv4:
			fills[1].Entries++
		case SetIPv6:
			fills[2].Entries++
		}
	}
	layout, waiting := packer{patterns: fills[0].Room, branches: cmp.Or(c.Branches, maxBranches)}.pack(names, nil)
	fills[0].Items, fills[0].Entries, fills[0].Waiting = len(layout), len(names)-len(waiting), len(waiting)
	for i := range fills[1:] {
		f := &fills[1+i]
		f.Items = min(f.Entries, f.Room)
		f.Entries, f.Waiting = f.Items, f.Entries-f.Items
	}
	return fills
}
