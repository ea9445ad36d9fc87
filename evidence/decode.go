package evidence

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"unique"
)

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
	if d.version >= 2 {
		n.Blocked = int64(d.uvarint(uint64(maxTime)))
	}
	n.Score, n.Tail = d.float(), d.float()
	d.checkTail(n.Tail)
	last := seconds(n.Last)
	n.Networks = d.sample(last, clients)
	if d.version >= 2 {
		n.Agents, n.Paths = d.sample(last, shapes), d.sample(last, shapes)
		for i := range n.Hours {
			n.Hours[i] = uint32(d.uvarint(math.MaxUint32))
		}
	}
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
	if d.version >= 2 {
		c.Blocked, c.Session = int64(d.uvarint(uint64(maxTime))), int64(d.uvarint(uint64(maxTime)))
	}
	last := seconds(c.Last)
	c.Names = d.sample(last, names)
	if d.version >= 2 {
		if ago := uint32(d.uvarint(uint64(last) + 1)); ago > 0 {
			c.Marked = last - (ago - 1)
		}
		c.Agent, c.Path = uint32(d.uvarint(math.MaxUint32)), uint32(d.uvarint(math.MaxUint32))
	}
	if err := d.end(r); err != nil {
		return Client{}, err
	}
	return c, nil
}

// DecodeCohort reads a row of KindCohort.
func DecodeCohort(r Row) (Cohort, error) {
	d := decoder{b: r.Data}
	if r.Kind != KindCohort {
		d.fail(fmt.Errorf("kind %q is not %q", r.Kind, KindCohort))
	}
	key, ok := parseCohortKey(r.Key)
	if !ok {
		d.fail(errors.New("the key is no cohort: a network, an agent and a path"))
	}
	c := Cohort{Network: key.prefix(), Agent: key.agent, Path: key.path}
	c.First, c.Last, c.Sightings = d.head()
	c.Names = d.sample(seconds(c.Last), names)
	c.Clients = d.sample(seconds(c.Last), clients)
	if err := d.end(r); err != nil {
		return Cohort{}, err
	}
	return c, nil
}

// decoder reads Data; the first thing wrong with it stays in err, and everything after reads as zero.
type decoder struct {
	b       []byte
	version byte
	err     error
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
	if d.version = d.take(1)[0]; d.err == nil && (d.version == 0 || d.version > rowVersion) {
		d.fail(fmt.Errorf("format %d is not 1 to %d: was it written by a newer version?", d.version, rowVersion))
	}
	last = int64(d.uvarint(uint64(maxTime)))
	first = last - int64(d.uvarint(uint64(last)))
	return first, last, d.uvarint(math.MaxUint64)
}

func (d *decoder) sample(last uint32, of what) (s Sample) {
	s.limit = d.uint64()
	if s.limit != 0 {
		s.dropped = last - uint32(d.uvarint(uint64(last)))
	}
	n := int(d.uvarint(namesKept))
	if d.err != nil || n == 0 {
		return s
	}
	s.items = make([]Item, n)
	for i := range s.items {
		it := &s.items[i]
		it.Hash = d.uint64()
		it.Seen = last - uint32(d.uvarint(uint64(last)))
		it.Count = uint32(d.uvarint(math.MaxUint32))
		if i > 0 && it.Hash <= s.items[i-1].Hash || s.limit != 0 && it.Hash >= s.limit {
			d.fail(errors.New("its hashes are out of order"))
		}
		switch {
		case of == names:
			d.named(it)
		case of == clients && d.version >= 2:
			d.from(it)
		}
	}
	s.count()
	return s
}

// from reads a client's key: one that is no client's, or of none, is none.
func (d *decoder) from(it *Item) {
	if it.client = clientKey(d.uint64()); it.client != 0 && keyOf(ClientPrefix(it.client.prefix().Addr())) != it.client {
		it.client = 0
	}
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
	for _, c := range []byte(d) {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '.', c == '_':
		default:
			return false
		}
	}
	return len(d) > 0 && len(d) <= maxDomain
}
