package logs

import (
	"bytes"
	"errors"
)

// ErrUnknown is what Detect says of lines in no format that it knows.
var ErrUnknown = errors.New("in no format that is known (combined, JSON, CloudFront, AWS WAF, a list of Referers): name it by --log-format")

// Of returns the format of one line, as far as one line tells: it never says List.
func Of(line []byte) (Format, bool) {
	line = unwrapped(line)
	switch {
	case len(line) == 0:
	case line[0] == '{':
		if bytes.Contains(line, []byte(`"httpRequest"`)) && bytes.Contains(line, []byte(`"clientIp"`)) {
			return WAF, true
		}
		return JSON, true
	case bytes.HasPrefix(line, []byte("#Version:")), bytes.HasPrefix(line, []byte("#Fields:")):
		return CloudFront, true
	case isCombined(line):
		return Combined, true
	}
	return "", false
}

// isCombined accepts the common format too, whose lines are then refused with a reason of their own.
func isCombined(line []byte) bool {
	var p Parser
	var out Line
	err := p.combined(line, &out)
	return err == nil || errors.Is(err, errCommon)
}

// detectLines is how many lines Detect looks at: the first ones of a file may be damaged, or a rotation's notice.
const detectLines = 20

// Detect returns the format of a log by its first lines: that of the first line which has one. Lines of one word each are a
// List.
func Detect(start []byte) (Format, error) {
	words, others := 0, 0
	for line := range bytes.Lines(start) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if f, ok := Of(line); ok {
			return f, nil
		}
		if bytes.ContainsAny(line, " \t\"") {
			others++
		} else {
			words++
		}
		if words+others == detectLines {
			break
		}
	}
	if words > others {
		return List, nil
	}
	return "", ErrUnknown
}
