package features

// Lexical is what a label looks like, whatever its letters mean. Counts are of characters (bytes: a label is ASCII).
type Lexical struct {
	Length       int
	Digits       int
	Vowels       int // a e i o u y
	Hyphens      int
	Distinct     int // different characters
	Changes      int // neighbours of which one is a letter and one a digit
	ConsonantRun int // the longest run of each kind
	VowelRun     int
	DigitRun     int
	Hex          bool // nothing but 0-9 a-f
	Evenness     int  // Shannon entropy in percent of the greatest that the length allows: 100 where all differ
}

// A character's kind is a 1 in some of the lanes of 8 bits of one word, so that a label is measured without a branch for
// each character: branches on letters are not foreseeable, and cost more than all else here. A label is too short for a
// lane to run over.
const (
	consonant = 1 << (8 * iota)
	vowel
	digit
	hyphen
	notHex

	runs = (consonant | vowel | digit) * 0xff // the lanes whose runs are of interest
	tops = (consonant | vowel | digit) * 0x80
)

// kinds says of each byte what it is.
var kinds = func() (t [256]uint64) {
	for i := range t {
		t[i] = notHex
	}
	for c := 'a'; c <= 'z'; c++ {
		t[c] |= consonant
	}
	for _, c := range "aeiouy" {
		t[c] ^= consonant | vowel
	}
	for c := '0'; c <= '9'; c++ {
		t[c] = digit
	}
	for c := 'a'; c <= 'f'; c++ {
		t[c] ^= notHex
	}
	t['-'] |= hyphen
	return t
}()

// Lex measures a label. It does not allocate.
func Lex(label string) Lexical {
	label = label[:min(len(label), MaxLabel)]
	var counts [256]uint8
	var total, run, longest, before uint64 // in lanes
	var distinct, changes, sum int
	for i := range len(label) {
		c := label[i]
		kind := kinds[c]
		total += kind
		kind &= runs
		run = run&(kind*0xff) + kind // runs of other kinds end here
		over := (run | tops) - longest
		isLonger := over & tops
		longest += over & (isLonger - isLonger>>7)

		// The last character and this one are a letter and a digit, or the other way round.
		if both := kind | before; both&digit != 0 && both&(consonant|vowel) != 0 {
			changes++
		}
		before = kind

		n := counts[c] & 63
		if n == 0 {
			distinct++
		}
		sum += int(nLogN[n+1]) - int(nLogN[n])
		counts[c] = n + 1
	}
	lane := func(lanes uint64, kind uint64) int { return int(lanes / kind & 0xff) }
	x := Lexical{
		Length:       len(label),
		Digits:       lane(total, digit),
		Vowels:       lane(total, vowel),
		Hyphens:      lane(total, hyphen),
		Distinct:     distinct,
		Changes:      changes,
		ConsonantRun: lane(longest, consonant),
		VowelRun:     lane(longest, vowel),
		DigitRun:     lane(longest, digit),
		Hex:          lane(total, notHex) == 0,
		Evenness:     100,
	}
	if most := int(nLogN[x.Length]); most > 0 {
		x.Evenness = 100 * (most - sum) / most
	}
	return x
}

// nLogN[n] is round(256·n·log₂n): entropy in integers, so that it is the same on every machine.
var nLogN = [MaxLabel + 1]uint32{
	0, 0, 512, 1217, 2048, 2972, 3971, 5031, 6144, 7304, 8504, 9742, 11013, 12315, 13646, 15002,
	16384, 17789, 19215, 20662, 22128, 23613, 25116, 26635, 28170, 29721, 31286, 32866, 34459, 36066, 37685, 39317,
	40960, 42615, 44281, 45958, 47646, 49344, 51052, 52769, 54497, 56233, 57978, 59732, 61495, 63266, 65045, 66833,
	68628, 70431, 72241, 74059, 75884, 77716, 79556, 81402, 83254, 85114, 86979, 88851, 90730, 92614, 94505, 96402,
}
