// Package intake is how requests come in: the check, observe and score endpoints, the reverse proxy, and the client's
// address behind load balancers. It judges each Referer and hands what it saw to the background, and it fails open:
// nothing that breaks here refuses, delays or changes a request.
package intake

import (
	"hash/maphash"
	"log/slog"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"referee/classifier"
	"referee/evidence"
	"referee/features"
	"referee/policy"
)

// Via is the way a request came in.
type Via uint8

const (
	ViaCheck Via = iota
	ViaObserve
	ViaProxy
	ViaLog
	numVias
)

// String is one stable lower-case word: a metric label.
func (v Via) String() string {
	return [numVias + 1]string{"check", "observe", "proxy", "log", "unknown"}[min(v, numVias)]
}

// Snapshot is all that a request is judged by, swapped whole.
type Snapshot struct {
	Cache   *classifier.Cache
	Policy  *policy.Policy
	Proxies *Proxies // nil: trust nobody's X-Forwarded-For
	Session []byte   // canonical name of the header that marks a verified session; empty: there is none
	Block   bool     // answer 403 to current hits: enforce mode with inline: block
}

// Judgement is what is said of one request.
type Judgement struct {
	Reason    features.Reason   // why there is no name in the Referer; Named where there is one
	Result    classifier.Result // of the name; zero where there is none
	Verdict   policy.Verdict
	Exemption policy.Exemption
	Block     bool // the name or the client is a current hit, and current hits are to be blocked
}

// Judge judges requests: Referer → name → score → verdict → sighting. It is safe for concurrent use.
type Judge struct {
	snapshot atomic.Pointer[Snapshot]
	hits     atomic.Pointer[policy.Hits]
	queue    *evidence.Queue
	now      func() time.Time
	log      *slog.Logger
	panics   throttle
	examples allowance
	parsers  sync.Pool // of *features.Parser
	counts   counts
	traffic  *traffic
	vouched  *vouched
	agents   *agents
}

// NewJudge makes a Judge that offers its sightings to q. Until the first Swap it lets everything pass unjudged.
func NewJudge(q *evidence.Queue, reg prometheus.Registerer, log *slog.Logger, now func() time.Time) *Judge {
	j := &Judge{
		queue: q, now: now, log: log, traffic: newTraffic(), vouched: new(vouched), agents: &agents{seed: maphash.MakeSeed()},
		parsers: sync.Pool{New: func() any { return new(features.Parser) }},
	}
	j.register(reg)
	return j
}

// Swap changes what later requests are judged by. s must not be changed afterwards.
func (j *Judge) Swap(s *Snapshot) { j.snapshot.Store(s) }

// SetHits changes which names and clients are current hits.
func (j *Judge) SetHits(h *policy.Hits) { j.hits.Store(h) }

// Client is Proxies.Client with the proxies of the current Snapshot.
func (j *Judge) Client(peer netip.Addr, forwarded [][]byte) netip.Addr {
	s := j.snapshot.Load()
	if s == nil {
		return netip.Addr{}
	}
	return s.Proxies.Client(peer, forwarded)
}

// Request is what a request is judged by. It holds views of the caller's bytes: Judge keeps none of them.
type Request struct {
	// Referer is the header's value. Of several lines callers pass the first, which is what applications see: a second one is
	// no way to be judged by another name than they log.
	Referer []byte
	Client  netip.Addr // as Judge.Client says
	Agent   []byte     // the User-Agent header, the first of several; empty where there is none
	Path    []byte     // the request target of the original request, or its path; empty where it is not known
	Time    time.Time  // zero: now. A log's is when the request came

	// Blocked: a rule over Referee's own sets ended it, as a WAF log tells by the rule's label. See evidence.Sighting.
	Blocked bool
	// Session: somebody who is trusted says that it belongs to a verified session.
	Session bool
}

func (r *Request) seen(now time.Time) time.Time {
	if r.Time.IsZero() {
		return now
	}
	return r.Time
}

// Judge judges one request by its Referer and its client, and offers a Sighting to the background unless there is no name or
// it is one of the owner's own. An address that can be no single client on the public internet, or that the owner exempts,
// is no evidence about anybody: such a Sighting is about the name alone.
//
// Of a Blocked request a Sighting is offered only where its own Referer is flagged: who merely shares the address must not
// renew the block. Of a Session one is offered even without a name, now and then.
//
// It does not allocate for names in the cache, but for the example of a flagged request a few times a second; it never blocks,
// and makes no system call. What panics inside is recovered and
// counted, and the zero Judgement returned: the request goes on.
func (j *Judge) Judge(via Via, r Request) (out Judgement) {
	defer func() {
		if p := recover(); p != nil {
			j.panicked(p)
			out = Judgement{}
		}
	}()
	s := j.snapshot.Load()
	if s == nil {
		j.counts.verdicts[via][policy.Invalid].Add(1)
		return Judgement{}
	}
	parser := j.parsers.Get().(*features.Parser)
	name, reason := parser.Referer(r.Referer)
	out.Reason = reason
	if reason == features.Named {
		out.Result = s.Cache.Judge(name)
		out.Verdict, out.Exemption = s.Policy.Judge(name, out.Result)
	}
	j.parsers.Put(parser) // name is gone with it
	j.counts.verdicts[via][out.Verdict].Add(1)

	client := r.Client
	if s.Policy.ExemptClient(client) {
		client = netip.Addr{}
	}
	if out.Verdict != policy.DGA {
		j.traffic.add(client)
	}
	if reason != features.Named {
		j.counts.reasons[reason].Add(1)
		if s.Block && client.IsValid() {
			out.Block = j.blocked(via, out, client, j.now())
		}
		if r.Session && client.IsValid() {
			j.vouch(client, r.seen(j.now()))
		}
		return out
	}
	switch {
	case out.Result.Abstain:
	case out.Verdict != policy.Exempt:
		j.counts.tails[Decade(out.Result.Tail)].Add(1)
	case out.Result.Tail <= s.Policy.Threshold():
		j.counts.saved[out.Exemption].Add(1)
	}
	now := j.now()
	switch {
	case out.Exemption == policy.Own:
		if r.Session && client.IsValid() {
			j.vouch(client, r.seen(now))
		}
	case !r.Blocked || out.Verdict == policy.DGA:
		var example *evidence.Example
		if out.Verdict == policy.DGA && j.examples.allows(now) {
			example = evidence.NewExample(r.Referer, r.Agent, r.Path)
		}
		j.offer(evidence.Sighting{
			Result:  out.Result,
			Client:  client,
			Agent:   j.agents.shape(r.Agent),
			Path:    evidence.PathShape(r.Path),
			Time:    r.seen(now).UnixNano(),
			Exempt:  out.Verdict == policy.Exempt,
			Blocked: r.Blocked,
			Session: r.Session,
			// What no score flags is flagged by its label.
			Labelled: out.Verdict == policy.DGA && (out.Result.Abstain || out.Result.Tail > s.Policy.Threshold()),
			Example:  example,
		})
	}
	if s.Block {
		out.Block = j.blocked(via, out, client, now)
	}
	return out
}

func (j *Judge) offer(s evidence.Sighting) {
	if !j.queue.Offer(s) {
		j.counts.dropped.Add(1)
	}
}

// blocked reports whether the name or the client is a current hit. The background replaces the hits as they change; that
// a hit has not expired and a name has not become exempt is looked at here all the same, so that a background that
// stands still blocks nobody for ever.
func (j *Judge) blocked(via Via, out Judgement, client netip.Addr, now time.Time) bool {
	hits := j.hits.Load()
	if hits.Len() == 0 {
		return false
	}
	current := false
	if out.Result.Domain != "" && out.Verdict != policy.Exempt {
		h, found := hits.Name(out.Result.Domain)
		current = found && now.Before(h.Expires)
	}
	if !current && client.IsValid() {
		h, found := hits.Client(client)
		current = found && now.Before(h.Expires)
	}
	if current && via != ViaObserve && via != ViaLog { // nobody waits for the answer to those
		j.counts.blocked[via].Add(1)
	}
	return current
}

// panicked counts a panic, and says so now and then: whoever found out how to cause one must not fill the disk too.
func (j *Judge) panicked(p any) {
	j.counts.panics.Add(1)
	if j.panics.allows(j.now()) {
		j.log.Error("recovered from a panic; the request went on", "panic", p, "stack", string(debug.Stack()))
	}
}

// throttle lets something happen once a minute.
type throttle struct{ next atomic.Int64 }

func (t *throttle) allows(now time.Time) bool {
	n := t.next.Load()
	return now.UnixNano() >= n && t.next.CompareAndSwap(n, now.Add(time.Minute).UnixNano())
}

// Of examples, 20 a second tell the owner what an attack looks like, and as many at once what a burst did.
const (
	exampleEvery = time.Second / 20
	exampleBurst = 20 * exampleEvery
)

// allowance lets something happen so often in a second that a flood costs the request path nothing: the generic cell rate
// algorithm (ITU-T I.371), one word long.
type allowance struct{ next atomic.Int64 }

func (a *allowance) allows(now time.Time) bool {
	n, at := a.next.Load(), now.UnixNano()
	return n < at+int64(exampleBurst) && a.next.CompareAndSwap(n, max(n, at)+int64(exampleEvery))
}
