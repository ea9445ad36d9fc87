package scan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"

	"referee/evidence"
	"referee/features"
	"referee/ledger"
	"referee/policy"
	"referee/report"
)

const (
	window      = 16      // sources read at a time; lines of more that overlap in time are taken a little out of order
	maxFlagged  = 10_000  // flagged sightings between two commits
	decideAfter = 250_000 // sightings between two decisions at most
	giveUp      = 2 * time.Second
	tellEvery   = 100 * time.Millisecond
)

// owner is the one goroutine that owns the evidence, as sidecar's keeper does live.
type owner struct {
	o      Options
	ledger *ledger.Ledger
	state  *evidence.State
	saved  *savedState

	clock   int64 // the latest time of any line, Unix nanoseconds; 0: none was told yet
	first   int64
	every   int64 // between two decisions, of the lines' time
	decided int64 // when the last one was
	since   int   // sightings since then
	marked  int   // of these, flagged
	hits    *policy.Hits
	// extended are the last extensions of active hits, by key. They go to the ledger at the end alone: live each is history, but
	// over months of logs they would fill its memory, and a report shows the last one.
	extended map[string]policy.Decision
	flagged  []evidence.Sighting
	hours    map[int64]*counted
	lows     lows

	result Result
	why    map[error]*Unread
	pool   sync.Pool // of *batch
}

func newOwner(o Options, saved *savedState) (*owner, error) {
	ctx := context.Background()
	l, err := ledger.Memory(ctx)
	if err != nil {
		return nil, fmt.Errorf("scan: %w", err)
	}
	w := &owner{
		o: o, ledger: l, saved: saved, hours: map[int64]*counted{}, extended: map[string]policy.Decision{}, why: map[error]*Unread{},
		// A name or a client is forgotten a window after it was last seen: a hundredth of it makes no difference.
		every: max(int64(o.Evidence.Window)/100, int64(time.Second)), lows: newLows(),
	}
	if err := w.restore(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("scan: %w", err), l.Close())
	}
	return w, nil
}

func (w *owner) close() { _ = w.ledger.Close() } // it is in memory

// run reads every source, and returns the errors of single ones.
func (w *owner) run(ctx context.Context, sources []*source) error {
	workers := w.o.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	p := &pipeline{jobs: make(chan *job), ahead: workers + 2, keepCut: w.o.State != ""}
	quit := make(chan struct{})
	defer close(quit)
	for range workers {
		go w.work(p, newWorker(&w.o, w.o.Cache/workers), quit)
	}
	var total int64
	for _, s := range sources {
		if s.size < 0 {
			total = math.MinInt64 / 2
		}
		total += s.size
	}
	defer w.tell(p, max(total, 0))()
	lost := make(chan struct{}) // closed where a reader cannot be interrupted
	defer context.AfterFunc(ctx, func() { time.AfterFunc(giveUp, func() { close(lost) }) })()

	var errs []error
	var active []*stream
	next := 0
	for {
		for ctx.Err() == nil && len(active) < window && next < len(sources) {
			active = append(active, p.start(ctx, sources[next]))
			next++
		}
		active = slices.DeleteFunc(active, func(s *stream) bool {
			if w.fill(s, lost) {
				return false
			}
			if s.err != nil {
				errs = append(errs, s.err)
			}
			w.saved.took(s)
			w.result.Sources++
			return true
		})
		if len(active) == 0 && (next == len(sources) || ctx.Err() != nil) {
			break
		}
		w.takeEarliest(active)
	}
	for _, s := range sources[next:] {
		w.saved.leave(s)
	}
	w.result.Bytes = p.read.Load()
	return errors.Join(errs...)
}

// tell reports how much was read, now and then until the function that it returns is called, which does so a last time.
func (w *owner) tell(p *pipeline, total int64) (stop func()) {
	if w.o.Progress == nil {
		return func() {}
	}
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(tellEvery)
		defer tick.Stop()
		for more := true; more; {
			select {
			case <-tick.C:
			case <-quit:
				more = false
			}
			w.o.Progress(p.read.Load(), total)
		}
	}()
	return func() { close(quit); <-ended }
}

func (w *owner) work(p *pipeline, worker *worker, quit <-chan struct{}) {
	for {
		select {
		case j := <-p.jobs:
			b, _ := w.pool.Get().(*batch)
			if b == nil {
				b = &batch{}
			}
			worker.parse(j, b)
			if cap(*j.buffer) <= 2*blockSize {
				p.buffers.Put(j.buffer)
			}
			j.done <- b
		case <-quit:
			return
		}
	}
}

// fill sees to it that a stream has a record at hand; false where it has no more.
func (w *owner) fill(s *stream, lost <-chan struct{}) bool {
	for {
		if s.current != nil {
			if s.at < len(s.current.records) {
				return true
			}
			w.settle(s)
		}
		select {
		case done, more := <-s.blocks:
			if !more {
				return false
			}
			s.current, s.at = <-done, 0
		case <-lost:
			return false
		}
	}
}

// takeEarliest takes from the stream whose next record is the earliest, until another one's is.
func (w *owner) takeEarliest(active []*stream) {
	if len(active) == 0 {
		return
	}
	first, until := active[0], int64(math.MaxInt64)
	for _, s := range active[1:] {
		if at := s.head(); at < first.head() {
			first, until = s, first.head()
		} else {
			until = min(until, at)
		}
	}
	records := first.current.records
	for first.at < len(records) && records[first.at].sighting.Time <= until {
		w.see(&records[first.at])
		first.at++
	}
}

// see takes one sighting in.
func (w *owner) see(r *record) {
	s := &r.sighting
	if s.Time == 0 {
		s.Time = w.now().UnixNano()
	} else {
		w.clock = max(w.clock, s.Time)
	}
	if w.clock-w.decided >= w.every || w.since >= decideAfter || w.marked >= maxFlagged {
		w.decide()
	}
	w.since++
	w.state.Add(*s)
	if r.flagged {
		w.marked++
		if w.o.Report || s.Exempt { // what never-block spared is always told
			w.flagged = append(w.flagged, *s)
		}
	}
	if r.dga {
		w.lows.add(s)
	}
}

// now is the time that the lines have come to; before any has told one it is the wall clock's.
func (w *owner) now() time.Time {
	if w.clock == 0 {
		return w.o.Now()
	}
	return time.Unix(0, w.clock)
}

// settle adds up what a block counted, when its records are taken.
func (w *owner) settle(s *stream) {
	b := s.current
	s.current, s.end = nil, b.end
	w.result.Lines += b.lines
	w.result.Elsewhere += b.other
	if b.first != 0 && (w.first == 0 || b.first < w.first) {
		w.first = b.first
	}
	w.clock = max(w.clock, b.last)
	for i := range b.hours {
		h := &b.hours[i]
		at := h.hour
		if at == 0 {
			at = w.now().Truncate(time.Hour).Unix()
		}
		sum := w.hours[at]
		if sum == nil {
			sum = &counted{hour: at}
			w.hours[at] = sum
		}
		sum.add(h)
		for _, n := range h.verdicts {
			w.result.Requests += n
		}
	}
	for err, n := range b.unread {
		w.result.Unread += n
		if w.why[err] == nil {
			w.why[err] = &Unread{Why: err.Error(), Example: []string{}}
		}
		w.why[err].Lines += n
	}
	for _, e := range b.example {
		if why := w.why[e.err]; len(why.Example) < examplesKept {
			why.Example = append(why.Example, e.where+": "+e.line)
		}
	}
	b.reset()
	w.pool.Put(b)
}

func (c *counted) add(o *counted) {
	for i, n := range o.verdicts {
		c.verdicts[i] += n
	}
	for i, n := range o.reasons {
		c.reasons[i] += n
	}
	for i, n := range o.saved {
		c.saved[i] += n
	}
	for i, n := range o.tails {
		c.tails[i] += n
	}
}

// counts are those of one hour, under intake.Judge.Counts' names.
func (c *counted) counts() map[string]uint64 {
	m := map[string]uint64{}
	put := func(key string, n uint64) {
		if n > 0 {
			m[key] += n
		}
	}
	for v, n := range c.verdicts {
		put("requests", n)
		put("verdict."+policy.Verdict(v).String(), n)
	}
	for r, n := range c.reasons {
		put("invalid."+features.Reason(r).String(), n)
	}
	for e, n := range c.saved {
		put("saved."+policy.Exemption(e).String(), n)
	}
	for d, n := range c.tails {
		put("tail."+strconv.Itoa(d), n)
	}
	return m
}

// decide is what the keeper does each second.
func (w *owner) decide() {
	now := w.now()
	for before := (evidence.Sizes{}); ; { // each call forgets a bounded number
		w.state.Expire(now)
		sizes := w.state.Sizes()
		if sizes.Names == before.Names && sizes.Clients == before.Clients {
			break
		}
		before = sizes
	}
	hits, decisions := w.o.Policy.Decide(w.hits, w.state, now)
	decisions = w.hold(decisions)
	w.hits, w.decided, w.since, w.marked = hits, w.clock, 0, 0
	hour := now.Truncate(time.Hour)
	ctx := context.Background()
	batches := []ledger.Batch{{Hour: hour, Flagged: w.flagged, Decisions: decisions}}
	for at, c := range w.hours {
		batches = append(batches, ledger.Batch{Hour: time.Unix(at, 0), Counts: c.counts()})
	}
	for _, b := range batches {
		if err := w.ledger.Commit(ctx, b); err != nil {
			w.saved.failed = errors.Join(w.saved.failed, err)
		}
	}
	clear(w.hours)
	clear(w.flagged)
	w.flagged = w.flagged[:0]
}

// hold keeps extensions back, and returns the other decisions.
func (w *owner) hold(decisions []policy.Decision) []policy.Decision {
	return slices.DeleteFunc(decisions, func(d policy.Decision) bool {
		key := d.Hit.Key()
		if d.Action == policy.Extend {
			w.extended[key] = d
			return true
		}
		delete(w.extended, key)
		return false
	})
}

// finish decides a last time and makes the result.
func (w *owner) finish(ctx context.Context) (*Result, error) {
	w.decide()
	last := slices.Collect(maps.Values(w.extended))
	slices.SortFunc(last, func(a, b policy.Decision) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Hit.Key(), b.Hit.Key()))
	})
	if err := w.ledger.Commit(ctx, ledger.Batch{Decisions: last}); err != nil {
		return nil, err
	}
	if w.saved.failed != nil {
		return nil, w.saved.failed
	}
	r := &w.result
	for _, why := range w.why {
		r.Why = append(r.Why, *why)
	}
	slices.SortFunc(r.Why, func(a, b Unread) int { return cmp.Or(cmp.Compare(b.Lines, a.Lines), cmp.Compare(a.Why, b.Why)) })
	r.Skipped = w.saved.skipped
	now, since := w.now(), w.now()
	if w.first != 0 {
		since = time.Unix(0, w.first)
		r.First, r.Last = since.UTC(), now.UTC()
	}
	if w.o.Report {
		src := report.Sources{Ledger: w.ledger, Policy: w.o.Policy, Model: w.o.Model, Evidence: w.o.Evidence, State: w.state}
		var err error
		if r.Report, err = report.Build(ctx, src, since, now, report.Shadow); err != nil {
			return nil, err
		}
	}
	if err := w.sum(ctx, since); err != nil {
		return nil, err
	}
	decided, err := w.ledger.LastDecisions(ctx, time.Time{})
	if err != nil {
		return nil, err
	}
	r.Names, r.Clients = w.lows.rate(decided, w.o.Policy, w.state)
	r.LeftOut = w.lows.leftOut
	return r, nil
}

// sum adds up what the ledger holds since then, as a report does.
func (w *owner) sum(ctx context.Context, since time.Time) error {
	hours, err := w.ledger.Hours(ctx, since)
	if err != nil {
		return err
	}
	for _, h := range hours {
		w.result.Judged += h.Counts["requests"]
		w.result.Flagged += h.Counts["verdict."+policy.DGA.String()]
	}
	names, err := w.ledger.SavedNames(ctx, since)
	for _, n := range names {
		if n.Tail <= w.o.Policy.Threshold() {
			w.result.Spared++
		}
	}
	return err
}
