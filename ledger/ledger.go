// Package ledger keeps what Referee must not forget: the evidence, what was counted each hour, the sightings of flagged
// names, every decision, and every generation of the WAF sets. It is one SQLite file, referee.db, in the data directory.
//
// # Durability
//
// Commit and Propose return after fsync (WAL with synchronous=FULL). A killed process would lose nothing under
// synchronous=NORMAL either: what was written is in the kernel's page cache. FULL is what a power loss asks for, since
// NORMAL syncs at checkpoints only and may drop the newest transactions (https://www.sqlite.org/pragma.html#pragma_synchronous),
// and a decision that already reached AWS must not be among them. The price is one fsync for each batch, about one a
// second.
//
// # Who may open it
//
// One process owns a data directory and holds referee.lock in it for as long as it lives; the kernel drops the lock
// with the process, kill -9 included. Any number of others read beside it (OpenReadOnly), and the owner never waits
// for them. The lock is apart from SQLite's own, so that commands which only append may later write beside the owner.
package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	_ "modernc.org/sqlite" // the driver "sqlite": SQLite without cgo
)

// FileName and lockName are the ledger's files in the data directory (beside SQLite's own -wal and -shm).
const (
	FileName = "referee.db"
	lockName = "referee.lock"
)

// limits bound the tables that grow with what clients send.
type limits struct {
	flagged        int // sightings of flagged names kept, the newest
	flaggedPerHour int // how many of them one hour may add, so that a flood does not push everything else out
	saved          int // names that never-block saved, those seen last
	compared       int // names of which the models say different things, those seen last
}

// A flagged sighting takes about 150 bytes with its indexes, 15 MB in all, and one with an example at most 800 more; a saved
// or a compared name about 150.
var defaultLimits = limits{flagged: 100_000, flaggedPerHour: 10_000, saved: 10_000, compared: 10_000}

// Ledger is an open ledger. Its methods may be called from several goroutines. Errors name the file and the way out,
// and wrap one of the package's errors where the caller may want to tell.
type Ledger struct {
	name   string  // what errors call it
	write  *sql.DB // one connection; nil when read-only
	read   *sql.DB // several, read-only; in memory the same as write
	lock   *os.File
	stmts  statements
	limits limits
	beside bool // opened by OpenAppend: another process may own the directory

	recent *recent // nil for who may not write evidence

	flaggedAged int64 // up to which flagged request Maintain has looked in this round

	skipping sync.Mutex
	skipped  map[unread]error
}

// Open opens the ledger in dir for writing, and makes both where they are missing, readable by their owner alone: the
// ledger holds client addresses. An older ledger is brought to this version.
//
// It fails with ErrInUse while another process owns dir, ErrNewer for a ledger of a newer referee, ErrForeign for a
// file that is no ledger, ErrDamaged for a broken one. Any other error means that dir cannot be written.
func Open(ctx context.Context, dir string) (*Ledger, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory %s: %w: make it writable, or set data-dir to another", dir, err)
	}
	lock, err := lockDirectory(filepath.Join(dir, lockName))
	if err != nil {
		return nil, fmt.Errorf("data directory %s: %w", dir, err)
	}
	path := filepath.Join(dir, FileName)
	l := &Ledger{name: path, lock: lock, limits: defaultLimits}
	if err := l.openFile(ctx, path); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (l *Ledger) openFile(ctx context.Context, path string) error {
	// SQLite would make the file readable by everybody; its -wal and -shm get the file's mode.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		err = f.Close()
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("ledger %s: %w: make the data directory writable, or set data-dir to another", path, err)
	}
	if l.write, err = open(path, "mode=rw", 1); err != nil {
		return l.fail("open", err)
	}
	from, err := l.migrate(ctx, l.write)
	if err != nil {
		return err
	}
	if err := l.check(ctx); err != nil {
		return err
	}
	if from > 0 && from < chained {
		// What older versions deleted lies about in free pages, addresses among it.
		if _, err := l.write.ExecContext(ctx, "VACUUM"); err != nil {
			return l.fail("tidy up after bringing it up to date", err)
		}
	}
	var mode string
	if err := l.write.QueryRowContext(ctx, "PRAGMA journal_mode=WAL").Scan(&mode); err != nil {
		return l.fail("open", err)
	}
	if mode != "wal" {
		return fmt.Errorf("ledger %s: the file system cannot share memory between processes (journal mode %q): "+
			"set data-dir to a local disk", path, mode)
	}
	// What a statement on many rows may have to undo goes to a file else: 4 KiB for nearly each row. Not before VACUUM, which would
	// have the whole ledger in memory.
	if _, err := l.write.ExecContext(ctx, "PRAGMA temp_store=MEMORY"); err != nil {
		return l.fail("open", err)
	}
	if l.read, err = open(path, "mode=ro", 2); err != nil {
		return l.fail("open", err)
	}
	return l.prepare(ctx)
}

// Memory opens a ledger that keeps nothing: for tests, and for judging on when the data directory cannot be written.
func Memory(ctx context.Context) (*Ledger, error) {
	db, err := open(":memory:", "", 1) // each connection would be a database of its own
	if err != nil {
		return nil, err
	}
	l := &Ledger{name: "in memory", write: db, read: db, limits: defaultLimits}
	if _, err := l.migrate(ctx, db); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if err := l.prepare(ctx); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// OpenReadOnly opens the ledger in dir for reading, beside the process that owns it or without one. It fails with
// ErrNone where there is no ledger yet, and else as Open does.
func OpenReadOnly(ctx context.Context, dir string) (*Ledger, error) {
	path := filepath.Join(dir, FileName)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("ledger %s: %w: run referee serve with this data-dir first, or name the right one", path, ErrNone)
	} else if err != nil {
		return nil, fmt.Errorf("ledger %s: %w", path, err)
	}
	options := "mode=ro"
	// In a directory that this user may not write, SQLite cannot make the -shm file that WAL needs. Where no -wal file is
	// left, nobody writes, and the file may be read as it lies.
	if _, err := os.Stat(path + "-wal"); errors.Is(err, fs.ErrNotExist) && !writable(dir) {
		options = "mode=ro&immutable=1"
	}
	db, err := open(path, options, 2)
	l := &Ledger{name: path, read: db}
	if err != nil {
		return nil, l.fail("open", err)
	}
	if err := l.readable(ctx, db); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// writable tells whether this process could make a file in dir.
func writable(dir string) bool {
	f, err := os.CreateTemp(dir, ".referee-*")
	if err != nil {
		return false
	}
	return errors.Join(f.Close(), os.Remove(f.Name())) == nil
}

// open makes a pool of at most n connections. None is made yet.
func open(path, options string, n int) (*sql.DB, error) {
	const every = "_txlock=immediate&_defensive=1&_dqs=0&_error_rc=1" +
		"&_pragma=busy_timeout(5000)" + // ms; only a checkpoint or an appending command can be waited for
		"&_pragma=synchronous(FULL)&_pragma=cache_size(-8192)" + // KiB for each connection
		"&_pragma=journal_size_limit(67108864)" + // bytes the -wal file may keep after a checkpoint
		"&_pragma=trusted_schema(OFF)&_pragma=cell_size_check(ON)" +
		"&_pragma=secure_delete(ON)" // what is deleted is overwritten: a forgotten address must not lie about in free pages
	name := "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + every
	if options != "" {
		name += "&" + options
	}
	db, err := sql.Open("sqlite", name)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	return db, nil
}

// ReadOnly tells whether the ledger was opened for reading.
func (l *Ledger) ReadOnly() bool { return l.write == nil }

// Close closes the files and gives the data directory free.
func (l *Ledger) Close() error {
	var errs []error
	if l.read != nil && l.read != l.write {
		errs = append(errs, l.read.Close())
	}
	if l.write != nil {
		errs = append(errs, l.write.Close()) // last, so that it moves the -wal file into the ledger
	}
	if l.lock != nil {
		errs = append(errs, l.lock.Close())
	}
	return errors.Join(errs...)
}

// transact runs f in one transaction that is durable when transact returns nil, and not there at all when it fails.
func (l *Ledger) transact(ctx context.Context, doing string, f func(*sql.Tx) error) error {
	if l.write == nil {
		return fmt.Errorf("ledger %s: %s: %w", l.name, doing, ErrReadOnly)
	}
	tx, err := l.write.BeginTx(ctx, nil)
	if err != nil {
		return l.fail(doing, err)
	}
	defer tx.Rollback() // nothing once it is committed
	if err := f(tx); err != nil {
		return l.fail(doing, err)
	}
	if err := tx.Commit(); err != nil {
		return l.fail(doing, err)
	}
	return nil
}
