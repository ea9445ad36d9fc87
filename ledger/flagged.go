package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"referee/classifier"
	"referee/evidence"
	"referee/policy"
)

// FlaggedSightings returns at most limit of the kept sightings of flagged names, the newest first: those of one domain,
// or of the clients in one prefix, or of both; an empty domain and the zero prefix leave that open. A limit of 0 means all.
func (l *Ledger) FlaggedSightings(ctx context.Context, domain string, clients netip.Prefix, limit int) ([]evidence.Sighting, error) {
	return l.flagged(ctx, domain, clients, "", limit)
}

// Example is what one flagged request said. The embedded parts are hostile bytes, of at most evidence.MaxExample each.
type Example struct {
	evidence.Example
	Domain string
	Client netip.Addr // the zero Addr where no address could be trusted, or where it is kept no more
	Time   time.Time
}

// Examples returns at most limit examples of the requests that brought a name or that a client sent, by the key of its hit
// (policy.Hit.Key), the newest first. There may be none: of a flood only some are kept.
func (l *Ledger) Examples(ctx context.Context, key string, limit int) ([]Example, error) {
	var domain string
	var clients netip.Prefix
	kind, what, _ := strings.Cut(key, ":")
	switch policy.Kind(kind) {
	case policy.KindName:
		domain = what
	case policy.KindClient:
		var err error
		if clients, err = netip.ParsePrefix(what); err != nil {
			return nil, fmt.Errorf("examples of %q: %w", key, err)
		}
	}
	if domain == "" && !clients.IsValid() {
		return nil, fmt.Errorf("examples of %q: that is the key of no hit", key)
	}
	sightings, err := l.flagged(ctx, domain, clients, "referer IS NOT NULL", limit)
	examples := make([]Example, len(sightings))
	for i, s := range sightings {
		examples[i] = Example{Example: *s.Example, Domain: s.Result.Domain, Client: s.Client, Time: fromNanos(s.Time)}
	}
	return examples, err
}

func (l *Ledger) flagged(ctx context.Context, domain string, clients netip.Prefix, only string, limit int) ([]evidence.Sighting, error) {
	var args []any
	conditions := []string{"true"}
	if domain != "" {
		conditions = append(conditions, "domain = ?")
		args = append(args, domain)
	}
	if clients.IsValid() {
		first, last := addressRange(clients)
		conditions = append(conditions, "client BETWEEN ? AND ?")
		args = append(args, first, last)
	}
	if only != "" {
		conditions = append(conditions, only)
	}
	return collect(ctx, l, "read the flagged sightings", scanFlagged, `SELECT time, domain, client, score, tail, referer, agent, path
		FROM flagged WHERE `+strings.Join(conditions, " AND ")+` ORDER BY id DESC LIMIT ?`, append(args, sqlLimit(limit))...)
}

func scanFlagged(rows *sql.Rows) (s evidence.Sighting, err error) {
	var domain string
	var client, referer, agent, path []byte
	var score, tail float64
	if err := rows.Scan(&s.Time, &domain, &client, &score, &tail, &referer, &agent, &path); err != nil {
		return s, err
	}
	s.Result = classifier.Result{Domain: domain, Score: float32(score), Tail: float32(tail)}
	if a, ok := netip.AddrFromSlice(client); ok {
		s.Client = a.Unmap()
	}
	if referer != nil {
		s.Example = &evidence.Example{Referer: string(referer), Agent: string(agent), Path: string(path)}
	}
	return s, nil
}

// addressRange returns the first and the last addressKey in a prefix.
func addressRange(p netip.Prefix) (first, last []byte) {
	first = addressKey(p.Masked().Addr())
	last = slices.Clone(first)
	host := p.Addr().BitLen() - p.Bits() // the low bits, free to vary
	for i := len(last) - 1; host > 0; i-- {
		n := min(host, 8)
		last[i] |= 1<<n - 1
		host -= n
	}
	return first, last
}
