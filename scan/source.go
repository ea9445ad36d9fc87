package scan

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"referee/intake/logs"
)

// source is one file, object or standard input.
type source struct {
	name   string
	size   int64 // as it is stored; -1: not known
	open   func(context.Context) (io.ReadCloser, error)
	from   int64 // bytes that an earlier scan took, decompressed
	first  int64 // the time of its first line; 0 where that is not known
	format logs.Format
	layout logs.Layout
	plain  bool // not compressed, and a file: one can seek in it

	head   []byte // how it begins, decompressed: of files
	bucket string // of objects
	object logs.Object
}

const (
	maxObjects = 1_000_000 // of one argument: 200 MB of names
	headSize   = 1024      // tells one file from another, whatever it is called now and whether it was compressed since
	probeSize  = 64 << 10
)

// expand finds the sources that the arguments name: files, those in directories and below, those that a pattern matches,
// standard input, objects. Files come in the order of their first lines' time. What an earlier scan took is left out.
func expand(ctx context.Context, o Options, args []string, state *savedState) ([]*source, error) {
	var files, objects []*source
	seen := map[string]bool{}
	add := func(path string, size int64) error {
		if seen[path] {
			return nil
		}
		seen[path] = true
		s := &source{name: path, size: size, open: func(context.Context) (io.ReadCloser, error) { return os.Open(path) }}
		if err := s.probe(ctx, o.Format); err != nil {
			return err
		}
		files = append(files, s)
		return nil
	}
	var failed []error
	for _, arg := range args {
		var err error
		switch {
		case arg == "-":
			if !seen[arg] {
				files = append(files, &source{
					name: "standard input", size: -1, format: o.Format,
					open: func(context.Context) (io.ReadCloser, error) { return closable(o.Stdin), nil },
				})
			}
			seen[arg] = true
		case strings.HasPrefix(arg, "s3://"):
			var more []*source
			more, err = inBucket(ctx, o, arg, state)
			objects = append(objects, more...)
		default:
			err = expandPath(arg, add)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("scan: %w", err))
		}
	}
	slices.SortStableFunc(files, func(a, b *source) int { return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.name, b.name)) })
	return append(state.resume(files), objects...), errors.Join(failed...)
}

// closable lets a reader be closed where it can be.
func closable(r io.Reader) io.ReadCloser {
	if c, ok := r.(io.ReadCloser); ok {
		return c
	}
	return io.NopCloser(r)
}

// expandPath calls add for each file that a path or pattern means. A file that is there is one even if its name is a pattern.
func expandPath(arg string, add func(path string, size int64) error) error {
	paths := []string{arg}
	if _, err := os.Stat(arg); errors.Is(err, fs.ErrNotExist) && strings.ContainsAny(arg, "*?[") {
		matches, err := filepath.Glob(arg)
		if err != nil {
			return fmt.Errorf("%s: %w", arg, err)
		}
		if len(matches) == 0 {
			return fmt.Errorf("%s: no file matches", arg)
		}
		paths = matches
	}
	var failed []error
	fail := func(err error) error { // and go on with what is beside it
		failed = append(failed, err)
		return nil
	}
	for _, path := range paths {
		_ = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
			if err != nil {
				return fail(err)
			}
			if p != path && strings.HasPrefix(d.Name(), ".") {
				if d.IsDir() {
					return fs.SkipDir
				}
				return nil
			}
			info, err := os.Stat(p) // a link's target: log directories are full of them
			if err != nil {
				return fail(err)
			}
			switch {
			case d.IsDir(), info.IsDir():
				return nil
			case !info.Mode().IsRegular() && p != path:
				return nil
			case !info.Mode().IsRegular():
				err = add(p, -1) // a named pipe, asked for by name
			default:
				err = add(p, info.Size())
			}
			if err != nil {
				return fail(err)
			}
			return nil
		})
	}
	return errors.Join(failed...)
}

// probe reads how a file begins.
func (s *source) probe(ctx context.Context, format logs.Format) error {
	s.format = format
	if s.size <= 0 {
		return nil // a pipe cannot be read twice
	}
	raw, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer raw.Close()
	magic := make([]byte, 4)
	n, err := io.ReadFull(raw, magic)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	in, err := logs.Decompress(io.MultiReader(bytes.NewReader(magic[:n]), raw))
	if err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	defer in.Close()
	start := make([]byte, probeSize)
	read, err := io.ReadFull(in, start)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	start = start[:read]
	s.plain = bytes.HasPrefix(start, magic[:n])
	s.head = bytes.Clone(start[:min(read, headSize)])
	if s.format == "" {
		if s.format, err = logs.Detect(start); err != nil {
			s.format = "" // it is said when it is read
			return nil
		}
	}
	p := logs.NewParser(s.format, nil)
	var line logs.Line
	for l := range bytes.Lines(start) {
		if layout, ok := logs.ReadLayout(bytes.TrimRight(l, "\r\n")); ok && s.layout == (logs.Layout{}) {
			s.layout = layout
		}
		if ok, _ := p.Parse(bytes.TrimSuffix(l, []byte("\n")), &line); ok {
			s.first = line.Time
			break
		}
	}
	return nil
}

// inBucket lists the objects that s3://bucket/prefix means.
func inBucket(ctx context.Context, o Options, arg string, state *savedState) ([]*source, error) {
	name, prefix, err := logs.ParseS3(arg)
	if err != nil {
		return nil, err
	}
	b, err := logs.OpenBucket(ctx, o.S3, name)
	if err != nil {
		return nil, err
	}
	objects, skipped, err := b.ListAll(ctx, prefix, maxObjects, func(obj logs.Object) bool { return state.hasObject(name, obj) })
	if err != nil {
		return nil, err
	}
	state.skipped += skipped
	sources := make([]*source, len(objects))
	for i, obj := range objects {
		sources[i] = &source{
			name: b.URL(obj.Key), size: obj.Size, format: o.Format, bucket: name, object: obj, from: state.partOf(name, obj),
			open: func(ctx context.Context) (io.ReadCloser, error) { return b.Open(ctx, obj.Key) },
		}
	}
	return sources, nil
}

// fingerprint is what a file is known by: how long its beginning is that counts, and its hash.
func fingerprint(head []byte) string {
	sum := sha256.Sum256(head)
	return fmt.Sprintf("%d-%s", len(head), hex.EncodeToString(sum[:16]))
}
