package intake

import (
	"bytes"
	"errors"
	"math"
	"net/http"
	"net/netip"
	"strconv"
)

// request is one request and the place where its answer is put together. It is reused. What it views of the head holds
// until more is read from the connection, which is when its body is.
type request struct {
	conn      *conn
	method    []byte
	target    []byte
	head      head
	forwarded [][]byte // the values of X-Forwarded-For
	body      body
	isHead    bool
	http11    bool
	keep      bool // another request may follow on this connection
	answered  bool // at least the beginning of an answer was sent
	cut       bool // and it is not whole: nothing may make it look so

	out []byte
}

func (r *request) reset(c *conn) {
	if cap(r.head.lines) > 256 || cap(r.out) > 32<<10 {
		r.head, r.out = head{}, nil // one huge request must not keep its size for ever
	}
	r.conn, r.method, r.target, r.forwarded = c, nil, nil, r.forwarded[:0]
	r.head.lines, r.head.options = r.head.lines[:0], r.head.options[:0]
	r.body.reset(c)
	r.isHead, r.http11, r.keep, r.answered, r.cut = false, false, false, false, false
}

// fault is why a request is not served: with which status it is refused, and in which words, which are ours alone.
type fault struct {
	status int
	err    error
}

var (
	errSlowHead  = fault{408, errors.New("the request took too long to arrive")}
	errLargeHead = fault{431, errors.New("the request's header is over 64 KiB")}
	errPanic     = fault{500, errors.New("this failed inside of Referee")}
)

var (
	errRequestLine = errors.New("the request line is not that of an HTTP/1.1 request")
	errTarget      = errors.New("the request target holds spaces or control characters, or is neither a path nor absolute")
	errHost        = errors.New("a request has one Host header, which holds a host")
	errEncoding    = errors.New("a request's Transfer-Encoding is chunked or none")
	errLength      = errors.New("a request has one Content-Length at most, which is a number")
)

// parse reads a whole head. Where it fails the method and the target are there nonetheless if they could be read.
func (r *request) parse(block []byte) error {
	end := bytes.IndexByte(block, '\n')
	if end < 1 || block[end-1] != '\r' {
		return errLineEnd
	}
	if err := r.readLine(block[:end-1]); err != nil {
		return err
	}
	if err := r.head.parse(block[end+1:]); err != nil {
		return err
	}
	return r.frame()
}

// readLine reads a request line.
func (r *request) readLine(line []byte) error {
	// GET / HTTP/1.1
	v := len(line) - len(" HTTP/1.1")
	space := bytes.IndexByte(line, ' ')
	if space < 1 || v <= space+1 || string(line[v:v+8]) != " HTTP/1." || line[v+8] != '0' && line[v+8] != '1' {
		return errRequestLine
	}
	for _, c := range line[:space] {
		if !tokenBytes[c] {
			return errRequestLine
		}
	}
	target := line[space+1 : v]
	for _, c := range target {
		if c <= ' ' || c == 0x7f {
			return errTarget
		}
	}
	method := string(line[:space])
	switch { // RFC 9112 section 3.2
	case target[0] == '/', method == "OPTIONS" && string(target) == "*", method == "CONNECT", isAbsolute(target):
	default:
		return errTarget
	}
	r.method, r.target = line[:space], target
	r.isHead, r.http11 = method == "HEAD", line[v+8] == '1'
	return nil
}

func isAbsolute(target []byte) bool {
	for _, scheme := range [...]string{"http://", "https://"} {
		if len(target) > len(scheme) && equalFold(target[:len(scheme)], scheme) {
			return true
		}
	}
	return false
}

// frame reads what the lines say about where the request ends, and about the connection.
func (r *request) frame() error {
	hosts, lengths, encodings := 0, 0, 0
	length := int64(0)
	for i := range r.head.lines {
		l := &r.head.lines[i]
		switch l.kind {
		case host:
			if hosts++; hosts > 1 || !isHost(l.value()) {
				return errHost
			}
		case contentLength:
			var ok bool
			if length, ok = parseLength(l.value()); !ok || lengths > 0 {
				return errLength
			}
			lengths++
		case transferEncoding:
			if encodings++; encodings > 1 || !r.http11 || !equalFold(l.value(), "chunked") {
				return errEncoding
			}
		case forwardedFor:
			r.forwarded = append(r.forwarded, l.value())
		case expect:
			r.body.expected = r.http11 && equalFold(l.value(), "100-continue")
		}
	}
	switch {
	case hosts == 0 && r.http11:
		return errHost
	case encodings > 0 && lengths > 0:
		return errFraming
	case encodings > 0:
		r.body.begin(chunked)
	default:
		r.body.begin(length)
	}
	r.keep = r.http11 && !r.head.has("close") || !r.http11 && r.head.has("keep-alive")
	return nil
}

// parseLength reads a Content-Length: digits alone (RFC 9110 section 8.6).
func parseLength(s []byte) (int64, bool) {
	if len(s) == 0 || len(s) > 19 {
		return 0, false
	}
	n := uint64(0)
	for _, c := range s {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return int64(n), n <= math.MaxInt64
}

// isHost refuses what no host holds, and what servers are known to read differently.
func isHost(s []byte) bool {
	for _, c := range s {
		if c <= ' ' || c == 0x7f || c == '/' || c == '\\' || c == '?' || c == '#' || c == '@' || c == ',' {
			return false
		}
	}
	return true
}

// firstLine is what is buffered of it, without its end.
func firstLine(br interface {
	Buffered() int
	Peek(int) ([]byte, error)
},
) []byte {
	b, _ := br.Peek(br.Buffered())
	line, _, _ := bytes.Cut(b, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r"))
}

// asked is what the request is judged by, but for the path.
func (r *request) asked(j *Judge, peer netip.Addr) (q Request) {
	q.Client = j.Client(peer, r.forwarded)
	q.Referer, _ = r.head.first(referer)
	q.Agent, _ = r.head.first(userAgent)
	if marker := j.sessionHeader(peer); marker != nil {
		q.Session = isSession(r.head.value(marker))
	}
	return q
}

// begin starts an answer of our own; what is left of the line and of the fields is appended to r.out.
func (r *request) begin(status string) {
	r.out = append(append(r.out[:0], "HTTP/1.1 "...), status...)
	r.out = append(r.out, "\r\n"...)
}

// finish ends the head of an answer of our own, and sends it with its body.
func (r *request) finish(body []byte) {
	r.out = append(r.out, "Content-Length: "...)
	r.out = strconv.AppendInt(r.out, int64(len(body)), 10)
	r.out = append(r.out, "\r\n"...)
	r.keep = r.keep && r.body.short() // or too much of the request is still to come
	r.closing()
	r.out = append(r.out, "\r\n"...)
	if !r.isHead {
		r.out = append(r.out, body...)
	}
	r.answered = true
	if r.conn.write(r.out) != nil {
		r.keep, r.cut = false, true
	}
}

// closing appends the Connection field that an answer needs.
func (r *request) closing() {
	r.keep = r.keep && !r.conn.server.draining.Load()
	switch {
	case !r.keep:
		r.out = append(r.out, "Connection: close\r\n"...)
	case !r.http11:
		r.out = append(r.out, "Connection: keep-alive\r\n"...)
	}
}

// say answers with a status and one line of our own: nothing that the client sent.
func (r *request) say(status, why string) {
	r.begin(status)
	r.out = append(r.out, "Content-Type: text/plain; charset=utf-8\r\n"...)
	r.finish(append([]byte(why), '\n'))
}

func statusLine(status int) string { return strconv.Itoa(status) + " " + http.StatusText(status) }
