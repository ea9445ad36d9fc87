// Package features turns the bytes of a Referer header into the Name that is scored, and a Name into the inputs of the
// model. It is pure: no I/O, no clock, no state shared between calls.
package features

import "strings"

// Name is what is scored: the registrable part of a Referer's host. The three fields overlap: Domain ends Host and
// Label begins Domain. All are lower-case A-labels (RFC 5890) without a trailing dot.
//
// A Name from Parser is a view of bytes that will be reused. Clone it before keeping it.
type Name struct {
	Host   string // "www.kq3v9z.com", at most 253 bytes
	Domain string // "kq3v9z.com": one label and the public suffix behind it
	Label  string // "kq3v9z": what the model reads
}

// Clone returns a Name whose strings are its own. It allocates once.
func (n Name) Clone() Name {
	host := strings.Clone(n.Host)
	domain := host[len(host)-len(n.Domain):]
	return Name{Host: host, Domain: domain, Label: domain[:len(n.Label)]}
}

// Reason says why a Referer holds no Name.
type Reason uint8

const (
	Named     Reason = iota // it holds one
	Empty                   // no Referer, or only spaces
	Relative                // no scheme: a path, a bare word, junk
	Scheme                  // a scheme other than http and https: about, data, file, android-app, extensions
	Malformed               // a host that no URL parser accepts, or with a label that no DNS name has
	Address                 // an IPv4 or IPv6 literal in any form that browsers accept
	NotPublic               // a single label, a public suffix itself, or a special-use name: intranet, co.uk, x.local
	numReasons
)

// NumReasons is the number of Reasons, for tables of counters.
const NumReasons = int(numReasons)
