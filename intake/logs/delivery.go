package logs

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/klauspost/compress/gzip"
)

// deliver reads and judges one delivery, unless it was taken before; it returns the status, and what is wrong.
func (f *firehose) deliver(w http.ResponseWriter, r *http.Request, id string) (status int, why string) {
	select {
	case f.places <- struct{}{}:
		defer func() { <-f.places }()
	default:
		return http.StatusServiceUnavailable, "too many deliveries at a time"
	}
	switch f.begin(id) {
	case taken:
		_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, 1<<20)) // so that the connection may be used again
		return http.StatusOK, ""
	case underway:
		return http.StatusConflict, "the same delivery is being taken"
	}
	whole := false
	defer func() { f.end(id, whole) }()
	limit := f.in.cfg.Firehose.MaxBody
	body, err := inflate(http.MaxBytesReader(w, r.Body, limit), r.Header.Get("Content-Encoding"), limit)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.Is(err, errInflated), errors.As(err, &tooLarge):
		return http.StatusRequestEntityTooLarge, fmt.Sprintf("larger than %d bytes, inflated: lower the buffer hint", limit)
	case err != nil:
		return http.StatusBadRequest, "the body cannot be read"
	}
	lines, err := Delivery(body, id)
	if err != nil {
		return http.StatusBadRequest, err.Error()
	}
	f.judge(lines)
	whole = true
	return http.StatusOK, ""
}

// judge goes on if the sender leaves: it repeats what it got no answer to, and that is then known as taken.
func (f *firehose) judge(lines [][]byte) {
	f.judging.Lock()
	defer f.judging.Unlock()
	reader := f.in.reader(fromFirehose)
	for i, line := range lines {
		reader.take(line)
		if i%pieceLines == pieceLines-1 {
			pause(context.Background(), piecePause)
		}
	}
}

var errInflated = errors.New("too large when inflated")

// inflate reads a body that may be gzip, up to limit bytes.
func inflate(body io.Reader, encoding string, limit int64) ([]byte, error) {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "identity":
	case "gzip":
		z, err := gzip.NewReader(body)
		if err != nil {
			return nil, err
		}
		defer z.Close()
		body = z
	default:
		return nil, errors.New("the content encoding is neither gzip nor none")
	}
	data, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = errInflated
	}
	return data, err
}

// Delivery returns the lines in the body of a delivery whose id the header said. A record holds one line or several.
func Delivery(body []byte, id string) (lines [][]byte, err error) {
	var in struct {
		RequestID string `json:"requestId"`
		Records   []struct {
			Data []byte `json:"data"`
		} `json:"records"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		if _, ok := errors.AsType[base64.CorruptInputError](err); ok {
			return nil, errors.New("a record's data is no base64")
		}
		return nil, errors.New("the body is no delivery of Firehose")
	}
	if in.RequestID != id {
		return nil, errors.New("requestId is not that of X-Amz-Firehose-Request-Id")
	}
	for _, r := range in.Records {
		for line := range bytes.SplitSeq(r.Data, []byte("\n")) {
			if line = bytes.TrimSpace(line); len(line) > 0 {
				lines = append(lines, line)
			}
		}
	}
	return lines, nil
}

type progress uint8

const (
	unseen progress = iota
	underway
	taken
)

// begin notes that a delivery is being taken, and says how it stood with its id before.
func (f *firehose) begin(id string) progress {
	f.mu.Lock()
	defer f.mu.Unlock()
	if done, known := f.seen[id]; known {
		if done {
			return taken
		}
		return underway
	}
	f.seen[id] = false
	f.oldest = append(f.oldest, id)
	if len(f.oldest) > idsRemembered {
		delete(f.seen, f.oldest[0])
		f.oldest = f.oldest[1:]
	}
	return unseen
}

func (f *firehose) end(id string, whole bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if whole {
		f.seen[id] = true
		return
	}
	delete(f.seen, id) // its place among the oldest stays: it is forgotten a little early
}
