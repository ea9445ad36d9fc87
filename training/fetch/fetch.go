// Package fetch downloads the public ranking lists (Tranco, Cisco Umbrella, Majestic, CrUX) into a dated cache, and
// makes of them a list of benign names to train on.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"referee/training"
)

// Fetcher downloads lists. Its fields are set before it is used; it is for one goroutine.
type Fetcher struct {
	Client   *http.Client // see NewClient
	Cache    string       // directory
	Mirror   string       // a URL in place of the scheme and host of all addresses; empty: the publishers
	Agent    string       // User-Agent
	Now      func() time.Time
	Wait     func(ctx context.Context, d time.Duration) error // between two tries
	Progress func(what string, done, total int64)             // bytes; total below 0: unknown
	Note     func(what string)                                // what else an onlooker wants to know
	Limits
}

// Limits bound a download.
type Limits struct {
	Bytes int64         // of a file as it is transferred
	Stall time.Duration // without a byte
	Tries int           // in a row without a byte more
}

// DefaultLimits have room for what the lists may grow to: the largest, Majestic's, had 81 MB in 2026.
func DefaultLimits() Limits {
	return Limits{Bytes: 512 << 20, Stall: 30 * time.Second, Tries: 6}
}

// List is a list in the cache.
type List struct {
	Source string
	Date   time.Time // its day; of CrUX the first of its month
	Path   string
	Manifest
}

// day is how dates are written.
const day = time.DateOnly

// Select says which editions of a list are wanted.
type Select struct {
	Date  time.Time // the newest one wanted; zero: the newest there is
	Lists int       // how many, 1 or more
	Apart int       // days between two, of CrUX months; 1 or more
}

// gap is how many days back another edition is looked for where a day has none.
const gap = 3

// errNoList is what a source answers for a day without a list.
var errNoList = errors.New("no list")

// Lists downloads the editions that are not in the cache yet, and returns all, the newest first.
func (f *Fetcher) Lists(ctx context.Context, source string, s Select) ([]List, error) {
	p, ok := f.publishers()[source]
	if !ok {
		return nil, fmt.Errorf("no source %q: want tranco, umbrella, majestic or crux", source)
	}
	if s.Lists < 1 || s.Apart < 1 {
		return nil, fmt.Errorf("%d lists, %d apart: want 1 or more", s.Lists, s.Apart)
	}
	if err := os.MkdirAll(filepath.Join(f.Cache, source), 0o755); err != nil {
		return nil, fmt.Errorf("cache: %w: make it writable, or name another with --cache", err)
	}
	var lists []List
	wanted := s.Date
	if wanted.IsZero() && p.dated {
		wanted = f.today()
	}
	for range s.Lists {
		l, err := f.near(ctx, p, wanted)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", source, err)
		}
		if n := len(lists); n > 0 && !l.Date.Before(lists[n-1].Date) {
			return nil, fmt.Errorf("%s: no list between those of %s and the one before it", source, l.Date.Format(day))
		}
		lists = append(lists, l)
		wanted = p.before(l.Date, s.Apart)
	}
	return lists, nil
}

// near gets the edition of a day, or of one of the days before it.
func (f *Fetcher) near(ctx context.Context, p publisher, wanted time.Time) (List, error) {
	for back := range gap + 1 {
		on := wanted
		if !on.IsZero() {
			on = on.AddDate(0, 0, -back)
		}
		e, err := p.find(ctx, on)
		var l List
		if err == nil {
			l, err = f.edition(ctx, e)
		}
		switch {
		case err == nil && back > 0 && !wanted.Equal(f.today()):
			f.Note(fmt.Sprintf("%s: no list of %s, taking that of %s", e.source, wanted.Format(day), l.Date.Format(day)))
			return l, nil
		case !errors.Is(err, errNoList) || wanted.IsZero():
			return l, err
		}
	}
	return List{}, fmt.Errorf("%w of %s, nor of the %d days before: name another --date, or fewer --days%s",
		errNoList, wanted.Format(day), gap, p.hint)
}

// NewClient is an HTTP client that uses the environment's proxy, gives up on dead servers, and does not follow a
// redirection from https to http.
func NewClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = 30 * time.Second
	return &http.Client{Transport: transport, CheckRedirect: func(next *http.Request, before []*http.Request) error {
		if len(before) >= 10 {
			return errors.New("more than 10 redirections")
		}
		if before[0].URL.Scheme == "https" && next.URL.Scheme != "https" {
			return fmt.Errorf("a redirection from https to %s", next.URL.Redacted())
		}
		return nil
	}}
}

// CacheDir is where lists are kept by default: the user's cache directory (XDG_CACHE_HOME where it is set).
func CacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache directory: %w: name one with --cache", err)
	}
	return filepath.Join(dir, "referee", "lists"), nil
}

// Sleep waits, or until the context ends.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Names is what Clean makes.
type Names struct {
	Source string   // the second column: tranco_2026-11-22
	Names  []string // registrable, in the order of the newest list
	Rows   int      // with a registrable name, of the newest list
	Drops  training.Drops
}

// maxNames bounds what is held of a list.
const maxNames = 8_000_000

// Clean leaves of the newest list the registrable names that all lists have and none of the lists of generated names
// has. Only the first top names of the newest list count; 0 means all. It holds the names of one list.
func Clean(lists []List, generated []string, top int) (*Names, error) {
	c := cleaner{state: map[string]int{}}
	c.Source = lists[0].Source + "_" + lists[0].Date.Format(day)
	if oldest := lists[len(lists)-1]; len(lists) > 1 {
		c.Source = fmt.Sprintf("%s_%s_%s", oldest.Source, oldest.Date.Format(day), lists[0].Date.Format(day))
	}
	if err := lists[0].read(&c.Drops, func(e training.Entry) { c.add(e, top) }); err != nil {
		return nil, err
	}
	if len(c.Names.Names) > maxNames {
		return nil, fmt.Errorf("list %s: more than %d names", lists[0].Path, maxNames)
	}
	var ignored training.Drops // the same reasons as of the newest list, again
	for i, l := range lists[1:] {
		if err := l.read(&ignored, func(e training.Entry) {
			if c.state[e.Domain] == i+1 {
				c.state[e.Domain]++
			}
		}); err != nil {
			return nil, err
		}
	}
	for _, file := range generated {
		if err := training.ReadList(file, &ignored, func(e training.Entry) {
			if c.state[e.Domain] > 0 {
				c.state[e.Domain] = inGenerated
				c.Drops.Add("in a list of generated names", e.Place)
			}
		}); err != nil {
			return nil, err
		}
	}
	c.keep(lists)
	if len(c.Names.Names) == 0 {
		return nil, fmt.Errorf("no name of %s is left", lists[0].Path)
	}
	return &c.Names, nil
}

type cleaner struct {
	Names
	lines []int32        // of the names, in the newest list
	state map[string]int // name → how many lists have it, or inGenerated
}

const inGenerated = -1

func (c *cleaner) add(e training.Entry, top int) {
	c.Rows++
	switch _, twice := c.state[e.Domain]; {
	case twice:
		c.Drops.Add("another host of a name", e.Place)
	case top > 0 && len(c.lines) >= top:
		c.Drops.Add(fmt.Sprintf("behind the first %d names", top), e.Place)
	case len(c.lines) <= maxNames:
		c.state[e.Domain] = 1
		c.lines = append(c.lines, int32(e.Line)) // a file is no longer than Limits.Bytes times maxExpansion
		c.Names.Names = append(c.Names.Names, e.Domain)
	}
}

func (c *cleaner) keep(lists []List) {
	kept := c.Names.Names[:0]
	for i, name := range c.Names.Names {
		switch c.state[name] {
		case inGenerated:
		case len(lists):
			kept = append(kept, name)
		default:
			c.Drops.Add(fmt.Sprintf("not in all %d lists", len(lists)), training.Place{File: lists[0].Path, Line: int(c.lines[i])})
		}
	}
	c.Names.Names = kept
	c.Drops.Sort()
}

// read is training.ReadList. What cannot be read to its end leaves the cache, so that the next run fetches it anew.
func (l List) read(drops *training.Drops, each func(training.Entry)) error {
	err := training.ReadList(l.Path, drops, each)
	if err != nil {
		err = fmt.Errorf("%w; it was taken out of the cache: run the command again", errors.Join(err, l.remove()))
	}
	return err
}
