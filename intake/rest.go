package intake

import (
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// rest is what sends the rest of a request's body while the answer is received: an application may answer while it reads, and
// read no further until its answer is taken from it. It is a goroutine, which ends before the request does; bodies of one
// piece do without.
type rest struct {
	piece, out []byte
	running    bool          // the receiver's: it was started, and its end was not heard
	ended      chan struct{} // gets its end
	short      atomic.Bool   // so little of the body is left that the client's connection can be kept

	mu      sync.Mutex
	over    bool
	failure failure
	err     error
	panic   error
	within  time.Duration // the limit on what the application says next, once it has the request
}

// receiveBeside is receive while the rest of the body is sent.
func (x *exchange) receiveBeside() (failure, error) {
	r := &x.rest
	if r.ended == nil {
		r.ended = make(chan struct{}, 1)
	}
	r.piece, x.piece = x.piece, r.piece
	r.over, r.failure, r.err, r.panic, r.running = false, none, nil, nil, true
	go x.sendRest()
	defer x.stopRest() // what panics here is the request's end

	f, err := x.receive()
	over := true
	if f == none && !x.cut { // the client has the answer
		sent, _ := x.awaitRest()
		x.reusable = x.reusable && sent == none
		x.keep = x.keep && !isClients(sent)
	} else {
		over = x.stopRest()
	}
	switch {
	case r.panic != nil:
		panic(r.panic)
	case f == none || !over || r.failure == none:
		return f, err
	case isClients(r.failure):
		return r.failure, r.err
	}
	return f, r.err
}

// sendRest is the goroutine.
func (x *exchange) sendRest() {
	f, err := none, error(nil)
	defer func() {
		r := &x.rest
		r.mu.Lock()
		defer r.mu.Unlock()
		if p := recover(); p != nil {
			r.panic = fmt.Errorf("while a request's body was sent: %v\n%s", p, debug.Stack())
		}
		r.over, r.failure, r.err = true, f, err
		if isClients(f) || r.panic != nil {
			x.up.end() // there is nothing to wait for
		} else {
			x.up.readWithin(r.within)
		}
		r.ended <- struct{}{}
	}()
	for f == none && !x.body.ended {
		f, err = x.sendPiece(&x.rest.out, x.rest.piece)
	}
}

// answerWithin limits how long the application may take for what it says next: not while it waits for the request itself.
func (x *exchange) answerWithin(d time.Duration) {
	if !x.rest.running {
		x.up.readWithin(d)
		return
	}
	x.rest.mu.Lock()
	defer x.rest.mu.Unlock()
	if x.rest.within = d; x.rest.over {
		x.up.readWithin(d)
	} else {
		x.up.readWithin(0)
	}
}

// sent reports whether sending is over, and how it ended.
func (x *exchange) sent() (bool, failure) {
	if !x.rest.running {
		return true, none
	}
	x.rest.mu.Lock()
	defer x.rest.mu.Unlock()
	return x.rest.over, x.rest.failure
}

// awaitRest waits until all is sent, or cannot be.
func (x *exchange) awaitRest() (failure, error) {
	if !x.rest.running {
		return none, nil
	}
	<-x.rest.ended
	x.rest.running = false
	return x.rest.failure, x.rest.err
}

// stopRest has no more sent, and the application given up unless all was. It reports whether sending was over already.
func (x *exchange) stopRest() (over bool) {
	if over, _ = x.sent(); !over {
		x.up.end()
		x.conn.interrupt()
		defer x.conn.resume()
	}
	_, _ = x.awaitRest()
	return over
}
