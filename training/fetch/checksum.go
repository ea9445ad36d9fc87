package fetch

import (
	"crypto/md5"  // what S3 publishes; the transfer itself is over TLS
	"crypto/sha1" // what Git publishes
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
)

// sum is a checksum that a publisher states.
type sum struct {
	new  func() hash.Hash // nil: none
	what string           // in words, for the manifest
	want string           // hexadecimal
}

// gitBlob is the hash that Git names a file's content by.
func gitBlob(size int64) func() hash.Hash {
	return func() hash.Hash {
		h := sha1.New() // Git's
		fmt.Fprintf(h, "blob %d\x00", size)
		return h
	}
}

// crc64NVMe is the polynomial of CRC-64/NVME, as hash/crc64 wants it: reversed.
const crc64NVMe = 0x9a6c9329ac4bc9b5

// published are the checksums in a response's header. Amazon S3 states an object's MD5 as its ETag, unless it was uploaded in parts or is
// encrypted (https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html), and what checksums it keeps where it is asked
// to (x-amz-checksum-mode); those of uploads in parts end with -N and are of the parts.
func published(header http.Header) []sum {
	var sums []sum
	for name, h := range map[string]func() hash.Hash{
		"Sha256":    sha256.New,
		"Crc64nvme": func() hash.Hash { return crc64.New(crc64.MakeTable(crc64NVMe)) },
		"Crc32c":    func() hash.Hash { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) },
		"Crc32":     func() hash.Hash { return crc32.NewIEEE() },
	} {
		text := header.Get("X-Amz-Checksum-" + name)
		if want, err := base64.StdEncoding.DecodeString(text); err == nil && len(want) == h().Size() {
			sums = append(sums, sum{h, "x-amz-checksum-" + strings.ToLower(name), hex.EncodeToString(want)})
		}
	}
	tag := strings.Trim(header.Get("ETag"), `"`)
	plain := header.Get("Server") == "AmazonS3" && !strings.HasPrefix(header.Get("X-Amz-Server-Side-Encryption"), "aws:kms")
	if plain && regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(tag) {
		sums = append(sums, sum{md5.New, "the MD5 that is S3's ETag", tag}) // see above
	}
	return sums
}

// hashFile returns a file's SHA-256, its size, and the checksums it was held against, in words. A sum that differs is an
// error.
func hashFile(path string, sums []sum) (sha string, size int64, checked string, err error) {
	file, err := os.Open(path)
	if err != nil {
		return "", 0, "", err
	}
	defer file.Close()
	own := sha256.New()
	to := []io.Writer{own}
	var hashes []hash.Hash
	for _, s := range sums {
		h := s.new()
		hashes, to = append(hashes, h), append(to, h)
	}
	if size, err = io.Copy(io.MultiWriter(to...), file); err != nil {
		return "", 0, "", err
	}
	var words []string
	for i, s := range sums {
		if got := hex.EncodeToString(hashes[i].Sum(nil)); got != s.want {
			return "", size, "", fmt.Errorf("%s is %s, but what came has %s", s.what, s.want, got)
		}
		words = append(words, s.what)
	}
	slices.Sort(words)
	return hex.EncodeToString(own.Sum(nil)), size, strings.Join(words, ", "), nil
}
