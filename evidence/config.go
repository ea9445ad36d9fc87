package evidence

import (
	"fmt"
	"net/netip"
	"time"
)

// Config bounds what is remembered, and for how long.
type Config struct {
	Window     time.Duration `yaml:"window" default:"24h" help:"Forget what was not seen for this long: a name, a client, or one name of a client."`
	MaxNames   int           `yaml:"max-names" default:"20000" help:"Suspicious names remembered at a time: bounds memory, 0.5 KB each and at most 2.5."`
	MaxClients int           `yaml:"max-clients" default:"100000" help:"Clients remembered at a time: bounds memory, mostly 0.3 KB each and at most 2.5."`
	MaxCohorts int           `yaml:"max-cohorts" default:"5000" help:"Cohorts remembered at a time, which are clients of one network, or of any, with one kind of agent on one path: bounds memory, mostly 0.5 KB each and at most 4."`
	Interest   float64       `yaml:"interest" default:"0.01" help:"Remember only names with at most this benign tail: keep it at or above any confidence that you may choose, so that a later change can look back."`
	Queue      int           `yaml:"queue" default:"65536" help:"Sightings that wait for the background between two ticks: when full, further ones are dropped and counted, requests are not."`
}

// Validate refuses what would make the evidence useless or unbounded.
func (c Config) Validate() error {
	switch {
	case c.Window < time.Minute || c.Window > 90*24*time.Hour:
		return fmt.Errorf("evidence.window: %s is not between 1m and 2160h (90 days); the default is 24h", c.Window)
	case c.MaxNames < minEntries || c.MaxNames > maxEntries:
		return fmt.Errorf("evidence.max-names: %d is not between %d and %d; the default is 20000", c.MaxNames, minEntries, maxEntries)
	case c.MaxClients < minEntries || c.MaxClients > maxEntries:
		return fmt.Errorf("evidence.max-clients: %d is not between %d and %d; the default is 100000", c.MaxClients, minEntries, maxEntries)
	case c.MaxCohorts < 0 || c.MaxCohorts > maxEntries:
		return fmt.Errorf("evidence.max-cohorts: %d is not between 0 and %d; the default is 5000, 0 remembers none", c.MaxCohorts, maxEntries)
	case !(c.Interest > 0 && c.Interest <= 1): // NaN is refused too
		return fmt.Errorf("evidence.interest: %v is not a benign tail: above 0 and at most 1; the default is 0.01", c.Interest)
	case c.Queue < 1 || c.Queue > maxEntries:
		return fmt.Errorf("evidence.queue: %d is not between 1 and %d; the default is 65536", c.Queue, maxEntries)
	}
	return nil
}

const (
	minEntries = 64        // fewer would evict evidence before a rule can look at it
	maxEntries = 1_000_000 // 2.5 GB of clients in the worst case
)

// Key is the secret of the keyed hash: without it nobody can choose names or networks that land in a sample, or that
// collide in it. It must outlive the process, or samples of before and after a restart do not merge.
type Key [16]byte

// ClientPrefix is what counts as one client: an IPv4 address, or an IPv6 /64, which is what one subscriber is given
// (RFC 6177) and can move in freely. The zero Prefix for the zero Addr.
func ClientPrefix(a netip.Addr) netip.Prefix { return prefix(a, 32, 64) }

// NetworkPrefix is what counts as one network, when independent witnesses are counted: an IPv4 /24, the longest prefix
// that is routed between providers, or an IPv6 /48, what one site is given (RFC 6177). The zero Prefix for the zero Addr.
func NetworkPrefix(a netip.Addr) netip.Prefix { return prefix(a, 24, 48) }

func prefix(a netip.Addr, bits4, bits6 int) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := bits6
	if a.Is4() {
		bits = bits4
	}
	p, err := a.Prefix(bits)
	if err != nil { // only for the zero Addr
		return netip.Prefix{}
	}
	return p
}
