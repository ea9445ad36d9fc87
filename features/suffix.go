package features

import "strings"

// split finds the Name in a host of lower-case A-labels, whose last starts at tld.
func split(host string, tld int) (Name, Reason) {
	rules := rules()
	start := suffixStart(rules, host, tld)
	if start == 0 || isSpecialUse(host[tld:]) {
		return Name{}, NotPublic // a single label, a public suffix itself, or a name of a private network
	}
	label := labelBefore(host, start)
	if label > 0 {
		below := labelBefore(host, label)
		if host[below:label] != "www." && rules[host[label:]]&isDynamic != 0 { // www is the service's own site
			label, start = below, label
		}
	}
	return Name{Host: host, Domain: host[label:], Label: host[label : start-1]}, Named
}

// suffixStart returns where the public suffix of a host starts, by the ICANN section of the list alone.
func suffixStart(rules map[string]rule, host string, tld int) int {
	at, start := tld, tld
	known := rules[host[at:]]
	for at > 0 && known&(hasDeeper|hasWildcard) != 0 {
		wildcard := known&hasWildcard != 0
		at = labelBefore(host, at)
		known = rules[host[at:]]
		switch {
		case known&isException != 0:
			return at + strings.IndexByte(host[at:], '.') + 1
		case known&isSuffix != 0 || wildcard:
			start = at
		}
	}
	return start
}

// labelBefore returns where the label starts that ends before the one at start.
func labelBefore(host string, start int) int {
	return strings.LastIndexByte(host[:start-1], '.') + 1
}

// isSpecialUse reports whether a top-level label names nothing on the public internet: the special-use names of IANA's
// registry (https://www.iana.org/assignments/special-use-domain-names), and the labels that private networks are known
// to use as TLDs.
//
// Any other top-level label counts as public, listed or not: a Referer need not resolve, malware uses roots beside
// ICANN's (.bit, .bazar), and the next round of new TLDs, open since 2026, must not be a blind spot until the list is
// renewed. An owner whose network has a TLD of its own puts it on the never-block list.
func isSpecialUse(tld string) bool {
	switch tld {
	case "example", "invalid", "localhost", "test", // RFC 6761
		"local",    // RFC 6762
		"onion",    // RFC 7686
		"arpa",     // RFC 3172: infrastructure, home.arpa (RFC 8375) among it
		"alt",      // RFC 9476
		"internal": // reserved for private use by ICANN's board in 2024
		return true
	case "corp", "home", "intranet", "lan", "private", // RFC 6762 appendix G
		"mail",                                            // withheld, like corp and home (ICANN board resolution 2018.02.04.12)
		"localdomain", "openstacklocal", "router", "dhcp", // defaults of systems and routers
		"consul", "docker", "vagrant": // defaults of service discovery and of development machines
		return true
	}
	return false
}
