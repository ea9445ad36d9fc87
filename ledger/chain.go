package ledger

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The chain makes what was decided, ordered and labelled evident: each such row has a link, which is the SHA-256 of the link
// before it, of which row it is and of the row's commitment. Whoever changes, removes, inserts or reorders a row must make
// every later link anew, and then the head is another one than anybody wrote down elsewhere.
//
// A commitment is the SHA-256 of what the row says, in which what is about a person (the client's address) stands as its
// blind: the SHA-256 of a random salt and the text. Without the salt the blind tells nothing, so that text and salt can be
// erased, or replaced by less, and the commitment still holds. What was erased or replaced is itself a row with a link, a
// record: an address that is gone without one is a row that somebody changed.
const (
	linkDecision = "decision"
	linkOrder    = "order"
	linkCarried  = "carried" // an order was carried out
	linkLabel    = "label"
	linkRecord   = "record"
)

// Head is the newest link of the chain: kept elsewhere it proves later that nothing up to it was cut off or changed.
type Head struct {
	Seq  int64
	Link [sha256.Size]byte
}

// String is the number of the link and the link in hexadecimal: 27:9f86d081…
func (h Head) String() string { return fmt.Sprintf("%d:%x", h.Seq, h.Link) }

// ParseHead reads what String wrote.
func ParseHead(s string) (h Head, err error) {
	number, link, ok := strings.Cut(s, ":")
	h.Seq, err = strconv.ParseInt(number, 10, 64)
	b, e := hex.DecodeString(link)
	if !ok || err != nil || e != nil || len(b) != len(h.Link) || h.Seq < 0 {
		return Head{}, fmt.Errorf("%q is no head of a chain: give the number and the hash that referee ledger verify printed", s)
	}
	copy(h.Link[:], b)
	return h, nil
}

func (h Head) MarshalText() ([]byte, error)        { return []byte(h.String()), nil }
func (h *Head) UnmarshalText(b []byte) (err error) { *h, err = ParseHead(string(b)); return err }

// digest is the SHA-256 of fields, each behind its length, so that no two lists of fields are one.
func digest(fields ...string) []byte {
	h := sha256.New()
	var n [binary.MaxVarintLen64]byte
	for _, f := range fields {
		h.Write(binary.AppendUvarint(n[:0], uint64(len(f))))
		h.Write([]byte(f))
	}
	return h.Sum(nil)
}

// saltSize is enough that nobody tries all salts.
const saltSize = 16

// personal is what a row says of a person: the text, and what hides it in the commitment. The zero value: nothing.
type personal struct {
	text        string
	salt, blind []byte
}

func hide(text string) personal {
	p := personal{text: text, salt: make([]byte, saltSize)}
	rand.Read(p.salt) // never fails (crypto/rand)
	p.blind = p.now()
	return p
}

// now is the blind of the text as it is.
func (p personal) now() []byte { return digest("referee blind 1", string(p.salt), p.text) }

// what each kind of row is committed to; blind is nil where it says nothing of a person.

func commitDecision(at int64, action, subject, why, hit string, expires int64, blind []byte) []byte {
	return digest("referee decision 1", strconv.FormatInt(at, 10), action, subject, why, hit, strconv.FormatInt(expires, 10), string(blind))
}

func commitOrder(at int64, verb string, until int64, blind []byte) []byte {
	return digest("referee order 1", strconv.FormatInt(at, 10), verb, strconv.FormatInt(until, 10), string(blind))
}

func commitLabel(at int64, name, says, who, reason string) []byte {
	return digest("referee label 1", strconv.FormatInt(at, 10), name, says, who, reason)
}

func commitRecord(at int64, what, who, body string) []byte {
	return digest("referee record 1", strconv.FormatInt(at, 10), what, who, body)
}

func commitCarried() []byte { return digest("referee carried 1") }

// next is the link after h.
func (h Head) next(kind string, row int64, commitment []byte) Head {
	n := Head{Seq: h.Seq + 1}
	copy(n.Link[:], digest("referee link 1", string(h.Link[:]), strconv.FormatInt(n.Seq, 10), kind, strconv.FormatInt(row, 10), string(commitment)))
	return n
}

// chain adds links within a transaction, which holds the only right to write.
type chain struct {
	ctx  context.Context
	tx   *sql.Tx
	head Head
	exec func(args ...any) (sql.Result, error) // nil: not prepared
}

const (
	selectHead = `SELECT seq, link FROM chain ORDER BY seq DESC LIMIT 1`
	insertLink = `INSERT INTO chain (seq, kind, row, commitment, link) VALUES (?, ?, ?, ?, ?)`
	metaHead   = "chain head"
)

// continueChain finds where the chain ends.
func continueChain(ctx context.Context, tx *sql.Tx) (*chain, error) {
	c := &chain{ctx: ctx, tx: tx}
	var err error
	c.head, err = readHead(ctx, tx)
	return c, err
}

type queryer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func readHead(ctx context.Context, q queryer) (h Head, err error) {
	var link []byte
	err = q.QueryRowContext(ctx, selectHead).Scan(&h.Seq, &link)
	if errors.Is(err, sql.ErrNoRows) {
		return Head{}, nil
	}
	copy(h.Link[:], link)
	return h, err
}

func (c *chain) add(kind string, row int64, commitment []byte) error {
	c.head = c.head.next(kind, row, commitment)
	args := []any{c.head.Seq, kind, row, commitment, c.head.Link[:]}
	if c.exec != nil {
		_, err := c.exec(args...)
		return err
	}
	_, err := c.tx.ExecContext(c.ctx, insertLink, args...)
	return err
}

// end notes the head apart from the chain, so that a chain that lost its end does not look whole.
func (c *chain) end() error {
	_, err := c.tx.ExecContext(c.ctx, `INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value`,
		metaHead, []byte(c.head.String()))
	return err
}

// Head returns the newest link of the chain; the zero Head where there is none.
func (l *Ledger) Head(ctx context.Context) (Head, error) {
	h, err := readHead(ctx, l.read)
	if err != nil {
		return Head{}, l.fail("read the head of the chain", err)
	}
	return h, nil
}

// What records say happened to rows.
const (
	recordTruncated = "truncated" // addresses were cut down to their network
	recordHashed    = "hashed"    // addresses were replaced by a keyed hash
	recordForgotten = "forgotten" // a client was forgotten
	recordPruned    = "pruned"    // what was too old was deleted
	recordAdopted   = "adopted"   // rows from before there was a chain
)

// recordBody is what a record says, as JSON.
type recordBody struct {
	Rows []replaced `json:"rows,omitempty"`

	// Of recordPruned: the links up to Until are gone but for those Kept, which still stand for something.
	Until *Head      `json:"until,omitempty"`
	Kept  []keptLink `json:"kept,omitempty"`
}

// replaced is a row whose personal text was replaced.
type replaced struct {
	Kind  string `json:"kind"`
	Row   int64  `json:"row"`
	Blind []byte `json:"blind,omitempty"` // of what stands there now; nil: nothing, it is forgotten
}

type keptLink struct {
	Seq        int64  `json:"seq"`
	Kind       string `json:"kind"`
	Row        int64  `json:"row"`
	Commitment []byte `json:"commitment"`
	Link       []byte `json:"link"`
}

func (c *chain) record(at time.Time, what, who string, body recordBody) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	res, err := c.tx.ExecContext(c.ctx, `INSERT INTO records (time, what, who, body) VALUES (?, ?, ?, ?)`, nanos(at), what, who, string(text))
	if err != nil {
		return err
	}
	id, err := res.LastInsertId()
	if err != nil {
		return err
	}
	return c.add(linkRecord, id, commitRecord(nanos(at), what, who, string(text)))
}
