package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"referee/classifier"
	"referee/evidence"
	"referee/policy"
)

var noon = time.Date(2026, 3, 1, 12, 30, 0, 0, time.UTC)

func owner(t testing.TB, dir string) *Ledger {
	t.Helper()
	l, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func reader(t testing.TB, dir string) *Ledger {
	t.Helper()
	l, err := OpenReadOnly(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func commitTo(t testing.TB, l *Ledger, b Batch) {
	t.Helper()
	if err := l.Commit(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

// tamper runs statements on the file behind the ledger's back.
func tamper(t *testing.T, dir string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatal(err)
		}
	}
}

func wantError(t *testing.T, err, target error, words ...string) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Fatalf("got error %v, want one that is %q", err, target)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the error does not say %q: %v", w, err)
		}
	}
}

func nameHit(domain string, rank float64, expires time.Time) policy.Hit {
	return policy.Hit{
		Kind: policy.KindName, Domain: domain, Reasons: []string{"score 8.31"}, Score: 8.31, Tail: 2.3e-5, Sightings: 12,
		Networks: 4, Rank: rank, First: noon.Add(-time.Hour), Last: noon, Expires: expires, Model: "m1", Config: "c1",
	}
}

func clientHit(client string, rank float64, expires time.Time) policy.Hit {
	return policy.Hit{
		Kind: policy.KindClient, Client: netip.MustParsePrefix(client), Reasons: []string{"3 of 4 names are flagged"},
		Names: []string{"kq3v9z.com"}, Flagged: 3, Distinct: 4, Rank: rank, First: noon, Last: noon, Expires: expires,
	}
}

func decide(action policy.Action, at time.Time, h policy.Hit) policy.Decision {
	return policy.Decision{Time: at, Action: action, Hit: h, Why: string(action) + " " + h.Key()}
}

func sighting(domain, client string, at time.Time) evidence.Sighting {
	s := evidence.Sighting{Result: classifier.Result{Domain: domain, Score: 8.31, Tail: 2.3e-5}, Time: at.UnixNano()}
	if client != "" {
		s.Client = netip.MustParseAddr(client)
	}
	return s
}

func diff(t *testing.T, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}), cmpopts.EquateEmpty()); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func TestWhatIsCommittedIsThereAfterReopening(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made by Open, with ?odd#name%20")
	ctx := t.Context()
	l, err := Open(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	key, err := l.EvidenceKey(ctx)
	if err != nil {
		t.Fatal(err)
	}
	row := evidence.Row{Kind: evidence.KindName, Key: "kq3v9z.com", Seen: noon, Data: []byte{1, 0, 255}}
	hit := nameHit("kq3v9z.com", 3, noon.Add(time.Hour))
	seen := sighting("kq3v9z.com", "2001:db8::7", noon)
	commitTo(t, l, Batch{
		Hour: noon, Counts: map[string]uint64{"requests": 7, "verdict.dga": 1}, Rows: []evidence.Row{row},
		Flagged: []evidence.Sighting{seen}, Decisions: []policy.Decision{decide(policy.Block, noon, hit)},
	})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}

	for _, l := range []*Ledger{owner(t, dir), reader(t, dir)} {
		again, err := l.EvidenceKey(ctx)
		if err != nil || again != key || key == (evidence.Key{}) {
			t.Errorf("evidence key is %x, then %x (%v)", key, again, err)
		}
		var rows []evidence.Row
		for r, err := range l.Evidence(ctx) {
			if err != nil {
				t.Fatal(err)
			}
			rows = append(rows, r)
		}
		diff(t, "evidence", rows, []evidence.Row{row})
		hits, err := l.ActiveHits(ctx, noon)
		if err != nil {
			t.Fatal(err)
		}
		diff(t, "active hits", hits, []policy.Hit{hit})
		hours, err := l.Hours(ctx, noon)
		if err != nil {
			t.Fatal(err)
		}
		diff(t, "hours", hours, []Hour{{Start: noon.Truncate(time.Hour), Counts: map[string]uint64{
			"requests": 7, "verdict.dga": 1, CountFlaggedKept: 1,
		}}})
		flagged, err := l.FlaggedSightings(ctx, "", netip.Prefix{}, 0)
		if err != nil {
			t.Fatal(err)
		}
		diff(t, "flagged sightings", flagged, []evidence.Sighting{seen})
	}
}

func TestTheOwnerSyncsEachCommitAndReadersCannotWrite(t *testing.T) {
	dir := t.TempDir()
	l := owner(t, dir)
	f := func(db *sql.DB, pragma, want string) {
		t.Helper()
		var got string
		if err := db.QueryRow("PRAGMA " + pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %q, want %q (%v)", pragma, got, want, err)
		}
	}
	f(l.write, "journal_mode", "wal")
	f(l.write, "synchronous", "2") // FULL
	f(l.write, "busy_timeout", "5000")
	f(l.write, "trusted_schema", "0")
	if _, err := l.read.Exec("DELETE FROM decisions"); err == nil {
		t.Error("the connections for reading can write")
	}
}

func TestOnlyItsOwnerMayReadTheLedger(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	l := owner(t, dir)
	commitTo(t, l, Batch{Hour: noon, Counts: map[string]uint64{"requests": 1}})
	for _, name := range []string{"", FileName, FileName + "-wal", lockName} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); mode&0o077 != 0 {
			t.Errorf("%q has mode %v: it holds client addresses", name, mode)
		}
	}
}

func TestASecondProcessOnTheSameDirectoryIsRefused(t *testing.T) {
	dir := t.TempDir()
	l := owner(t, dir)
	_, err := Open(t.Context(), dir)
	wantError(t, err, ErrInUse, dir, fmt.Sprintf("process %d", os.Getpid()))
	l.Close()
	owner(t, dir)
}

func TestALedgerFromANewerVersionIsRefusedAndLeftAlone(t *testing.T) {
	dir := t.TempDir()
	l := owner(t, dir)
	l.Close()
	tamper(t, dir, "PRAGMA user_version=99")
	before, _ := os.ReadFile(filepath.Join(dir, FileName))
	_, err := Open(t.Context(), dir)
	wantError(t, err, ErrNewer, "version 99", fmt.Sprintf("up to %d", version), "newer referee")
	_, err = OpenReadOnly(t.Context(), dir)
	wantError(t, err, ErrNewer, "version 99")
	if after, _ := os.ReadFile(filepath.Join(dir, FileName)); string(after) != string(before) {
		t.Error("the file changed")
	}
}

func TestAFileThatIsNoLedgerIsRefusedAndLeftAlone(t *testing.T) {
	f := func(make func(dir string)) {
		t.Helper()
		dir := t.TempDir()
		make(dir)
		before, _ := os.ReadFile(filepath.Join(dir, FileName))
		_, err := Open(t.Context(), dir)
		wantError(t, err, ErrForeign, FileName, "move it away")
		_, err = OpenReadOnly(t.Context(), dir)
		wantError(t, err, ErrForeign)
		if after, _ := os.ReadFile(filepath.Join(dir, FileName)); string(after) != string(before) {
			t.Error("the file changed")
		}
	}
	f(func(dir string) {
		os.WriteFile(filepath.Join(dir, FileName), []byte(strings.Repeat("# notes of the referee\n", 200)), 0o600)
	})
	f(func(dir string) { tamper(t, dir, "CREATE TABLE bookmarks (url TEXT)") })
}

func TestADamagedLedgerIsAClearError(t *testing.T) {
	dir := t.TempDir()
	l := owner(t, dir)
	for i := range 200 {
		commitTo(t, l, Batch{Decisions: []policy.Decision{decide(policy.Block, noon, nameHit(fmt.Sprintf("k%d.com", i), 1, noon))}})
	}
	l.Close()
	path := filepath.Join(dir, FileName)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 4096; i < len(data); i++ { // all pages but the first, which holds the root of the schema
		data[i] = 0xa5
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), dir)
	wantError(t, err, ErrDamaged, path, "restore a backup", "move the file away")
	beside, err := OpenReadOnly(t.Context(), dir)
	if err == nil { // the schema fits the first page: the damage shows at the first question
		defer beside.Close()
		_, err = beside.Decisions(t.Context(), time.Time{}, 0)
	}
	wantError(t, err, ErrDamaged, path)
}

func TestReadingWhereThereIsNoLedgerYetSaysSo(t *testing.T) {
	dir := t.TempDir()
	_, err := OpenReadOnly(t.Context(), dir)
	wantError(t, err, ErrNone, dir, "referee serve")
	os.WriteFile(filepath.Join(dir, FileName), nil, 0o600)
	_, err = OpenReadOnly(t.Context(), dir)
	wantError(t, err, ErrNone)
	if _, err := os.Stat(filepath.Join(dir, lockName)); err == nil {
		t.Error("reading made a lock file")
	}
}

func TestAReaderMayNotWrite(t *testing.T) {
	dir := t.TempDir()
	owner(t, dir)
	l := reader(t, dir)
	wantError(t, l.Commit(t.Context(), Batch{Hour: noon, Counts: map[string]uint64{"requests": 1}}), ErrReadOnly, dir)
	if !l.ReadOnly() {
		t.Error("ReadOnly is false")
	}
}

func TestALedgerInMemoryOutlivesACancelledCall(t *testing.T) {
	l, err := Memory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	commitTo(t, l, Batch{Hour: noon, Counts: map[string]uint64{"requests": 5}})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Commit(ctx, Batch{Hour: noon, Counts: map[string]uint64{"requests": 5}}); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled commit returned %v", err)
	}
	hours, err := l.Hours(t.Context(), noon)
	if err != nil || len(hours) != 1 || hours[0].Counts["requests"] != 5 {
		t.Errorf("got %v (%v), want 5 requests", hours, err)
	}
}
