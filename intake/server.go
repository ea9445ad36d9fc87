package intake

import (
	"bufio"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// server serves HTTP/1.1 for the proxy. It has what a library's server could not give: it hands on heads byte for byte, refuses
// what can be read in two ways, passes on interim answers, and holds 4 KiB for an idle connection (docs/adr/0012).
type server struct {
	edge
	handle func(*request)             // answers a request
	refuse func(r *request, f *fault) // answers what is no proper request, or what handle panicked over

	requests sync.Pool // of *request
	large    sync.Pool // of *bufio.Reader for heads beyond the usual
}

// prepare makes s ready to serve. handle may panic: then the request is answered by refuse.
func (s *server) prepare(name string, maxConnections int, idle time.Duration, handle func(*request), refuse func(*request, *fault),
	reg prometheus.Registerer, log *slog.Logger,
) {
	s.handle, s.refuse = handle, refuse
	s.requests.New = func() any { return new(request) }
	s.large.New = func() any { return bufio.NewReaderSize(nil, maxRequestHead) }
	s.edge.prepare(name, maxConnections, idle, func(w *watched) { newConn(s, w).serve() }, reg, log)
}
