package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"referee/classifier"
	"referee/features"
)

// Policy decides by one configuration and one model. It is immutable and safe for concurrent use.
type Policy struct {
	cfg       Config
	id        string
	model     string
	threshold float32
	wald      sequential
	lists     map[string]mark  // hosts and domains of the owner's choice
	labels    map[string]Label // by domain: what the owner says of single names
	popular   *popular         // nil: off
	clients   ranges
}

// mark says what a host or domain is to the owner.
type mark uint8

const (
	markOwn    mark = 1 << iota // an own host: it and all under it
	markListed                  // another domain: likewise
	markParent                  // one of those is under it: to block it would block them
)

// New makes a Policy. It reads never-block.domains-file. It refuses a confidence that the model's calibration cannot support.
func New(cfg Config, m *classifier.Model) (*Policy, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	if _, err := m.Threshold(cfg.Confidence); err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	suffixes := cfg.NeverBlock.Suffixes
	if path := cfg.NeverBlock.DomainsFile; path != "" {
		more, err := readDomains(path)
		if err != nil {
			return nil, fmt.Errorf("policy: %w", err)
		}
		suffixes = slices.Concat(suffixes, more)
	}
	p := &Policy{
		cfg:       cfg,
		model:     m.ID(),
		threshold: float32(cfg.Confidence),
		wald:      newSequential(cfg.Client, m.Info().Figures),
		lists:     map[string]mark{},
	}
	ranges := specialRanges()
	for _, s := range cfg.NeverBlock.Clients {
		r, err := clientRange(s)
		if err != nil {
			return nil, fmt.Errorf("policy: never-block.clients: %w", err)
		}
		ranges = append(ranges, r)
	}
	p.clients = newRanges(ranges)
	if err := p.list(markOwn, cfg.NeverBlock.Hosts); err != nil {
		return nil, fmt.Errorf("policy: never-block.hosts: %w", err)
	}
	if err := p.list(markListed, suffixes); err != nil {
		return nil, fmt.Errorf("policy: never-block.suffixes: %w", err)
	}
	if cfg.NeverBlock.Popular {
		var err error
		if p.popular, err = parsePopular(popularFilter); err != nil {
			return nil, fmt.Errorf("policy: %w", err)
		}
	}
	p.id = p.hash()
	return p, nil
}

// For returns the same policy for another model. It refuses a confidence that the model's calibration cannot support.
func (p *Policy) For(m *classifier.Model) (*Policy, error) {
	if _, err := m.Threshold(p.cfg.Confidence); err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	next := *p
	next.model, next.wald = m.ID(), newSequential(next.cfg.Client, m.Info().Figures)
	next.id = next.hash()
	return &next, nil
}

// list marks hosts, and what they are under.
func (p *Policy) list(m mark, hosts []string) error {
	var parser features.Parser
	for _, h := range hosts {
		host, err := hostName(&parser, h)
		if err != nil {
			return err
		}
		p.lists[host] |= m
		for rest := parent(host); rest != ""; rest = parent(rest) {
			p.lists[rest] |= markParent
		}
	}
	return nil
}

// hash names the configuration as it takes effect: equal rules and lists give equal ids, whatever file they stand in.
func (p *Policy) hash() string {
	c := p.cfg
	b := fmt.Appendln(nil, "policy 2", p.model, p.threshold, c.Name, c.Client, c.Cohort, c.NeverBlock.ClosedRegistries)
	b = fmt.Appendln(b, p.lists) // fmt sorts a map by its keys
	for _, name := range slices.Sorted(maps.Keys(p.labels)) {
		b = fmt.Appendln(b, name, p.labels[name].Says)
	}
	for _, r := range p.clients.all {
		b = fmt.Appendln(b, r.first, r.last)
	}
	if p.popular != nil {
		b = fmt.Appendf(b, "%x\n", p.popular.sum)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])[:12]
}

// ID is 12 hexadecimal digits that name this configuration with this model.
func (p *Policy) ID() string { return p.id }

// Model is the id of the model that this policy was made for.
func (p *Policy) Model() string { return p.model }

// Threshold is the benign tail at and below which a name is flagged.
func (p *Policy) Threshold() float32 { return p.threshold }

// Exemption says why a name is never blocked.
type Exemption uint8

const (
	NotExempt      Exemption = iota
	Own                      // one of the owner's own hosts, or under one
	Listed                   // on the owner's lists, under what is, or holding what is, own hosts included
	ClosedRegistry           // under a registry closed to the public
	Popular                  // in the filter of popular names
	Labelled                 // labelled benign by the owner
	numExemptions
)

// NumExemptions is the number of Exemptions, for tables of counters.
const NumExemptions = int(numExemptions)

// String is one stable lower-case word: a metric label, a key of counts.
func (e Exemption) String() string {
	return [numExemptions + 1]string{"none", "own", "listed", "closed-registry", "popular", "labelled", "unknown"}[min(e, numExemptions)]
}

// Words is what is said of an exempt name in a sentence: "it is …".
func (e Exemption) Words() string {
	return "it is " + [numExemptions + 1]string{
		"not exempt", "one of your own hosts", "on your never-block lists, or holds what is",
		"under a registry closed to the public", "a popular name", "labelled benign", "exempt",
	}[min(e, numExemptions)]
}

// String is one stable lower-case word: a metric label, the last column of a table.
func (v Verdict) String() string {
	return [numVerdicts + 1]string{"invalid", "benign", "dga", "abstain", "exempt", "unknown"}[min(v, numVerdicts)]
}

// Judge says what is to be thought of one name with the model's result for it: exempt before the owner's label before
// abstain before the score. It does not allocate.
func (p *Policy) Judge(n features.Name, r classifier.Result) (Verdict, Exemption) {
	if e := p.Exempts(n); e != NotExempt {
		return Exempt, e
	}
	switch {
	case p.says(n.Domain) == SaysDGA:
		return DGA, NotExempt
	case r.Abstain:
		return Abstain, NotExempt
	case r.Tail <= p.threshold:
		return DGA, NotExempt
	}
	return Benign, NotExempt
}

// Exempts says whether, and why, a name is never blocked. It does not allocate.
func (p *Policy) Exempts(n features.Name) Exemption {
	if e := p.listed(n); e != NotExempt {
		return e
	}
	if p.cfg.NeverBlock.ClosedRegistries && len(n.Domain) > len(n.Label) && isClosedRegistry(n.Domain[len(n.Label)+1:]) {
		return ClosedRegistry
	}
	if p.popular != nil && p.popular.contains(n.Domain) {
		return Popular
	}
	if p.says(n.Domain) == SaysBenign {
		return Labelled
	}
	return NotExempt
}

// listed looks the host up, and all that it is under; and whether its domain holds something listed, since to block a
// domain is to block every host under it.
func (p *Policy) listed(n features.Name) Exemption {
	if len(p.lists) == 0 {
		return NotExempt
	}
	e := NotExempt
	for rest := n.Host; rest != ""; rest = parent(rest) {
		switch m := p.lists[rest]; {
		case m&markOwn != 0:
			return Own
		case m&markListed != 0, m&markParent != 0 && len(rest) == len(n.Domain):
			e = Listed
		}
	}
	return e
}

// Own reports whether a host (lower case, no trailing dot) is one of the owner's, or under one. It does not allocate.
func (p *Policy) Own(host string) bool {
	if len(p.lists) == 0 {
		return false
	}
	for rest := host; rest != ""; rest = parent(rest) {
		if p.lists[rest]&markOwn != 0 {
			return true
		}
	}
	return false
}

// parent is the domain that a host is in: what follows its first dot.
func parent(host string) string {
	if i := strings.IndexByte(host, '.'); i >= 0 {
		return host[i+1:]
	}
	return ""
}

// ExemptClient reports whether a client is never blocked: because the owner says so, or because the address is no single
// client on the public internet (private, loopback, link-local, carrier-grade NAT, multicast, documentation, reserved and
// other special-purpose ranges). The zero Addr is exempt. It does not allocate.
func (p *Policy) ExemptClient(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	return !a.IsValid() || p.clients.contains(a)
}
