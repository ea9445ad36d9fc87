package scan

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"time"

	"referee/classifier"
	"referee/evidence"
	"referee/features"
	"referee/intake"
	"referee/intake/logs"
	"referee/policy"
)

const numReasons = features.NumReasons

// job is one block to parse. The answer goes to done, which has room for it.
type job struct {
	block  []byte
	buffer *[]byte // where block lives, to be used again
	format logs.Format
	layout logs.Layout
	source string
	start  int64 // offset of block in the source, decompressed
	done   chan *batch
}

// worker parses and judges blocks. Each goroutine has its own.
type worker struct {
	o       *Options
	parsers map[logs.Format]*logs.Parser
	referer features.Parser
	memo    memo
	line    logs.Line
	second  int64 // of the log's time, in which so many examples were taken
	taken   int
}

func newWorker(o *Options, names int) *worker {
	return &worker{o: o, parsers: map[logs.Format]*logs.Parser{}, memo: newMemo(names)}
}

const examplesKept = 3 // of each reason in a block, and in the result

// parse judges a block into b.
func (w *worker) parse(j *job, b *batch) {
	p := w.parsers[j.format]
	if p == nil {
		p = logs.NewParser(j.format, w.o.Fields)
		w.parsers[j.format] = p
	}
	p.SetLayout(j.layout)
	b.end = j.start + int64(len(j.block))
	hour := -1 // index of the current one in b.hours
	for rest := j.block; len(rest) > 0; {
		line := rest
		if end := bytes.IndexByte(rest, '\n'); end >= 0 {
			line, rest = rest[:end], rest[end+1:]
		} else {
			rest = nil
		}
		b.lines++
		holds, err := p.Parse(line, &w.line)
		if err != nil {
			b.refuse(err, j, line, int64(len(j.block)-len(rest)-len(line)))
			continue
		}
		if !holds {
			continue
		}
		if t := w.line.Time; t > 0 {
			if b.first == 0 || t < b.first {
				b.first = t
			}
			b.last = max(b.last, t)
		} else {
			w.line.Time = b.last
		}
		if at := w.line.Time / hourNanos * hourSeconds; hour < 0 || b.hours[hour].hour != at {
			hour = b.hourOf(at)
		}
		w.judge(b, &b.hours[hour])
	}
}

const (
	hourSeconds = 3600
	hourNanos   = hourSeconds * 1_000_000_000
)

func (b *batch) hourOf(at int64) int {
	for i := range b.hours {
		if b.hours[i].hour == at {
			return i
		}
	}
	b.hours = append(b.hours, counted{hour: at})
	return len(b.hours) - 1
}

func (b *batch) refuse(err error, j *job, line []byte, offset int64) {
	if b.unread == nil {
		b.unread = map[error]uint64{}
	}
	if b.unread[err]++; b.unread[err] <= examplesKept {
		b.example = append(b.example, unread{err, fmt.Sprintf("%s, byte %d", j.source, j.start+max(offset, 0)), string(line[:min(len(line), 120)])})
	}
}

// judge is intake.Judge.Judge for what is over already: nobody is answered, and the sighting goes into the batch.
func (w *worker) judge(b *batch, c *counted) {
	l := &w.line
	if l.Ended && !l.Ours {
		b.other++
		return
	}
	m := w.look(l.Referer)
	c.verdicts[m.verdict]++
	if m.reason != features.Named {
		c.reasons[m.reason]++
		return
	}
	if !m.result.Abstain && m.verdict != policy.Exempt {
		c.tails[intake.Decade(m.result.Tail)]++
	}
	flagged := !m.result.Abstain && m.result.Tail <= w.o.Policy.Threshold()
	if flagged && m.verdict == policy.Exempt {
		c.saved[m.exemption]++
	}
	if m.exemption == policy.Own || l.Ended && m.verdict != policy.DGA {
		return
	}
	var example *evidence.Example
	if m.verdict == policy.DGA && w.exemplary(l.Time) {
		example = evidence.NewExample(l.Referer, l.Agent, l.Path)
	}
	b.records = append(b.records, record{
		sighting: evidence.Sighting{
			Result:  m.result,
			Client:  w.o.client(l),
			Agent:   w.memo.shape(l.Agent),
			Path:    evidence.PathShape(l.Path),
			Time:    l.Time,
			Exempt:  m.verdict == policy.Exempt,
			Blocked: l.Ended,
			Example: example,
		},
		flagged: flagged,
		dga:     m.verdict == policy.DGA && !l.Ended,
	})
}

// exemplary says whether a flagged request is kept word for word: as many in a second of the log as the sidecar keeps.
func (w *worker) exemplary(at int64) bool {
	const each = 20
	if second := at / int64(time.Second); second != w.second {
		w.second, w.taken = second, 0
	}
	w.taken++
	return w.taken <= each
}

// look judges a Referer, or remembers what was said of another one of its origin.
func (w *worker) look(referer []byte) *judged {
	origin := features.Origin(referer)
	m, known := w.memo.find(origin)
	if known {
		return m
	}
	name, reason := w.referer.Referer(origin)
	m.reason, m.result, m.verdict, m.exemption = reason, classifier.Result{}, policy.Invalid, policy.NotExempt
	if reason == features.Named {
		m.result = w.o.Model.Judge(name)
		m.verdict, m.exemption = w.o.Policy.Judge(name, m.result)
	}
	return m
}

// memo remembers the last origin of each hash: most lines of a log repeat one of few, and it costs less to score a name again that
// another one pushed out than to keep the order in which all were used. It is a worker's own, and bounded: by its number of entries, of at
// most 128 bytes of origin each.
type memo struct {
	seed    maphash.Seed
	entries []judged // a power of two, and one more for what is too long to be remembered
	agents  []agent
}

type judged struct {
	origin    []byte
	used      bool
	reason    features.Reason
	verdict   policy.Verdict
	exemption policy.Exemption
	result    classifier.Result
}

type agent struct {
	text  []byte
	shape uint32
}

const (
	memoLeast = 1 << 12
	memoLong  = 128
	agentSize = 1 << 10
	agentLong = 256
)

func newMemo(names int) memo {
	size := memoLeast
	for size < names {
		size *= 2
	}
	return memo{seed: maphash.MakeSeed(), entries: make([]judged, size+1), agents: make([]agent, agentSize)}
}

// find returns the entry of an origin, and whether it is filled already; if not, it is the caller's to fill.
func (m *memo) find(origin []byte) (*judged, bool) {
	last := uint64(len(m.entries) - 1)
	if len(origin) > memoLong {
		return &m.entries[last], false // kept for the next call at most
	}
	e := &m.entries[maphash.Bytes(m.seed, origin)&(last-1)]
	if e.used && string(e.origin) == string(origin) {
		return e, true
	}
	e.used, e.origin = true, append(e.origin[:0], origin...)
	return e, false
}

// shape is evidence.AgentShape, remembered.
func (m *memo) shape(text []byte) uint32 {
	if len(text) > agentLong {
		return evidence.AgentShape(text)
	}
	a := &m.agents[maphash.Bytes(m.seed, text)%agentSize]
	if string(a.text) != string(text) {
		a.text, a.shape = append(a.text[:0], text...), evidence.AgentShape(text)
	}
	return a.shape
}
