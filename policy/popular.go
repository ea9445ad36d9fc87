package policy

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"referee/features"

	"github.com/FastFilter/xorfilter"
	"github.com/dchest/siphash"
)

// popularFilter is made from names in the top lists of at least three different years, search engines and social
// sites. The list itself is not part of the project; BuildPopular made the file from it.
//
//go:embed popular.filter
var popularFilter []byte

// The file, integers little-endian: magic (8 bytes), version (uint32), number of names (uint32), the binary fuse filter
// with 16-bit fingerprints as xorfilter saves it, SHA-256 of all before it. The magic begins and ends as PNG's does:
// text-mode transfers and cut files show at once.
const (
	popularMagic   = "\x89RNB\r\n\x1a\n"
	popularVersion = 1
	popularHeader  = len(popularMagic) + 4 + 4
)

// popular is a set of names without the names: a binary fuse filter (Graf and Lemire 2022). It knows every name that it
// was made from, and 1 in 65,536 of all others, which then cannot be blocked by name. That costs less than the share of
// generated names that the model misses, and the file has 2.4 bytes a name.
type popular struct {
	filter *xorfilter.BinaryFuse[uint16]
	sum    [4]byte // of the file, for Policy.ID
}

// BuildPopular makes the bytes of a never-block filter from hosts, of which the registrable domain counts: blocking that
// would block the host. What holds no public name is left out. Equal sets of names give equal bytes.
func BuildPopular(hosts []string) ([]byte, error) {
	var p features.Parser
	keys := make([]uint64, 0, len(hosts))
	for _, h := range hosts {
		if n, reason := p.Bare([]byte(h)); reason == features.Named {
			keys = append(keys, popularKey(n.Domain))
		}
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	if len(keys) == 0 {
		return nil, errors.New("never-block filter: the list holds no public domain name")
	}
	count := len(keys)
	filter, err := xorfilter.NewBinaryFuse[uint16](keys)
	if err != nil {
		return nil, fmt.Errorf("never-block filter: %w", err)
	}
	var b bytes.Buffer
	b.WriteString(popularMagic)
	b.Write(binary.LittleEndian.AppendUint32(nil, popularVersion))
	b.Write(binary.LittleEndian.AppendUint32(nil, uint32(count)))
	if err := filter.Save(&b); err != nil {
		return nil, fmt.Errorf("never-block filter: %w", err)
	}
	sum := sha256.Sum256(b.Bytes())
	b.Write(sum[:])
	return b.Bytes(), nil
}

func parsePopular(data []byte) (*popular, error) {
	const way = "build the program anew, or set never-block.popular to false"
	if len(data) < popularHeader+sha256.Size || string(data[:len(popularMagic)]) != popularMagic {
		return nil, fmt.Errorf("never-block filter: no such file; %s", way)
	}
	body, end := data[:len(data)-sha256.Size], data[len(data)-sha256.Size:]
	if v := binary.LittleEndian.Uint32(data[len(popularMagic):]); v != popularVersion {
		return nil, fmt.Errorf("never-block filter: format %d is not %d; %s", v, popularVersion, way)
	}
	sum := sha256.Sum256(body)
	if !bytes.Equal(sum[:], end) {
		return nil, fmt.Errorf("never-block filter: damaged: its checksum does not match; %s", way)
	}
	filter, err := xorfilter.LoadBinaryFuse[uint16](bytes.NewReader(body[popularHeader:]))
	if err != nil {
		return nil, fmt.Errorf("never-block filter: %w; %s", err, way)
	}
	return &popular{filter: filter, sum: [4]byte(sum[:4])}, nil
}

// contains does not allocate.
func (p *popular) contains(domain string) bool { return p.filter.Contains(popularKey(domain)) }

// popularKey has a fixed key, because the file must fit every process: whoever looks for generated names that pass as
// popular finds them, and could as well have sent a popular name.
func popularKey(domain string) uint64 {
	// A conversion would copy, and allocate for more than 32 bytes. Hash only reads.
	b := unsafe.Slice(unsafe.StringData(domain), len(domain))
	return siphash.Hash(0x7265666572656521, 0x6e65766572626c6b, b)
}
