package features

import "strings"

// isSpecialUse reports whether a host is under a top-level label that names nothing on the public internet.
//
// Two kinds are listed. Special-use names, in IANA's registry
// (https://www.iana.org/assignments/special-use-domain-names): RFC 6761, 6762 (local), 7686 (onion), 8375 (home.arpa), 9476
// (alt), and internal, which ICANN reserved in 2024. And labels that private networks are known to use as top-level
// domains: RFC 6762 appendix G, the names ICANN withholds because of that use (home, corp, mail; board resolution 2018.02.04.12),
// and the defaults of routers and cluster software.
//
// Any other top-level label counts, listed by IANA or not: a Referer need not resolve, malware uses roots beside ICANN's (.bit,
// .bazar), and the round of new TLDs that ICANN opened in 2026 must not be a blind spot until the list is renewed.
func isSpecialUse(host string) bool {
	switch host[strings.LastIndexByte(host, '.')+1:] {
	case "alt", "example", "internal", "invalid", "local", "localhost", "onion", "test":
		return true
	case "corp", "home", "intranet", "lan", "mail", "private":
		return true
	case "cluster", "consul", "docker", "localdomain", "openstacklocal", "router", "vagrant", "workgroup":
		return true
	case "arpa": // reverse lookups, home.arpa and the rest of the infrastructure domain: nobody's name
		return true
	}
	return false
}

// isDynamicDNS reports whether a registered domain gives its labels to anybody, so that the label below it is the name
// that somebody chose.
func isDynamicDNS(domain string) bool {
	switch domain {
	case "duckdns.org", "dyndns.org", "ddns.net", "hopto.org", "zapto.org", "no-ip.org", "no-ip.com", "mooo.com":
		return true
	}
	return false
}
