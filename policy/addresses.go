package policy

import (
	"cmp"
	"net/netip"
	"slices"
)

// specialRanges are the ranges whose addresses are no single client on the public internet: a request cannot truly come from
// there, or it comes from whoever forwards it. From IANA's registries of special-purpose addresses, as of 2025
// (https://www.iana.org/assignments/iana-ipv4-special-registry and iana-ipv6-special-registry, RFC 6890), and multicast
// (RFC 5771, RFC 4291). Of IPv6 only 2000::/3 is global unicast (RFC 4291), so all else is listed whole.
func specialRanges() []netip.Prefix {
	return mustParse(
		"0.0.0.0/8",       // this network (RFC 791)
		"10.0.0.0/8",      // private (RFC 1918)
		"100.64.0.0/10",   // carrier-grade NAT, inside (RFC 6598)
		"127.0.0.0/8",     // loopback (RFC 1122)
		"169.254.0.0/16",  // link-local (RFC 3927); instance metadata
		"172.16.0.0/12",   // private (RFC 1918)
		"192.0.0.0/24",    // protocol assignments (RFC 6890)
		"192.0.2.0/24",    // documentation (RFC 5737)
		"192.31.196.0/24", // AS112 (RFC 7535)
		"192.52.193.0/24", // AMT (RFC 7450)
		"192.88.99.0/24",  // 6to4 relays, deprecated (RFC 7526)
		"192.168.0.0/16",  // private (RFC 1918)
		"192.175.48.0/24", // AS112 (RFC 7534)
		"198.18.0.0/15",   // benchmarking (RFC 2544)
		"198.51.100.0/24", // documentation (RFC 5737)
		"203.0.113.0/24",  // documentation (RFC 5737)
		"224.0.0.0/4",     // multicast (RFC 5771)
		"240.0.0.0/4",     // reserved (RFC 1112), broadcast (RFC 919)

		"::/3", "4000::/2", "8000::/1", // not global unicast: loopback, NAT64, unique and link-local, multicast
		"2001::/23",         // protocol assignments: Teredo, ORCHID, benchmarking (RFC 2928)
		"2001:db8::/32",     // documentation (RFC 3849)
		"2002::/16",         // 6to4 (RFC 3056): one IPv4 host's gateway, for whoever is behind it
		"2620:4f:8000::/48", // AS112 (RFC 7534)
		"3fff::/20",         // documentation (RFC 9637)
	)
}

func mustParse(cidrs ...string) (p []netip.Prefix) {
	for _, c := range cidrs {
		p = append(p, netip.MustParsePrefix(c))
	}
	return p
}

// ranges is a set of addresses.
type ranges struct {
	all []addressRange // ascending, without overlaps, so that one binary search finds an address
	// touched4 and touched6 say whether any range holds an address with this first byte: for most clients none does.
	touched4, touched6 [256]bool
}

type addressRange struct{ first, last netip.Addr }

func newRanges(prefixes []netip.Prefix) (r ranges) {
	for _, p := range prefixes {
		r.all = append(r.all, addressRange{p.Addr(), lastOf(p)})
	}
	slices.SortFunc(r.all, func(a, b addressRange) int { return cmp.Or(a.first.Compare(b.first), a.last.Compare(b.last)) })
	merged := r.all[:0]
	for _, n := range r.all {
		for first := int(firstByte(n.first)); first <= int(firstByte(n.last)); first++ {
			r.touched(n.first)[first] = true
		}
		if end := len(merged) - 1; end >= 0 && n.first.Compare(merged[end].last) <= 0 {
			if n.last.Compare(merged[end].last) > 0 {
				merged[end].last = n.last
			}
			continue
		}
		merged = append(merged, n)
	}
	r.all = merged
	return r
}

func (r *ranges) touched(a netip.Addr) *[256]bool {
	if a.Is4() {
		return &r.touched4
	}
	return &r.touched6
}

func firstByte(a netip.Addr) byte {
	if a.Is4() {
		return a.As4()[0]
	}
	return a.As16()[0]
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// contains does not allocate.
func (r *ranges) contains(a netip.Addr) bool {
	if !r.touched(a)[firstByte(a)] {
		return false
	}
	_, found := slices.BinarySearchFunc(r.all, a, func(n addressRange, a netip.Addr) int {
		switch {
		case n.last.Less(a):
			return -1
		case a.Less(n.first):
			return 1
		}
		return 0
	})
	return found
}
