package scan

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"referee/intake/logs"
)

// blockSize is how much of a source is parsed at a time, at most and but for long lines.
const blockSize = 256 << 10

var errTooLong = errors.New("longer than 1 MiB")

// stream is a source under way: its blocks, parsed, come out of it in order.
type stream struct {
	source  *source
	blocks  chan chan *batch // closed at the end
	current *batch
	at      int   // the next record of current
	end     int64 // what the owner has taken, in bytes of the source, decompressed
	whole   bool  // it was read to its end; like err to be read after blocks is closed
	err     error
}

// head is the time of the next record.
func (s *stream) head() int64 { return s.current.records[s.at].sighting.Time }

// pipeline reads sources and has their blocks parsed.
type pipeline struct {
	jobs    chan *job
	read    atomic.Int64 // bytes, as they are stored
	buffers sync.Pool    // of *[]byte
	ahead   int          // blocks of one source that may wait for the owner
	keepCut bool         // an unfinished last line is left for the next scan
}

// start begins to read a source.
func (p *pipeline) start(ctx context.Context, src *source) *stream {
	s := &stream{source: src, blocks: make(chan chan *batch, p.ahead), end: src.from}
	go func() {
		defer close(s.blocks)
		if err := p.feed(ctx, s); err != nil && ctx.Err() == nil { // an end before the end is said once, for all
			s.err = fmt.Errorf("%s: %w", src.name, err)
		}
	}()
	return s
}

func (p *pipeline) feed(ctx context.Context, s *stream) error {
	raw, err := s.source.open(ctx)
	if err != nil {
		return err
	}
	defer raw.Close()
	stop := context.AfterFunc(ctx, func() { raw.Close() }) // a pipe or a connection may never say anything again
	defer stop()
	skip := s.source.from
	var in io.ReadCloser
	if seeker, ok := raw.(io.Seeker); ok && s.source.plain && skip > 0 {
		if _, err := seeker.Seek(skip, io.SeekStart); err != nil {
			return err
		}
		p.read.Add(skip)
		skip, in = 0, io.NopCloser(&counting{raw, &p.read})
	} else if in, err = logs.Decompress(&counting{raw, &p.read}); err != nil {
		return err
	}
	defer in.Close()
	c := cutter{p: p, s: s, in: in, format: s.source.format, layout: s.source.layout, offset: s.source.from - skip, skip: skip}
	if err := c.run(ctx); errors.Is(err, logs.ErrUnknown) {
		return err
	} else if err != nil {
		return fmt.Errorf("at byte %d: %w", c.offset, err)
	}
	s.whole = true
	return nil
}

// cutter cuts a source into blocks at line ends.
type cutter struct {
	p      *pipeline
	s      *stream
	in     io.Reader
	format logs.Format // empty: not known yet
	layout logs.Layout
	offset int64 // of tail, decompressed
	skip   int64 // bytes that an earlier scan took: of them the format alone is read
	tail   []byte
}

// passed says that n bytes are done with.
func (c *cutter) passed(n int) {
	c.offset += int64(n)
	c.skip = max(c.skip-int64(n), 0)
}

// run reads to the end.
func (c *cutter) run(ctx context.Context) error {
	long := false // within a line that is too long, whose beginning is gone
	for {
		buffer, _ := c.p.buffers.Get().(*[]byte)
		if buffer == nil {
			buffer = new(make([]byte, 0, blockSize))
		}
		block := slices.Grow(append((*buffer)[:0], c.tail...), blockSize/2)
		n, err := c.in.Read(block[len(block):cap(block)])
		block = block[:len(block)+n]
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		ended := err != nil
		if n == 0 && !ended {
			continue
		}
		if long {
			end := bytes.IndexByte(block, '\n') + 1
			if end == 0 {
				end = len(block)
			}
			c.passed(end)
			long = end > 0 && block[end-1] != '\n' && !ended
			if block = block[end:]; long {
				continue
			}
			if err := c.refuse(ctx); err != nil {
				return err
			}
		}
		cut := bytes.LastIndexByte(block, '\n') + 1
		if ended && !c.p.keepCut {
			cut = len(block)
		}
		c.tail = append(c.tail[:0], block[cut:]...)
		if cut > 0 {
			if err := c.send(ctx, buffer, block[:cut]); err != nil {
				return err
			}
		}
		if len(c.tail) > logs.MaxLine {
			c.passed(len(c.tail))
			c.tail, long = c.tail[:0], true
		}
		if ended {
			return nil
		}
	}
}

// send has a block parsed, but for what is to be skipped of it.
func (c *cutter) send(ctx context.Context, buffer *[]byte, block []byte) error {
	if c.format == "" {
		var err error
		if c.format, err = logs.Detect(block); err != nil {
			return err
		}
	}
	whole, layout := block, c.layout
	if n := int(min(c.skip, int64(len(block)))); n > 0 {
		if c.format == logs.CloudFront {
			layout = lastLayout(block[:n], layout)
		}
		block = block[n:]
		c.passed(n)
	}
	if c.format == logs.CloudFront {
		c.layout = lastLayout(whole, c.layout)
	}
	if len(block) == 0 {
		return nil
	}
	done := make(chan *batch, 1)
	*buffer = whole
	j := &job{block: block, buffer: buffer, format: c.format, layout: layout, source: c.s.source.name, start: c.offset, done: done}
	c.offset += int64(len(block))
	select {
	case c.p.jobs <- j:
	case <-ctx.Done():
		return ctx.Err()
	}
	c.s.blocks <- done
	return nil
}

// refuse says that a line was too long.
func (c *cutter) refuse(ctx context.Context) error {
	done := make(chan *batch, 1)
	done <- &batch{
		lines: 1, end: c.offset, unread: map[error]uint64{errTooLong: 1},
		example: []unread{{errTooLong, fmt.Sprintf("%s, before byte %d", c.s.source.name, c.offset), ""}},
	}
	select {
	case c.s.blocks <- done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lastLayout is the columns that hold behind a piece of a CloudFront log.
func lastLayout(piece []byte, before logs.Layout) logs.Layout {
	const mark = "#Fields:"
	at := bytes.LastIndex(piece, []byte("\n"+mark)) + 1
	if at == 0 && !bytes.HasPrefix(piece, []byte(mark)) {
		return before
	}
	line, _, _ := bytes.Cut(piece[at:], []byte("\n"))
	if l, ok := logs.ReadLayout(bytes.TrimSuffix(line, []byte("\r"))); ok {
		return l
	}
	return before
}

// counting counts what is read through it.
type counting struct {
	io.Reader
	n *atomic.Int64
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}
