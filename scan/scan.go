// Package scan judges recorded traffic offline: the same evidence, policy and report as live, with the time that the lines
// tell.
//
// Lines are parsed and judged in parallel, in blocks; one goroutine owns the evidence and takes the blocks of all sources in
// the order of their time. Memory is bounded whatever the size of the logs: blocks in flight, the evidence's own bounds, and
// the ledger's.
package scan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"referee/classifier"
	"referee/evidence"
	"referee/intake"
	"referee/intake/logs"
	"referee/policy"
	"referee/report"
)

// Options are what a scan is made with.
type Options struct {
	Model    *classifier.Model
	Policy   *policy.Policy
	Evidence evidence.Config
	Cache    int // origins of Referers whose verdicts are kept
	Proxies  *intake.Proxies

	Format  logs.Format // empty: found out for each source
	Fields  *logs.Names // of JSON lines; nil: the usual ones
	State   string      // a file that says where the last scan ended; empty: none
	S3      logs.S3Config
	Stdin   io.Reader
	Now     func() time.Time
	Workers int // that parse at a time; 0: GOMAXPROCS

	// Report: the Result is to hold the report too. It takes some 100 ms in all, and some microseconds for each flagged request.
	Report bool

	// Progress is told now and then how many bytes of how many were read; total is 0 where it is not known. It is called
	// from one goroutine at a time.
	Progress func(done, total int64)
}

// Result is what a scan found.
type Result struct {
	Sources     int            `json:"sources"` // files and objects read, those that an earlier scan had read left out
	Skipped     int            `json:"skipped"` // sources that an earlier scan had read whole
	Bytes       int64          `json:"bytes"`   // as they were stored, compressed or not
	Lines       uint64         `json:"lines"`
	Requests    uint64         `json:"requests"`        // lines that hold one, judged
	Elsewhere   uint64         `json:"ended_elsewhere"` // requests that WAF rules other than Referee's answered: no evidence
	Unread      uint64         `json:"unread"`          // lines that could not be read
	Why         []Unread       `json:"unread_why"`      // by reason
	First       time.Time      `json:"first,omitzero"`  // of the lines
	Last        time.Time      `json:"last,omitzero"`
	Judged      uint64         `json:"judged"`       // Requests, and those of earlier scans that the state tells of
	Flagged     uint64         `json:"flagged"`      // of these, with a flagged name
	Spared      int            `json:"spared_names"` // names that are flagged and may never be blocked
	Interrupted bool           `json:"interrupted"`  // it ended before all was read
	Names       []Rated        `json:"names"`        // by rating, then rank
	Clients     []Rated        `json:"clients"`
	LeftOut     int            `json:"left_out"`         // names and clients rated low that were too many to keep
	Report      *report.Report `json:"report,omitempty"` // nil where none was asked for
}

// Unread is one reason why lines were not read.
type Unread struct {
	Why     string   `json:"why"`
	Lines   uint64   `json:"lines"`
	Example []string `json:"examples"` // where, and the beginning of the line: not escaped
}

// Run scans files, directories, globs, - and s3://bucket/prefix. When ctx ends it returns what it has found until then.
// The error joins those of single sources; the Result stands beside it, but where nothing could be begun.
func Run(ctx context.Context, o Options, args []string) (*Result, error) {
	state, err := readState(o.State)
	if err != nil {
		return nil, err
	}
	if len(args) == 0 {
		return nil, errors.New("scan: nothing to read: name files, directories, globs, - or s3://bucket/prefix")
	}
	sources, missing := expand(ctx, o, args, state)
	if len(sources) == 0 && missing != nil {
		return nil, missing
	}
	own, err := newOwner(o, state)
	if err != nil {
		return nil, err
	}
	defer own.close()
	failed := errors.Join(missing, own.run(ctx, sources))
	result, err := own.finish(context.WithoutCancel(ctx))
	if err != nil {
		return nil, fmt.Errorf("scan: %w", err)
	}
	result.Interrupted = ctx.Err() != nil
	if result.Unread > 0 && result.Unread == result.Lines {
		failed = errors.Join(failed, fmt.Errorf("scan: none of %d lines could be read, for such reasons as: %s", result.Lines, result.Why[0].Why))
	}
	if err := own.writeState(o.State); err != nil {
		return result, errors.Join(failed, err)
	}
	return result, failed
}

// record is what is left of one line for the owner of the evidence.
type record struct {
	sighting evidence.Sighting
	flagged  bool // its tail is at the threshold or below, exempt or not
	dga      bool
}

// counted is what one hour of one block counted, as intake.Judge.Counts does.
type counted struct {
	hour     int64 // Unix seconds; 0: before the first time that the block tells
	verdicts [policy.NumVerdicts]uint64
	reasons  [numReasons]uint64
	saved    [policy.NumExemptions]uint64
	tails    [intake.NumDecades]uint64
}

// unread is a line that was not read.
type unread struct {
	err   error
	where string
	line  string
}

// batch is one block, parsed and judged.
type batch struct {
	records []record
	hours   []counted
	unread  map[error]uint64
	example []unread
	lines   uint64
	other   uint64 // ended elsewhere
	first   int64
	last    int64
	end     int64 // offset of the block's end in the source, decompressed
}

func (b *batch) reset() {
	clear(b.records) // do not keep the names alive
	*b = batch{records: b.records[:0], hours: b.hours[:0], example: b.example[:0], unread: b.unread}
	clear(b.unread)
}

// client of a line: the one that trusted proxies vouch for, unless it is none that anything is held against.
func (o *Options) client(l *logs.Line) netip.Addr {
	a := o.Proxies.Client(l.Client, l.Forwarded)
	if o.Policy.ExemptClient(a) {
		return netip.Addr{}
	}
	return a
}
