package logs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/netutil"
)

// firehose answers Amazon Data Firehose as its HTTP endpoint specification asks
// (docs.aws.amazon.com/firehose/latest/dev/httpdeliveryrequestresponse.html): 200 with the request's id, any other status is
// repeated, but 413, which is final.
type firehose struct {
	in      *Intake
	keys    onDisk[[]accessKey]
	cert    onDisk[*tls.Certificate]
	ln      net.Listener
	server  *http.Server
	places  chan struct{} // deliveries in memory at a time
	judging sync.Mutex    // one at a time: the pace at which lines are judged is that of one source
	answers *prometheus.CounterVec
	warned  atomic.Int64 // when a refusal was last told, Unix nanoseconds

	mu     sync.Mutex
	seen   map[string]bool // ids of requests: true when they were taken
	oldest []string
}

// accessKey is a key's hash, so that keys of all lengths are compared in one time.
type accessKey [sha256.Size]byte

const (
	minKey          = 16
	maxDeliveries   = 4
	maxFirehose     = 64               // connections: the endpoint may be public, and files that are open are the proxy's too
	idsRemembered   = 10_000           // Firehose repeats for up to two hours; at one delivery a second this is more
	maxID           = 128              // bytes of an id; Firehose's are UUIDs
	deliveryWithin  = 90 * time.Second // to read one: Firehose gives up after three minutes
	deliveriesWait  = 5 * time.Second  // for those under way when the process ends
	firehoseKeyPart = "logs-firehose-key"
	firehoseTLSPart = "logs-firehose-tls"
)

func newFirehose(in *Intake, reg prometheus.Registerer) (*firehose, error) {
	cfg := in.cfg.Firehose
	f := &firehose{in: in, places: make(chan struct{}, maxDeliveries), seen: map[string]bool{}}
	f.keys = onDisk[[]accessKey]{
		paths: []string{cfg.KeyFile}, read: f.readKeys, told: func(err error) { in.trouble(firehoseKeyPart, err) },
	}
	f.cert = onDisk[*tls.Certificate]{
		paths: []string{cfg.TLSCert, cfg.TLSKey}, read: f.readCert, told: func(err error) { in.trouble(firehoseTLSPart, err) },
	}
	if err := f.keys.open(); err != nil {
		return nil, err
	}
	if cfg.TLSCert != "" {
		if err := f.cert.open(); err != nil {
			return nil, err
		}
	}
	f.answers = countAnswers(reg)
	f.server = &http.Server{
		Handler: http.HandlerFunc(f.handle), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: deliveryWithin,
		WriteTimeout: 2 * time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(in.log.Handler(), slog.LevelDebug), // who scans a public port must not fill the log
	}
	return f, nil
}

// countAnswers registers the counter of answers, which is there from the start.
func countAnswers(reg prometheus.Registerer) *prometheus.CounterVec {
	answers := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "referee_firehose_answers_total", Help: "Requests to the Firehose endpoint, by the status that they were answered with.",
	}, []string{"status"})
	for _, status := range []string{"200", "400", "401", "405", "409", "413", "503"} {
		answers.WithLabelValues(status)
	}
	reg.MustRegister(answers)
	return answers
}

// readKeys reads one key a line: while a key is replaced, the old one and the new one are good.
func (f *firehose) readKeys() (keys []accessKey, err error) {
	path := f.in.cfg.Firehose.KeyFile
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("logs.firehose.key-file: %w", err)
	}
	for line := range bytes.Lines(data) {
		key := bytes.TrimSpace(line)
		if len(key) == 0 {
			continue
		}
		if len(key) < minKey {
			return nil, fmt.Errorf("logs.firehose.key-file: %s holds a key of %d bytes; use %d or more, such as `openssl rand -hex 32` makes",
				path, len(key), minKey)
		}
		keys = append(keys, sha256.Sum256(key))
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("logs.firehose.key-file: %s is empty; write a key into it, such as `openssl rand -hex 32` makes", path)
	}
	return keys, nil
}

func (f *firehose) readCert() (*tls.Certificate, error) {
	cfg := f.in.cfg.Firehose
	cert, err := tls.LoadX509KeyPair(cfg.TLSCert, cfg.TLSKey)
	if err != nil {
		return nil, fmt.Errorf("logs.firehose: the certificate %s with the key %s: %w", cfg.TLSCert, cfg.TLSKey, err)
	}
	f.in.log.Info("Firehose's endpoint has a certificate", "file", cfg.TLSCert, "until", cert.Leaf.NotAfter)
	if f.in.now().After(cert.Leaf.NotAfter) {
		f.in.log.Warn("this certificate has expired: Firehose will not deliver; replace the files, no restart is needed", "file", cfg.TLSCert)
	}
	return &cert, nil
}

func (f *firehose) listen(ctx context.Context) error {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", f.in.cfg.Firehose.Listen)
	if err != nil {
		return fmt.Errorf("cannot listen on %q: %w; choose another address or stop what uses it", f.in.cfg.Firehose.Listen, err)
	}
	f.ln = netutil.LimitListener(ln, maxFirehose)
	if f.in.cfg.Firehose.TLSCert != "" {
		f.ln = tls.NewListener(f.ln, &tls.Config{
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return f.cert.now(), nil }, MinVersion: tls.VersionTLS12,
		})
	}
	return nil
}

func (f *firehose) serve(ctx context.Context) error {
	left := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(left)
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), deliveriesWait)
		defer cancel()
		if f.server.Shutdown(last) != nil {
			_ = f.server.Close()
		}
	})
	err := f.server.Serve(f.ln)
	if !stop() {
		<-left // Serve returns when Shutdown begins: deliveries are still being taken
	}
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("logs.firehose.listen: %w", err)
	}
	return nil
}

// handle takes one delivery.
func (f *firehose) handle(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get("X-Amz-Firehose-Request-Id")
	refuse := func(status int, why string) {
		w.Header().Set("Connection", "close") // strangers keep none of the few connections
		f.answer(w, status, id[:min(len(id), maxID)], why)
	}
	switch {
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		refuse(http.StatusMethodNotAllowed, "POST deliveries of Amazon Data Firehose here")
	case !f.admits(r.Header.Get("X-Amz-Firehose-Access-Key")):
		refuse(http.StatusUnauthorized, "the access key is missing or wrong")
	case id == "" || len(id) > maxID:
		refuse(http.StatusBadRequest, "X-Amz-Firehose-Request-Id is missing or too long")
	default:
		status, why := f.deliver(w, r, id)
		f.answer(w, status, id, why)
	}
}

// admits compares in a time that says nothing about the keys.
func (f *firehose) admits(given string) bool {
	hash, good := accessKey(sha256.Sum256([]byte(given))), 0
	for _, key := range f.keys.now() {
		good |= subtle.ConstantTimeCompare(hash[:], key[:])
	}
	return good == 1
}

// answer gives the body that the specification asks for with every status: Firehose shows it in its own error log.
func (f *firehose) answer(w http.ResponseWriter, status int, id, why string) {
	body, err := json.Marshal(struct {
		RequestID string `json:"requestId"`
		Timestamp int64  `json:"timestamp"` // milliseconds
		Error     string `json:"errorMessage,omitempty"`
	}{id, f.in.now().UnixMilli(), why})
	if err != nil {
		return // it holds strings and a number
	}
	f.answers.WithLabelValues(strconv.Itoa(status)).Inc()
	if status != http.StatusOK && f.in.onceAMinute(&f.warned) {
		f.in.log.Warn("a request to the Firehose endpoint was refused", "status", status, "why", why, "request", id)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the sender left: it repeats
}
