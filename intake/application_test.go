package intake

import (
	"bufio"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// application is what stands behind the proxy, byte by byte: it keeps the requests that it got and answers as it is told.
type application struct {
	t    testing.TB
	ln   net.Listener
	addr string

	mu       sync.Mutex
	answer   string
	got      []string
	conns    int // accepted
	open     int
	sequence []func(c net.Conn, request string) (open bool)
}

func newApplication(t testing.TB) *application {
	a := &application{t: t, ln: listener(t)}
	a.addr = a.ln.Addr().String()
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := a.ln.Accept()
			if err != nil {
				return
			}
			a.mu.Lock()
			a.conns++
			a.open++
			a.mu.Unlock()
			wg.Go(func() { a.serve(c) })
		}
	})
	t.Cleanup(func() {
		a.ln.Close()
		wg.Wait()
	})
	return a
}

func (a *application) serve(c net.Conn) {
	defer func() {
		c.Close()
		a.mu.Lock()
		a.open--
		a.mu.Unlock()
	}()
	br := bufio.NewReader(c)
	for {
		request, err := readMessage(br)
		if request != "" {
			a.mu.Lock()
			a.got = append(a.got, request)
			answer := a.answer
			var next func(net.Conn, string) bool
			if len(a.sequence) > 0 {
				next, a.sequence = a.sequence[0], a.sequence[1:]
			}
			a.mu.Unlock()
			if next != nil {
				if !next(c, request) {
					return
				}
			} else if _, err := io.WriteString(c, answer); err != nil || !strings.HasPrefix(answer, "HTTP/1.1 ") {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// readMessage reads a head and its body, as they are on the wire.
func readMessage(br *bufio.Reader) (string, error) {
	var b strings.Builder
	length, chunks := 0, false
	for {
		line, err := br.ReadString('\n')
		b.WriteString(line)
		if err != nil {
			return b.String(), err
		}
		if line == "\r\n" {
			break
		}
		name, value, _ := strings.Cut(strings.ToLower(line), ":")
		switch name {
		case "content-length":
			length, _ = strconv.Atoi(strings.TrimSpace(value))
		case "transfer-encoding":
			chunks = true
		}
	}
	if chunks {
		for {
			line, err := br.ReadString('\n')
			b.WriteString(line)
			if err != nil {
				return b.String(), err
			}
			if n, _ := strconv.ParseInt(strings.TrimSpace(line), 16, 64); n > 0 {
				length = int(n) + 2
			} else if line == "\r\n" {
				return b.String(), nil
			} else {
				continue
			}
			if _, err := io.CopyN(&b, br, int64(length)); err != nil {
				return b.String(), err
			}
		}
	}
	_, err := io.CopyN(&b, br, int64(length))
	return b.String(), err
}

func (a *application) answers(s string) { a.mu.Lock(); defer a.mu.Unlock(); a.answer = s }

// then has the next request answered in its own way; it returns whether the connection stays open.
func (a *application) then(f func(c net.Conn, request string) (open bool)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sequence = append(a.sequence, f)
}

// requests returns what came since the last call.
func (a *application) requests() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	got := a.got
	a.got = nil
	return got
}

func (a *application) connections() int { a.mu.Lock(); defer a.mu.Unlock(); return a.conns }

// connectionsOpen is how many the proxy holds now.
func (a *application) connectionsOpen() int { a.mu.Lock(); defer a.mu.Unlock(); return a.open }
