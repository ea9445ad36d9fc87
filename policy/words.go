package policy

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"referee/evidence"
)

// scored is a score in words, in the unit that confidence is set in.
func scored(score, tail float32) string {
	n := 1 / float64(tail)
	digits := math.Pow(10, math.Floor(math.Log10(n))-1) // two significant digits, rounded down: it says "at most"
	return fmt.Sprintf("score %.2f, at most 1 in %s benign names scores so high", score, grouped(uint64(math.Floor(n/digits)*digits+0.5)))
}

// odds is the sum of a sequential test in words. Beyond 10^12 the number says nothing more: names are not that independent.
func odds(sum float64) string {
	const most = 12
	times := fmt.Sprintf("10^%d", int(sum/math.Ln10))
	if sum > most*math.Ln10 {
		times = fmt.Sprintf("over 10^%d", most)
	}
	return "its names are " + times + " times likelier from a generator than from the readers of any one language"
}

// about is a count of distinct things: exact, or said to be an estimate.
func about(s *evidence.Sample, n int) string {
	if s.Exact() {
		return grouped(uint64(n))
	}
	return "about " + grouped(uint64(n))
}

// plural is a number in words with its noun: 1 name, 2 names.
func plural(n, noun string) string {
	if n == "1" {
		return "1 " + noun
	}
	return n + " " + noun + "s"
}

func counted(n uint64, noun string) string { return plural(grouped(n), noun) }

// grouped writes 21000 as 21,000.
func grouped(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// span is a length of time as people say it: 40 s, 12 min, 3 h, 2 d.
func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(max(0, d).Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d d", int(d.Hours()/24))
}
