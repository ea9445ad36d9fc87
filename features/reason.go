package features

// String returns the Reason as one word, which metric labels and tables use and which therefore never changes. It does
// not allocate.
func (r Reason) String() string {
	switch r {
	case Named:
		return "named"
	case Empty:
		return "empty"
	case Relative:
		return "relative"
	case Scheme:
		return "scheme"
	case Malformed:
		return "malformed"
	case Address:
		return "address"
	case NotPublic:
		return "nonpublic"
	}
	return "unknown"
}
