package evidence

import "bytes"

// maxShape bounds how much of a header is read for its shape: browsers send at most some 200 bytes, and what differs
// behind that is not worth the time.
const maxShape = 256

// AgentShape hashes what a User-Agent says with every number, be it 140 or 140.0.7339.80, as one: versions change every
// month, and a tool that draws its version at random is one tool. 0 for an empty one. It does not allocate.
//
// The hash is FNV-1a (Fowler, Noll and Vo) without a key, so that the shapes of several processes can be compared. Who
// finds two agents that collide could as well have sent the same agent twice.
func AgentShape(agent []byte) uint32 { return shape(agent) }

// PathShape hashes the path of a request target, without its query and with every number as one. 0 for an empty one. It
// does not allocate.
func PathShape(target []byte) uint32 {
	path, _, _ := bytes.Cut(target[:min(len(target), maxShape)], []byte("?"))
	return shape(path)
}

func shape(b []byte) uint32 {
	if len(b) == 0 {
		return 0
	}
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	number := false
	for _, c := range b[:min(len(b), maxShape)] {
		digit := c >= '0' && c <= '9'
		switch {
		case number && (digit || c == '.'):
			continue
		case digit:
			c = '0'
		}
		number = digit
		h = (h ^ uint64(c)) * prime
	}
	return max(uint32(h>>32)^uint32(h), 1) // the high half is the better mixed one; 0 says that there was nothing
}
