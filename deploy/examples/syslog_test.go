package examples

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"referee/intake/logs"
)

// What the examples write is read here as the sidecar reads it, byte by byte from the wire.
func TestALineOfAnAccessLogSaysAllThatIsJudged(t *testing.T) {
	long := "https://xkqzvwpjthgf.com/?" + strings.Repeat("q", 4000)
	for _, example := range []struct {
		name  string
		lines func(t *testing.T, application, site string) <-chan []byte // messages, as they come
	}{{"nginx-syslog", nginxLines}, {"haproxy-syslog", haproxyLines}} {
		t.Run(example.name, func(t *testing.T) {
			app, address := newApplication(t), freeAddress(t)
			lines := example.lines(t, app.address, address)
			f := func(referer, wantReferer string) {
				t.Helper()
				request, err := http.NewRequest(http.MethodGet, "http://"+address+"/shop/%7Ex?q=1", nil)
				if err != nil {
					t.Fatal(err)
				}
				request.Host = "shop.example.com"
				request.Header = http.Header{
					"Referer": {referer}, "User-Agent": {`Mozilla/5.0 ("x", \y)`}, "X-Forwarded-For": {"8.8.8.8, 81.2.69.142"},
				}
				response, err := http.DefaultClient.Do(request)
				if err != nil || response.StatusCode != http.StatusOK {
					t.Fatalf("%v, %v", response, err)
				}
				response.Body.Close()
				var line []byte
				select {
				case line = <-lines:
				case <-time.After(10 * time.Second):
					t.Fatal("no line came within 10 s")
				}
				var got logs.Line
				if holds, err := logs.NewParser(logs.JSON, nil).Parse(logs.Message(line), &got); !holds || err != nil {
					t.Fatalf("%q: %v", line, err)
				}
				said := fmt.Sprintf("%s %s %s %s %s %s", got.Client, bytes.Join(got.Forwarded, []byte("; ")), got.Host, got.Path, got.Agent, got.Referer)
				if want := `127.0.0.1 8.8.8.8, 81.2.69.142 shop.example.com /shop/%7Ex?q=1 Mozilla/5.0 ("x", \y) ` + wantReferer; said != want {
					t.Errorf("read %q, want %q", said, want)
				}
				if ago := time.Since(time.Unix(0, got.Time)); ago < -time.Second || ago > 10*time.Second {
					t.Errorf("its time is %v ago", ago)
				}
			}
			f(generated, generated)
			f(long, long)
			const hostile = `https://xkqzvwpjthgf.com/a,b?q="\`
			f(hostile, hostile)
			f("https://xkqzvwpjthgf.com/é", "https://xkqzvwpjthgf.com/é")
			f(`-`, "")
		})
	}
}

func nginxLines(t *testing.T, application, site string) <-chan []byte {
	receiver, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { receiver.Close() })
	lines := make(chan []byte, 100)
	go func() {
		for {
			datagram := make([]byte, 64<<10)
			n, _, err := receiver.ReadFrom(datagram)
			if err != nil {
				return
			}
			lines <- datagram[:n]
		}
	}()
	startNginx(t, program(t, "nginx"), "nginx-syslog", site, map[string]string{
		exampleApplication: application, exampleSyslog: receiver.LocalAddr().String(),
	})
	return lines
}

func haproxyLines(t *testing.T, application, site string) <-chan []byte {
	receiver, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { receiver.Close() })
	lines := make(chan []byte, 100)
	go func() {
		for {
			conn, err := receiver.Accept()
			if err != nil {
				return
			}
			for from := bufio.NewReader(conn); ; {
				var n int
				if _, err := fmt.Fscanf(from, "%d ", &n); err != nil || n <= 0 || n > 1<<20 { // octet counting, RFC 6587
					break
				}
				line := make([]byte, n)
				if _, err := io.ReadFull(from, line); err != nil {
					break
				}
				lines <- line
			}
			conn.Close()
		}
	}()
	startHAProxy(t, configure(t, "haproxy-syslog", map[string]string{
		exampleSite: site, exampleApplication: application, exampleSyslog: receiver.Addr().String(),
	}), site)
	return lines
}

// A name is a hit by its clients' networks and over several sightings: so Referer and client address have arrived.
func TestTheAccessLogOfHAProxyAloneMakesAHit(t *testing.T) {
	syslog, site := freeAddress(t), freeAddress(t)
	app, sidecar := newApplication(t), newReferee(t, "--logs-listen", syslog)
	startHAProxy(t, configure(t, "haproxy-syslog", map[string]string{
		exampleSite: site, exampleApplication: app.address, exampleSyslog: syslog,
	}), site)
	send := func(address, path, client, referer string) int {
		request, err := http.NewRequest(http.MethodGet, "http://"+address+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Referer", referer)
		request.Header.Set("X-Forwarded-For", client)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode
	}
	sent := 0
	eventually(t, "the name is a hit", func() bool {
		for _, client := range []string{"81.2.69.142", "89.160.20.112", "175.16.199.1"} {
			for _, other := range otherGenerated {
				send(site, "/", client, "http://"+other+"/")
			}
			send(site, "/", client, generated)
			sent += len(otherGenerated) + 1
		}
		return send(sidecar.listen, "/v1/check", "81.187.0.1", generated) == http.StatusForbidden // whom nothing else is known of
	})
	eventually(t, "each request was a line", func() bool { return sidecar.requests("log") == sent })
}

// The ring keeps what is written while the sidecar restarts: by UDP these lines would be lost.
func TestHAProxySendsWhatWasLoggedWhileTheSidecarWasAway(t *testing.T) {
	syslog, site := freeAddress(t), freeAddress(t)
	app, sidecar := newApplication(t), newReferee(t, "--logs-listen", syslog)
	startHAProxy(t, configure(t, "haproxy-syslog", map[string]string{
		exampleSite: site, exampleApplication: app.address, exampleSyslog: syslog,
	}), site)
	s := newSite(t, site)
	if err := s.many(50, ordinary, func(int) {}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "50 lines are judged", func() bool { return sidecar.requests("log") == 50 })
	sidecar.kill()
	if err := s.many(500, ordinary, func(int) {}); err != nil {
		t.Fatal(err)
	}
	sidecar.start()
	eventually(t, "500 lines more are judged", func() bool { return sidecar.requests("log") >= 490 }) // some were under way
	t.Logf("%d of 500", sidecar.requests("log"))
}
