package ledger

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"referee/evidence"
)

func all(t testing.TB, l *Ledger) map[rowKey]evidence.Row {
	t.Helper()
	rows := map[rowKey]evidence.Row{}
	for r, err := range l.Evidence(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if _, twice := rows[keyOf(r)]; twice {
			t.Fatalf("%s %s came twice", r.Kind, r.Key)
		}
		rows[keyOf(r)] = r
	}
	return rows
}

func chunks(t testing.TB, l *Ledger) (n int) {
	t.Helper()
	if err := l.read.QueryRow(`SELECT count(*) FROM recent`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func nameRow(key, says string) evidence.Row {
	return evidence.Row{Kind: evidence.KindName, Key: key, Seen: noon, Data: []byte(says)}
}

func gone(r evidence.Row) evidence.Row { return evidence.Row{Kind: r.Kind, Key: r.Key} }

// Whatever happens in whatever order, the chunks before the table say what was said last, and so does the table alone once all
// chunks have moved.
func TestTheEvidenceIsWhatWasCommittedLastWhateverHasMovedAndWhoeverWasForgotten(t *testing.T) {
	row := rapid.Custom(func(rt *rapid.T) evidence.Row {
		r := evidence.Row{
			Kind: rapid.SampledFrom([]string{evidence.KindName, evidence.KindClient}).Draw(rt, "kind"),
			Key:  rapid.SampledFrom([]string{"192.0.2.1/32", "192.0.2.2/32", "192.0.2.3/32"}).Draw(rt, "key"),
		}
		if rapid.IntRange(0, 3).Draw(rt, "kept") > 0 {
			r.Seen = fromNanos(rapid.Int64().Draw(rt, "seen"))
			r.Data = append([]byte{}, rapid.SliceOfN(rapid.Byte(), 0, 3).Draw(rt, "data")...)
		}
		return r
	})
	rapid.Check(t, func(rt *rapid.T) {
		l, err := Memory(t.Context())
		if err != nil {
			rt.Fatal(err)
		}
		defer l.Close()
		restart := func() {
			if l.recent, err = newRecent(l.skip); err != nil {
				rt.Fatal(err)
			}
			l.recent.chunks, l.recent.rows = 3, 2
		}
		restart()
		want := map[rowKey]evidence.Row{}
		committed := func(rows []evidence.Row) {
			for _, r := range rows {
				if want[keyOf(r)] = r; r.Data == nil {
					delete(want, keyOf(r))
				}
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"commit": func(rt *rapid.T) {
				rows := rapid.SliceOfN(row, 1, 9).Draw(rt, "rows")
				if err := l.Commit(t.Context(), Batch{Rows: rows}); err != nil {
					rt.Fatal(err)
				}
				committed(rows)
			},
			"a commit that fails": func(rt *rapid.T) {
				rows := rapid.SliceOfN(row, 1, 9).Draw(rt, "rows")
				failed := fmt.Errorf("no space")
				err := l.transactRecent(t.Context(), "commit", func(c commit) error {
					if err := l.recent.add(c, rows); err != nil {
						return err
					}
					return failed
				})
				if err == nil {
					rt.Fatal("it did not fail")
				}
			},
			"a step of retention": func(rt *rapid.T) {
				if _, err := l.Maintain(t.Context(), usual, noon); err != nil {
					rt.Fatal(err)
				}
			},
			"a restart": func(*rapid.T) { restart() },
			"forget": func(rt *rapid.T) {
				client := netip.MustParsePrefix(row.Draw(rt, "whom").Key)
				if _, err := l.Forget(t.Context(), client, "alice", noon); err != nil {
					rt.Fatal(err)
				}
				maps.DeleteFunc(want, func(k rowKey, _ evidence.Row) bool {
					return k.key == client.String() || k.kind == evidence.KindName // which nobody can read
				})
			},
			"": func(rt *rapid.T) {
				diff(t, "evidence", all(t, l), want)
				if t.Failed() {
					rt.FailNow()
				}
			},
		})
		if err := l.moveAllRecent(t.Context()); err != nil {
			rt.Fatal(err)
		}
		table := map[rowKey]evidence.Row{}
		for r, err := range l.settledRows(t.Context()) {
			if err != nil {
				rt.Fatal(err)
			}
			table[keyOf(r)] = r
		}
		diff(t, "the table", table, want)
		if n := chunks(t, l); n > 0 || t.Failed() {
			rt.Fatalf("%d chunks have not moved", n)
		}
		for key, chunk := range l.recent.newest {
			rt.Fatalf("no chunk is left, and %v is said to be in %d", key, chunk)
		}
	})
}

func TestARowThatComesAgainIsNeverWrittenIntoTheTable(t *testing.T) {
	l := memory(t)
	l.recent.chunks = 4
	for i := range 20 {
		commitTo(t, l, Batch{Rows: []evidence.Row{nameRow("each-second.com", fmt.Sprint(i)), nameRow(fmt.Sprintf("once%d.com", i), "")}})
		if n := chunks(t, l); n > 4 {
			t.Fatalf("%d chunks in the journal", n)
		}
	}
	settled := 0
	for r, err := range l.settledRows(t.Context()) {
		if err != nil || r.Key == "each-second.com" {
			t.Fatal(r.Key, err)
		}
		settled++
	}
	if settled != 16 {
		t.Errorf("%d rows have moved, want the 16 that did not come again", settled)
	}
	if got := all(t, l)[rowKey{evidence.KindName, "each-second.com"}]; string(got.Data) != "19" {
		t.Errorf("it says %q", got.Data)
	}
}

func TestWhatNobodyAddsToMovesInTheSecondRoundOfRetention(t *testing.T) {
	l := memory(t)
	for i := range 5 {
		commitTo(t, l, Batch{Rows: []evidence.Row{nameRow(fmt.Sprint(i), "")}})
	}
	tidy(t, l, usual, noon)
	if n := chunks(t, l); n != 5 {
		t.Errorf("after a round there are %d chunks: they would not wait for rows that come again", n)
	}
	commitTo(t, l, Batch{Rows: []evidence.Row{nameRow("new", "")}}) // takes two of the old ones along
	if n := chunks(t, l); n != 4 {
		t.Errorf("%d chunks", n)
	}
	tidy(t, l, usual, noon)
	if n := chunks(t, l); n != 1 {
		t.Errorf("after two rounds there are %d chunks", n)
	}
	tidy(t, l, usual, noon)
	if n := chunks(t, l); n != 0 || len(all(t, l)) != 6 {
		t.Errorf("after three rounds there are %d chunks, %d rows", n, len(all(t, l)))
	}
}

func TestALargeCommitIsManyChunksAndTheyMoveAFewAtATime(t *testing.T) {
	l := memory(t)
	l.recent.chunks = 2
	var rows []evidence.Row
	for i := range 5 * chunkRows {
		rows = append(rows, nameRow(fmt.Sprint(i), ""))
	}
	rows = append(rows, nameRow("large", strings.Repeat("x", 2*chunkBytes)), nameRow("after it", ""))
	commitTo(t, l, Batch{Rows: rows})
	f := func(want int) {
		t.Helper()
		if n := chunks(t, l); n != want || len(all(t, l)) != len(rows) {
			t.Errorf("%d chunks, want %d; %d rows", n, want, len(all(t, l)))
		}
	}
	f(7)
	commitTo(t, l, Batch{Rows: rows[:1]})
	f(6)
	for range 4 {
		commitTo(t, l, Batch{Rows: rows[:1]})
	}
	f(2)
}

func TestAReaderFindsEveryRowOnceWhileChunksMove(t *testing.T) {
	dir := t.TempDir()
	l := owner(t, dir)
	l.recent.chunks, l.recent.rows = 3, 7
	const keys = 60
	var rows []evidence.Row
	for i := range keys {
		rows = append(rows, nameRow(fmt.Sprint(i), "0"))
	}
	commitTo(t, l, Batch{Rows: rows})
	r := reader(t, dir)
	var writing sync.WaitGroup
	stop := make(chan struct{})
	writing.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := l.Commit(context.Background(), Batch{Rows: rows[i%keys : min(i%keys+i%11+1, keys)]}); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 300 {
		if n := len(all(t, r)); n != keys {
			t.Errorf("%d of %d rows", n, keys)
			break
		}
	}
	close(stop)
	writing.Wait()
}

func TestAChunkThatCannotBeReadIsLeftOutAndHoldsNothingUp(t *testing.T) {
	dir := t.TempDir()
	l := owner(t, dir)
	commitTo(t, l, Batch{Rows: []evidence.Row{nameRow("before", "")}})
	commitTo(t, l, Batch{Rows: []evidence.Row{nameRow("damaged", "")}})
	commitTo(t, l, Batch{Rows: []evidence.Row{nameRow("after", "")}})
	l.Close()
	tamper(t, dir, `UPDATE recent SET data = CAST(substr(data, 1, length(data) - 1) || x'00' AS BLOB) WHERE id = 2`) // of the checksum
	for _, l := range []*Ledger{reader(t, dir), owner(t, dir)} {
		if got := all(t, l); len(got) != 2 {
			t.Errorf("read %v", got)
		}
		wantError(t, l.Skipped(), ErrDamaged, "chunk of recent evidence 2 cannot be read")
	}
	r := reader(t, dir)
	found, err := r.Check(t.Context())
	if err != nil || len(found.Damage) != 1 || !strings.Contains(found.Damage[0], "chunk of recent evidence 2") || found.Rows["evidence"] != 2 {
		t.Errorf("%+v, %v", found, err)
	}
	l = owner(t, t.TempDir())
	commitTo(t, l, Batch{Rows: []evidence.Row{nameRow("damaged", "")}})
	commitTo(t, l, Batch{Rows: []evidence.Row{nameRow("after", "")}})
	if _, err := l.write.Exec(`UPDATE recent SET data = x'01' WHERE id = 1`); err != nil {
		t.Fatal(err)
	}
	if err := l.moveAllRecent(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantError(t, l.Skipped(), ErrDamaged)
	if got := all(t, l); len(got) != 1 || chunks(t, l) != 0 {
		t.Errorf("%d chunks, %v", chunks(t, l), got)
	}
	if found, err := reader(t, filepath.Dir(l.name)).Check(t.Context()); err != nil || len(found.Damage) > 0 {
		t.Errorf("still damaged: %+v, %v", found, err)
	}
}

func TestALedgerFromBeforeTheJournalKeepsItsEvidence(t *testing.T) {
	dir := t.TempDir()
	tamper(t, dir, append(slices.Clone(migrations[:6]), "PRAGMA application_id=1382445669; PRAGMA user_version=6",
		`INSERT INTO evidence (kind, key, seen, data) VALUES ('name', 'a.com', 7, x'01'), ('name', 'b.com', 7, x'01')`)...)
	if _, err := OpenReadOnly(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "start referee serve once") {
		t.Errorf("read as it is: %v", err)
	}
	l := owner(t, dir)
	commitTo(t, l, Batch{Rows: []evidence.Row{nameRow("b.com", "newer"), nameRow("c.com", "new")}})
	says := map[string]string{}
	for k, r := range all(t, l) {
		says[k.key] = string(r.Data)
	}
	diff(t, "evidence", says, map[string]string{"a.com": "\x01", "b.com": "newer", "c.com": "new"})
}

func TestABackupHoldsWhatHasNotMovedYet(t *testing.T) {
	l := owner(t, t.TempDir())
	commitTo(t, l, Batch{Rows: []evidence.Row{nameRow("a.com", "old"), nameRow("b.com", "")}})
	if err := l.moveAllRecent(t.Context()); err != nil {
		t.Fatal(err)
	}
	commitTo(t, l, Batch{Rows: []evidence.Row{nameRow("a.com", "new"), gone(nameRow("b.com", ""))}})
	to := filepath.Join(t.TempDir(), FileName)
	if err := l.Backup(t.Context(), to, nil); err != nil {
		t.Fatal(err)
	}
	diff(t, "evidence", all(t, reader(t, filepath.Dir(to))), all(t, l))
	if n := len(all(t, l)); n != 1 {
		t.Errorf("%d rows", n)
	}
}

func FuzzAChunkIsReadAsItWasWrittenOrRefused(f *testing.F) {
	f.Add([]byte("\x04name\x05a.com\x02\x02x\x04name\x05b.com\x01\x00"))
	f.Add(binary.AppendUvarint(nil, 1<<63))
	f.Add(bytes.Repeat([]byte{0x80}, 20))
	r, err := newRecent(nil)
	if err != nil {
		f.Fatal(err)
	}
	r.rows = 1 << 30
	f.Fuzz(func(t *testing.T, raw []byte) {
		rows, err := parseRows(raw, nil)
		if err != nil {
			return
		}
		for begin := 0; begin < len(rows); {
			chunk, n := r.encode(rows[begin:])
			_, again, err := decodeChunk(r.decoder, chunk, nil, nil)
			if err != nil || n == 0 {
				t.Fatal(n, err)
			}
			diff(t, "rows", again, rows[begin:begin+n])
			begin += n
		}
	})
}
