package logs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
)

// firehose answers Amazon Data Firehose as its HTTP endpoint specification asks
// (docs.aws.amazon.com/firehose/latest/dev/httpdeliveryrequestresponse.html): 200 with the request's id, any other status is
// repeated, but 413, which is final.
type firehose struct {
	in     *Intake
	key    [sha256.Size]byte
	ln     net.Listener
	server *http.Server
	cert   *tls.Certificate
	places chan struct{} // deliveries in memory at a time

	mu     sync.Mutex
	seen   map[string]bool // ids of requests: true when they were taken
	oldest []string
}

const (
	minKey         = 16
	maxDeliveries  = 4
	idsRemembered  = 10_000           // Firehose repeats for up to two hours; at one delivery a second this is more
	maxID          = 128              // bytes of an id; Firehose's are UUIDs
	deliveryWithin = 90 * time.Second // to read one: Firehose gives up after three minutes
)

func newFirehose(in *Intake) (*firehose, error) {
	cfg := in.cfg.Firehose
	data, err := os.ReadFile(cfg.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("logs.firehose.key-file: %w", err)
	}
	key := bytes.TrimSpace(data)
	if len(key) < minKey {
		return nil, fmt.Errorf("logs.firehose.key-file: %s holds %d bytes; use %d or more, such as `openssl rand -hex 32` makes", cfg.KeyFile, len(key), minKey)
	}
	f := &firehose{in: in, key: sha256.Sum256(key), places: make(chan struct{}, maxDeliveries), seen: map[string]bool{}}
	if cfg.TLSCert != "" {
		cert, err := tls.LoadX509KeyPair(cfg.TLSCert, cfg.TLSKey)
		if err != nil {
			return nil, fmt.Errorf("logs.firehose.tls-cert: %w", err)
		}
		f.cert = &cert
	}
	f.server = &http.Server{
		Handler: http.HandlerFunc(f.handle), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: deliveryWithin,
		WriteTimeout: 2 * time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
	}
	return f, nil
}

func (f *firehose) listen(ctx context.Context) error {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", f.in.cfg.Firehose.Listen)
	if err != nil {
		return fmt.Errorf("cannot listen on %q: %w; choose another address or stop what uses it", f.in.cfg.Firehose.Listen, err)
	}
	if f.cert != nil {
		ln = tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{*f.cert}, MinVersion: tls.VersionTLS12})
	}
	f.ln = ln
	return nil
}

func (f *firehose) serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if f.server.Shutdown(last) != nil {
			_ = f.server.Close()
		}
	})
	defer stop()
	if err := f.server.Serve(f.ln); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("logs.firehose.listen: %w", err)
	}
	return nil
}

// handle takes one delivery.
func (f *firehose) handle(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get("X-Amz-Firehose-Request-Id")
	switch given := sha256.Sum256([]byte(r.Header.Get("X-Amz-Firehose-Access-Key"))); {
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		f.answer(w, http.StatusMethodNotAllowed, "", "POST deliveries of Amazon Data Firehose here")
	case subtle.ConstantTimeCompare(given[:], f.key[:]) != 1:
		f.answer(w, http.StatusUnauthorized, "", "the access key is missing or wrong")
	case id == "" || len(id) > maxID:
		f.answer(w, http.StatusBadRequest, "", "X-Amz-Firehose-Request-Id is missing or too long")
	default:
		status, why := f.deliver(w, r, id)
		f.answer(w, status, id, why)
	}
}

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
	reader := f.in.reader(fromFirehose)
	for i, line := range lines {
		reader.take(line)
		if i%pieceLines == pieceLines-1 && !pause(r.Context(), piecePause) {
			break // judged in part: it is taken all the same, for to take it twice would count it twice
		}
	}
	whole = true
	return http.StatusOK, ""
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

func (f *firehose) answer(w http.ResponseWriter, status int, id, why string) {
	body, err := json.Marshal(struct {
		RequestID string `json:"requestId"`
		Timestamp int64  `json:"timestamp"` // milliseconds
		Error     string `json:"errorMessage,omitempty"`
	}{id, f.in.now().UnixMilli(), why})
	if err != nil {
		return // it holds strings and a number
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the sender left: it repeats
}
