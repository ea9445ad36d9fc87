package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"referee/classifier"
	"referee/features"
)

// Config says how sure to be, of what, and who is never blocked.
type Config struct {
	Confidence classifier.Confidence `yaml:"confidence" default:"balanced" help:"How rare a benign name must score as high before a name is flagged: sensitive (1 in 1,000), balanced (1 in 10,000), strict (1 in 100,000), or a number such as 0.9999."`
	NeverBlock NeverBlock            `yaml:"never-block" embed:"" prefix:"never-block-"`
	Name       NameRule              `yaml:"name" embed:"" prefix:"name-"`
	Client     ClientRule            `yaml:"client" embed:"" prefix:"client-"`
	Cohort     CohortRule            `yaml:"cohort" embed:"" prefix:"cohort-"`
}

// NeverBlock lists what is never blocked, whatever speaks against it.
type NeverBlock struct {
	Hosts            []string `yaml:"hosts" help:"Your own hosts. They and all hosts under them are never blocked, and a Referer of theirs is not external: it is no evidence for or against anybody."`
	Suffixes         []string `yaml:"suffixes" help:"Domains of others (partners, advertising networks) that are never blocked, with all hosts under them."`
	DomainsFile      string   `yaml:"domains-file" help:"A file of further such domains, one a line, # begins a comment: for lists that other tools write."`
	Clients          []string `yaml:"clients" help:"Client addresses and ranges that are never blocked: offices, monitoring, crawlers that you trust. Private, reserved and special-purpose ranges never are."`
	Popular          bool     `yaml:"popular" default:"true" negatable:"" help:"Never block names that stood in the top lists of several years, nor search engines and social sites: an attacker may send any of them."`
	ClosedRegistries bool     `yaml:"closed-registries" default:"true" negatable:"" help:"Never block names under registries closed to the public (.gov, .mil, .edu, .int and their country forms): nobody generates names there, and small towns look generated."`
}

// NameRule is the evidence that a flagged name needs before it is a hit.
type NameRule struct {
	MinNetworks  int           `yaml:"min-networks" default:"2" help:"Distinct client networks (/24, /48) that sent it within the window: at least 2, so that nobody alone can have a name blocked."`
	MinSightings int           `yaml:"min-sightings" default:"3" help:"Requests that carried it."`
	MinSuspects  int           `yaml:"min-suspects" default:"2" help:"Distinct networks, and more than half of all that sent it, whose client sent other flagged names too, or is part of an attack: the readers of a site with an odd name did not. 0 asks for none."`
	MaxReaders   int           `yaml:"max-readers" default:"5" help:"Distinct networks, at most, that sent it and have nothing else against them: whom a block of the name would hit. So nobody can have somebody's name blocked that has readers."`
	Crowd        int           `yaml:"crowd" default:"20"       help:"A name that this many networks sent is an audience's, and counts against nobody, if their clients have nothing else against them and differ in their browsers and hours. 0 knows no audiences."`
	TTL          time.Duration `yaml:"ttl" default:"168h" help:"How long it stays blocked after it was last seen."`
	TTLCap       time.Duration `yaml:"ttl-cap" default:"672h" help:"How long at most: a name that comes back after it expired stays twice as long each time, up to this. 0 doubles nothing."`
}

// ClientRule is the evidence against a client that makes it a hit.
type ClientRule struct {
	MinFlagged int           `yaml:"min-flagged" default:"3" help:"Distinct flagged names that it sent within the window: 3 at a name error of 1 in 1,000 err for 1 client in 100 million, 2 for 3 in a million."`
	MinShare   float64       `yaml:"min-share" default:"0.5" help:"More than this share of its distinct external names must be flagged: without it a busy NAT is blocked for a few odd names among many."`
	Alpha      float64       `yaml:"alpha" default:"1e-6" help:"The error of Wald's sequential test over its distinct names: the share of clients that would be blocked though people sent their names. 0 does without the test."`
	Beta       float64       `yaml:"beta" default:"0.05" help:"The other error of that test: the share of generated traffic that it may take for people's."`
	TTL        time.Duration `yaml:"ttl" default:"24h" help:"How long it stays blocked after its last flagged request. Addresses change hands: keep it short."`
	TTLCap     time.Duration `yaml:"ttl-cap" default:"168h" help:"How long at most: a client that comes back after it expired stays twice as long each time, up to this. 0 doubles nothing."`
}

// CohortRule is the evidence against a cohort, the clients of one network or of any with one kind of agent on one path, that
// makes it an attack. Then one flagged name is enough against each of its clients, if that is more than client.min-share of
// what the client sent.
type CohortRule struct {
	MinFlagged int `yaml:"min-flagged" default:"10" help:"Distinct flagged names that its clients sent within the window, and more than client.min-share of all that they sent; the test of client.alpha must pass too. 0 knows no attacks."`
	MinClients int `yaml:"min-clients" default:"5" help:"Distinct clients that sent them: fewer are judged each by itself."`
}

const (
	minTTL = time.Minute
	maxTTL = 90 * 24 * time.Hour
)

// Validate refuses rules that would block on one word, and lists that hold no domains.
func (c Config) Validate() error {
	ttl := func(key string, v, usual time.Duration) error {
		if v < minTTL || v > maxTTL {
			return fmt.Errorf("%s: %s is not between %s and %s; the default is %s", key, v, minTTL, maxTTL, usual)
		}
		return nil
	}
	var errs []error
	if err := c.Confidence.Validate(); err != nil {
		errs = append(errs, err)
	}
	if n := c.Name.MinNetworks; n < 2 {
		errs = append(errs, fmt.Errorf("name.min-networks: %d lets a single client have a name blocked; use 2 or more", n))
	}
	if n := c.Name.MinSightings; n < 1 {
		errs = append(errs, fmt.Errorf("name.min-sightings: %d is no number of requests; use 1 or more (the default is 3)", n))
	}
	if n := c.Client.MinFlagged; n < 2 {
		errs = append(errs, fmt.Errorf("client.min-flagged: %d blocks a client for one name; use 2 or more (the default is 3)", n))
	}
	if s := c.Client.MinShare; !(s >= 0 && s < 1) {
		errs = append(errs, fmt.Errorf("client.min-share: %v is not a share from 0 to below 1; the default is 0.5", s))
	}
	for key, n := range map[string]int{
		"name.min-suspects": c.Name.MinSuspects, "name.max-readers": c.Name.MaxReaders, "name.crowd": c.Name.Crowd,
		"cohort.min-flagged": c.Cohort.MinFlagged, "cohort.min-clients": c.Cohort.MinClients,
	} {
		if n < 0 {
			errs = append(errs, fmt.Errorf("%s: %d is negative; use 0 or more", key, n))
		}
	}
	if n := c.Name.Crowd; n > 0 && n < minCrowd {
		errs = append(errs, fmt.Errorf("name.crowd: %d networks are no crowd; use %d or more (the default is 20), or 0 for none", n, minCrowd))
	}
	if a := c.Client.Alpha; !(a >= 0 && a <= 0.01) {
		errs = append(errs, fmt.Errorf("client.alpha: %v is not between 0 and 0.01; the default is 1e-6", a))
	}
	if b := c.Client.Beta; !(b >= 0 && b <= 0.5) {
		errs = append(errs, fmt.Errorf("client.beta: %v is not between 0 and 0.5; the default is 0.05", b))
	}
	errs = append(errs, ttl("name.ttl", c.Name.TTL, 168*time.Hour), ttl("client.ttl", c.Client.TTL, 24*time.Hour))
	for key, most := range map[string]time.Duration{"name.ttl-cap": c.Name.TTLCap, "client.ttl-cap": c.Client.TTLCap} {
		if most < 0 || most > maxTTL {
			errs = append(errs, fmt.Errorf("%s: %s is not between 0 and %s", key, most, maxTTL))
		}
	}
	var p features.Parser
	for _, list := range []struct {
		key   string
		hosts []string
	}{{"never-block.hosts", c.NeverBlock.Hosts}, {"never-block.suffixes", c.NeverBlock.Suffixes}} {
		for _, h := range list.hosts {
			if _, err := hostName(&p, h); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", list.key, err))
			}
		}
	}
	for _, s := range c.NeverBlock.Clients {
		if _, err := clientRange(s); err != nil {
			errs = append(errs, fmt.Errorf("never-block.clients: %w", err))
		}
	}
	return errors.Join(errs...)
}

// hostName reads a host or domain as the owner wrote it, as an A-label in lower case. Intranet names and whole public
// suffixes are good too: they cannot be a Name, but be Own or hold one.
func hostName(p *features.Parser, s string) (string, error) {
	s = strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(s), "*."), "."))
	n, reason := p.Bare([]byte(s))
	switch reason {
	case features.Named:
		if strings.ContainsAny(s, ":/?#@") {
			return "", fmt.Errorf("%q is a URL; write the host alone, such as %s", s, n.Host)
		}
		return strings.Clone(n.Host), nil
	case features.NotPublic:
		if isPlainHost(s) {
			return s, nil
		}
	}
	return "", fmt.Errorf("%.80q is no host name; write one such as www.example.com", s)
}

func isPlainHost(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune("-._", r)
	})
}

// clientRange reads an address or a range in CIDR notation.
func clientRange(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(strings.TrimSpace(s)); err == nil {
		a = a.Unmap().WithZone("")
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(strings.TrimSpace(s))
	if err != nil {
		return p, fmt.Errorf("%q is neither an address nor a range; write it like 8.8.8.8, 8.8.8.0/24 or 2001:db8::/32", s)
	}
	if p.Addr().Is4In6() { // ::ffff:8.8.8.0/120 means 8.8.8.0/24
		if p.Bits() < 96 {
			return p, fmt.Errorf("%q reaches beyond the IPv4-mapped addresses; write the IPv4 range itself", s)
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

// readDomains reads a list of domains, one a line.
func readDomains(path string) (domains []string, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("never-block.domains-file: %w", err)
	}
	var p features.Parser
	number := 0
	for line := range strings.Lines(strings.TrimPrefix(string(data), "\ufeff")) {
		number++
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		d, err := hostName(&p, line)
		if err != nil {
			return nil, fmt.Errorf("never-block.domains-file: %s:%d: %w; correct or remove the line", path, number, err)
		}
		domains = append(domains, d)
	}
	return domains, nil
}
