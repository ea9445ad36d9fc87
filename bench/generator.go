//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// generator sends requests over kept connections and reads the answers, in one thread over epoll: a client that costs more than
// the server would leave it idle, and what is measured then is how it falls asleep and wakes up.
type generator struct {
	epoll, timer int
	peers        []*peer
	free         []*peer
	open         int
	events       []unix.EpollEvent
	request      []byte
	next         func([]byte) []byte // appends the next request
}

type peer struct {
	fd     int
	due    time.Time
	busy   bool
	answer []byte // what there is of it
}

// load is what is asked of a generator.
type load struct {
	lasts time.Duration
	each  bool    // instead: one request over each connection
	rate  float64 // requests a second, sent when they are due whatever became of those before; 0: each when the one before is answered
}

// outcome is what became of a load.
type outcome struct {
	sent, answered, refused int // refused: with another status than 200
	took                    time.Duration
	latencies               []time.Duration // since a request was due, not since it could be sent; only at a rate
}

// lost are the requests without a proper answer.
func (o outcome) lost() int { return o.sent - o.answered + o.refused }

const timerEvent = -1

// newGenerator connects to an address.
func newGenerator(addr string, connections int, next func([]byte) []byte) (_ *generator, err error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	g := &generator{next: next, events: make([]unix.EpollEvent, 128)}
	if g.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	if g.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC); err != nil {
		return nil, fmt.Errorf("timer: %w", err)
	}
	if err := unix.EpollCtl(g.epoll, unix.EPOLL_CTL_ADD, g.timer, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: timerEvent}); err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	for i := range connections {
		p := &peer{answer: make([]byte, 0, 4<<10)}
		if p.fd, err = connect(to); err != nil {
			g.close()
			return nil, fmt.Errorf("connection %d to %s: %w", i+1, addr, err)
		}
		g.peers = append(g.peers, p)
		g.free = append(g.free, p)
		if err := unix.EpollCtl(g.epoll, unix.EPOLL_CTL_ADD, p.fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)}); err != nil {
			g.close()
			return nil, fmt.Errorf("epoll: %w", err)
		}
	}
	g.open = connections
	return g, nil
}

func connect(to netip.AddrPort) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	err = errors.Join(
		unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}),
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
		// Closed by a reset: tens of thousands of ports in TIME_WAIT would be the next measurement's trouble.
		unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}),
		unix.SetNonblock(fd, true),
	)
	if err != nil {
		_ = unix.Close(fd)
	}
	return fd, err
}

func (g *generator) close() {
	for _, p := range g.peers {
		_ = unix.Close(p.fd)
	}
	_ = unix.Close(g.timer)
	_ = unix.Close(g.epoll)
}

// patience is how long the last answers may take.
const patience = 10 * time.Second

// run applies a load. It fails where an answer is no HTTP; an answer that does not come is counted.
func (g *generator) run(ctx context.Context, l load) (outcome, error) {
	var o outcome
	began := time.Now()
	end := began.Add(l.lasts)
	all := len(g.peers)
	if l.rate > 0 {
		all = int(l.rate * l.lasts.Seconds())
		o.latencies = make([]time.Duration, 0, all)
	}
	due := func(i int) time.Time { return began.Add(time.Duration(float64(i) / l.rate * float64(time.Second))) }
	for {
		now := time.Now()
		for g.open > 0 && len(g.free) > 0 {
			if at := now; l.rate > 0 {
				if o.sent == all {
					break
				}
				if at = due(o.sent); at.After(now) {
					if err := g.wakeIn(at.Sub(now)); err != nil {
						return o, err
					}
					break
				}
				g.send(at)
			} else {
				if l.each && o.sent == all || !l.each && !now.Before(end) {
					break
				}
				g.send(at)
			}
			o.sent++
		}
		over := !now.Before(end) && (l.rate == 0 && !l.each || o.sent == all)
		if over && len(g.free) == g.open || g.open == 0 || now.Sub(end) > patience {
			o.took = now.Sub(began)
			return o, ctx.Err()
		}
		n, err := unix.EpollWait(g.epoll, g.events, 100)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return o, fmt.Errorf("epoll: %w", err)
		}
		if ctx.Err() != nil {
			return o, ctx.Err()
		}
		for _, e := range g.events[:max(n, 0)] {
			if e.Fd == timerEvent {
				var expirations [8]byte
				_, _ = unix.Read(g.timer, expirations[:])
				continue
			}
			if err := g.receive(g.peers[e.Fd], l.rate > 0, &o); err != nil {
				return o, err
			}
		}
	}
}

func (g *generator) wakeIn(d time.Duration) error {
	at := unix.ItimerSpec{Value: unix.NsecToTimespec(max(int64(d), 1))}
	if err := unix.TimerfdSettime(g.timer, 0, &at, nil); err != nil {
		return fmt.Errorf("timer: %w", err)
	}
	return nil
}

func (g *generator) send(due time.Time) {
	p := g.free[len(g.free)-1]
	g.free = g.free[:len(g.free)-1]
	p.due, p.busy = due, true
	g.request = g.next(g.request[:0])
	if n, err := unix.Write(p.fd, g.request); err != nil || n < len(g.request) {
		g.drop(p) // the server has closed it, or takes nothing: the request has no answer
	}
}

func (g *generator) drop(p *peer) {
	_ = unix.EpollCtl(g.epoll, unix.EPOLL_CTL_DEL, p.fd, nil)
	g.open--
}

func (g *generator) receive(p *peer, timed bool, o *outcome) error {
	room := p.answer[len(p.answer):cap(p.answer)]
	n, err := unix.Read(p.fd, room)
	switch {
	case errors.Is(err, unix.EAGAIN):
		return nil
	case err != nil || n == 0: // closed
		if !p.busy {
			g.free = slices.DeleteFunc(g.free, func(f *peer) bool { return f == p })
		}
		g.drop(p)
		return nil
	}
	p.answer = p.answer[:len(p.answer)+n]
	status, whole, err := answered(p.answer)
	if err != nil || !whole {
		return err
	}
	if !p.busy {
		return fmt.Errorf("an answer that nobody asked for: %q", p.answer)
	}
	if o.answered++; status != 200 {
		o.refused++
	}
	if timed {
		o.latencies = append(o.latencies, time.Since(p.due))
	}
	p.answer, p.busy = p.answer[:0], false
	g.free = append(g.free, p)
	return nil
}

// answered reports whether an answer with a Content-Length is whole, and its status.
func answered(b []byte) (status int, whole bool, err error) {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		if len(b) == cap(b) {
			return 0, false, errors.New("an answer's head is over 4 KiB")
		}
		return 0, false, nil
	}
	head := b[:end+2]
	_, length, found := bytes.Cut(head, []byte("\r\nContent-Length: "))
	if len(head) < 14 || !found {
		return 0, false, fmt.Errorf("an answer without a Content-Length: %q", head)
	}
	if status, err = strconv.Atoi(string(head[9:12])); err != nil {
		return 0, false, fmt.Errorf("an answer's status: %w", err)
	}
	length, _, _ = bytes.Cut(length, []byte("\r\n"))
	n, err := strconv.Atoi(string(length))
	if err != nil {
		return 0, false, fmt.Errorf("an answer's Content-Length: %w", err)
	}
	return status, len(b) >= end+4+n, nil
}

// quantile of latencies, which it sorts: nearest rank.
func quantile(latencies []time.Duration, q float64) time.Duration {
	if len(latencies) == 0 {
		return 0
	}
	slices.Sort(latencies)
	return latencies[min(int(q*float64(len(latencies))), len(latencies)-1)]
}
