package logs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"referee/intake"
)

// Intake reads logs live and offers what it reads to a Judge, as the other intakes do. New wires it, Listen binds its
// sockets, Run reads until its context ends.
type Intake struct {
	cfg     Config
	judge   *intake.Judge
	names   *Names
	log     *slog.Logger
	now     func() time.Time
	trouble func(part string, err error)
	counts  [numOrigins][numFates]atomic.Uint64
	warned  [numOrigins]atomic.Int64 // when an unread line was last told, Unix nanoseconds
	refused atomic.Uint64            // connections over the limit

	udp      *net.UDPConn
	tcp      net.Listener
	firehose *firehose
	follower *follower
	memory   memory
}

// origin is where a line came from: a metric label.
type origin uint8

const (
	fromSyslog origin = iota
	fromFile
	fromS3
	fromFirehose
	numOrigins
)

func (o origin) String() string { return [numOrigins]string{"syslog", "file", "s3", "firehose"}[o] }

// fate is what became of a line: a metric label.
type fate uint8

const (
	judged     fate = iota
	refreshed       // ended by a rule of Referee's: it keeps a block alive
	elsewhere       // ended by another rule: no evidence
	notCounted      // let through by AWS WAF, and seen by another intake
	notRead
	broken // a panic
	numFates
)

func (f fate) String() string {
	return [numFates]string{"judged", "refreshed", "ended_elsewhere", "not_counted", "unread", "panic"}[f]
}

// New makes an Intake. dir is where it remembers how far it read; empty: nowhere. trouble is told what does not work, and with
// nil when it does again.
func New(cfg Config, j *intake.Judge, dir string, reg prometheus.Registerer, log *slog.Logger, now func() time.Time,
	trouble func(part string, err error),
) (*Intake, error) {
	in := &Intake{cfg: cfg, judge: j, names: NewNames(cfg.Fields), log: log, now: now, trouble: trouble}
	if dir != "" {
		in.memory.path = filepath.Join(dir, "logs.json")
	}
	if err := in.memory.read(); err != nil {
		log.Warn("how far logs were read is forgotten: followed files go on at their ends", "error", err)
	}
	if cfg.Firehose.Listen != "" {
		var err error
		if in.firehose, err = newFirehose(in, reg); err != nil {
			return nil, err
		}
	}
	for o := range numOrigins {
		for f := range numFates {
			reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
				Name: "referee_log_lines_total", Help: "Lines of logs, by where they came from and what became of them.",
				ConstLabels: prometheus.Labels{"source": o.String(), "result": f.String()},
			}, func() float64 { return float64(in.counts[o][f].Load()) }))
		}
	}
	reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "referee_log_connections_refused_total", Help: "Syslog connections refused because too many were open.",
	}, func() float64 { return float64(in.refused.Load()) }))
	return in, nil
}

// Listen binds what is configured, and notes where followed files end.
func (in *Intake) Listen(ctx context.Context) error {
	if in.cfg.Listen != "" {
		if err := in.listenSyslog(ctx); err != nil {
			return fmt.Errorf("logs.listen: cannot listen on %q: %w; choose another address or stop what uses it", in.cfg.Listen, err)
		}
		if !isLoopback(in.cfg.Listen) {
			in.log.Warn("logs.listen is no loopback address: whoever can send to it can send sightings", "address", in.cfg.Listen)
		}
	}
	if in.firehose != nil {
		if err := in.firehose.listen(ctx); err != nil {
			return errors.Join(fmt.Errorf("logs.firehose.listen: %w", err), in.Close())
		}
	}
	if len(in.cfg.Files) > 0 {
		in.follower = newFollower(in)
		in.follower.begin()
	}
	return nil
}

// Addresses says where the sockets are bound: logs, firehose.
func (in *Intake) Addresses() map[string]string {
	all := map[string]string{}
	if in.tcp != nil {
		all["logs"] = in.tcp.Addr().String()
	}
	if in.firehose != nil && in.firehose.ln != nil {
		all["firehose"] = in.firehose.ln.Addr().String()
	}
	return all
}

// Close gives sockets and files free, where Run is not called.
func (in *Intake) Close() error {
	var errs []error
	if in.follower != nil {
		for _, f := range in.follower.files {
			f.close()
		}
	}
	if in.udp != nil {
		errs = append(errs, in.udp.Close())
	}
	if in.tcp != nil {
		errs = append(errs, in.tcp.Close())
	}
	if in.firehose != nil && in.firehose.ln != nil {
		errs = append(errs, in.firehose.ln.Close())
	}
	return errors.Join(errs...)
}

// Run reads until ctx ends, and then remembers how far it came.
func (in *Intake) Run(ctx context.Context) error {
	var group errgroup.Group
	if in.udp != nil {
		group.Go(func() error { in.readUDP(ctx); return nil })
		group.Go(func() error { in.acceptTCP(ctx); return nil })
	}
	if in.follower != nil {
		group.Go(func() error { in.follower.run(ctx); return nil })
	}
	if in.cfg.WAF.S3 != "" {
		group.Go(func() error { in.poll(ctx); return nil })
	}
	if in.firehose != nil {
		group.Go(func() error { return in.firehose.serve(ctx) })
	}
	err := group.Wait()
	return errors.Join(err, in.memory.write())
}

// reader judges the lines of one source. Each goroutine has its own.
type reader struct {
	in      *Intake
	from    origin
	parsers map[Format]*Parser
	line    Line
}

func (in *Intake) reader(from origin) *reader {
	return &reader{in: in, from: from, parsers: map[Format]*Parser{}}
}

// future is by how much a clock may be ahead of ours.
const future = time.Minute

// take judges one line. Whatever is in it, the next one is read.
func (r *reader) take(line []byte) {
	defer func() {
		if p := recover(); p != nil {
			if r.in.counts[r.from][broken].Add(1) == 1 { // once: whoever found out how must not fill the disk too
				r.in.log.Error("recovered from a panic; the next line is read", "panic", p, "stack", string(debug.Stack()))
			}
		}
	}()
	r.in.counts[r.from][r.judge(line)].Add(1)
}

func (r *reader) judge(line []byte) fate {
	format := r.format(line)
	p := r.parsers[format]
	if p == nil {
		p = NewParser(format, r.in.names)
		r.parsers[format] = p
	}
	holds, err := p.Parse(line, &r.line)
	if err != nil {
		r.tell(err, line)
		return notRead
	}
	l := &r.line
	switch {
	case !holds:
		return notCounted
	case l.Ended && !l.Ours:
		return elsewhere
	case format == WAF && !l.Ended && !r.in.cfg.WAF.Evidence:
		return notCounted
	}
	request := intake.Request{
		Referer: l.Referer, Client: r.in.judge.Client(l.Client, l.Forwarded), Agent: l.Agent, Path: l.Path, Blocked: l.Ended,
	}
	// A time ahead of ours would keep its evidence for ever.
	if at := time.Unix(0, l.Time); l.Time > 0 && at.Before(r.in.now().Add(future)) {
		request.Time = at
	}
	r.in.judge.Judge(intake.ViaLog, request)
	if l.Ended {
		return refreshed
	}
	return judged
}

func (r *reader) format(line []byte) Format {
	switch {
	case r.from == fromS3 || r.from == fromFirehose:
		return WAF
	case r.in.cfg.Format != "" && r.in.cfg.Format != "auto":
		return Format(r.in.cfg.Format)
	}
	if line = unwrapped(line); len(line) > 0 && line[0] == '{' {
		f, _ := Of(line)
		return f
	}
	return Combined
}

// onceAMinute keeps what strangers can cause out of the log but once a minute.
func (in *Intake) onceAMinute(told *atomic.Int64) bool {
	now, last := in.now().UnixNano(), told.Load()
	return (last == 0 || now-last >= int64(time.Minute)) && told.CompareAndSwap(last, now)
}

// tell logs a line that was not read.
func (r *reader) tell(err error, line []byte) {
	if r.in.onceAMinute(&r.in.warned[r.from]) {
		r.in.log.Warn("a line of a log was not read", "source", r.from, "why", err, "line", string(line[:min(len(line), 200)]))
	}
}

// Sources that could be read faster than the background takes sightings off the queue wait a little now and then: what waits
// in a file is not lost, what finds the queue full is. 8,192 lines in 25 ms are half of the default queue in the 100 ms
// between two drains.
const (
	pieceLines = 8192
	piecePause = 25 * time.Millisecond
)

// pause waits, and reports whether ctx goes on.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
