package ledger

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"unsafe"

	"github.com/klauspost/compress/zstd"

	"referee/evidence"
)

// The evidence of the last minute is a journal, the table recent. Each second changes a row for every client that was seen in it. In the
// table evidence each of them costs a search and a page, and mostly for nothing: the next second changes the row again. So a
// second's rows are appended in chunks, as they are, and the oldest chunks move on into the table once there are many or they are
// older than a minute. What a newer chunk says again is left out then. Whoever reads the evidence reads the chunks before
// the table, the newest first.
//
// A chunk moves and is deleted in one transaction, the oldest before all others. So chunks and table together say what the last
// Commit said, at whatever moment the process is killed.

const (
	chunkRows    = stepRows // of one chunk at most, since one moves in a step
	chunkBytes   = 64 << 10 // before compression; the last row may go beyond
	recentChunks = 512      // in the journal, but for those of a single larger Commit: 256,000 rows, 32 MiB, mostly a third of that
)

// recent is what the owner knows of its journal.
type recent struct {
	sync.Mutex // held for the whole of a transaction that changes the journal

	// newest is the chunk with the last version of a row, of those that this process wrote. A row that is not here costs a write
	// when its chunk moves, and no more, since older chunks have moved before.
	newest map[rowKey]int64
	old    int64 // chunks up to this one were there a round of Maintain ago: about a minute

	chunks, rows int // recentChunks and chunkRows, but in tests

	encoder *zstd.Encoder
	decoder *zstd.Decoder
	raw     []byte         // room for a chunk
	moving  []evidence.Row // room for the rows of one
	skip    func(what string, id int64, err error)
}

type rowKey struct{ kind, key string }

func keyOf(r evidence.Row) rowKey { return rowKey{r.Kind, r.Key} }

func newRecent(skip func(what string, id int64, err error)) (*recent, error) {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithWindowSize(chunkBytes), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, err
	}
	decoder, err := newDecoder()
	return &recent{
		newest: map[rowKey]int64{}, chunks: recentChunks, rows: chunkRows, encoder: encoder, decoder: decoder, skip: skip,
	}, err
}

// transactRecent is transact, alone with the journal.
func (l *Ledger) transactRecent(ctx context.Context, doing string, f func(c commit) error) error {
	if l.recent == nil {
		return fmt.Errorf("ledger %s: %s: %w", l.name, doing, ErrReadOnly)
	}
	l.recent.Lock()
	defer l.recent.Unlock()
	err := l.transact(ctx, doing, func(tx *sql.Tx) error {
		// The transaction watches ctx. That each of its thousands of statements does too costs four allocations a row.
		return f(commit{ctx: context.WithoutCancel(ctx), tx: tx, stmts: &l.stmts})
	})
	if err != nil {
		clear(l.recent.newest) // it may tell of chunks that are not there
	}
	return err
}

// add appends rows to the journal, and moves old chunks and those that are too many, at most one more than it appends.
func (r *recent) add(c commit, rows []evidence.Row) error {
	if len(rows) == 0 {
		return nil
	}
	var first, last int64
	err := c.tx.QueryRowContext(c.ctx, `SELECT coalesce((SELECT min(id) FROM recent), 1), coalesce((SELECT max(id) FROM recent), 0)`).
		Scan(&first, &last)
	if err != nil {
		return err
	}
	var chunks [][]byte
	for id := last + 1; len(rows) > 0; id++ {
		chunk, n := r.encode(rows)
		for i := range n {
			r.newest[keyOf(rows[i])] = id
		}
		chunks, rows = append(chunks, chunk), rows[n:]
	}
	// Before the others are there, so that those take the pages of these: written once, not twice.
	over := int(last-first) + 1 + len(chunks) - r.chunks
	for range len(chunks) + 1 {
		upTo := r.old
		if over > 0 {
			upTo = last
		}
		if moved, err := r.move(c, upTo); err != nil {
			return err
		} else if !moved {
			break
		}
		over--
	}
	add := c.bind(c.stmts.addChunk)
	for i, chunk := range chunks {
		if _, err := add(last+1+int64(i), chunk); err != nil {
			return err
		}
	}
	return nil
}

// move writes into the table what the oldest chunk up to one says and no newer one does, deletes it, and reports whether there was one.
func (r *recent) move(c commit, upTo int64) (moved bool, err error) {
	var id int64
	var data []byte
	err = c.tx.QueryRowContext(c.ctx, `SELECT id, data FROM recent WHERE id <= ? ORDER BY id LIMIT 1`, upTo).Scan(&id, &data)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if r.raw, r.moving, err = decodeChunk(r.decoder, data, r.raw[:0], r.moving[:0]); err != nil {
		r.skip(unreadChunk, id, err) // and go: those behind it have to move too
	}
	rows := r.moving
	rows = slices.DeleteFunc(rows, func(row evidence.Row) bool {
		at, is := r.newest[keyOf(row)]
		if is && at == id {
			delete(r.newest, keyOf(row))
		}
		return is && at > id
	})
	if err := c.rows(rows); err != nil {
		return false, err
	}
	_, err = c.bind(c.stmts.dropChunk)(id)
	return true, err
}

// moveOldRecent moves one chunk that has been there for a round of Maintain, and reports whether there was one.
func (l *Ledger) moveOldRecent(ctx context.Context) (moved bool, err error) {
	err = l.transactRecent(ctx, "move old evidence", func(c commit) (err error) {
		moved, err = l.recent.move(c, l.recent.old)
		return err
	})
	return moved, err
}

// moveAllRecent moves the chunks that are there now, each in a transaction of its own.
func (l *Ledger) moveAllRecent(ctx context.Context) error {
	last, err := l.lastRecent(ctx)
	for moved := true; moved && err == nil; {
		err = l.transactRecent(ctx, "move all evidence", func(c commit) (err error) {
			moved, err = l.recent.move(c, last)
			return err
		})
	}
	return err
}

// ageRecent makes a round of Maintain pass for the journal.
func (l *Ledger) ageRecent(ctx context.Context) error {
	last, err := l.lastRecent(ctx)
	l.recent.Lock()
	defer l.recent.Unlock()
	l.recent.old = last
	return err
}

// lastRecent is the number of the newest chunk, 0: there is none.
func (l *Ledger) lastRecent(ctx context.Context) (id int64, err error) {
	if err := l.read.QueryRowContext(ctx, `SELECT coalesce(max(id), 0) FROM recent`).Scan(&id); err != nil {
		return 0, l.fail("look for recent evidence", err)
	}
	return id, nil
}

// recentRows yields all versions of rows that are in the journal, the newest first; those that are gone too.
func (l *Ledger) recentRows(ctx context.Context) iter.Seq2[evidence.Row, error] {
	type chunk struct {
		id   int64
		data []byte
	}
	return func(yield func(evidence.Row, error) bool) {
		// In one statement, which sees one moment: chunk by chunk, a row could leave an old one behind us for a new one before us.
		chunks, err := collect(ctx, l, "read recent evidence", func(rows *sql.Rows) (c chunk, err error) {
			return c, rows.Scan(&c.id, &c.data)
		}, `SELECT id, data FROM recent ORDER BY id DESC`)
		if err != nil {
			yield(evidence.Row{}, err)
			return
		}
		decoder, err := newDecoder()
		if err != nil {
			yield(evidence.Row{}, l.fail("read recent evidence", err))
			return
		}
		defer decoder.Close()
		for _, c := range chunks {
			_, rows, err := decodeChunk(decoder, c.data, nil, nil)
			if err != nil {
				l.skip(unreadChunk, c.id, err)
				continue
			}
			for _, r := range slices.Backward(rows) {
				// Copied, or a row that is kept would keep its whole chunk.
				if !yield(evidence.Row{Kind: strings.Clone(r.Kind), Key: strings.Clone(r.Key), Seen: r.Seen, Data: bytes.Clone(r.Data)}, nil) {
					return
				}
			}
		}
	}
}

const unreadChunk = "chunk of recent evidence"

// encode makes a chunk of the first n rows, each of them:
//
//	length of kind, kind, length of key, key, seen − that of the row before (a varint), length of data + 1 (0: it is gone), data
//
// with all lengths as uvarints.
func (r *recent) encode(rows []evidence.Row) (chunk []byte, n int) {
	b := r.raw[:0]
	before := int64(0)
	for _, row := range rows[:min(len(rows), r.rows)] {
		b = append(binary.AppendUvarint(b, uint64(len(row.Kind))), row.Kind...)
		b = append(binary.AppendUvarint(b, uint64(len(row.Key))), row.Key...)
		seen := nanos(row.Seen)
		b = binary.AppendVarint(b, seen-before)
		before = seen
		if row.Data == nil {
			b = binary.AppendUvarint(b, 0)
		} else {
			b = append(binary.AppendUvarint(b, uint64(len(row.Data))+1), row.Data...)
		}
		if n++; len(b) >= chunkBytes {
			break
		}
	}
	r.raw = b
	return r.encoder.EncodeAll(b, nil), n // with a checksum
}

// newDecoder makes what decodeChunk needs; close it.
func newDecoder() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(maxBody))
}

// decodeChunk appends the bytes of a chunk to raw and its rows, which view them, to rows. Of a damaged one there are no rows.
func decodeChunk(decoder *zstd.Decoder, chunk, raw []byte, rows []evidence.Row) ([]byte, []evidence.Row, error) {
	raw, err := decoder.DecodeAll(chunk, raw)
	if err != nil {
		return raw, rows[:0], fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	rows, err = parseRows(raw, rows)
	return raw, rows, err
}

func parseRows(raw []byte, rows []evidence.Row) ([]evidence.Row, error) {
	text := unsafe.String(unsafe.SliceData(raw), len(raw)) // kinds and keys are parts of it
	at, whole := 0, true
	number := func() uint64 {
		v, n := binary.Uvarint(raw[at:])
		whole = whole && n > 0
		at += max(n, 0)
		return v
	}
	part := func(size uint64) (from, to int) {
		if whole = whole && size <= uint64(len(raw)-at); whole {
			from, at = at, at+int(size)
		}
		return from, at
	}
	for seen := int64(0); at < len(raw); {
		kind, kindEnd := part(number())
		key, keyEnd := part(number())
		later, n := binary.Varint(raw[at:])
		whole = whole && n > 0
		at += max(n, 0)
		seen += later
		row := evidence.Row{Kind: text[kind:kindEnd], Key: text[key:keyEnd], Seen: fromNanos(seen)}
		if size := number(); size > 0 {
			data, dataEnd := part(size - 1)
			row.Data = raw[data:dataEnd:dataEnd]
		}
		if !whole {
			return rows[:0], fmt.Errorf("%w: row %d is cut off", ErrDamaged, len(rows)+1)
		}
		rows = append(rows, row)
	}
	return rows, nil
}
