// Package waftest is an in-process AWS WAFv2 endpoint for tests and demonstrations: the JSON 1.1 protocol of the real
// service over a real socket, with the limits that AWS enforces and emulators leave out, and a log of every call.
//
// What it knows of AWS comes from the service's API model (shapes, patterns, error types), the quota page
// (docs.aws.amazon.com/waf/latest/developerguide/limits.html), the page on regular expressions
// (…/waf-regex-pattern-support.html) and from errors that users of the service quote in public. Where AWS publishes
// nothing the stricter reading is taken, and the comment says so.
//
// It imports the standard library only.
package waftest

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Limits are the quotas that the endpoint enforces.
type Limits struct {
	Addresses   int // in one IP set
	IPSets      int // per scope and Region
	Patterns    int // in one regex pattern set
	PatternLen  int // characters in one pattern: AWS enforces 200 although the API model says 512
	Branches    int // '|' operators in one pattern: AWS refuses "a large number" and says no count
	PatternSets int // per scope and Region
	Updates     int // per second, of each Create, Update and Delete action (for Delete AWS publishes none)
	Reads       int // per second, of each Get and List action
}

// AWSLimits are AWS's default quotas.
func AWSLimits() Limits {
	return Limits{
		Addresses: 10_000, IPSets: 100, Patterns: 10, PatternLen: 200, Branches: 10, PatternSets: 10,
		Updates: 1, Reads: 5,
	}
}

// Call is one request as the endpoint saw it.
type Call struct {
	Time   time.Time
	Action string // "UpdateIPSet"
	Set    string // the name of the set it was about; empty for List
	Err    string // the error type answered; empty for success
}

// Writes says whether the call's action changes anything.
func (c Call) Writes() bool { return isWrite(c.Action) }

// Fault is what a fault hook wants done to a call. The zero Fault does nothing.
type Fault struct {
	Delay time.Duration // before the call is handled
	Code  string        // answer with this error type, unhandled
	Lost  bool          // handle the call, then cut the connection without an answer
	Reset bool          // cut the connection without handling the call
}

// Option changes a Server at its making.
type Option func(*Server)

// WithClock replaces time.Now, by which calls are stamped and throttled.
func WithClock(now func() time.Time) Option { return func(s *Server) { s.now = now } }

// WithLimits replaces AWSLimits.
func WithLimits(l Limits) Option { return func(s *Server) { s.limits = l } }

// WithFaults calls hook before each call is handled, outside any lock: it may use the Server itself, to play a second
// writer for instance.
func WithFaults(hook func(Call) Fault) Option { return func(s *Server) { s.fault = hook } }

// WithDelay has reads show a set as it was, its lock token too, for so long after an update: AWS says seconds to minutes.
func WithDelay(d time.Duration) Option { return func(s *Server) { s.delay = d } }

// Server is the endpoint. All its methods may be called from several goroutines.
type Server struct {
	limits Limits
	now    func() time.Time
	fault  func(Call) Fault
	delay  time.Duration // that reads lag behind updates

	mu       sync.Mutex
	sets     []*set
	calls    []Call
	accepted map[string][]time.Time // by action: the last second's calls

	http   *http.Server
	served chan struct{} // closed when Serve has ended, with
	ended  error
	url    string
}

// New returns an endpoint without any set. Use it as an http.Handler, or Start it.
func New(opts ...Option) *Server {
	s := &Server{limits: AWSLimits(), now: time.Now, accepted: map[string][]time.Time{}}
	for _, o := range opts {
		o(s)
	}
	return s
}

// Start listens on a free port of the loopback address and serves until Close.
func (s *Server) Start() error {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	s.url = "http://" + l.Addr().String()
	s.served = make(chan struct{})
	go func() {
		defer close(s.served)
		s.ended = s.http.Serve(l)
	}()
	return nil
}

// URL is the address to give to the SDK as its base endpoint. It is empty before Start.
func (s *Server) URL() string { return s.url }

// Close stops serving, cuts what is open, and returns why serving had ended before, if it had.
func (s *Server) Close() error {
	if s.http == nil {
		return nil
	}
	closing := s.http.Close()
	<-s.served
	if !errors.Is(s.ended, http.ErrServerClosed) {
		return s.ended
	}
	return closing
}

// Calls returns all calls in the order of their arrival.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}
