package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"referee/policy"
)

// Checked is what Check found.
type Checked struct {
	Version int              `json:"version"` // of the tables
	Bytes   int64            `json:"bytes"`   // of the file
	Free    int64            `json:"free"`    // of them, in pages that are used again
	Rows    map[string]int64 `json:"rows"`    // in each table; evidence counts those that are still in chunks of recent too
	Damage  []string         `json:"damage"`  // the first finds, mostly in SQLite's words; none: every page, index and chunk is sound
}

// Check walks every page, row and index of the file; Verify is about what the rows say. It may run beside the owner.
func (l *Ledger) Check(ctx context.Context) (c Checked, err error) {
	c.Rows, c.Damage = map[string]int64{}, []string{}
	var pages, free, size int64
	err = l.read.QueryRowContext(ctx, `SELECT v.user_version, c.page_count, f.freelist_count, s.page_size
		FROM pragma_user_version v, pragma_page_count c, pragma_freelist_count f, pragma_page_size s`).Scan(&c.Version, &pages, &free, &size)
	if err != nil {
		return c, l.fail("check", err)
	}
	c.Bytes, c.Free = pages*size, free*size
	found, err := collect(ctx, l, "check", scanText, `PRAGMA integrity_check(20)`)
	if err != nil {
		return c, err
	}
	if len(found) != 1 || found[0] != "ok" {
		c.Damage = found
		return c, nil
	}
	names, err := collect(ctx, l, "check", scanText, `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name`)
	if err != nil {
		return c, err
	}
	for _, name := range names { // of this program's own tables
		var n int64
		if err := l.read.QueryRowContext(ctx, `SELECT count(*) FROM "`+name+`"`).Scan(&n); err != nil {
			return c, l.fail("check", err)
		}
		c.Rows[name] = n
	}
	c.Rows["evidence"] = 0
	for _, err := range l.Evidence(ctx) {
		if err != nil {
			return c, err
		}
		c.Rows["evidence"]++
	}
	if err := l.Skipped(); err != nil {
		c.Damage = strings.Split(err.Error(), "\n")
	}
	return c, nil
}

func scanText(rows *sql.Rows) (s string, err error) { return s, rows.Scan(&s) }

// Backup writes a whole and tidied copy of one moment's ledger to a file that must not be there yet, readable by its owner
// alone, while an owner writes on. It is durable when Backup returns, and there is no half of one after an error. progress,
// which may be nil, is told how many bytes of about how many are written.
func (l *Ledger) Backup(ctx context.Context, to string, progress func(done, all int64)) error {
	if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("backup %s: %w: name a file that is not there yet", to, errors.Join(fs.ErrExist, err))
	}
	dir, err := os.MkdirTemp(filepath.Dir(to), ".referee-backup-") // for its owner alone
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	defer os.RemoveAll(dir) // what is in it: nothing, or half a copy
	part := filepath.Join(dir, FileName)
	stop := l.watch(ctx, part, progress)
	_, err = l.read.ExecContext(ctx, "VACUUM INTO ?", part)
	stop()
	if err != nil {
		return l.fail("back up to "+to, err)
	}
	if err := settleFile(part, to); err != nil {
		return fmt.Errorf("backup %s: %w", to, err)
	}
	return nil
}

// settleFile makes a file durable under its last name, which must be nobody's.
func settleFile(part, to string) error {
	f, err := os.OpenFile(part, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Chmod(0o600), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(part, to); err != nil { // a rename would replace a file that came meanwhile
		return err
	}
	if runtime.GOOS == "windows" { // which cannot sync a directory
		return nil
	}
	d, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// watch tells how much of a copy is there until stop is called.
func (l *Ledger) watch(ctx context.Context, part string, progress func(done, all int64)) (stop func()) {
	var all int64
	err := l.read.QueryRowContext(ctx, `SELECT (c.page_count - f.freelist_count) * s.page_size
		FROM pragma_page_count c, pragma_freelist_count f, pragma_page_size s`).Scan(&all)
	if progress == nil || err != nil {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if info, err := os.Stat(part); err == nil {
					progress(info.Size(), max(all, info.Size()))
				}
			case <-done:
				return
			}
		}
	}()
	return func() { close(done); <-ended }
}

// Entry is a decision with its number.
type Entry struct {
	ID int64 `json:"id"`
	policy.Decision
}

// AllDecisions yields the decisions made at since or later, the oldest first, 1,000 read at a time. An error is yielded
// once, last. One that cannot be read is left out (Skipped).
func (l *Ledger) AllDecisions(ctx context.Context, since time.Time) iter.Seq2[Entry, error] {
	const page = 1000
	return func(yield func(Entry, error) bool) {
		for last := int64(0); ; {
			entries, next, err := l.readEntries(ctx, "read the decisions", `SELECT id, time, action, key, why, hit FROM decisions
				WHERE id > ? AND time >= ? ORDER BY id LIMIT ?`, last, nanos(since), page)
			if err != nil {
				yield(Entry{}, err)
				return
			}
			for _, e := range entries {
				if !yield(e, nil) {
					return
				}
			}
			if next == 0 {
				return
			}
			last = next
		}
	}
}
