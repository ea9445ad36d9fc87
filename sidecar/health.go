package sidecar

import (
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"referee/alert"
)

// health knows what is degraded. Nothing degraded ever fails readiness: only draining does (fail open).
type health struct {
	log      *slog.Logger
	degraded *prometheus.GaugeVec
	alerts   *alert.Alerts // nil: nobody is told

	mu       sync.Mutex
	trouble  map[string]string // by part: ledger, waf
	draining bool
}

func newHealth(reg prometheus.Registerer, log *slog.Logger) *health {
	h := &health{log: log, trouble: map[string]string{}, degraded: prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "referee_degraded",
		Help: "1 while a part of the sidecar does not work as configured; requests go on all the same.",
	}, []string{"part"})}
	reg.MustRegister(h.degraded)
	for _, part := range []string{
		"background", "ledger", "labels", "aws", "waf", string(live), string(candidate), "syslog", "logs-files", "logs-s3", "logs-memory",
		"logs-firehose-key", "logs-firehose-tls",
	} {
		h.degraded.WithLabelValues(part) // 0 before the first trouble
	}
	return h
}

// set records that part has trouble, or with a nil error that it has none. It logs when that changes.
func (h *health) set(part string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := h.trouble[part]
	if err == nil {
		h.degraded.WithLabelValues(part).Set(0)
		if delete(h.trouble, part); before != "" {
			h.log.Info("recovered", "part", part)
		}
		if kind, tells := alertOf[part]; tells {
			h.alerts.Clear(kind, part)
		}
		return
	}
	h.degraded.WithLabelValues(part).Set(1)
	// AWS puts another id into each error: the same trouble is told once.
	now := requestID.ReplaceAllString(err.Error(), "RequestID: …")
	if h.trouble[part] = now; before != now {
		h.log.Error("degraded", "part", part, "error", err)
	}
	if kind, tells := alertOf[part]; tells {
		h.alerts.Raise(alert.Alert{Kind: kind, Key: part, Text: part + ": " + now})
	}
}

// alertOf are the parts whose trouble the owner is told of. The updater tells of the sets itself: what the next tick mends is
// no alert.
var alertOf = map[string]alert.Kind{
	"background": alert.Internal, "ledger": alert.Ledger, "labels": alert.Ledger, "aws": alert.AWS, string(live): alert.Model, string(candidate): alert.Model,
}

var requestID = regexp.MustCompile(`RequestID: [0-9A-Za-z-]+`)

func (h *health) drain() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.draining = true
}

// handler serves /healthz, /readyz and /metrics.
func (h *health) handler(metrics prometheus.Gatherer) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { h.write(w, http.StatusOK) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		h.mu.Lock()
		draining := h.draining
		h.mu.Unlock()
		if draining {
			h.write(w, http.StatusServiceUnavailable)
			return
		}
		h.write(w, http.StatusOK)
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	return mux
}

func (h *health) write(w http.ResponseWriter, status int) {
	h.mu.Lock()
	body := struct {
		Draining bool     `json:"draining"`
		Degraded []string `json:"degraded"` // parts that do not work; never a reason to send no traffic. The log says why
	}{h.draining, slices.AppendSeq([]string{}, maps.Keys(h.trouble))}
	h.mu.Unlock()
	slices.Sort(body.Degraded)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the prober left: nothing to do
}
