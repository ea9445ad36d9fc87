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
)

// Row is one record as a ledger keeps it: under Kind and Key there is at most one.
type Row struct {
	Kind string    // KindName or KindClient
	Key  string    // a domain, or a prefix in CIDR notation
	Seen time.Time // last seen: a row that is a window old may be deleted unread
	Data []byte    // nil: the record is gone
}

// rowVersion begins Data. A change of the format adds a version; the old one stays readable.
//
//	1: as below, without what follows the sightings
//	2: when it was last seen blocked, and of clients when a session last spoke for it
const rowVersion = 2

// Changes returns the rows that changed since the last call. They are the caller's.
func (s *State) Changes() []Row {
	rows := make([]Row, 0, len(s.names.dirty)+len(s.clients.dirty))
	rows = changes(&s.names, rows, func(k string) Row { return Row{Kind: KindName, Key: k} }, encodeName)
	return changes(&s.clients, rows, func(k clientKey) Row { return Row{Kind: KindClient, Key: k.prefix().String()} }, encodeClient)
}

func changes[K cmp.Ordered, V any](t *table[K, V], rows []Row, row func(K) Row, encode func(*V) Row) []Row {
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
	default:
		return fmt.Errorf("evidence: row %q is of unknown kind %q; was it written by a newer version?", r.Key, r.Kind)
	}
	return nil
}

func (s *State) restoreName(n Name) {
	e := s.names.index[n.Domain]
	if e == nil {
		n.Networks.trim(networksKept)
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

func (n *Name) merge(o *Name) {
	// As in join: the newer is right, and of two of the same moment the more suspicious.
	if o.Last > n.Last || o.Last == n.Last && (o.Tail < n.Tail || o.Tail == n.Tail && o.Score > n.Score) {
		n.Score, n.Tail = o.Score, o.Tail
	}
	n.First, n.Last = earliest(n.First, o.First), max(n.Last, o.Last)
	n.Sightings = addCapped(n.Sightings, o.Sightings)
	n.Blocked = max(n.Blocked, o.Blocked)
	n.Networks.merge(&o.Networks, networksKept)
}

func (c *Client) merge(o *Client) {
	c.First, c.Last = earliest(c.First, o.First), max(c.Last, o.Last)
	c.Sightings = addCapped(c.Sightings, o.Sightings)
	c.Blocked, c.Session = max(c.Blocked, o.Blocked), max(c.Session, o.Session)
	c.Names.merge(&o.Names, namesKept)
}

// The format of Data, all numbers uvarints but where said:
//
//	version byte, last, last−first (nanoseconds), sightings, blocked (nanoseconds), session (nanoseconds; clients only),
//	score, tail (both float32, little-endian; names only),
//	limit (uint64, little-endian), last − dropped (seconds; only if limit is not 0), number of items,
//	per item: hash (uint64, little-endian), last − seen (seconds), count,
//	          and of clients tail, score (float32, little-endian), length of the domain, the domain.

func encodeName(n *Name) Row {
	b := encodeHead(n.First, n.Last, n.Sightings, len(n.Networks.items)*14)
	b = binary.AppendUvarint(b, uint64(n.Blocked))
	b = appendFloat(appendFloat(b, n.Score), n.Tail)
	b = encodeSample(b, &n.Networks, seconds(n.Last), false)
	return Row{Kind: KindName, Key: n.Domain, Seen: time.Unix(0, max(n.Last, n.Blocked)).UTC(), Data: b}
}

func encodeClient(c *Client) Row {
	b := encodeHead(c.First, c.Last, c.Sightings, len(c.Names.items)*24)
	b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(c.Blocked)), uint64(c.Session))
	b = encodeSample(b, &c.Names, seconds(c.Last), true)
	return Row{Kind: KindClient, Key: c.Prefix.String(), Seen: time.Unix(0, max(c.Last, c.Blocked, c.Session)).UTC(), Data: b}
}

func encodeHead(first, last int64, sightings uint64, room int) []byte {
	b := make([]byte, 0, 74+room)
	b = append(b, rowVersion)
	b = binary.AppendUvarint(b, uint64(last))
	b = binary.AppendUvarint(b, uint64(last-first))
	return binary.AppendUvarint(b, sightings)
}

func encodeSample(b []byte, s *Sample, last uint32, names bool) []byte {
	b = binary.LittleEndian.AppendUint64(b, s.limit)
	if s.limit != 0 {
		b = binary.AppendUvarint(b, uint64(last-s.dropped))
	}
	b = binary.AppendUvarint(b, uint64(len(s.items)))
	for _, it := range s.items {
		b = binary.LittleEndian.AppendUint64(b, it.Hash)
		b = binary.AppendUvarint(b, uint64(last-it.Seen))
		b = binary.AppendUvarint(b, uint64(it.Count))
		if names {
			b = appendFloat(appendFloat(b, it.Tail), it.Score)
			d := it.Domain()
			b = append(binary.AppendUvarint(b, uint64(len(d))), d...)
		}
	}
	return b
}

func appendFloat(b []byte, f float32) []byte {
	return binary.LittleEndian.AppendUint32(b, math.Float32bits(f))
}
