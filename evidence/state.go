package evidence

import (
	"cmp"
	"encoding/binary"
	"iter"
	"math"
	"math/bits"
	"net/netip"
	"strings"
	"time"
	"unique"

	"github.com/dchest/siphash"

	"referee/classifier"
)

const (
	networksKept = 32 // networks in a name's sample: exact up to that, 18 % standard error above
	namesKept    = 64 // names in a client's or a cohort's sample: exact up to that, 13 % above; a NAT of an office has fewer
	shapesKept   = 8  // shapes of agents, and of paths, in a name's sample: enough to tell one from many

	expirePerCall = 4096 // entries that one Expire removes at most: about a millisecond
)

// Name is what is known of one suspicious name.
type Name struct {
	Domain    string
	Score     float32 // when last seen
	Tail      float32 // when last seen; 1 if it was exempt then, or the model abstained
	First     int64   // Unix nanoseconds; 0: only ever seen Blocked
	Last      int64   // Unix nanoseconds; likewise
	Sightings uint64  // since First, from anywhere
	Blocked   int64   // when it was last seen flagged in a request that Referee's own rule ended, Unix nanoseconds; 0: never
	Networks  Sample  // distinct client networks within the window (NetworkPrefix), each with its last Client
	Agents    Sample  // distinct shapes of agents within the window
	Paths     Sample  // distinct shapes of paths within the window
	Hours     Hours
}

// Hours counts sightings by the hour of the day, UTC.
type Hours [24]uint32

// Active is the number of hours of the day with a sighting.
func (h *Hours) Active() (n int) {
	for _, count := range h {
		if count > 0 {
			n++
		}
	}
	return n
}

func (h *Hours) add(at uint32, count uint32) { i := at / 3600 % 24; h[i] = addCapped(h[i], count) }

// Client is what is known of one client.
type Client struct {
	Prefix    netip.Prefix // ClientPrefix
	First     int64        // Unix nanoseconds; 0: it sent no external name but in a Blocked request
	Last      int64        // Unix nanoseconds; likewise
	Sightings uint64       // requests with an external name, since First
	Blocked   int64        // as of a Name: when it last sent a flagged name
	Session   int64        // when a verified session last spoke for it, Unix nanoseconds; 0: not within the window
	Names     Sample       // distinct external names within the window
	Agent     uint32       // AgentShape of its last request with an interesting name
	Path      uint32       // PathShape of the same
	Marked    uint32       // when that was, Unix seconds; 0: there was none
}

// State is the evidence. One goroutine owns it: it has no locks. It does no I/O and has no clock: time comes with the
// sightings and with Expire.
type State struct {
	cfg     Config
	k0, k1  uint64
	names   table[string, Name]
	clients table[clientKey, Client]
	cohorts table[cohortKey, Cohort]
	horizon uint32 // what was last seen before this is forgotten, Unix seconds
}

// clientKey is a ClientPrefix as a number: an IPv6 /64 as it is, an IPv4 address behind sixteen ones, where IPv6 has
// multicast groups, which send nothing (RFC 4291, section 2.7).
type clientKey uint64

const key4 = 0xffff << 48

// New returns an empty State. The configuration must be valid.
func New(cfg Config, key Key) *State {
	return &State{
		cfg:     cfg,
		k0:      binary.LittleEndian.Uint64(key[:8]),
		k1:      binary.LittleEndian.Uint64(key[8:]),
		names:   newTable[string, Name](cfg.MaxNames, cmp.Compare[string]),
		clients: newTable[clientKey, Client](cfg.MaxClients, cmp.Compare[clientKey]),
		cohorts: newTable[cohortKey, Cohort](cfg.MaxCohorts, cohortKey.compare),
	}
}

// Add takes one sighting in. It keeps no reference to si's strings.
func (s *State) Add(si Sighting) {
	si.Time = max(0, min(si.Time, maxTime))
	if si.Session && si.Client.IsValid() {
		e := s.client(si.Client)
		e.value.Session = max(e.value.Session, si.Time)
		s.clients.mark(e)
		s.clients.touch(e, clientClass(&e.value), seconds(si.Time))
	}
	switch {
	case si.Blocked:
		s.addBlocked(si)
		return
	case si.Session && si.Result.Domain == "":
		return
	}
	it := Item{Seen: seconds(si.Time), Count: 1}
	it.Score, it.Tail = terms(si.Result)
	if si.Exempt {
		it.Score, it.Tail = 0, 1 // an ordinary external name
	}
	if it.Tail <= float32(s.cfg.Interest) || si.Labelled {
		if validDomain(si.Result.Domain) {
			it.domain = unique.Make(si.Result.Domain)
		} else {
			it.Score, it.Tail = 0, 1
		}
	}
	s.addName(&si, it)
	if si.Client.IsValid() {
		it.Hash = s.hash([]byte(si.Result.Domain))
		s.addClient(&si, it)
		s.addCohorts(&si, it)
	}
}

// addBlocked notes that what is blocked is still there, and nothing else: were it counted as evidence, the answer to a block
// would be more of it.
func (s *State) addBlocked(si Sighting) {
	_, tail := terms(si.Result)
	if si.Exempt || !(tail <= float32(s.cfg.Interest) || si.Labelled) || !validDomain(si.Result.Domain) {
		return
	}
	n := s.names.index[si.Result.Domain]
	if n == nil { // its block outlives the window
		domain := strings.Clone(si.Result.Domain)
		n = s.names.add(domain, Name{Domain: domain, Tail: 1})
	}
	n.value.Blocked = max(n.value.Blocked, si.Time)
	s.names.mark(n)
	s.names.touch(n, nameClass(&n.value), seconds(si.Time))
	if si.Client.IsValid() {
		c := s.client(si.Client)
		c.value.Blocked = max(c.value.Blocked, si.Time)
		s.clients.mark(c)
		s.clients.touch(c, clientClass(&c.value), seconds(si.Time))
	}
}

func sane(r classifier.Result) bool {
	return r.Tail > 0 && r.Tail <= 1 && !math.IsInf(float64(r.Score), 0) && r.Score == r.Score
}

func (s *State) addName(si *Sighting, it Item) {
	e := s.names.index[si.Result.Domain]
	if e == nil {
		domain := it.Domain()
		if domain == "" {
			return // one of the countless ordinary names
		}
		e = s.names.add(domain, Name{Domain: domain, First: si.Time, Last: si.Time})
	}
	n := &e.value
	if si.Time >= n.Last {
		n.Score, n.Tail, n.Last = it.Score, it.Tail, si.Time
	}
	n.First = earliest(n.First, si.Time)
	n.Sightings = addCapped(n.Sightings, 1)
	n.Networks.prune(s.horizon)
	if si.Client.IsValid() {
		network := NetworkPrefix(si.Client).Addr().As16()
		n.Networks.add(Item{Hash: s.hash(network[:]), Seen: it.Seen, Count: 1, client: clientOf(si.Client)}, networksKept)
	}
	s.addShape(&n.Agents, si.Agent, it.Seen)
	s.addShape(&n.Paths, si.Path, it.Seen)
	n.Hours.add(it.Seen, 1)
	s.names.mark(e)
	s.names.touch(e, nameClass(n), it.Seen)
}

func (s *State) addShape(to *Sample, shape, seen uint32) {
	to.prune(s.horizon)
	if shape == 0 {
		return // not known
	}
	to.add(Item{Hash: s.hash(binary.LittleEndian.AppendUint32(make([]byte, 0, 4), shape)), Seen: seen, Count: 1}, shapesKept)
}

func (s *State) addClient(si *Sighting, it Item) {
	e := s.client(si.Client)
	c := &e.value
	c.First, c.Last = earliest(c.First, si.Time), max(c.Last, si.Time)
	c.Sightings = addCapped(c.Sightings, 1)
	c.Names.prune(s.horizon)
	c.Names.add(it, namesKept)
	if it.Domain() != "" {
		c.mark(si.Agent, si.Path, it.Seen)
	}
	s.clients.mark(e)
	s.clients.touch(e, clientClass(c), it.Seen)
}

// client is the entry of a client, which is made where there is none: then it must be touched.
func (s *State) client(a netip.Addr) *entry[clientKey, Client] {
	key := clientOf(a)
	e := s.clients.index[key]
	if e == nil {
		e = s.clients.add(key, Client{Prefix: key.prefix()})
	}
	return e
}

// earliest is the earlier of two times, of which 0 is none.
func earliest(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// nameClass ranks a name by its witnesses: 1, 2–3, 4–7, 8 and more networks.
func nameClass(n *Name) uint8 {
	return uint8(max(0, min(bits.Len(uint(n.Networks.Distinct()))-1, classes-1)))
}

// suspects is the lowest class of clients with an interesting name.
const suspects = 2

// clientClass ranks a client: one ordinary name, several, one or two interesting ones, three and more.
func clientClass(c *Client) uint8 {
	switch {
	case c.Names.named >= 3:
		return 3
	case c.Names.named > 0:
		return suspects
	case len(c.Names.items) > 1:
		return 1
	}
	return 0
}

func (s *State) hash(b []byte) uint64 { return siphash.Hash(s.k0, s.k1, b) }

func keyOf(p netip.Prefix) clientKey {
	if a := p.Addr(); a.Is4() {
		b := a.As4()
		return key4 | clientKey(binary.BigEndian.Uint32(b[:]))
	}
	b := p.Addr().As16()
	return clientKey(binary.BigEndian.Uint64(b[:8]))
}

// clientOf is keyOf(ClientPrefix(a)) of a valid Addr, in a fifth of the time.
func clientOf(a netip.Addr) clientKey {
	b := a.As16()
	if a.Is4() || a.Is4In6() {
		return key4 | clientKey(binary.BigEndian.Uint32(b[12:]))
	}
	return clientKey(binary.BigEndian.Uint64(b[:8]))
}

// network is the key of the NetworkPrefix that a client is in.
func (k clientKey) network() clientKey {
	if k>>48 == key4>>48 {
		return k &^ 0xff // a /24
	}
	return k &^ 0xffff // a /48
}

func (k clientKey) prefix() netip.Prefix {
	var b [16]byte
	if k>>48 == key4>>48 {
		binary.BigEndian.PutUint32(b[:4], uint32(k))
		return netip.PrefixFrom(netip.AddrFrom4([4]byte(b[:4])), 32)
	}
	binary.BigEndian.PutUint64(b[:8], uint64(k))
	return netip.PrefixFrom(netip.AddrFrom16(b), 64)
}

// maxTime is the last moment that fits an Item's seconds, in Unix nanoseconds: in 2106.
const maxTime = math.MaxUint32 * int64(time.Second)

// seconds is a time for an Item, in Unix seconds.
func seconds(nanoseconds int64) uint32 {
	return uint32(max(0, min(nanoseconds, maxTime)) / int64(time.Second))
}

// Expire forgets what was last seen a window before now: a bounded number of entries each time, so call it each tick.
func (s *State) Expire(now time.Time) {
	s.horizon = seconds(now.Add(-s.cfg.Window).UnixNano())
	s.names.expire(s.horizon, expirePerCall)
	s.clients.expire(s.horizon, expirePerCall)
	s.cohorts.expire(s.horizon, expirePerCall)
}

// Names iterates over the suspicious names, those with the most witnesses first. The State must not change meanwhile,
// and what is yielded is only valid until it does.
func (s *State) Names() iter.Seq[*Name] {
	return func(yield func(*Name) bool) {
		for e := range s.names.all(0) {
			e.value.prune(s.horizon)
			if !yield(&e.value) {
				return
			}
		}
	}
}

// Clients iterates over all clients, as Names does.
func (s *State) Clients() iter.Seq[*Client] { return s.clientsFrom(0) }

// Suspects iterates over the clients that sent at least one interesting name, as Names does.
func (s *State) Suspects() iter.Seq[*Client] { return s.clientsFrom(suspects) }

func (s *State) clientsFrom(class int) iter.Seq[*Client] {
	return func(yield func(*Client) bool) {
		for e := range s.clients.all(class) {
			e.value.prune(s.horizon)
			if !yield(&e.value) {
				return
			}
		}
	}
}

// Name is what is known of a domain, or nil. It is valid until the State changes.
func (s *State) Name(domain string) *Name {
	e := s.names.index[domain]
	if e == nil {
		return nil
	}
	e.value.prune(s.horizon)
	return &e.value
}

func (n *Name) prune(since uint32) {
	n.Networks.prune(since)
	n.Agents.prune(since)
	n.Paths.prune(since)
}

// Client is what is known of the client with this address, or nil. It is valid until the State changes.
func (s *State) Client(a netip.Addr) *Client {
	e := s.clients.index[clientOf(a)]
	if e == nil {
		return nil
	}
	e.value.prune(s.horizon)
	return &e.value
}

func (c *Client) prune(since uint32) {
	c.Names.prune(since)
	if seconds(c.Session) < since {
		c.Session = 0
	}
}

// Sizes says how full the State is, for metrics.
type Sizes struct {
	Names, Clients, Suspects, Cohorts               int
	EvictedNames, EvictedClients, EvictedCohorts    uint64 // since New: pushed out before their time
	ChangedNames, ChangedClients, ChangedCohorts    int    // rows that the next Changes will give
	NamesCapacity, ClientsCapacity, CohortsCapacity int
}

// Sizes returns the present sizes.
func (s *State) Sizes() Sizes {
	return Sizes{
		Names: s.names.len(), Clients: s.clients.len(), Suspects: s.clients.from(suspects), Cohorts: s.cohorts.len(),
		EvictedNames: s.names.evicted, EvictedClients: s.clients.evicted, EvictedCohorts: s.cohorts.evicted,
		ChangedNames: len(s.names.dirty), ChangedClients: len(s.clients.dirty), ChangedCohorts: len(s.cohorts.dirty),
		NamesCapacity: s.cfg.MaxNames, ClientsCapacity: s.cfg.MaxClients, CohortsCapacity: s.cfg.MaxCohorts,
	}
}
