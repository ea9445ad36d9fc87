package features

// Origin is the beginning of a Referer's value that decides what Parser.Referer says of it: the scheme and the authority of an http or https
// URL, or all of raw where that is not plain to see. Referers of one Origin have one Name and one Reason: it is what to remember them by.
// It is a view of raw, and does not allocate.
func Origin(raw []byte) []byte {
	start := plainScheme(raw)
	if start == 0 || start == len(raw) || len(raw) > maxReferer || !isLetter(raw[start]) && !isDigit(raw[start]) {
		return raw
	}
	for i, c := range raw[start:] {
		if c == '/' || c == '?' || c == '#' || c == '\\' {
			if raw[start+i-1] <= ' ' { // spaces at an end are dropped, and this is none yet
				return raw
			}
			return raw[:start+i]
		}
	}
	return raw
}
