package fetch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"referee/training"
)

// Manifest is what is known of a list in the cache; it lies beside it, as JSON.
type Manifest struct {
	URL          string    `json:"url"`
	Fetched      time.Time `json:"fetched"`
	Bytes        int64     `json:"bytes"`
	SHA256       string    `json:"sha256"`  // ours, of the file as it came
	Checked      string    `json:"checked"` // which published checksums it was held against; empty: none was published
	ETag         string    `json:"etag,omitempty"`
	LastModified string    `json:"last_modified,omitempty"`
	New          bool      `json:"-"` // it was downloaded now
}

func (f *Fetcher) path(e edition) string {
	return filepath.Join(f.Cache, e.source, e.date.Format(day)+e.ending)
}

// has tells whether the cache has an edition; not whether it is whole.
func (f *Fetcher) has(e edition) bool {
	_, err := os.Stat(f.path(e) + ".json")
	return err == nil
}

// edition returns an edition from the cache, or downloads it. A file in the cache whose SHA-256 is not that of its
// manifest is downloaded anew.
func (f *Fetcher) edition(ctx context.Context, e edition) (List, error) {
	l := List{Source: e.source, Date: e.date, Path: f.path(e)}
	err := l.load()
	switch {
	case err == nil && (l.URL == e.url || e.cached):
		return l, nil
	case err != nil && e.cached:
		return l, fmt.Errorf("%s: %w, and it is published no more: remove it", l.Path, err)
	case err != nil && !errors.Is(err, os.ErrNotExist):
		f.Note(fmt.Sprintf("%s: %v: fetching it again", l.Path, err))
	}
	if err := f.download(ctx, e, &l); err != nil {
		return l, err
	}
	l.New = true
	return l, l.save()
}

func (l *List) load() error {
	text, err := os.ReadFile(l.Path + ".json")
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &l.Manifest); err != nil {
		return fmt.Errorf("its manifest: %w", err)
	}
	sha, _, _, err := hashFile(l.Path, nil)
	if err == nil && sha != l.SHA256 {
		err = errors.New("its SHA-256 is not the one in its manifest")
	}
	return err
}

func (l *List) save() error {
	text, err := json.MarshalIndent(l.Manifest, "", "  ")
	if err != nil {
		return err
	}
	return training.WriteFile(l.Path+".json", append(text, '\n'))
}

func (l *List) remove() error {
	return errors.Join(os.Remove(l.Path+".json"), os.Remove(l.Path))
}

// part is a download that is not at its end. What it is of lies beside it, so that another run can go on with it.
type part struct {
	file *os.File
	path string
	of   Manifest
}

// openPart opens what an earlier run left, and keeps other runs away from it.
func openPart(path, url string) (*part, error) {
	p := &part{path: path}
	var err error
	if p.file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644); err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	if err := lock(p.file); err != nil {
		return nil, errors.Join(fmt.Errorf("cache: %s: %w: another run is fetching it", path, err), p.file.Close())
	}
	text, err := os.ReadFile(path + ".json")
	if err == nil {
		err = json.Unmarshal(text, &p.of)
	}
	if err != nil || p.of.URL != url {
		p.of = Manifest{URL: url}
		if err := p.file.Truncate(0); err != nil {
			return nil, errors.Join(err, p.file.Close())
		}
	}
	return p, nil
}

// size is how much is there.
func (p *part) size() (int64, error) {
	info, err := p.file.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// begin empties the part for another version of the file.
func (p *part) begin(header http.Header) error {
	p.of.ETag, p.of.LastModified = header.Get("ETag"), header.Get("Last-Modified")
	text, err := json.Marshal(p.of)
	if err != nil {
		return err
	}
	return errors.Join(p.file.Truncate(0), os.WriteFile(p.path+".json", text, 0o644))
}

// discard gives up what is there.
func (p *part) discard() error {
	return errors.Join(p.file.Close(), os.Remove(p.path), os.Remove(p.path+".json"))
}

// finish puts the whole file in its place.
func (p *part) finish(path string) error {
	if err := errors.Join(p.file.Sync(), p.file.Close()); err != nil {
		return fmt.Errorf("cache: %w", err)
	}
	return errors.Join(os.Rename(p.path, path), os.Remove(p.path+".json"))
}

// ignoreMissing is for what may be gone already.
func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
