package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

// applicationID marks a SQLite file as a ledger (PRAGMA application_id): "Rfre".
const applicationID = 0x52667265

// migrations bring a ledger from version i to i+1; PRAGMA user_version holds the version. Append only: what was
// released never changes.
var migrations = [...]string{
	// Times are Unix nanoseconds, hours Unix seconds.
	`
	CREATE TABLE meta (
		key   TEXT PRIMARY KEY,
		value BLOB NOT NULL
	) STRICT, WITHOUT ROWID;

	-- With a rowid, since rows of some hundred bytes would make a b-tree of them deep and its updates slow.
	CREATE TABLE evidence (
		kind TEXT NOT NULL,
		key  TEXT NOT NULL,
		seen INTEGER NOT NULL,
		data BLOB NOT NULL,
		PRIMARY KEY (kind, key)
	) STRICT;

	CREATE TABLE hours (
		hour    INTEGER NOT NULL,
		counter TEXT NOT NULL,
		count   INTEGER NOT NULL,
		PRIMARY KEY (hour, counter)
	) STRICT, WITHOUT ROWID;

	CREATE TABLE flagged (
		id     INTEGER PRIMARY KEY,
		time   INTEGER NOT NULL,
		domain TEXT NOT NULL,
		client BLOB, -- 16 bytes, an IPv4 address as ::ffff:a.b.c.d: a prefix is a range
		score  REAL NOT NULL,
		tail   REAL NOT NULL
	) STRICT;
	CREATE INDEX flagged_by_domain ON flagged (domain);
	CREATE INDEX flagged_by_client ON flagged (client);

	CREATE TABLE saved (
		domain    TEXT PRIMARY KEY,
		first     INTEGER NOT NULL,
		last      INTEGER NOT NULL,
		sightings INTEGER NOT NULL,
		score     REAL NOT NULL,
		tail      REAL NOT NULL
	) STRICT;
	CREATE INDEX saved_by_last ON saved (last);

	CREATE TABLE decisions (
		id     INTEGER PRIMARY KEY AUTOINCREMENT,
		time   INTEGER NOT NULL,
		action TEXT NOT NULL,
		key    TEXT NOT NULL, -- policy.Hit.Key
		why    TEXT NOT NULL,
		hit    TEXT NOT NULL  -- JSON of policy.Hit
	) STRICT;
	CREATE INDEX decisions_by_time ON decisions (time, key);

	-- The last decision of each key that is not released: what a restart takes up again, without reading all decisions.
	CREATE TABLE hits (
		key      TEXT PRIMARY KEY,
		decision INTEGER NOT NULL REFERENCES decisions (id),
		expires  INTEGER NOT NULL
	) STRICT, WITHOUT ROWID;

	CREATE TABLE generations (
		id      INTEGER PRIMARY KEY AUTOINCREMENT,
		time    INTEGER NOT NULL,
		kind    TEXT NOT NULL, -- waf.SetKind
		outcome TEXT NOT NULL,
		error   TEXT NOT NULL,
		why     TEXT NOT NULL,
		model   TEXT NOT NULL,
		config  TEXT NOT NULL,
		items   INTEGER NOT NULL, -- in the set after it
		added   INTEGER NOT NULL,
		removed INTEGER NOT NULL,
		body    BLOB NOT NULL -- before, after and entries: JSON, zstd
	) STRICT;
	CREATE INDEX generations_by_time ON generations (time);
	CREATE INDEX generations_standing ON generations (kind, id) WHERE outcome <> 'failed';
	`,
	// What the owner orders, and what the updater must show to those who look from outside.
	`
	ALTER TABLE generations ADD COLUMN entries_added INTEGER NOT NULL DEFAULT 0; -- hits, where added counts items

	CREATE TABLE orders (
		id      INTEGER PRIMARY KEY AUTOINCREMENT,
		time    INTEGER NOT NULL,
		verb    TEXT NOT NULL, -- waf.Verb
		until   INTEGER NOT NULL, -- when it counts no more; 0: never
		carried INTEGER NOT NULL DEFAULT 0,
		body    TEXT NOT NULL -- JSON of waf.Order
	) STRICT;
	CREATE INDEX orders_standing ON orders (until) WHERE carried = 0;

	CREATE TABLE troubles (
		kind TEXT PRIMARY KEY, -- waf.SetKind
		body TEXT NOT NULL     -- JSON of waf.Trouble
	) STRICT, WITHOUT ROWID;
	`,
	// What the owner says of single names, and of which names a candidate model says something else.
	`
	CREATE TABLE labels (
		id     INTEGER PRIMARY KEY AUTOINCREMENT,
		time   INTEGER NOT NULL,
		name   TEXT NOT NULL,
		says   TEXT NOT NULL, -- policy.Says; empty takes back what was said before
		who    TEXT NOT NULL,
		reason TEXT NOT NULL
	) STRICT;
	CREATE INDEX labels_by_name ON labels (name, id);

	CREATE TABLE compared (
		live            TEXT NOT NULL, -- ids of models
		candidate       TEXT NOT NULL,
		domain          TEXT NOT NULL,
		first           INTEGER NOT NULL,
		last            INTEGER NOT NULL,
		sightings       INTEGER NOT NULL,
		live_score      REAL NOT NULL,
		live_tail       REAL NOT NULL,
		candidate_score REAL NOT NULL,
		candidate_tail  REAL NOT NULL,
		PRIMARY KEY (live, candidate, domain)
	) STRICT;
	CREATE INDEX compared_by_last ON compared (last);
	`,
	// What some of the flagged requests said, byte for byte: no text, for clients need not send UTF-8.
	`
	ALTER TABLE flagged ADD COLUMN referer BLOB;
	ALTER TABLE flagged ADD COLUMN agent BLOB;
	ALTER TABLE flagged ADD COLUMN path BLOB;
	CREATE INDEX flagged_examples_by_domain ON flagged (domain) WHERE referer IS NOT NULL;
	CREATE INDEX flagged_examples_by_client ON flagged (client) WHERE referer IS NOT NULL;
	`,
	// A chain over what was decided, ordered and labelled (see chain.go); how addresses age; days; who is to be forgotten. What
	// is there already is linked by adopt.
	`
	CREATE TABLE chain (
		seq        INTEGER PRIMARY KEY,
		kind       TEXT NOT NULL,
		row        INTEGER NOT NULL,
		commitment BLOB NOT NULL,
		link       BLOB NOT NULL
	) STRICT;
	CREATE UNIQUE INDEX chain_by_row ON chain (kind, row);

	CREATE TABLE records (
		id   INTEGER PRIMARY KEY AUTOINCREMENT,
		time INTEGER NOT NULL,
		what TEXT NOT NULL,
		who  TEXT NOT NULL,
		body TEXT NOT NULL -- JSON of recordBody
	) STRICT;

	-- A client's decision has its address in key alone, hidden in the commitment by the salt.
	ALTER TABLE decisions ADD COLUMN expires INTEGER NOT NULL DEFAULT 0;
	ALTER TABLE decisions ADD COLUMN salt BLOB;
	ALTER TABLE decisions ADD COLUMN blind BLOB;
	ALTER TABLE decisions ADD COLUMN aged INTEGER NOT NULL DEFAULT 0; -- 1: key is what is left of the address; 2: nothing is
	CREATE INDEX decisions_by_key ON decisions (key, id);
	CREATE INDEX decisions_full ON decisions (key, expires) WHERE salt IS NOT NULL AND aged = 0;

	ALTER TABLE orders ADD COLUMN salt BLOB;
	ALTER TABLE orders ADD COLUMN blind BLOB;
	ALTER TABLE flagged ADD COLUMN aged INTEGER NOT NULL DEFAULT 0;
	CREATE INDEX flagged_full ON flagged (id) WHERE client IS NOT NULL AND aged = 0;
	CREATE INDEX flagged_by_time ON flagged (time);

	CREATE TABLE days (
		day     INTEGER NOT NULL, -- Unix seconds
		counter TEXT NOT NULL,
		count   INTEGER NOT NULL,
		PRIMARY KEY (day, counter)
	) STRICT, WITHOUT ROWID;

	-- Clients that a command asked the running sidecar to forget.
	CREATE TABLE forget (
		client TEXT PRIMARY KEY, -- a prefix as evidence has it
		who    TEXT NOT NULL
	) STRICT, WITHOUT ROWID;
	`,
	// What the owner was told.
	`
	CREATE TABLE alerts (
		id   INTEGER PRIMARY KEY,
		time INTEGER NOT NULL,
		kind TEXT NOT NULL,
		text TEXT NOT NULL
	) STRICT;
	CREATE INDEX alerts_by_time ON alerts (time);
	`,
	// The newest rows of evidence, not in its table yet (see recent.go).
	`
	CREATE TABLE recent (
		id   INTEGER PRIMARY KEY, -- what a later chunk says of a row counts
		data BLOB NOT NULL        -- rows: zstd
	) STRICT;
	`,
}

const version = len(migrations)

// chained is the version that brought the chain.
const chained = 5

// identify returns the ledger's version, 0 for an empty file, and refuses what this referee cannot read.
func (l *Ledger) identify(ctx context.Context, db *sql.DB) (int, error) {
	var app, v, tables int
	err := db.QueryRowContext(ctx, `SELECT a.application_id, v.user_version, (SELECT count(*) FROM sqlite_schema)
		FROM pragma_application_id a, pragma_user_version v`).Scan(&app, &v, &tables)
	switch {
	case err != nil:
		return 0, l.fail("open", err)
	case app == 0 && v == 0 && tables == 0:
		return 0, nil
	case app != applicationID:
		return 0, fmt.Errorf("ledger %s: %w but another program's SQLite file: move it away, or set data-dir to another directory",
			l.name, ErrForeign)
	case v > version:
		return 0, fmt.Errorf("ledger %s: %w: it has version %d, this referee knows versions up to %d: "+
			"run the newer referee, or set data-dir to another directory", l.name, ErrNewer, v, version)
	}
	return v, nil
}

// check walks all pages, 0.2 s for 100 MB, so that damage is found at the start and not under the next decision.
func (l *Ledger) check(ctx context.Context) error {
	var found string
	if err := l.write.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&found); err != nil {
		return l.fail("check", err)
	}
	if found != "ok" {
		return l.damaged("check", errors.New(strings.Join(strings.Fields(found), " ")))
	}
	return nil
}

// readable refuses a ledger that would have to be migrated before it can be read.
func (l *Ledger) readable(ctx context.Context, db *sql.DB) error {
	switch v, err := l.identify(ctx, db); {
	case err != nil:
		return err
	case v == 0:
		return fmt.Errorf("ledger %s: %w: run referee serve with this data-dir first, or name the right one", l.name, ErrNone)
	case v < version:
		return fmt.Errorf("ledger %s: it has version %d, this referee reads version %d: start referee serve once, "+
			"which brings it up to date", l.name, v, version)
	}
	return nil
}

// migrate makes the tables of a new ledger and brings an older one up to date, in one transaction. It returns the version
// that it found.
func (l *Ledger) migrate(ctx context.Context, db *sql.DB) (int, error) {
	v, err := l.identify(ctx, db)
	if err != nil || v == version {
		return v, err
	}
	return v, l.transact(ctx, fmt.Sprintf("bring from version %d to %d", v, version), func(tx *sql.Tx) error {
		for _, m := range migrations[v:] {
			if _, err := tx.ExecContext(ctx, m); err != nil {
				return err
			}
		}
		if v > 0 && v < chained {
			if err := adopt(ctx, tx); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id=%d; PRAGMA user_version=%d", applicationID, version))
		return err
	})
}
