package intake

import "net/netip"

// plain answers the next request of a connection where that is as plain as those by which proxies ask for leave: its head is of the usual
// size, can be read in one way only, announces no body, and leaves the connection open. Of every other it returns false and has taken
// nothing: that is fasthttp's, which answers the plain ones likewise but takes longer than the judgement does (docs/performance.md), and
// a buffer for the largest of heads to wait for the rest of a small one.
func (a *API) plain(c *caller) bool {
	if c.owed || a.draining.Load() {
		return false
	}
	block, err := readHead(c.br)
	if err != nil {
		return false // fasthttp meets with the same
	}
	r := a.requests.Get().(*request)
	defer func() {
		r.reset(nil)
		a.requests.Put(r)
	}()
	if r.parse(block) != nil || !r.keep || !r.http11 || !r.body.ended || r.body.expected || r.isHead {
		return false
	}
	if _, agents := r.head.first(userAgent); agents > 1 {
		return false // of which fasthttp takes the last
	}
	via, path, ok := a.judges(pathOf(r.target))
	if !ok {
		return false
	}
	_, _ = c.br.Discard(len(block)) // its bytes stay where they are until more is read
	r.out = a.append(r.out[:0], via, a.judged(r, c.peer, via, path))
	if _, err := c.Write(r.out); err != nil {
		c.end()
	}
	return true
}

// judged has a plain request judged. Whatever panics on the way is counted, and the request goes on.
func (a *API) judged(r *request, peer netip.Addr, via Via, path []byte) (v Judgement) {
	defer func() {
		if p := recover(); p != nil {
			a.panicked(p)
			v = Judgement{}
		}
	}()
	q := r.asked(a.judge, peer)
	q.Path = original(path, r.head.value)
	return a.judge.Judge(via, q)
}

// append appends the answer to a plain request.
func (a *API) append(b []byte, via Via, v Judgement) []byte {
	if via == ViaObserve {
		return append(b, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"...) // which nobody reads
	}
	status := "200 OK"
	if v.Block {
		status = "403 Forbidden"
	}
	b = append(append(append(b, "HTTP/1.1 "...), status...), "\r\nContent-Length: 0\r\nX-Referee-Verdict: "...)
	b = append(b, a.verdicts[v.Verdict]...)
	if v.Result.Domain != "" {
		b = appendFigure(append(b, "\r\nX-Referee-Score: "...), v.Result.Score)
		b = appendFigure(append(b, "\r\nX-Referee-Tail: "...), v.Result.Tail)
		b = append(append(b, "\r\nX-Referee-Name: "...), v.Result.Domain...)
	}
	return append(b, "\r\n\r\n"...)
}
