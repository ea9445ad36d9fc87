package classifier

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// A model file, integers little-endian:
//
//	magic      8 bytes
//	version    uint32
//	sections   each a name (uint32 length, bytes) and a body (uint32 length, bytes)
//	SHA-256    of all before it
//
// Version 2 has the sections info (JSON), linear, tails and golden (labels and the bits of their scores, which prove at
// load that this program computes what the trainer did), and where the model has them network, words and stages. Version 1
// had no network; it is refused, as a model is always at hand in the program of its time. The magic begins and ends as PNG's does, for the same reasons:
// text-mode transfers and cut files show at once.
const (
	magic         = "\x89RFM\r\n\x1a\n"
	formatVersion = 2
	maxFile       = 64 << 20 // refuse before reading nonsense into memory
	maxName       = 32
)

// Parts is what a model is made of.
type Parts struct {
	Info    Info
	Linear  Linear
	Network *Network  // nil: the regression alone
	Words   *Linear   // nil: no head for names of words
	Stages  Stages    // where there is a Network or Words
	Clean   []float32 // scores of clean benign names that the model has not seen, for its tails
	Golden  []string  // labels whose scores are kept in the file and checked at load
}

// Encode makes the bytes of a model file, which Parse reads. Equal parts give equal bytes.
func Encode(p Parts) ([]byte, error) {
	cascade := Cascade{p.Linear, p.Network, p.Words, p.Stages}
	if err := cascade.check(); err != nil {
		return nil, fmt.Errorf("encode model: %w", err)
	}
	t, err := newTails(p.Clean)
	if err != nil {
		return nil, fmt.Errorf("encode model: %w", err)
	}
	p.Info.Calibrated = t.n
	info, err := json.Marshal(p.Info)
	if err != nil {
		return nil, fmt.Errorf("encode model: %w", err)
	}
	b := binary.LittleEndian.AppendUint32([]byte(magic), formatVersion)
	b = appendSection(b, "info", info)
	b = cascade.append(b)
	b = appendSection(b, "tails", t.append(nil))
	b = appendSection(b, "golden", appendGolden(nil, p.Golden, &cascade))
	sum := sha256.Sum256(b)
	b = append(b, sum[:]...)
	_, err = Parse(b)
	return b, err
}

func appendSection(b []byte, name string, body []byte) []byte {
	b = appendBytes(b, []byte(name))
	return appendBytes(b, body)
}

func appendBytes(b, body []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(body)))
	return append(b, body...)
}

// takeBytes splits a length-prefixed string of at most limit bytes off b.
func takeBytes(b []byte, limit int) (body, rest []byte, err error) {
	if len(b) < 4 {
		return nil, nil, errors.New("cut short in a length")
	}
	n := int64(binary.LittleEndian.Uint32(b))
	b = b[4:]
	if n > int64(len(b)) || n > int64(limit) {
		return nil, nil, fmt.Errorf("a length of %d, %d bytes left, limit %d", n, len(b), limit)
	}
	return b[:n], b[n:], nil
}

// sections checks the envelope of a model file and returns what is in it, by name, and the SHA-256 of the whole.
func sections(data []byte) (found map[string][]byte, id []byte, err error) {
	const least = len(magic) + 4 + sha256.Size
	switch {
	case len(data) < len(magic) || string(data[:len(magic)]) != magic:
		return nil, nil, errors.New("not a Referee model (train one with referee-train)")
	case len(data) < least:
		return nil, nil, errors.New("cut short: download or train it again")
	case len(data) > maxFile:
		return nil, nil, fmt.Errorf("%d bytes, want at most %d", len(data), maxFile)
	}
	if v := binary.LittleEndian.Uint32(data[len(magic):]); v != formatVersion {
		return nil, nil, fmt.Errorf("format version %d, this program reads %d: use the program that came with the model", v, formatVersion)
	}
	body, sum := data[:len(data)-sha256.Size], data[len(data)-sha256.Size:]
	hash := sha256.New()
	hash.Write(body)
	if !bytes.Equal(hash.Sum(nil), sum) {
		return nil, nil, errors.New("damaged: its checksum does not match; download or train it again")
	}
	hash.Write(sum)
	found = map[string][]byte{}
	for rest := body[len(magic)+4:]; len(rest) > 0; {
		name, after, err := takeBytes(rest, maxName)
		if err != nil {
			return nil, nil, fmt.Errorf("section %d: %w", len(found)+1, err)
		}
		if _, twice := found[string(name)]; twice {
			return nil, nil, fmt.Errorf("section %q twice", name)
		}
		found[string(name)], rest, err = takeBytes(after, maxFile)
		if err != nil {
			return nil, nil, fmt.Errorf("section %q: %w", name, err)
		}
	}
	for _, name := range []string{"info", "linear", "tails", "golden"} {
		if _, ok := found[name]; !ok {
			return nil, nil, fmt.Errorf("no section %q", name)
		}
	}
	return found, hash.Sum(nil), nil
}

func appendGolden(b []byte, labels []string, c *Cascade) []byte {
	for _, label := range labels {
		b = appendBytes(b, []byte(label))
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(c.Score(label)))
	}
	return b
}

func checkGolden(b []byte, c *Cascade) error {
	for len(b) > 0 {
		label, rest, err := takeBytes(b, 255)
		if err != nil || len(rest) < 4 {
			return errors.New("golden names: cut short")
		}
		want := math.Float32frombits(binary.LittleEndian.Uint32(rest))
		if got := c.Score(string(label)); got != want {
			return fmt.Errorf("golden name %q scores %v here and %v where it was trained: "+
				"the program reads other inputs than the model's trainer; use the one that came with the model", label, got, want)
		}
		b = rest[4:]
	}
	return nil
}
