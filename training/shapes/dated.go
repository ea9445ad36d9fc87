package shapes

import "time"

// dated is the arithmetic of generators that a date seeds, so that all infected machines ask for the same names on a
// day: a linear congruential generator, started from a key and the day, one step a character. Taking its low bits, as
// authors do, leaves patterns in the letters that a fair draw has not.
type dated struct {
	key, multiplier, increment uint32
	shift                      uint // of the state before it chooses a character
	perDay                     int
	day                        time.Time
	next                       int // of the day's names
}

// newDated draws what an author would fix in his code.
func (f *Family) newDated() {
	f.alphabet = f.letterSubset()
	f.min = f.between(8, 16)
	f.max = f.min + f.rand.IntN(8)
	f.dated = dated{
		key:        f.rand.Uint32(),
		multiplier: f.rand.Uint32()&^7 | 5, // 5 modulo 8 and an odd increment: the longest period (Hull and Dobell, SIAM Review 4, 1962)
		increment:  f.rand.Uint32() | 1,
		shift:      []uint{0, 0, 8, 16}[f.rand.IntN(4)],
		perDay:     []int{10, 50, 250, 1000}[f.rand.IntN(4)],
		day:        time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
	}
}

// On restarts a family of the kind Dated at a day: the labels that follow are those of that day and of the days after it, whenever
// they are made. Other kinds ignore it.
func (f *Family) On(day time.Time) { f.dated.day, f.dated.next = day, 0 }

// PerDay is how many labels a family of the kind Dated has for a day.
func (f *Family) PerDay() int { return f.dated.perDay }

func (f *Family) datedLabel() string {
	d := &f.dated
	if d.next == d.perDay {
		d.day, d.next = d.day.AddDate(0, 0, 1), 0
	}
	year, month, day := d.day.Date()
	state := d.key ^ uint32(year)<<16 ^ uint32(month)<<8 ^ uint32(day) // a calendar's numbers are small
	state += uint32(d.next) * 0x9e3779b9                               // at most perDay
	d.next++
	step := func() uint32 { state = state*d.multiplier + d.increment; return state }
	label := make([]byte, f.min+int(step()>>16)%(f.max-f.min+1))
	for i := range label {
		label[i] = f.alphabet[int(step()>>d.shift)%len(f.alphabet)]
	}
	return string(label)
}
