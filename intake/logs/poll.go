package logs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

const (
	lookBack   = time.Hour // how far back the first look goes
	maxStreams = 200       // web ACLs below one prefix
	maxDepth   = 8         // AWSLogs/ACCOUNT/WAFLogs/REGION/ACL/, and some before
	maxAtOnce  = 10_000    // objects of one stream in one look; the next look goes on
	rediscover = 10        // looks between two searches for new streams
)

// poll looks for new objects of AWS WAF's logs until ctx ends.
func (in *Intake) poll(ctx context.Context) {
	bucket, prefix, err := ParseS3(in.cfg.WAF.S3)
	if err != nil {
		in.trouble("logs-s3", err) // Validate refuses it
		return
	}
	p := &poller{in: in, prefix: prefix, r: in.reader(fromS3), parts: map[string]int{}}
	for n := 0; ; n++ {
		err := error(nil)
		if p.bucket == nil {
			p.bucket, err = OpenBucket(ctx, S3Config{Region: in.cfg.WAF.Region, Endpoint: in.cfg.WAF.Endpoint}, bucket)
		}
		if err == nil {
			err = p.look(ctx, n%rediscover == 0)
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			err = fmt.Errorf("logs.waf.s3: %w", err)
		}
		in.trouble("logs-s3", errors.Join(err, in.memory.write()))
		if !pause(ctx, in.cfg.WAF.Interval) {
			return
		}
	}
}

// poller is the state of poll, but for what is remembered.
type poller struct {
	in      *Intake
	bucket  *Bucket
	prefix  string
	streams []string
	r       *reader
	parts   map[string]int // lines taken of objects that broke off
}

// look reads what came since the last one.
func (p *poller) look(ctx context.Context, search bool) error {
	if search || len(p.streams) == 0 {
		prefix := p.prefix
		if prefix != "" && !strings.HasSuffix(prefix, "/") {
			prefix += "/"
		}
		p.streams = p.streams[:0]
		if err := p.discover(ctx, prefix, 0); err != nil {
			return err
		}
	}
	var errs []error
	for _, stream := range p.streams {
		errs = append(errs, p.read(ctx, stream))
	}
	return errors.Join(errs...)
}

// discover finds the prefixes below which keys go on with the date.
func (p *poller) discover(ctx context.Context, prefix string, depth int) error {
	folders, objects, err := p.bucket.folders(ctx, prefix, maxStreams)
	if err != nil {
		return err
	}
	dated := objects
	for _, f := range folders {
		name := strings.TrimSuffix(strings.TrimPrefix(f, prefix), "/")
		if y := number([]byte(name)); len(name) == 4 && y >= 1990 {
			dated = true
		} else if depth < maxDepth && len(p.streams) < maxStreams {
			if err := p.discover(ctx, f, depth+1); err != nil {
				return err
			}
		}
	}
	if dated && len(p.streams) < maxStreams {
		p.streams = append(p.streams, prefix)
	}
	return nil
}

// read reads the new objects of one stream, in the order of their keys.
func (p *poller) read(ctx context.Context, stream string) error {
	key := "s3://" + p.bucket.name + "/" + stream
	var cursor *Cursor
	p.in.memory.change(func(m *remembered) {
		if m.Streams[key] == nil {
			m.Streams[key] = &Cursor{After: stream + p.in.now().UTC().Add(-lookBack).Format("2006/01/02/15/")}
		}
		cursor = m.Streams[key]
	})
	var todo []Object
	err := p.bucket.List(ctx, stream, cursor.After, func(page []Object) bool {
		for _, o := range page {
			if s, _ := StreamOf(o.Key); s == stream && !cursor.Has(o.Key) {
				todo = append(todo, o)
			}
		}
		return len(todo) < maxAtOnce
	})
	if err != nil {
		return err
	}
	for i, o := range todo {
		if err := p.object(ctx, o); err != nil {
			return err // the next look tries it again
		}
		next := ""
		if i+1 < len(todo) {
			next = todo[i+1].Key
		}
		p.in.memory.change(func(*remembered) {
			cursor.Add(o)
			cursor.Trim(next)
		})
	}
	return nil
}

// object reads one object. What is damaged is said and left; what did not arrive is an error, and read on from there.
func (p *poller) object(ctx context.Context, o Object) error {
	body, err := p.bucket.Open(ctx, o.Key)
	if err != nil {
		return err
	}
	defer body.Close()
	wire := &failing{Reader: body}
	err = p.lines(ctx, o.Key, wire)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case wire.err != nil:
		return fmt.Errorf("%s: %w", p.bucket.URL(o.Key), wire.err)
	case err != nil:
		p.in.counts[fromS3][notRead].Add(1)
		p.in.log.Warn("a WAF log was not read to its end", "object", p.bucket.URL(o.Key), "error", err)
	}
	delete(p.parts, o.Key)
	return nil
}

func (p *poller) lines(ctx context.Context, key string, from io.Reader) error {
	in, err := Decompress(from)
	if err != nil {
		return err
	}
	defer in.Close()
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, 64<<10), MaxLine+1)
	taken := p.parts[key]
	for n := 0; lines.Scan(); n++ {
		if n < taken {
			continue
		}
		p.r.take(lines.Bytes())
		p.parts[key] = n + 1
		if n%pieceLines == pieceLines-1 && !pause(ctx, piecePause) {
			return ctx.Err()
		}
	}
	return lines.Err()
}

// failing remembers an error of the network, which is none of what it carries.
type failing struct {
	io.Reader
	err error
}

func (f *failing) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		f.err = err
	}
	return n, err
}
