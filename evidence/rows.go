package evidence

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"time"
	"unique"
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
const rowVersion = 1

// Changes returns the rows that changed since the last call. They are the caller's.
func (s *State) Changes() []Row {
	rows := make([]Row, 0, len(s.names.dirty)+len(s.clients.dirty))
	rows = changes(&s.names, rows, func(k string) Row { return Row{Kind: KindName, Key: k} }, encodeName)
	return changes(&s.clients, rows, func(k clientKey) Row { return Row{Kind: KindClient, Key: k.String()} }, encodeClient)
}

func changes[K interface{ ~string }, V any](t *table[K, V], rows []Row, row func(K) Row, encode func(*V) Row) []Row {
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
	s.names.touch(e, nameClass(&e.value), seconds(n.Last))
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
	s.clients.touch(e, clientClass(&e.value), seconds(c.Last))
}

func (n *Name) merge(o *Name) {
	// As in join: the newer is right, and of two of the same moment the more suspicious.
	if o.Last > n.Last || o.Last == n.Last && (o.Tail < n.Tail || o.Tail == n.Tail && o.Score > n.Score) {
		n.Score, n.Tail = o.Score, o.Tail
	}
	n.First, n.Last = min(n.First, o.First), max(n.Last, o.Last)
	n.Sightings = addCapped(n.Sightings, o.Sightings)
	n.Networks.merge(&o.Networks, networksKept)
}

func (c *Client) merge(o *Client) {
	c.First, c.Last = min(c.First, o.First), max(c.Last, o.Last)
	c.Sightings = addCapped(c.Sightings, o.Sightings)
	c.Names.merge(&o.Names, namesKept)
}

func (k clientKey) String() string {
	if len(k) == 4 {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte([]byte(k))), 32).String()
	}
	var b [16]byte
	copy(b[:], k)
	return netip.PrefixFrom(netip.AddrFrom16(b), 64).String()
}

// The format of Data, all numbers uvarints but where said:
//
//	version byte, last, last−first (nanoseconds), sightings, score, tail (both float32, little-endian; names only),
//	limit (uint64, little-endian), last − dropped (seconds; only if limit is not 0), number of items,
//	per item: hash (uint64, little-endian), last − seen (seconds), count,
//	          and of clients tail, score (float32, little-endian), length of the domain, the domain.

func encodeName(n *Name) Row {
	b := encodeHead(n.First, n.Last, n.Sightings)
	b = appendFloat(appendFloat(b, n.Score), n.Tail)
	b = encodeSample(b, &n.Networks, seconds(n.Last), false)
	return Row{Kind: KindName, Key: n.Domain, Seen: time.Unix(0, n.Last).UTC(), Data: b}
}

func encodeClient(c *Client) Row {
	b := encodeHead(c.First, c.Last, c.Sightings)
	b = encodeSample(b, &c.Names, seconds(c.Last), true)
	return Row{Kind: KindClient, Key: c.Prefix.String(), Seen: time.Unix(0, c.Last).UTC(), Data: b}
}

func encodeHead(first, last int64, sightings uint64) []byte {
	b := make([]byte, 0, 64)
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

// DecodeName reads a row of KindName.
func DecodeName(r Row) (Name, error) {
	d := decoder{b: r.Data}
	n := Name{Domain: r.Key}
	if r.Kind != KindName {
		d.fail(fmt.Errorf("kind %q is not %q", r.Kind, KindName))
	}
	if !validDomain(r.Key) {
		d.fail(errors.New("the key is no domain"))
	}
	n.First, n.Last, n.Sightings = d.head()
	n.Score, n.Tail = d.float(), d.float()
	d.checkTail(n.Tail)
	n.Networks = d.sample(seconds(n.Last), false)
	if err := d.end(r); err != nil {
		return Name{}, err
	}
	return n, nil
}

// DecodeClient reads a row of KindClient.
func DecodeClient(r Row) (Client, error) {
	d := decoder{b: r.Data}
	p, err := netip.ParsePrefix(r.Key)
	if r.Kind != KindClient {
		d.fail(fmt.Errorf("kind %q is not %q", r.Kind, KindClient))
	}
	if err != nil || p != ClientPrefix(p.Addr()) {
		d.fail(errors.New("the key is no client: neither an IPv4 /32 nor an IPv6 /64"))
	}
	c := Client{Prefix: p}
	c.First, c.Last, c.Sightings = d.head()
	c.Names = d.sample(seconds(c.Last), true)
	if err := d.end(r); err != nil {
		return Client{}, err
	}
	return c, nil
}

// decoder reads Data; the first thing wrong with it stays in err, and everything after reads as zero.
type decoder struct {
	b   []byte
	err error
}

var errShort = errors.New("it ends too early")

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.b = nil
}

func (d *decoder) end(r Row) error {
	if d.err == nil && len(d.b) > 0 {
		d.fail(fmt.Errorf("%d bytes too many", len(d.b)))
	}
	if d.err != nil {
		return fmt.Errorf("evidence: row %s %q is damaged (%w); delete it to go on without it", r.Kind, r.Key, d.err)
	}
	return nil
}

func (d *decoder) take(n int) []byte {
	if n > len(d.b) {
		d.fail(errShort)
		return make([]byte, min(n, 8)) // only fixed-size reads use it
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

func (d *decoder) uint64() uint64 { return binary.LittleEndian.Uint64(d.take(8)) }

func (d *decoder) float() float32 {
	f := math.Float32frombits(binary.LittleEndian.Uint32(d.take(4)))
	if f != f || math.IsInf(float64(f), 0) {
		d.fail(errors.New("a score is not a number"))
		return 0
	}
	return f
}

func (d *decoder) checkTail(f float32) {
	if d.err == nil && !(f > 0 && f <= 1) {
		d.fail(fmt.Errorf("%v is no benign tail", f))
	}
}

// uvarint reads a number up to limit.
func (d *decoder) uvarint(limit uint64) uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || v > limit {
		d.fail(errors.New("a number is missing or out of range"))
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) head() (first, last int64, sightings uint64) {
	if v := d.take(1)[0]; d.err == nil && v != rowVersion {
		d.fail(fmt.Errorf("format %d is not %d: was it written by a newer version?", v, rowVersion))
	}
	last = int64(d.uvarint(uint64(maxTime)))
	first = last - int64(d.uvarint(uint64(last)))
	return first, last, d.uvarint(math.MaxUint64)
}

func (d *decoder) sample(last uint32, names bool) (s Sample) {
	s.limit = d.uint64()
	if s.limit != 0 {
		s.dropped = last - uint32(d.uvarint(uint64(last)))
	}
	n := int(d.uvarint(namesKept))
	if d.err != nil || n == 0 {
		return s
	}
	s.items = make([]Item, n)
	s.oldest = last
	for i := range s.items {
		it := &s.items[i]
		it.Hash = d.uint64()
		it.Seen = last - uint32(d.uvarint(uint64(last)))
		it.Count = uint32(d.uvarint(math.MaxUint32))
		if i > 0 && it.Hash <= s.items[i-1].Hash || s.limit != 0 && it.Hash >= s.limit {
			d.fail(errors.New("its hashes are out of order"))
		}
		if names {
			d.named(it)
		}
		s.oldest = min(s.oldest, it.Seen)
	}
	return s
}

func (d *decoder) named(it *Item) {
	it.Tail, it.Score = d.float(), d.float()
	d.checkTail(it.Tail)
	n := int(d.uvarint(maxDomain))
	if n == 0 || n > len(d.b) {
		if n > 0 {
			d.fail(errShort)
		}
		return
	}
	domain := string(d.take(n))
	if !validDomain(domain) {
		d.fail(errors.New("it holds something that is no domain"))
		return
	}
	it.domain = unique.Make(domain)
}

// maxDomain is the longest domain name in text (RFC 1035, section 2.3.4, without the root's dot).
const maxDomain = 253

// validDomain says whether d could have come from a features.Name: it must be safe to show and to match.
func validDomain(d string) bool {
	if len(d) == 0 || len(d) > maxDomain {
		return false
	}
	for _, c := range []byte(d) {
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_') {
			return false
		}
	}
	return true
}
