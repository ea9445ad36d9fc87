package features

// Character n-grams of a label, hashed into a table of weights. The label is read between two boundary marks, so that
// "^kq" (at the start) and "kq" (anywhere) are different parts.

const (
	// MaxLabel is the longest label that is read, in bytes: a DNS label has no more (RFC 1035, section 2.3.4). Of a
	// longer string the first MaxLabel bytes are read.
	MaxLabel = 63

	// MaxGram is the longest n-gram, in characters, boundary marks included. Longer ones bought nothing in the trials.
	MaxGram = 5

	// MaxGrams is the number of n-grams of the longest label.
	MaxGrams = MaxGram*(MaxLabel+2) - 2 - 1 - 2 - 3 - 4 // two marks are no 1-grams; the end cuts 1, 2, 3, 4 short

	// Boundary is the mark on both sides of a label. No label holds a dot.
	Boundary = '.'
)

// multiplier is 2³² divided by the golden ratio, made odd (Knuth, TAOCP volume 3, section 6.4).
const multiplier = 0x9E3779B1

// AppendGrams appends the hash of every n-gram of label, n from 1 to MaxGram, to dst and returns it: numbers below
// 1<<bits, in the order of GramAt. bits is from 1 to 32. With MaxGrams of free capacity in dst it does not allocate.
func AppendGrams(dst []uint32, label string, bits uint) []uint32 {
	var text [MaxLabel + 2]byte
	text[0] = Boundary
	n := copy(text[1:MaxLabel+1], label)
	text[n+1] = Boundary
	end := n + 2
	shift := (32 - bits) & 31

	for start := 0; start < end; start++ {
		stop := min(start+MaxGram, end)
		var h uint32
		for i, c := range text[start:stop] {
			h = (h ^ uint32(c)) * multiplier
			if i == 0 && c == Boundary {
				continue // a mark alone says nothing
			}
			dst = append(dst, (h^h>>15)*multiplier>>shift)
		}
	}
	return dst
}

// EachGram calls yield with the position (in the label with its two boundary marks), the length and the hash of every
// n-gram, in the order of AppendGrams: for explanations, off the hot path.
func EachGram(label string, bits uint, yield func(gram string, start int, bucket uint32)) {
	label = label[:min(len(label), MaxLabel)]
	text := string(Boundary) + label + string(Boundary)
	buckets := AppendGrams(make([]uint32, 0, MaxGrams), label, bits)
	for start := range len(text) {
		for n := 1; n <= MaxGram && start+n <= len(text); n++ {
			if n == 1 && text[start] == Boundary {
				continue
			}
			yield(text[start:start+n], start, buckets[0])
			buckets = buckets[1:]
		}
	}
}
