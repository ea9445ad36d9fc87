package intake

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// watchdog ends reads and writes that take too long. Deadlines of the net package are timers of the runtime, and a server
// moves three of them for every request, which costs a tenth of the request; here a limit is one atomic store, and one
// goroutine looks over all connections a few times within the shortest limit. In exchange a limit may pass two ticks late.
type watchdog struct {
	tick  time.Duration
	began time.Time
	now   atomic.Int64 // nanoseconds since it began, at the last tick: not by the wall clock, which may be set

	mu      sync.Mutex
	conns   map[*watched]struct{}
	running bool // while there are connections, and a tick longer
	wake    chan struct{}
}

// newWatchdog makes a watchdog for limits of at least shortest.
func newWatchdog(shortest time.Duration) *watchdog {
	return &watchdog{
		began: time.Now(),
		tick:  min(max(shortest/10, 5*time.Millisecond), 500*time.Millisecond),
		conns: map[*watched]struct{}{}, wake: make(chan struct{}, 1),
	}
}

// past is a deadline that has passed.
var past = time.Unix(1, 0)

// watch takes a connection over until it is closed.
func (d *watchdog) watch(c net.Conn) *watched {
	w := &watched{Conn: c, dog: d}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.conns[w] = struct{}{}
	if !d.running {
		d.running = true
		d.now.Store(int64(time.Since(d.began)))
		go d.run()
	}
	return w
}

func (d *watchdog) run() {
	tick := time.NewTicker(d.tick)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-d.wake:
		}
		now := int64(time.Since(d.began))
		d.now.Store(now)
		if !d.look(now) {
			return
		}
	}
}

// lookNow does not wait for the next tick.
func (d *watchdog) lookNow() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// look ends what has passed its limit. It returns whether there is anything left to look at.
func (d *watchdog) look(now int64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for w := range d.conns {
		if w.read.passes(now) {
			w.interrupt()
		}
		if w.write.passes(now) {
			_ = w.SetWriteDeadline(past)
		}
	}
	d.running = len(d.conns) > 0
	return d.running
}

// len is how many connections are open.
func (d *watchdog) len() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.conns)
}

// endIdle has those read no more that wait for a request.
func (d *watchdog) endIdle() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for w := range d.conns {
		if w.idle.Load() {
			w.interrupt()
		}
	}
}

// closeAll closes what is open, and says how many those were.
func (d *watchdog) closeAll() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	for w := range d.conns {
		w.Conn.Close()
	}
	return len(d.conns)
}

// watched is a connection with limits on how long its next reads and writes may take in all, until the next limit is set.
// When one has passed, all further reads, or writes, fail with a timeout: it is good for nothing but to be closed.
type watched struct {
	net.Conn
	dog         *watchdog
	read, write limit
	idle        atomic.Bool // a client's: between two requests
}

// readWithin limits reads to d from now; 0 is no limit.
func (w *watched) readWithin(d time.Duration) { w.read.set(w.dog, d) }

// writeWithin is readWithin for writes.
func (w *watched) writeWithin(d time.Duration) { w.write.set(w.dog, d) }

// interrupt ends a read that waits, and any that begins, until resume, which is called when that read has returned.
func (w *watched) interrupt() { _ = w.SetReadDeadline(past) }

func (w *watched) resume() {
	_ = w.SetReadDeadline(time.Time{})
	if w.read.Load() == passed {
		w.interrupt()
	}
}

// renew has reads go on that a limit or an interrupt has ended.
func (w *watched) renew() {
	w.dog.mu.Lock() // not between what the watchdog notes and what it does
	defer w.dog.mu.Unlock()
	w.read.Store(0)
	w.resume()
}

// spent reports whether a limit has passed.
func (w *watched) spent() bool { return w.read.Load() == passed || w.write.Load() == passed }

// CloseWrite lets a tunnel end its one direction.
func (w *watched) CloseWrite() error {
	if half, ok := w.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

func (w *watched) Close() error {
	w.dog.mu.Lock()
	delete(w.dog.conns, w)
	w.dog.mu.Unlock()
	return w.Conn.Close()
}

// end closes a connection that nothing more is expected of.
func (w *watched) end() { _ = w.Close() }

// limit is when something must be done, on the watchdog's clock; 0 is never.
type limit struct{ atomic.Int64 }

const passed = -1

func (l *limit) set(d *watchdog, within time.Duration) {
	var at int64
	if within > 0 {
		at = d.now.Load() + int64(within+d.tick) // now is up to a tick ago
	}
	for {
		before := l.Load()
		if before == passed || l.CompareAndSwap(before, at) {
			return
		}
	}
}

// passes reports whether the limit is passed now for the first time.
func (l *limit) passes(now int64) bool {
	at := l.Load()
	return at > 0 && at <= now && l.CompareAndSwap(at, passed)
}
