package sidecar

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/pprof"
	"time"

	"referee/report"
)

// reportPeriod is what /report shows without ?since=.
const reportPeriod = 7 * 24 * time.Hour

// admin serves /report, /report.json, /model and /debug/pprof/. It shows client addresses: the listener is private.
func (s *Sidecar) admin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /report", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", report.ContentSecurityPolicy())
		s.serveReport(w, r, "text/html; charset=utf-8", (*report.Report).HTML)
	})
	mux.HandleFunc("GET /report.json", func(w http.ResponseWriter, r *http.Request) {
		s.serveReport(w, r, "application/json", (*report.Report).JSON)
	})
	mux.HandleFunc("GET /model", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		current := s.judging.Load()
		_ = encoder.Encode(struct { // the reader left: nothing to do
			*modelPage
			Drift     *driftPage `json:"drift,omitempty"` // absent within the first second
			Candidate *modelPage `json:"candidate,omitempty"`
		}{s.models.page(live, current.cache.Model()), s.keeper.drift.state.Load(), s.models.page(candidate, current.candidate)})
	})
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.Handle("GET /{$}", http.RedirectHandler("/report", http.StatusFound))
	return mux
}

func (s *Sidecar) serveReport(w http.ResponseWriter, r *http.Request, contentType string, render func(*report.Report, io.Writer) error) {
	period := reportPeriod
	if since := r.URL.Query().Get("since"); since != "" {
		var err error
		if period, err = report.ParsePeriod(since); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	page, err := s.Report(r.Context(), period)
	if err != nil {
		http.Error(w, fmt.Sprintf("report: %v", err), http.StatusInternalServerError)
		return
	}
	var body bytes.Buffer // an error halfway must not look like a whole page
	if err := render(page, &body); err != nil {
		http.Error(w, fmt.Sprintf("report: %v", err), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Referrer-Policy", "no-referrer")
	_, _ = body.WriteTo(w) // the reader left: nothing to do
}

// Report says what was, or would have been, blocked within the last period. One is made at a time: it may take as much
// memory as all hits together.
func (s *Sidecar) Report(ctx context.Context, period time.Duration) (*report.Report, error) {
	s.reporting.Lock()
	defer s.reporting.Unlock()
	now, current := s.now(), s.judging.Load()
	return report.Build(ctx, report.Sources{
		Ledger: s.ledger, Policy: current.policy, Model: current.cache.Model(), Evidence: s.config.Evidence, WAF: s.config.WAF,
	}, now.Add(-period), now, string(s.config.Mode))
}
