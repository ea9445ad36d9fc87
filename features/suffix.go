package features

import (
	"strings"

	"golang.org/x/net/publicsuffix"
)

// split finds the Name in a host of lower-case A-labels.
func split(host string) (Name, Reason) {
	if isSpecialUse(host) {
		return Name{}, NotPublic
	}
	start := len(host) - len(icannSuffix(host))
	if start == 0 {
		return Name{}, NotPublic // a single label, or a public suffix itself
	}
	label := strings.LastIndexByte(host[:start-1], '.') + 1
	if label > 0 && isDynamicDNS(host[label:]) {
		start = label
		label = strings.LastIndexByte(host[:start-1], '.') + 1
	}
	return Name{Host: host, Domain: host[label:], Label: host[label : start-1]}, Named
}

// icannSuffix returns the public suffix of a host by the ICANN section of the list alone, in which a TLD that is not listed
// is its own suffix (the list's rule "*").
func icannSuffix(host string) string {
	for rest := host; ; {
		suffix, icann := publicsuffix.PublicSuffix(rest)
		_, parent, found := strings.Cut(suffix, ".")
		if icann || !found {
			return suffix
		}
		rest = parent // a private rule, with an ICANN rule behind it
	}
}
