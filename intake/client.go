package intake

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"unsafe"
)

// maxHops is how many X-Forwarded-For elements are walked before giving up. Real chains have two or three (CDN, load
// balancer, ingress); a header of 64 KiB of trusted addresses must not cost more than they do.
const maxHops = 32

// Proxies are the address ranges whose word about who stands behind them is believed: the load balancer's subnets, the
// ingress, the CDN's origin-facing ranges. Immutable and safe for concurrent use. The nil *Proxies trusts nobody, so that
// the peer itself is the client.
type Proxies struct {
	ranges   ranges
	heedless bool // no word of theirs is believed: the load balancer passes on what the client wrote
}

var nobody Proxies

// ParseProxies reads CIDR ranges and single addresses. It refuses a range of every address: with it any client could
// choose the address that is held against it.
func ParseProxies(list []string) (*Proxies, error) {
	var errs []error
	prefixes := make([]netip.Prefix, 0, len(list))
	for _, s := range list {
		p, err := parsePrefix(strings.TrimSpace(s))
		if err != nil {
			errs = append(errs, fmt.Errorf("trusted-proxies: %w", err))
			continue
		}
		prefixes = append(prefixes, p)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &Proxies{ranges: newRanges(prefixes)}, nil
}

// Heedless is p where X-Forwarded-For is the client's own invention although a trusted proxy sent it (an ALB in preserve
// mode): then only who connects directly is known.
func (p *Proxies) Heedless() *Proxies { return &Proxies{ranges: p.ranges, heedless: true} }

func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("%q is neither a range nor an address: write it like 10.0.0.0/8 or 2001:db8::1", s)
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return p, fmt.Errorf("%q reaches beyond the IPv4-mapped addresses: write the IPv4 range itself", s)
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	if p.Bits() == 0 {
		return p, fmt.Errorf("%q trusts every address, so any client could name itself: list the load balancer's subnets", s)
	}
	return p.Masked(), nil
}

// Client returns the address of the client that a request came from: the first one, walking X-Forwarded-For from the
// right and starting with the peer, that is not a trusted proxy. forwarded are the values of its X-Forwarded-For lines
// in the order in which they stand.
//
// It returns the zero Addr, which is no evidence about any client, where an element before it does not parse and where
// every address is a trusted proxy's. It never falls back to the leftmost element, which the client writes itself. The
// address need not be a public one: Judge holds nothing against those that are not. It does not allocate on what parses.
func (p *Proxies) Client(peer netip.Addr, forwarded [][]byte) netip.Addr {
	if p == nil {
		p = &nobody
	}
	if p.heedless {
		forwarded = nil
	}
	addr := peer.WithZone("").Unmap()
	var line []byte // what is left of the line being walked
	for range maxHops {
		if !addr.IsValid() {
			return netip.Addr{}
		}
		if !p.ranges.contain(addr) {
			return addr
		}
		for line == nil {
			if len(forwarded) == 0 {
				return netip.Addr{}
			}
			// A blank line holds no element; nil would be taken for an exhausted one.
			if last := trimSpace(forwarded[len(forwarded)-1]); len(last) > 0 {
				line = last
			}
			forwarded = forwarded[:len(forwarded)-1]
		}
		element := line
		if comma := bytes.LastIndexByte(line, ','); comma >= 0 {
			line, element = line[:comma], line[comma+1:]
		} else {
			line = nil
		}
		addr = parseElement(trimSpace(element))
	}
	return netip.Addr{}
}

// parseElement reads an address, or an address with a port: 192.0.2.1, 192.0.2.1:443, 2001:db8::1, [2001:db8::1],
// [2001:db8::1]:443. It returns the zero Addr for everything else: names, "unknown", "_hidden", zones, quotes.
func parseElement(s []byte) netip.Addr {
	// "[" + the longest IPv6 text (RFC 4291 with an IPv4 tail, 45) + "]:65535"
	if len(s) < 2 || len(s) > 53 {
		return netip.Addr{}
	}
	host := s
	switch s[0] {
	case '[':
		end := bytes.IndexByte(s, ']')
		if end < 0 || (end+1 < len(s) && !isPort(s[end+1:])) {
			return netip.Addr{}
		}
		host = s[1:end]
		if bytes.IndexByte(host, ':') < 0 {
			return netip.Addr{}
		}
	default:
		colon := bytes.IndexByte(s, ':')
		if colon < 0 || bytes.IndexByte(s[colon+1:], ':') >= 0 {
			break // an IPv4 address, or a bare IPv6 one, which cannot carry a port
		}
		if !isPort(s[colon:]) {
			return netip.Addr{}
		}
		host = s[:colon]
	}
	if len(host) == 0 || bytes.IndexByte(host, '%') >= 0 {
		return netip.Addr{} // a zone is known to one machine alone, and parsing it would keep it
	}
	// ParseAddr keeps nothing of its argument but in the error, which is dropped here.
	addr, err := netip.ParseAddr(unsafe.String(unsafe.SliceData(host), len(host)))
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap()
}

// isPort reports whether s is a colon and a port of 1 to 5 digits.
func isPort(s []byte) bool {
	if len(s) < 2 || len(s) > 6 || s[0] != ':' {
		return false
	}
	n := 0
	for _, c := range s[1:] {
		if c < '0' || c > '9' {
			return false
		}
		n = n*10 + int(c-'0')
	}
	return n <= 65535
}

func trimSpace(s []byte) []byte {
	for len(s) > 0 && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for len(s) > 0 && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// peerAddr is the address at the other end of a connection. Whoever reaches a Unix socket is on this machine.
func peerAddr(a net.Addr) netip.Addr {
	switch a := a.(type) {
	case *net.TCPAddr:
		addr, _ := netip.AddrFromSlice(a.IP)
		return addr.Unmap()
	case *net.UnixAddr:
		return netip.IPv6Loopback()
	}
	return netip.Addr{}
}

// ranges are ascending and disjoint, so that one binary search finds an address: CloudFront alone publishes some hundred.
type ranges []struct{ first, last netip.Addr }

func newRanges(prefixes []netip.Prefix) ranges {
	prefixes = slices.Clone(prefixes)
	slices.SortFunc(prefixes, func(a, b netip.Prefix) int { // the widest first among those that start together
		return cmp.Or(a.Masked().Addr().Compare(b.Masked().Addr()), a.Bits()-b.Bits())
	})
	var r ranges
	for _, p := range prefixes {
		// Prefixes nest or are apart: one that starts inside another ends inside it too.
		p = p.Masked()
		if n := len(r); n == 0 || r[n-1].last.Less(p.Addr()) {
			r = append(r, struct{ first, last netip.Addr }{p.Addr(), lastAddr(p)})
		}
	}
	return r
}

func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(b)
	return last
}

func (r ranges) contain(a netip.Addr) bool {
	i, j := 0, len(r)
	for i < j { // slices.BinarySearchFunc calls through a function value, which doubles the time
		if m := int(uint(i+j) >> 1); r[m].last.Less(a) {
			i = m + 1
		} else {
			j = m
		}
	}
	return i < len(r) && !a.Less(r[i].first)
}
