// Package evidence keeps what has been seen of each name and each client: bounded, decaying and mergeable. It does no
// I/O and has no clock of its own.
package evidence

import (
	"bytes"
	"net/netip"
	"strings"

	"referee/classifier"
)

// Sighting is one request: the external name in its Referer, what the model says of that name, who sent it and when.
// Requests whose Referer is one of the owner's own hosts make no Sighting.
type Sighting struct {
	Result classifier.Result
	Client netip.Addr // the zero Addr when no address can be trusted: then it is evidence about the name alone
	Agent  uint32     // AgentShape of its User-Agent; 0 where that is not known
	Path   uint32     // PathShape of its target; 0 where that is not known
	Time   int64      // Unix nanoseconds
	Exempt bool       // the name may never be blocked: it counts as an ordinary external name

	// Blocked: a rule over Referee's own sets ended the request, as a WAF log tells afterwards. It says that a flagged name is
	// still sent, or that a client still sends one, and so how long their hits are to last; it is no evidence for a new hit.
	// Only what is flagged is to be told so: whoever shares a blocked address must not renew the block by being blocked.
	Blocked bool

	// Session: the owner's upstream has verified a session on this request, which speaks for its client. With a Result without
	// a Domain it says nothing else.
	Session bool

	// Labelled: the owner labelled the name dga and the model does not flag it. It is remembered whatever its tail, which
	// stays what the model said.
	Labelled bool

	// Example is what the request said, of some of those that are flagged; nil else.
	Example *Example
}

// MaxExample bounds each part of an Example, in bytes.
const MaxExample = 256

// Example is what one request of a flagged name said, cut off at MaxExample bytes each: hostile bytes, not always UTF-8, to
// be escaped wherever they are shown. It does not change once it is made.
type Example struct {
	Referer string
	Agent   string // the User-Agent header
	Path    string // without the query, where the owner's users have their secrets
}

// NewExample copies what is kept of a request: one allocation for the text, one for the Example.
func NewExample(referer, agent, target []byte) *Example {
	path, _, _ := bytes.Cut(target[:min(len(target), MaxExample)], []byte("?"))
	referer, agent = referer[:min(len(referer), MaxExample)], agent[:min(len(agent), MaxExample)]
	var text strings.Builder
	text.Grow(len(referer) + len(agent) + len(path))
	for _, part := range [][]byte{referer, agent, path} {
		text.Write(part)
	}
	all := text.String()
	r, a := len(referer), len(referer)+len(agent)
	return &Example{Referer: all[:r], Agent: all[r:a], Path: all[a:]}
}
