package training

import (
	"archive/zip"
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Names shrink by 3 to 30 times when they are packed. What grows 200-fold and past 64 MiB was made to fill a disk or a day.
const (
	maxExpansion  = 200
	freeExpansion = 64 << 20 // bytes
	maxWindow     = 64 << 20 // bytes of memory that a zstd file may ask for
)

var errExpands = fmt.Errorf("grows more than %d-fold when it is unpacked: no list of names does", maxExpansion)

// openText looks through gzip, zstd and zip, by their magic numbers and not by the file's name. A zip holds one file.
func openText(file io.Reader) (io.Reader, error) {
	packed := &countingReader{Reader: file}
	in := bufio.NewReaderSize(packed, maxLine)
	head, err := in.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	var text io.Reader
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		text, err = gzip.NewReader(in)
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		text, err = zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return openZip(file)
	case bytes.HasPrefix(head, []byte{0xff, 0xfe}), bytes.HasPrefix(head, []byte{0xfe, 0xff}):
		return nil, errors.New("UTF-16: save it as UTF-8")
	default:
		return in, nil
	}
	return &expandingReader{text: text, packed: packed}, err
}

// openZip opens the one file in a zip.
func openZip(file io.Reader) (io.Reader, error) {
	whole, ok := file.(interface {
		io.ReaderAt
		io.Seeker
	})
	if !ok {
		return nil, errors.New("a zip that is no file")
	}
	size, err := whole.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, fmt.Errorf("a zip has its table at the end, so it must be a file and no pipe: %w", err)
	}
	archive, err := zip.NewReader(whole, size)
	if err != nil {
		return nil, err
	}
	var lists []*zip.File
	for _, f := range archive.File {
		if !f.FileInfo().IsDir() && !strings.HasPrefix(f.Name, "__MACOSX/") && path.Base(f.Name) != ".DS_Store" {
			lists = append(lists, f)
		}
	}
	if len(lists) != 1 {
		return nil, fmt.Errorf("a zip with %d files: want the list alone in it", len(lists))
	}
	text, err := lists[0].Open()
	if err != nil {
		return nil, err
	}
	return &expandingReader{text: text, packed: &countingReader{n: int64(lists[0].CompressedSize64)}}, nil
}

type countingReader struct {
	io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}

// close frees what an unpacker holds beside the file.
func (e *expandingReader) close() {
	switch text := e.text.(type) {
	case *zstd.Decoder:
		text.Close()
	case io.Closer:
		text.Close()
	}
}

// expandingReader refuses what grows too much.
type expandingReader struct {
	text   io.Reader
	packed *countingReader
	n      int64
}

func (e *expandingReader) Read(p []byte) (int, error) {
	n, err := e.text.Read(p)
	e.n += int64(n)
	if e.n > freeExpansion && e.n/maxExpansion > e.packed.n {
		return 0, errExpands
	}
	return n, err
}
