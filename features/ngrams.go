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

// AppendGrams appends the hash of every n-gram of label, n from 1 to MaxGram, to dst and returns it: numbers below
// 1<<bits, in the order of EachGram. bits is from 1 to 32. With MaxGrams of free capacity in dst it does not allocate.
func AppendGrams(dst []uint32, label string, bits uint) []uint32 {
	var text [MaxLabel + 2]byte
	text[0] = Boundary
	n := copy(text[1:MaxLabel+1], label)
	text[n+1] = Boundary
	end := n + 2
	shift := (32 - bits) & 31

	dst = appendFrom(dst, text[:min(MaxGram, end)], shift, true)
	start := 1
	for ; start+MaxGram <= end; start++ { // nearly all: appendFrom of five characters, unrolled
		gram := (*[MaxGram]byte)(text[start:])
		h1 := extend(0, gram[0])
		h2 := extend(h1, gram[1])
		h3 := extend(h2, gram[2])
		h4 := extend(h3, gram[3])
		h5 := extend(h4, gram[4])
		dst = append(dst, mix(h1)>>shift, mix(h2)>>shift, mix(h3)>>shift, mix(h4)>>shift, mix(h5)>>shift)
	}
	for ; start < end; start++ {
		dst = appendFrom(dst, text[start:end], shift, start == end-1)
	}
	return dst
}

// appendFrom appends the n-grams at the beginning of text. Where that is a boundary mark, the mark alone is none.
func appendFrom(dst []uint32, text []byte, shift uint, mark bool) []uint32 {
	var h uint32
	for i, c := range text {
		h = extend(h, c)
		if i > 0 || !mark {
			dst = append(dst, mix(h)>>shift)
		}
	}
	return dst
}

// multiplier is 2³² divided by the golden ratio, made odd (Knuth, TAOCP volume 3, section 6.4).
const multiplier = 0x9E3779B1

func extend(h uint32, c byte) uint32 { return (h ^ uint32(c)) * multiplier }

// mix brings the low bits, where the last characters are, to the high ones, which are kept.
func mix(h uint32) uint32 { return (h ^ h>>15) * multiplier }

// EachGram calls yield with every n-gram, boundary marks included, and its hash, in the order of AppendGrams: for
// explanations, off the hot path.
func EachGram(label string, bits uint, yield func(gram string, bucket uint32)) {
	text := string(Boundary) + label[:min(len(label), MaxLabel)] + string(Boundary)
	buckets := AppendGrams(make([]uint32, 0, MaxGrams), label, bits)
	for start := range len(text) {
		for n := 1; n <= MaxGram && start+n <= len(text); n++ {
			if n == 1 && (start == 0 || start == len(text)-1) {
				continue
			}
			yield(text[start:start+n], buckets[0])
			buckets = buckets[1:]
		}
	}
}
