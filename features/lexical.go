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

const (
	letter = 1 << iota
	vowel
	digit
	hyphen
	hexDigit
)

// kinds says of each byte what it is.
var kinds = func() (t [256]uint8) {
	for c := 'a'; c <= 'z'; c++ {
		t[c] = letter
	}
	for _, c := range "aeiouy" {
		t[c] |= vowel
	}
	for c := '0'; c <= '9'; c++ {
		t[c] = digit | hexDigit
	}
	for c := 'a'; c <= 'f'; c++ {
		t[c] |= hexDigit
	}
	t['-'] = hyphen
	return t
}()

// Lex measures a label. It does not allocate.
func Lex(label string) Lexical {
	label = label[:min(len(label), MaxLabel)]
	x := Lexical{Length: len(label)}
	var counts [256]uint8
	var consonants, vowels, digits int // the runs that end here
	var before uint8
	all := uint8(hexDigit)
	for i := range len(label) {
		c := label[i]
		k := kinds[c]
		counts[c]++
		all &= k
		switch {
		case k&vowel != 0:
			x.Vowels++
			consonants, vowels, digits = 0, vowels+1, 0
			x.VowelRun = max(x.VowelRun, vowels)
		case k&letter != 0:
			consonants, vowels, digits = consonants+1, 0, 0
			x.ConsonantRun = max(x.ConsonantRun, consonants)
		case k&digit != 0:
			x.Digits++
			consonants, vowels, digits = 0, 0, digits+1
			x.DigitRun = max(x.DigitRun, digits)
		default:
			consonants, vowels, digits = 0, 0, 0
			if k&hyphen != 0 {
				x.Hyphens++
			}
		}
		if (before|k)&(letter|digit) == letter|digit {
			x.Changes++
		}
		before = k & (letter | digit)
	}
	x.Hex = all != 0

	sum := 0
	for i := range len(label) {
		if c := counts[label[i]]; c > 0 {
			x.Distinct++
			sum += int(nLogN[c])
			counts[label[i]] = 0
		}
	}
	x.Evenness = 100
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
