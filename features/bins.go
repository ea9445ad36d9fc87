package features

import "fmt"

// A linear model reads a number such as the share of vowels through bins: one weight for each range, so that both too
// few and too many can count. What is usual depends on the length, therefore all bins but those of the length itself
// come once for each band of lengths.

const (
	numBands   = 7
	lengthBins = MaxLabel + 1
	bandBins   = 9 + 11 + 10 + 5 + 8 + 11 + 8 + 4 + 2

	// NumBins is the number of lexical bins: AppendBins gives numbers below it.
	NumBins = lengthBins + numBands*bandBins

	// BinsPerLabel is how many bins AppendBins gives for each label.
	BinsPerLabel = 10
)

// bandEnds are the longest lengths of the bands.
var bandEnds = [numBands]int{6, 8, 10, 12, 16, 22, MaxLabel}

func band(length int) int {
	for i, end := range bandEnds {
		if length <= end {
			return i
		}
	}
	return numBands - 1
}

// AppendBins appends the BinsPerLabel bins that x falls into to dst and returns it. With free capacity in dst it does
// not allocate.
func (x Lexical) AppendBins(dst []uint32) []uint32 {
	n := max(x.Length, 1)
	base := uint32(lengthBins + band(x.Length)*bandBins)
	bin := func(value, bins int) uint32 {
		at := base + uint32(max(0, min(value, bins-1)))
		base += uint32(bins)
		return at
	}
	hex := 0
	if x.Hex {
		hex = 1
	}
	return append(dst, uint32(x.Length),
		bin((x.Digits*8+n-1)/n, 9), // none, up to 1/8, …
		bin(x.Vowels*10/n, 11),
		bin(x.ConsonantRun, 10),
		bin(x.VowelRun, 5),
		bin(x.DigitRun, 8),
		bin((x.Evenness-50)/5, 11), // up to 54 %, 55–59 %, …, 100 %
		bin(x.Changes, 8),
		bin(x.Hyphens, 4),
		bin(hex, 2),
	)
}

// Words says in words what each bin of AppendBins stands for, in the same order.
func (x Lexical) Words() [BinsPerLabel]string {
	n := max(x.Length, 1)
	hex := "letters or signs beyond a–f"
	if x.Hex {
		hex = "only hexadecimal digits"
	}
	return [BinsPerLabel]string{
		fmt.Sprintf("%d characters long", x.Length),
		fmt.Sprintf("%d %% digits", x.Digits*100/n),
		fmt.Sprintf("%d %% vowels", x.Vowels*100/n),
		fmt.Sprintf("%d consonants in a row", x.ConsonantRun),
		fmt.Sprintf("%d vowels in a row", x.VowelRun),
		fmt.Sprintf("%d digits in a row", x.DigitRun),
		fmt.Sprintf("characters %d %% evenly spread", x.Evenness),
		fmt.Sprintf("%d changes between letter and digit", x.Changes),
		fmt.Sprintf("%d hyphens", x.Hyphens),
		hex,
	}
}
