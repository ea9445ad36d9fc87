package ledger

import (
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// What a caller may want to tell apart. A process should end at its start on the first four: writing on would harm
// what is there. Anything else (no space, no permission) is trouble of the disk that may pass.
var (
	ErrInUse    = errors.New("in use by another referee")
	ErrNewer    = errors.New("written by a newer referee")
	ErrForeign  = errors.New("not a ledger of referee")
	ErrDamaged  = errors.New("damaged")
	ErrNone     = errors.New("no ledger yet")
	ErrReadOnly = errors.New("opened for reading only")
)

// fail wraps an error of the database with the ledger's name, what was being done and the way out.
func (l *Ledger) fail(doing string, err error) error {
	prefix := "ledger " + l.name + ": " + doing
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("%s: %w", prefix, err)
	}
	switch e.Code() & 0xff { // the primary code of an extended one
	case sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%s: %w (%w): move it away, or set data-dir to another directory", prefix, ErrForeign, err)
	case sqlite3.SQLITE_CORRUPT:
		return l.damaged(doing, err)
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("%s: the disk is full, nothing of this was written: free some space (%w)", prefix, err)
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		return fmt.Errorf("%s: make the data directory and the files in it accessible to this user (%w)", prefix, err)
	case sqlite3.SQLITE_BUSY:
		return fmt.Errorf("%s: another program keeps the file locked: close it (%w)", prefix, err)
	}
	return fmt.Errorf("%s: %w", prefix, err)
}

func (l *Ledger) damaged(doing string, err error) error {
	return fmt.Errorf("ledger %s: %s: %w (%w): stop referee and restore a backup, or move the file away to begin a new one "+
		"(entries found in the WAF sets are then adopted with the default expiry)", l.name, doing, ErrDamaged, err)
}
