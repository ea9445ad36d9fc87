package features

// Longer n-grams, for names that are joined of words: five characters tell where a word begins, seven which one it is.
const (
	MinLongGram = 3
	MaxLongGram = 7
)

// AppendLongGrams appends the hash of every n-gram of label, n from MinLongGram to MaxLongGram, to dst and returns it, as
// AppendGrams does. There are at most MaxGrams of them.
func AppendLongGrams(dst []uint32, label string, bits uint) []uint32 {
	var text [MaxLabel + 2]byte
	text[0] = Boundary
	n := copy(text[1:MaxLabel+1], label)
	text[n+1] = Boundary
	end := n + 2
	shift := (32 - bits) & 31

	start := 0
	for ; start+MaxLongGram <= end; start++ {
		gram := (*[MaxLongGram]byte)(text[start:])
		h3 := extend(extend(extend(0, gram[0]), gram[1]), gram[2])
		h4 := extend(h3, gram[3])
		h5 := extend(h4, gram[4])
		h6 := extend(h5, gram[5])
		h7 := extend(h6, gram[6])
		dst = append(dst, mix(h3)>>shift, mix(h4)>>shift, mix(h5)>>shift, mix(h6)>>shift, mix(h7)>>shift)
	}
	for ; start < end; start++ {
		var h uint32
		for i, c := range text[start:end] {
			if h = extend(h, c); i+1 >= MinLongGram {
				dst = append(dst, mix(h)>>shift)
			}
		}
	}
	return dst
}

// EachLongGram calls yield with every n-gram and its hash, in the order of AppendLongGrams, as EachGram does.
func EachLongGram(label string, bits uint, yield func(gram string, bucket uint32)) {
	text := string(Boundary) + label[:min(len(label), MaxLabel)] + string(Boundary)
	buckets := AppendLongGrams(make([]uint32, 0, MaxGrams), label, bits)
	for start := range len(text) {
		for n := MinLongGram; n <= MaxLongGram && start+n <= len(text); n++ {
			yield(text[start:start+n], buckets[0])
			buckets = buckets[1:]
		}
	}
}
