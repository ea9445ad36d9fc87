package logs

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

func TestTheMessageIsFoundBehindEverySyslogHeader(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := string(Message([]byte(in))); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	const json = `{"referer":"https://a: b/"}`
	f(`<190>Nov 23 03:12:41 web1 referee: `+json+"\n", json) // nginx
	f(`<190>Nov 23 03:12:41 referee: `+json, json)           // nginx with nohostname
	f(`<134>Nov  3 03:12:41 haproxy[123]: `+json, json)
	f(`<134>2026-11-23T03:12:41.123456+01:00 web1 tag: `+json, json) // rsyslog
	f(`<134>1 2026-11-23T03:12:41Z web1 app 12 ID47 - `+json, json)  // RFC 5424
	f(`<134>1 2026-11-23T03:12:41Z web1 app - - [a@1 x="]\"y"][b] `+"\xef\xbb\xbf"+json, json)
	f(`<134>1 - - - - - -`, "")
	f(`<134>1 - -`, "")
	f(`<134>`+json, json)
	f(json, json)
	f(`<190>Nov 23 03:12:41 web1 nginx: `+combinedLine, combinedLine)
	f(`<190>Nov 23 03:12:41 web1 nginx: 2001:db8::1 - - [x]`, `2001:db8::1 - - [x]`)
	f(`<190>`+combinedLine, combinedLine)
	f(`<1x0>x`, `<1x0>x`)
	f("", "")
	f("<1>", "")
}

func FuzzMessage(f *testing.F) {
	f.Add([]byte(`<134>1 2026-11-23T03:12:41Z web1 app - - [a x="]\"y"][b] x`))
	f.Add([]byte(`<190>Nov 23 03:12:41 web1 referee: {}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		if out := Message(in); !bytes.HasSuffix(bytes.TrimRight(in, "\r\n\x00"), out) {
			t.Fatalf("%q: %q does not end it", in, out)
		}
		fr := framer{br: bufio.NewReaderSize(bytes.NewReader(in), 64<<10)}
		total := 0
		for {
			m, err := fr.next()
			if total += len(m); total > len(in) {
				t.Fatalf("%q: more came out than went in", in)
			}
			if err != nil {
				return
			}
		}
	})
}

func TestSyslogComesByUDPAndTCPInBothFramings(t *testing.T) {
	r := newRig(t, Config{Listen: "127.0.0.1:0"}, "")
	r.start()
	address := r.Addresses()["logs"]
	udp, err := net.Dial("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	fmt.Fprintf(udp, "<190>Nov 23 03:12:41 web1 referee: %s", jsonOf("alphaone"))
	fmt.Fprintf(udp, "<190>Nov 23 03:12:41 web1 referee: %s\n", combinedOf("betatwo"))
	tcp, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	message := "<190>Nov 23 03:12:41 web1 referee: " + jsonOf("gammathree")
	fmt.Fprintf(tcp, "%d %s", len(message), message)
	fmt.Fprintf(tcp, "%s\n%s\n", jsonOf("deltafour"), combinedOf("epsilonfive"))
	r.want("alphaone", "betatwo", "gammathree", "deltafour", "epsilonfive")
	for _, s := range r.seen {
		if s.Client != client || s.Time != rigNow.Add(-time.Second).UnixNano() {
			t.Errorf("%s: client %v at %v; want the line's", s.Result.Domain, s.Client, time.Unix(0, s.Time).UTC())
		}
	}
	// What is too long, and what is no line of a log, is passed over; the connection goes on.
	fmt.Fprintf(tcp, "%s\n%s\n%s\n", strings.Repeat("x", MaxLine+1), "what is this?", jsonOf("zetasix"))
	r.want("alphaone", "betatwo", "gammathree", "deltafour", "epsilonfive", "zetasix")
	if n := r.count(fromSyslog, notRead); n != 2 {
		t.Errorf("%d lines counted as not read, want 2", n)
	}
}

func TestAClientBehindTrustedProxiesIsTakenFromTheLine(t *testing.T) {
	r := newRig(t, Config{Listen: "127.0.0.1:0"}, "")
	reader := r.reader(fromSyslog)
	f := func(peer, forwarded, want string) {
		t.Helper()
		r.seen = nil
		reader.take(fmt.Appendf(nil, `{"remote_addr":%q,"http_x_forwarded_for":%q,"referer":"https://www.alphaone.com/"}`, peer, forwarded))
		r.names()
		if got := r.seen[0].Client.String(); got != want {
			t.Errorf("%s, %s: %s, want %s", peer, forwarded, got, want)
		}
	}
	f("81.2.3.4", "", "81.2.3.4")
	f("81.2.3.4", "8.8.8.8", "81.2.3.4") // anybody can write that
	f("10.0.0.1", "8.8.8.8, 81.2.3.4", "81.2.3.4")
	f("10.0.0.1", "81.2.3.4, 10.0.0.2", "81.2.3.4")
	f("10.0.0.1", "", "invalid IP")
	f("unknown", "81.2.3.4", "invalid IP")
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func TestATimeAheadOfOursIsNow(t *testing.T) {
	r := newRig(t, Config{}, "")
	r.reader(fromFile).take([]byte(strings.Replace(jsonOf("alphaone"), "2026", "2099", 1)))
	r.names()
	if at := r.seen[0].Time; at != rigNow.UnixNano() {
		t.Errorf("%v, want now", time.Unix(0, at).UTC())
	}
}

func TestTooManyConnectionsAreRefusedAndCounted(t *testing.T) {
	r := newRig(t, Config{Listen: "127.0.0.1:0"}, "")
	r.start()
	var conns []net.Conn
	for range maxSyslogConns + 3 {
		c, err := net.Dial("tcp", r.Addresses()["logs"])
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns = append(conns, c)
	}
	r.eventually("three are refused", func() bool { return r.refused.Load() == 3 })
	fmt.Fprintf(conns[0], "%s\n", jsonOf("alphaone"))
	r.want("alphaone")
}

func TestWhatFindsTheQueueFullIsCountedAndReadingGoesOn(t *testing.T) {
	r := newRig(t, Config{Listen: "127.0.0.1:0"}, "")
	r.start()
	c, err := net.Dial("tcp", r.Addresses()["logs"])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const lines = 1<<17 + 10_000 // nobody drains
	w := bufio.NewWriter(c)
	line := jsonOf("alphaone") + "\n"
	for range lines {
		w.WriteString(line)
	}
	w.Flush()
	r.eventually("every line was judged", func() bool { return r.count(fromSyslog, judged) == lines })
	if dropped := r.judge.Counts()["dropped"]; dropped < 9_000 || dropped > 11_000 {
		t.Errorf("%d sightings counted as dropped, want about 10,000", dropped)
	}
}

func TestOnlyWhatOurRuleEndedRefreshesAndNothingElseThatWAFEnded(t *testing.T) {
	r := newRig(t, Config{WAF: WAFConfig{Evidence: true}}, "")
	reader := r.reader(fromS3)
	const flagged = "hvijsn1y3mlu012cnec114yq312"
	reader.take([]byte(wafOf(flagged, "BLOCK", ourLabel)))
	reader.take([]byte(wafOf(flagged, "BLOCK", "awswaf:managed:aws:bot")))
	reader.take([]byte(wafOf("gardenandkitchen", "BLOCK", ourLabel))) // a bystander behind the same address
	reader.take([]byte(wafOf(flagged, "ALLOW", "x")))
	r.names()
	if len(r.seen) != 2 || !r.seen[0].Blocked && !r.seen[1].Blocked || r.seen[0].Blocked && r.seen[1].Blocked {
		t.Errorf("%+v; want one refresh, and one request that was let through", r.seen)
	}
	if r.count(fromS3, refreshed) != 2 || r.count(fromS3, elsewhere) != 1 || r.count(fromS3, judged) != 1 {
		t.Errorf("refreshed %d, elsewhere %d, judged %d", r.count(fromS3, refreshed), r.count(fromS3, elsewhere), r.count(fromS3, judged))
	}
}
