package scan

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"referee/evidence"
	"referee/intake/logs"
	"referee/ledger"
	"referee/policy"
)

// savedState is what one scan leaves to the next: how far it read, and what it knows, so that several scans say together what
// one over everything would.
type savedState struct {
	Version   int                     `json:"version"`
	Files     map[string]int64        `json:"files"`   // by fingerprint: bytes taken, decompressed
	Streams   map[string]*logs.Cursor `json:"streams"` // by bucket and stream of keys
	Parts     map[string]int64        `json:"parts"`   // objects that were begun and not ended: bytes taken, decompressed
	Key       evidence.Key            `json:"key"`
	Evidence  []evidence.Row          `json:"evidence"`
	Decisions []policy.Decision       `json:"decisions"` // the last one on each hit, the newest first
	Hours     []ledger.Hour           `json:"hours"`
	Names     map[string]*low         `json:"low_names"`
	Clients   map[string]*low         `json:"low_clients"`
	First     int64                   `json:"first"`
	Clock     int64                   `json:"clock"`

	skipped int
	failed  error
	pending map[string]string // by stream: the first key that is still to be read
}

const stateVersion = 1

// readState reads a state file; an empty path, or a file that is not there yet, is the beginning.
func readState(path string) (*savedState, error) {
	s := &savedState{Version: stateVersion}
	if path != "" {
		data, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("scan: state: %w", err)
		}
		if err == nil {
			if err := json.Unmarshal(data, s); err != nil {
				return nil, fmt.Errorf("scan: state %s: %w; delete the file to begin anew", path, err)
			}
			if s.Version != stateVersion {
				return nil, fmt.Errorf("scan: state %s: version %d is not %d; delete the file to begin anew", path, s.Version, stateVersion)
			}
		}
	}
	if s.Files == nil {
		s.Files = map[string]int64{}
	}
	if s.Streams == nil {
		s.Streams = map[string]*logs.Cursor{}
	}
	if s.Parts == nil {
		s.Parts = map[string]int64{}
	}
	s.pending = map[string]string{}
	return s, nil
}

// resume tells files where the last scan ended, and leaves out those that have not grown.
func (s *savedState) resume(files []*source) []*source {
	lengths := map[int]bool{}
	for f := range s.Files {
		n, _, _ := strings.Cut(f, "-")
		if length, err := strconv.Atoi(n); err == nil {
			lengths[length] = true
		}
	}
	taken := map[string]bool{}
	return slices.DeleteFunc(files, func(f *source) bool {
		for length := range lengths {
			if length == 0 || length > len(f.head) {
				continue
			}
			key := fingerprint(f.head[:length])
			if from, known := s.Files[key]; known && !taken[key] && !(f.plain && f.size < from) {
				taken[key] = true
				f.from = from
				if f.plain && f.size == from {
					s.skipped++
					return true
				}
			}
		}
		return false
	})
}

func streamKey(bucket string, o logs.Object) string {
	stream, _ := logs.StreamOf(o.Key)
	return "s3://" + bucket + "/" + stream
}

func partKey(bucket string, o logs.Object) string {
	return "s3://" + bucket + "/" + o.Key + " " + o.ETag
}

// hasObject reports whether an earlier scan read an object whole.
func (s *savedState) hasObject(bucket string, o logs.Object) bool {
	c := s.Streams[streamKey(bucket, o)]
	return c != nil && c.Has(o.Key)
}

func (s *savedState) partOf(bucket string, o logs.Object) int64 { return s.Parts[partKey(bucket, o)] }

// took notes how far a source was read.
func (s *savedState) took(st *stream) {
	src := st.source
	switch {
	case src.bucket != "":
		stream, part := streamKey(src.bucket, src.object), partKey(src.bucket, src.object)
		if !st.whole {
			s.leave(src)
			if st.end > 0 {
				s.Parts[part] = st.end
			}
			return
		}
		delete(s.Parts, part)
		if s.Streams[stream] == nil {
			s.Streams[stream] = &logs.Cursor{}
		}
		s.Streams[stream].Add(src.object)
	case len(src.head) > 0 && st.end > 0:
		if src.from > 0 && src.from < headSize { // it was shorter, and is known by more of it now
			delete(s.Files, fingerprint(src.head[:src.from]))
		}
		s.Files[fingerprint(src.head[:min(int64(len(src.head)), st.end)])] = st.end
	}
}

// leave notes that an object is still to be read.
func (s *savedState) leave(src *source) {
	if src.bucket == "" {
		return
	}
	stream := streamKey(src.bucket, src.object)
	if first, known := s.pending[stream]; !known || src.object.Key < first {
		s.pending[stream] = src.object.Key
	}
}

// restore takes up what the last scan knew.
func (w *owner) restore(ctx context.Context) error {
	s := w.saved
	if s.Key == (evidence.Key{}) {
		key, err := w.ledger.EvidenceKey(ctx)
		if err != nil {
			return err
		}
		s.Key = key
	}
	w.state = evidence.New(w.o.Evidence, s.Key)
	for _, row := range s.Evidence {
		if err := w.state.Restore(row); err != nil {
			return fmt.Errorf("state: %w", err)
		}
	}
	slices.Reverse(s.Decisions) // the oldest first
	if err := w.ledger.Commit(ctx, ledger.Batch{Hour: time.Unix(0, s.Clock), Decisions: s.Decisions}); err != nil {
		return err
	}
	for _, h := range s.Hours {
		if err := w.ledger.Commit(ctx, ledger.Batch{Hour: h.Start, Counts: h.Counts}); err != nil {
			return err
		}
	}
	active, err := w.ledger.ActiveHits(ctx, time.Time{})
	if err != nil {
		return err
	}
	w.hits, err = w.o.Policy.Remember(policy.NewHits(active), func(yield func(policy.Decision, error) bool) {
		for _, d := range s.Decisions {
			if !yield(d, nil) {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	w.first, w.clock, w.decided = s.First, s.Clock, s.Clock
	return w.lows.restore(s)
}

// writeState writes the state file, whole or not at all.
func (w *owner) writeState(path string) error {
	if path == "" {
		return nil
	}
	ctx := context.Background()
	s := w.saved
	rows := map[string]evidence.Row{}
	for _, r := range append(s.Evidence, w.state.Changes()...) { // a later row of a key replaces it
		rows[r.Kind+" "+r.Key] = r
	}
	s.Evidence = s.Evidence[:0:0]
	for _, r := range rows {
		if r.Data != nil {
			s.Evidence = append(s.Evidence, r)
		}
	}
	var err error
	if s.Decisions, err = w.ledger.LastDecisions(ctx, time.Time{}); err != nil {
		return fmt.Errorf("scan: state: %w", err)
	}
	if s.Hours, err = w.ledger.Hours(ctx, time.Time{}); err != nil {
		return fmt.Errorf("scan: state: %w", err)
	}
	s.First, s.Clock = w.first, w.clock
	s.Names, s.Clients = w.lows.names, map[string]*low{}
	for prefix, l := range w.lows.clients {
		s.Clients[prefix.String()] = l
	}
	for stream, c := range s.Streams {
		c.Trim(s.pending[stream])
	}
	data, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("scan: state: %w", err)
	}
	if err := logs.WriteFile(path, data); err != nil {
		return fmt.Errorf("scan: state: %w", err)
	}
	return nil
}
