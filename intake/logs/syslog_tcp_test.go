package logs

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// framed is what a framer makes of a stream.
func framed(from io.Reader) (messages []string, err error) {
	f := framer{br: bufio.NewReaderSize(from, 64<<10)}
	for {
		m, err := f.next()
		switch {
		case errors.Is(err, errTooLong):
			messages = append(messages, "too long")
		case err != nil && len(m) == 0:
			return messages, err
		default:
			messages = append(messages, string(m))
		}
	}
}

func TestFramesAreTheSameHoweverTheStreamIsCutAndMixed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var stream bytes.Buffer
		want := rapid.SliceOfN(rapid.StringMatching(`<1[0-9]{2}>[a-z0-9 {}"]{1,40}`), 1, 20).Draw(t, "messages")
		for _, m := range want {
			switch rapid.IntRange(0, 2).Draw(t, "framing") {
			case 0:
				fmt.Fprintf(&stream, "%d %s", len(m), m)
			case 1:
				stream.WriteString(m + "\n")
			case 2:
				stream.WriteString(m + "\x00")
			}
		}
		var from io.Reader = &stream
		if rapid.Bool().Draw(t, "by bytes") {
			from = iotest.OneByteReader(from)
		}
		got, err := framed(from)
		if diff := cmp.Diff(want, got); diff != "" || !errors.Is(err, io.EOF) {
			t.Fatalf("%s %v", diff, err)
		}
	})
}

func TestAHugeMessageIsPassedOverInBothFramings(t *testing.T) {
	huge := strings.Repeat("x", MaxLine+1)
	f := func(stream string, want ...string) {
		t.Helper()
		got, err := framed(strings.NewReader(stream))
		if diff := cmp.Diff(want, got); diff != "" || err == nil {
			t.Errorf("%s %v", diff, err)
		}
	}
	f(huge+"\nnext\n", "too long", "next")
	f(fmt.Sprintf("%d %s4 next", len(huge), huge), "too long", "next")
	f(huge, "too long") // the sender ended within it
	f(fmt.Sprintf("%d %s", len(huge), huge[:100]))
	f("99999999 x\n", "99999999 x") // no length: too many digits
	f(strings.Repeat("x", MaxLine)+"\n", strings.Repeat("x", MaxLine))
}

func TestALineCutAnywhereGivesItsOwnNameOrNone(t *testing.T) {
	r := newRig(t, Config{}, "")
	const name = "alphaone"
	for _, whole := range []string{jsonOf(name), combinedOf(name), "<190>Nov 23 03:12:41 web1 referee: " + jsonOf(name)} {
		for _, stream := range []string{whole + "\n", fmt.Sprintf("%d %s", len(whole), whole)} {
			for i := range stream {
				server, sender := net.Pipe()
				go func() { fmt.Fprint(sender, stream[:i]); sender.Close() }()
				r.seen = nil
				r.readTCP(server)
				server.Close()
				if got := r.names(); got != "" && got != name {
					t.Fatalf("%q gave the name %q", stream[:i], got)
				}
			}
		}
	}
}

// bubble runs f with both ends of a syslog connection, on a clock that goes as fast as it can. ended is closed when the
// reader has closed its end.
func bubble(t *testing.T, f func(r *rig, sender net.Conn, ended <-chan struct{})) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{}, "")
		server, sender := net.Pipe()
		defer sender.Close()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			defer server.Close()
			r.readTCP(server)
		}()
		f(r, sender, ended)
	})
}

func TestASenderMayBeSilentBetweenMessagesForDays(t *testing.T) {
	bubble(t, func(r *rig, sender net.Conn, ended <-chan struct{}) {
		for range 3 {
			fmt.Fprintf(sender, "%s\n", jsonOf("alphaone"))
			<-time.After(24 * time.Hour)
		}
		select {
		case <-ended:
			t.Error("the connection was closed")
		default:
		}
		if got := r.names(); got != "alphaone alphaone alphaone" {
			t.Errorf("%q", got)
		}
	})
}

func TestASenderThatNeverEndsAMessageIsCutAndTheMessageIsNone(t *testing.T) {
	f := func(begin, more string) {
		t.Helper()
		bubble(t, func(r *rig, sender net.Conn, ended <-chan struct{}) {
			began := time.Now()
			fmt.Fprint(sender, begin)
			for cut := false; !cut; {
				select {
				case <-ended:
					cut = true
				case <-time.After(time.Second):
					if more != "" {
						fmt.Fprint(sender, more)
					}
				}
			}
			if took := time.Since(began); took != messageTimeout {
				t.Errorf("%.20q was cut after %v", begin, took)
			}
			if got := r.names(); got != "" || r.count(fromSyslog, judged) != 0 {
				t.Errorf("%.20q gave the names %q", begin, got)
			}
		})
	}
	line := jsonOf("alphaone")
	f(line, "")                                                // a whole line whose newline does not come: nobody knows that it is whole
	f(line[:40], "x")                                          // a byte a second
	f("1048577 ", strings.Repeat("x", 1000))                   // longer than is read
	f(fmt.Sprint(len(line), " ", line[:40]), "")               // counted, and nothing more
	f("12", "")                                                // within its length
	f(strings.Repeat("x", 1<<20), strings.Repeat("x", 10_000)) // without an end
}

func TestWhatARestartCutsIsTakenWhenItIsSentAgain(t *testing.T) {
	first := newRig(t, Config{Listen: "127.0.0.1:0"}, "")
	stop, address := first.start(), first.Addresses()["logs"]
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b := jsonOf("betatwo")
	fmt.Fprintf(c, "%s\n%s", jsonOf("alphaone"), b[:len(b)-1])
	first.want("alphaone")
	stop()
	if got := first.names(); got != "alphaone" {
		t.Errorf("%q", got)
	}
	// The sender is told, so it knows what to send again; by UDP it would not.
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, net.ErrClosed) {
		t.Errorf("reading gave %v", err)
	}
	second := newRig(t, Config{Listen: address}, "")
	second.start()
	again, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	fmt.Fprintf(again, "%s\n%s\n", b, jsonOf("gammathree"))
	second.want("betatwo", "gammathree")
}

func TestDatagramsAreLostWhileNobodyListensAndReadBeforeAndAfter(t *testing.T) {
	first := newRig(t, Config{Listen: "127.0.0.1:0"}, "")
	stop, address := first.start(), first.Addresses()["logs"]
	c, err := net.Dial("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 100 { // the smallest receive buffer holds them
		fmt.Fprint(c, jsonOf("alphaone"))
	}
	stop() // what had arrived is read first
	if n := first.count(fromSyslog, judged); n != 100 {
		t.Errorf("%d of 100 datagrams were read", n)
	}
	for range 10 {
		fmt.Fprint(c, jsonOf("betatwo")) // the kernel refuses every other one: nobody else is told
	}
	second := newRig(t, Config{Listen: address}, "")
	second.start()
	second.eventually("the sender is heard again", func() bool {
		fmt.Fprint(c, jsonOf("gammathree"))
		return strings.Contains(second.names(), "gammathree")
	})
	if strings.Contains(second.names(), "betatwo") {
		t.Error("a datagram arrived that was sent while nobody listened")
	}
}
