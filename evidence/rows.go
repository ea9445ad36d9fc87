package evidence

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

// Kinds of rows.
const (
	KindName   = "name"
	KindClient = "client"
	KindCohort = "cohort"
)

// Row is one record as a ledger keeps it: under Kind and Key there is at most one.
type Row struct {
	Kind string    // KindName, KindClient or KindCohort
	Key  string    // a domain, a prefix in CIDR notation, or a cohort's network, agent and path
	Seen time.Time // last seen: a row that is a window old may be deleted unread
	Data []byte    // nil: the record is gone
}

// rowVersion begins Data. A change of the format adds a version; the old one stays readable.
//
//	1: without blocked, session, clients of networks, shapes and hours
//	2: as below
const rowVersion = 2

// Changes returns the rows that changed since the last call. They are the caller's.
func (s *State) Changes() []Row {
	rows := make([]Row, 0, len(s.names.dirty)+len(s.clients.dirty)+len(s.cohorts.dirty))
	rows = changes(&s.names, rows, func(k string) Row { return Row{Kind: KindName, Key: k} }, encodeName)
	rows = changes(&s.cohorts, rows, func(k cohortKey) Row { return Row{Kind: KindCohort, Key: k.String()} }, encodeCohort)
	return changes(&s.clients, rows, func(k clientKey) Row { return Row{Kind: KindClient, Key: k.prefix().String()} }, encodeClient)
}

func changes[K comparable, V any](t *table[K, V], rows []Row, row func(K) Row, encode func(*V) Row) []Row {
	for key := range t.dirty {
		e := t.index[key]
		if e == nil {
			rows = append(rows, row(key))
			continue
		}
		e.dirty, e.stored = false, true
		rows = append(rows, encode(&e.value))
	}
	clear(t.dirty)
	return rows
}

// Restore takes a row in, whether into an empty State or into one that knows of its key already: both are merged, and
// the order of rows does not matter. Restoring one row twice counts its sightings twice. A row that is damaged, or
// from a newer version, is an error and changes nothing.
func (s *State) Restore(r Row) error {
	switch r.Kind {
	case KindName:
		n, err := DecodeName(r)
		if err != nil {
			return err
		}
		s.restoreName(n)
	case KindClient:
		c, err := DecodeClient(r)
		if err != nil {
			return err
		}
		s.restoreClient(c)
	case KindCohort:
		c, err := DecodeCohort(r)
		if err != nil {
			return err
		}
		s.restoreCohort(c)
	default:
		return fmt.Errorf("evidence: row %q is of unknown kind %q; was it written by a newer version?", r.Key, r.Kind)
	}
	return nil
}

func (s *State) restoreName(n Name) {
	e := s.names.index[n.Domain]
	if e == nil {
		n.Networks.trim(networksKept)
		n.Agents.trim(shapesKept)
		n.Paths.trim(shapesKept)
		e = s.names.add(n.Domain, n)
		e.stored = true
	} else {
		e.value.merge(&n)
		s.names.mark(e)
	}
	s.names.unsorted = true
	s.names.touch(e, nameClass(&e.value), seconds(max(n.Last, n.Blocked)))
}

func (s *State) restoreClient(c Client) {
	key := keyOf(c.Prefix)
	e := s.clients.index[key]
	if e == nil {
		c.Names.trim(namesKept)
		e = s.clients.add(key, c)
		e.stored = true
	} else {
		e.value.merge(&c)
		s.clients.mark(e)
	}
	s.clients.unsorted = true
	s.clients.touch(e, clientClass(&e.value), seconds(max(c.Last, c.Blocked, c.Session)))
}

func (s *State) restoreCohort(c Cohort) {
	if s.cfg.MaxCohorts == 0 {
		return
	}
	key := cohortKeyOf(&c)
	e := s.cohorts.index[key]
	if e == nil {
		c.Names.trim(namesKept)
		c.Clients.trim(networksKept)
		e = s.cohorts.add(key, c)
		e.stored = true
	} else {
		e.value.merge(&c)
		s.cohorts.mark(e)
	}
	s.cohorts.unsorted = true
	s.cohorts.touch(e, cohortClass(&e.value), seconds(c.Last))
}

func (n *Name) merge(o *Name) {
	// As in join: the newer is right, and of two of the same moment the more suspicious.
	if o.Last > n.Last || o.Last == n.Last && (o.Tail < n.Tail || o.Tail == n.Tail && o.Score > n.Score) {
		n.Score, n.Tail = o.Score, o.Tail
	}
	n.First, n.Last = earliest(n.First, o.First), max(n.Last, o.Last)
	n.Sightings = addCapped(n.Sightings, o.Sightings)
	n.Blocked = max(n.Blocked, o.Blocked)
	n.Networks.merge(&o.Networks, networksKept)
	n.Agents.merge(&o.Agents, shapesKept)
	n.Paths.merge(&o.Paths, shapesKept)
	for i, count := range o.Hours {
		n.Hours[i] = addCapped(n.Hours[i], count)
	}
}

func (c *Client) merge(o *Client) {
	c.First, c.Last = earliest(c.First, o.First), max(c.Last, o.Last)
	c.Sightings = addCapped(c.Sightings, o.Sightings)
	c.Blocked, c.Session = max(c.Blocked, o.Blocked), max(c.Session, o.Session)
	c.Names.merge(&o.Names, namesKept)
	c.mark(o.Agent, o.Path, o.Marked)
}

// mark keeps the newer shapes; of two of the same second the larger ones, so that the order of merging does not matter.
func (c *Client) mark(agent, path, at uint32) {
	if cmp.Or(cmp.Compare(at, c.Marked), cmp.Compare(agent, c.Agent), cmp.Compare(path, c.Path)) > 0 {
		c.Agent, c.Path, c.Marked = agent, path, at
	}
}

func (c *Cohort) merge(o *Cohort) {
	c.First, c.Last = min(c.First, o.First), max(c.Last, o.Last)
	c.Sightings = addCapped(c.Sightings, o.Sightings)
	c.Names.merge(&o.Names, namesKept)
	c.Clients.merge(&o.Clients, networksKept)
}

// The format of Data, all numbers uvarints but where said:
//
//	name:   head, blocked (nanoseconds), score, tail (both float32, little-endian), networks (a sample with clients), agents
//	        and paths (two samples), sightings in each of the 24 hours
//	client: head, blocked, session (nanoseconds), names (a sample with names), last − Marked + 1 (seconds; 0: never), agent, path
//	cohort: head, names (a sample with names), clients (a sample with clients)
//	head:   version byte, last, last−first (nanoseconds), sightings
//	sample: limit (uint64, little-endian), last − dropped (seconds; only if limit is not 0), number of items,
//	        per item: hash (uint64, little-endian), last − seen (seconds), count,
//	        and with names tail, score (float32, little-endian), length of the domain, the domain,
//	        and with clients the client (uint64, little-endian)

// what says what the items of a sample are.
type what uint8

const (
	shapes what = iota
	names
	clients
)

func encodeName(n *Name) Row {
	b := encodeHead(n.First, n.Last, n.Sightings, len(n.Networks.items)*22+(len(n.Agents.items)+len(n.Paths.items))*14+2*len(n.Hours))
	b = binary.AppendUvarint(b, uint64(n.Blocked))
	b = appendFloat(appendFloat(b, n.Score), n.Tail)
	last := seconds(n.Last)
	b = encodeSample(b, &n.Networks, last, clients)
	b = encodeSample(b, &n.Agents, last, shapes)
	b = encodeSample(b, &n.Paths, last, shapes)
	for _, count := range n.Hours {
		b = binary.AppendUvarint(b, uint64(count))
	}
	return Row{Kind: KindName, Key: n.Domain, Seen: time.Unix(0, max(n.Last, n.Blocked)).UTC(), Data: b}
}

func encodeClient(c *Client) Row {
	b := encodeHead(c.First, c.Last, c.Sightings, len(c.Names.items)*24)
	b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(c.Blocked)), uint64(c.Session))
	last := seconds(c.Last)
	b = encodeSample(b, &c.Names, last, names)
	marked := uint64(0)
	if c.Marked > 0 {
		marked = uint64(last-c.Marked) + 1
	}
	b = binary.AppendUvarint(b, marked)
	b = binary.AppendUvarint(b, uint64(c.Agent))
	b = binary.AppendUvarint(b, uint64(c.Path))
	return Row{Kind: KindClient, Key: c.Prefix.String(), Seen: time.Unix(0, max(c.Last, c.Blocked, c.Session)).UTC(), Data: b}
}

func encodeCohort(c *Cohort) Row {
	b := encodeHead(c.First, c.Last, c.Sightings, len(c.Names.items)*24+len(c.Clients.items)*22)
	last := seconds(c.Last)
	b = encodeSample(b, &c.Names, last, names)
	b = encodeSample(b, &c.Clients, last, clients)
	return Row{Kind: KindCohort, Key: cohortKeyOf(c).String(), Seen: time.Unix(0, c.Last).UTC(), Data: b}
}

func encodeHead(first, last int64, sightings uint64, room int) []byte {
	b := make([]byte, 0, 80+room)
	b = append(b, rowVersion)
	b = binary.AppendUvarint(b, uint64(last))
	b = binary.AppendUvarint(b, uint64(last-first))
	return binary.AppendUvarint(b, sightings)
}

func encodeSample(b []byte, s *Sample, last uint32, of what) []byte {
	b = binary.LittleEndian.AppendUint64(b, s.limit)
	if s.limit != 0 {
		b = binary.AppendUvarint(b, uint64(last-s.dropped))
	}
	b = binary.AppendUvarint(b, uint64(len(s.items)))
	for _, it := range s.items {
		b = binary.LittleEndian.AppendUint64(b, it.Hash)
		b = binary.AppendUvarint(b, uint64(last-it.Seen))
		b = binary.AppendUvarint(b, uint64(it.Count))
		switch of {
		case names:
			b = appendFloat(appendFloat(b, it.Tail), it.Score)
			d := it.Domain()
			b = append(binary.AppendUvarint(b, uint64(len(d))), d...)
		case clients:
			b = binary.LittleEndian.AppendUint64(b, uint64(it.client))
		}
	}
	return b
}

func appendFloat(b []byte, f float32) []byte {
	return binary.LittleEndian.AppendUint32(b, math.Float32bits(f))
}
