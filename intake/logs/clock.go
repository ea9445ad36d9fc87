package logs

import (
	"bytes"
	"math"
	"time"
)

// clockLen is the length of "23/Nov/2026:03:12:41 +0000".
const clockLen = 26

// clock reads times as access logs write them. Lines of one second follow each other, so it remembers the last one.
type clock struct {
	text [clockLen]byte
	time int64
}

func (c *clock) read(b []byte) (int64, error) {
	if string(b) == string(c.text[:]) {
		return c.time, nil
	}
	t, ok := clfTime(b)
	if !ok {
		return 0, errBadTime
	}
	copy(c.text[:], b)
	c.time = t
	return t, nil
}

// clfTime reads 23/Nov/2026:03:12:41 +0000, in Unix nanoseconds.
func clfTime(b []byte) (int64, bool) {
	if len(b) != clockLen || b[2] != '/' || b[6] != '/' || b[11] != ':' || b[20] != ' ' {
		return 0, false
	}
	month := bytes.Index(months, b[3:6])
	if month%3 != 0 { // -1 too
		return 0, false
	}
	seconds, ok := moment(number(b[7:11]), month/3+1, number(b[0:2]), b[12:20])
	offset, good := zone(b[21:])
	return (seconds - offset) * int64(time.Second), ok && good
}

var months = []byte("JanFebMarAprMayJunJulAugSepOctNovDec")

// zone is the offset of +hhmm in seconds.
func zone(b []byte) (int64, bool) {
	hours, minutes := number(b[1:3]), number(b[len(b)-2:])
	if hours < 0 || minutes < 0 || hours > 23 || minutes > 59 || b[0] != '+' && b[0] != '-' {
		return 0, false
	}
	offset := int64(hours*3600 + minutes*60)
	if b[0] == '-' {
		offset = -offset
	}
	return offset, true
}

// moment puts a date and "hh:mm:ss" together, in Unix seconds.
func moment(year, month, day int, clock []byte) (int64, bool) {
	hour, minute, second := number(clock[0:2]), number(clock[3:5]), number(clock[6:8])
	if year < 1970 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || clock[2] != ':' || clock[5] != ':' ||
		hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59 {
		return 0, false
	}
	return days(year, month, day)*86400 + int64(hour*3600+minute*60+second), true
}

func daysIn(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// days counts the days from 1970-01-01, by years that begin in March, so that the leap day is a year's last.
func days(year, month, day int) int64 {
	if month <= 2 {
		year, month = year-1, month+12
	}
	era := year / 400
	ofEra := year - era*400
	ofYear := (153*(month-3)+2)/5 + day - 1
	return int64(era*146097 + ofEra*365 + ofEra/4 - ofEra/100 + ofYear - 719468)
}

// number reads a number of a fixed width, or returns a very negative one.
func number(b []byte) int {
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return math.MinInt32
		}
		n = n*10 + int(c-'0')
	}
	return n
}

// anyTime reads the forms that JSON logs give a time in: RFC 3339 (nginx $time_iso8601, Caddy, Traefik), the clock of access
// logs, with milliseconds too (HAProxy), and Unix time in seconds, milli-, micro- or nanoseconds (nginx $msec, Caddy's ts,
// AWS WAF).
func anyTime(b []byte) (int64, bool) {
	switch {
	case len(b) >= 20 && b[4] == '-' && b[7] == '-':
		return isoTime(b)
	case len(b) >= 20 && b[2] == '/':
		clock := [clockLen]byte{}
		copy(clock[:], b[:20])
		copy(clock[20:], " +0000")
		nanos := int64(0)
		rest := b[20:]
		if len(rest) > 0 && rest[0] == '.' {
			nanos, rest = fraction(rest)
		}
		if len(rest) == 6 && rest[0] == ' ' {
			copy(clock[20:], rest)
		} else if len(rest) > 0 {
			return 0, false
		}
		t, ok := clfTime(clock[:])
		return t + nanos, ok
	}
	return unixTime(b)
}

// isoTime reads 2026-11-23T03:12:41.123456789+01:00.
func isoTime(b []byte) (int64, bool) {
	if b[10] != 'T' && b[10] != 't' && b[10] != ' ' {
		return 0, false
	}
	seconds, ok := moment(number(b[0:4]), number(b[5:7]), number(b[8:10]), b[11:19])
	nanos, rest := fraction(b[19:])
	offset := int64(0)
	switch {
	case len(rest) == 1 && rest[0]|0x20 == 'z':
	case len(rest) == 6 && rest[3] == ':', len(rest) == 5:
		var good bool
		offset, good = zone(rest)
		ok = ok && good
	default:
		return 0, false
	}
	return (seconds-offset)*int64(time.Second) + nanos, ok
}

// fraction reads .123 as nanoseconds, and returns what follows it.
func fraction(b []byte) (nanos int64, rest []byte) {
	if len(b) < 2 || b[0] != '.' {
		return 0, b
	}
	i := 1
	for scale := int64(time.Second) / 10; i < len(b) && b[i] >= '0' && b[i] <= '9'; i++ {
		nanos += int64(b[i]-'0') * scale
		scale /= 10
	}
	return nanos, b[i:]
}

// unixTime reads 1700000000.123, and guesses the unit from the size: the year 2001 in milliseconds is 5138 in seconds.
func unixTime(b []byte) (int64, bool) {
	whole, n := int64(0), 0
	for ; n < len(b) && b[n] >= '0' && b[n] <= '9'; n++ {
		if whole > math.MaxInt64/10-9 {
			return 0, false
		}
		whole = whole*10 + int64(b[n]-'0')
	}
	nanos, rest := fraction(b[n:])
	if n == 0 || len(rest) > 0 {
		return 0, false
	}
	switch {
	case whole > 1e17:
		return whole, true
	case whole > 1e14:
		return whole * 1e3, true
	case whole > 1e11:
		return whole*1e6 + nanos/1e3, true
	case whole > math.MaxInt64/int64(time.Second)-1:
		return 0, false
	}
	return whole*1e9 + nanos, true
}
