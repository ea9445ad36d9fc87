package evidence

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"iter"
	"math/bits"
	"net/netip"
	"strconv"
	"strings"
)

// Cohort is what is known of many clients that look like one sender: those of one network, or of any, whose requests have
// one shape of agent and one of path. A flood of one request per client leaves no evidence against any client, but much
// against its cohort.
type Cohort struct {
	Network   netip.Prefix // NetworkPrefix; the zero Prefix: from anywhere
	Agent     uint32       // AgentShape
	Path      uint32       // PathShape
	First     int64        // Unix nanoseconds
	Last      int64        // Unix nanoseconds
	Sightings uint64       // requests with an external name, since First
	Names     Sample       // distinct external names within the window
	Clients   Sample       // distinct clients within the window, each as Item.Client
}

// cohortKey identifies a cohort. Network is a NetworkPrefix as clientKey has it, 0 for anywhere.
type cohortKey struct {
	network     clientKey
	agent, path uint32
}

func (k cohortKey) compare(o cohortKey) int {
	return cmp.Or(cmp.Compare(k.network, o.network), cmp.Compare(k.agent, o.agent), cmp.Compare(k.path, o.path))
}

func cohortKeyOf(c *Cohort) cohortKey {
	k := cohortKey{agent: c.Agent, path: c.Path}
	if c.Network.IsValid() {
		k.network = keyOf(c.Network)
	}
	return k
}

// network is a cohort's network again.
func (k cohortKey) prefix() netip.Prefix {
	if k.network == 0 {
		return netip.Prefix{}
	}
	return NetworkPrefix(k.network.prefix().Addr())
}

// String is the key of a cohort's row: its network or "*", its agent and its path, the two in hexadecimal.
func (k cohortKey) String() string {
	network := "*"
	if p := k.prefix(); p.IsValid() {
		network = p.String()
	}
	return fmt.Sprintf("%s %08x %08x", network, k.agent, k.path)
}

func parseCohortKey(s string) (k cohortKey, ok bool) {
	network, shapes, found := strings.Cut(s, " ")
	agent, path, both := strings.Cut(shapes, " ")
	a, errA := strconv.ParseUint(agent, 16, 32)
	b, errB := strconv.ParseUint(path, 16, 32)
	if !found || !both || errA != nil || errB != nil {
		return k, false
	}
	k.agent, k.path = uint32(a), uint32(b)
	if network != "*" {
		p, err := netip.ParsePrefix(network)
		if err != nil {
			return k, false
		}
		k.network = keyOf(p)
	}
	return k, k.String() == s
}

// addCohorts counts a sighting for its network's cohort and for the one from anywhere. A cohort begins with an interesting
// name: of the countless others there is nothing to ask. Requests of which neither agent nor path is known have none.
func (s *State) addCohorts(si *Sighting, it Item) {
	if si.Agent == 0 && si.Path == 0 || s.cfg.MaxCohorts == 0 {
		return
	}
	client, who := clientOf(si.Client), Item{}
	for _, network := range [...]clientKey{client.network(), 0} {
		key := cohortKey{network, si.Agent, si.Path}
		e := s.cohorts.index[key]
		if e == nil {
			if it.Domain() == "" {
				continue // what most requests end with
			}
			e = s.cohorts.add(key, Cohort{Network: key.prefix(), Agent: key.agent, Path: key.path, First: si.Time, Last: si.Time})
		}
		if who.Count == 0 {
			who = Item{Seen: it.Seen, Count: 1, client: client}
			who.Hash = s.hash(binary.LittleEndian.AppendUint64(make([]byte, 0, 8), uint64(who.client)))
		}
		s.addCohort(e, si.Time, it, who)
	}
}

func (s *State) addCohort(e *entry[cohortKey, Cohort], at int64, it, who Item) {
	c := &e.value
	c.First, c.Last = min(c.First, at), max(c.Last, at)
	c.Sightings = addCapped(c.Sightings, 1)
	c.prune(s.horizon)
	c.Names.add(it, namesKept)
	c.Clients.add(who, networksKept)
	s.cohorts.mark(e)
	s.cohorts.touch(e, cohortClass(c), it.Seen)
}

func (c *Cohort) prune(since uint32) {
	c.Names.prune(since)
	c.Clients.prune(since)
}

// cohortClass ranks a cohort by its interesting names: none or one, 2–3, 4–7, 8 and more.
func cohortClass(c *Cohort) uint8 {
	return uint8(max(0, min(bits.Len32(c.Names.named)-1, classes-1)))
}

// Cohorts iterates over the cohorts, those with the most interesting names first, as Names does.
func (s *State) Cohorts() iter.Seq[*Cohort] {
	return func(yield func(*Cohort) bool) {
		for e := range s.cohorts.all(0) {
			e.value.prune(s.horizon)
			if !yield(&e.value) {
				return
			}
		}
	}
}
