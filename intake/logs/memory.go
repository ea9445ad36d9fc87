package logs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
)

// memory is how far files and objects were read, in a file of the data directory. A killed process loses the last second.
type memory struct {
	path string // empty: nothing is kept

	mu    sync.Mutex
	dirty bool
	kept  remembered
}

type remembered struct {
	Files   map[string]position `json:"files"`   // by path
	Streams map[string]*Cursor  `json:"streams"` // by s3://bucket/ and stream
}

// position is how far a file was read. It is the same file if it still begins so, whatever its name.
type position struct {
	Head   []byte `json:"head"`
	Offset int64  `json:"offset"`
}

func (m *memory) read() error {
	m.kept = remembered{Files: map[string]position{}, Streams: map[string]*Cursor{}}
	if m.path == "" {
		return nil
	}
	data, err := os.ReadFile(m.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(data, &m.kept)
	}
	if m.kept.Files == nil {
		m.kept.Files = map[string]position{}
	}
	if m.kept.Streams == nil {
		m.kept.Streams = map[string]*Cursor{}
	}
	return err
}

// change changes what is remembered.
func (m *memory) change(f func(*remembered)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(&m.kept)
	m.dirty = true
}

// write writes what changed.
func (m *memory) write() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.dirty || m.path == "" {
		return nil
	}
	data, err := json.Marshal(m.kept)
	if err == nil {
		err = WriteFile(m.path, data)
	}
	if err != nil {
		return fmt.Errorf("logs: remembering how far was read: %w", err)
	}
	m.dirty = false
	return nil
}
