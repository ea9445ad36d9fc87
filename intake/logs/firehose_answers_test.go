package logs

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// held is a delivery whose body has begun and not ended.
type held struct {
	body   *io.PipeWriter
	whole  []byte
	answer chan string
}

func (r *rig) hold(client *http.Client, id string, records ...string) held {
	r.t.Helper()
	read, write := io.Pipe()
	h := held{body: write, whole: delivery(id, records...), answer: make(chan string, 1)}
	go func() {
		status, answer, err := r.ask(client, id, firehoseKey, read)
		h.answer <- fmt.Sprint(status, " ", answer, " ", err)
	}()
	if _, err := write.Write(h.whole[:10]); err != nil {
		r.t.Fatal(err)
	}
	r.eventually("delivery "+id+" is under way", func() bool {
		r.firehose.mu.Lock()
		defer r.firehose.mu.Unlock()
		_, begun := r.firehose.seen[id]
		return begun
	})
	return h
}

func (h held) finish(t *testing.T, want string) {
	t.Helper()
	if _, err := h.body.Write(h.whole[10:]); err != nil {
		t.Fatal(err)
	}
	h.body.Close()
	if got := <-h.answer; got != want+" <nil>" {
		t.Errorf("%s, want %s", got, want)
	}
}

// answerOf is a whole answer: its body is the specification's to the byte, and no other status than these has one.
func answerOf(status int, id, why string) string {
	if why != "" {
		why = fmt.Sprintf(`,"errorMessage":%q`, why)
	}
	return fmt.Sprintf(`%d {"requestId":%q,"timestamp":%d%s}`, status, id, rigNow.UnixMilli(), why)
}

func TestEveryAnswerHasTheFormThatFirehoseReads(t *testing.T) {
	a := newAuthority(t)
	cfg := firehoseTLS(t, a, t.TempDir())
	cfg.Firehose.MaxBody = 1 << 20
	r := newRig(t, cfg, "")
	r.start()
	client := r.client(a.trusting())
	f := func(id, key string, body []byte, want string) {
		t.Helper()
		status, answer, err := r.ask(client, id, key, strings.NewReader(string(body)))
		if got := fmt.Sprint(status, " ", answer); got != want || err != nil {
			t.Errorf("%s %v, want %s", got, err, want)
		}
	}
	line := wafOf("alphaone", "ALLOW", "x")
	f("id-1", firehoseKey, delivery("id-1", line), answerOf(200, "id-1", ""))
	f("id-1", firehoseKey, delivery("id-1", line), answerOf(200, "id-1", ""))
	f("id-2", firehoseKey, []byte("{"), answerOf(400, "id-2", "the body is no delivery of Firehose"))
	// The id is said in refusals too: an answer with another one Firehose calls unreadable, and does not show its reason.
	f("id-2", "wrong", delivery("id-2", line), answerOf(401, "id-2", "the access key is missing or wrong"))
	f(strings.Repeat("x", 5000), "", delivery("id-2", line), answerOf(401, strings.Repeat("x", maxID), "the access key is missing or wrong"))
	f("id-2", firehoseKey, delivery("id-2", strings.Repeat("x", 1<<20)), answerOf(413, "id-2", "larger than 1048576 bytes, inflated: lower the buffer hint"))

	// Four at a time; the same one twice not at all. Both answers are such that Firehose repeats.
	var under []held
	for i := range maxDeliveries {
		id := fmt.Sprint("slow-", i)
		under = append(under, r.hold(client, id, wafOf("betatwo", "ALLOW", "x")))
		if i == 0 {
			f(id, firehoseKey, delivery(id, line), answerOf(409, id, "the same delivery is being taken"))
		}
	}
	f("id-3", firehoseKey, delivery("id-3", wafOf("gammathree", "ALLOW", "x")), answerOf(503, "id-3", "too many deliveries at a time"))
	for i, h := range under {
		h.finish(t, answerOf(200, fmt.Sprint("slow-", i), ""))
	}
	f("id-3", firehoseKey, delivery("id-3", wafOf("gammathree", "ALLOW", "x")), answerOf(200, "id-3", ""))
	r.want("alphaone", "betatwo", "betatwo", "betatwo", "betatwo", "gammathree")

	response, err := client.Get("https://" + r.Addresses()["firehose"])
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); fmt.Sprint(response.StatusCode, " ", string(body)) !=
		answerOf(405, "", "POST deliveries of Amazon Data Firehose here") || err != nil || response.Header.Get("Allow") != "POST" {
		t.Errorf("%s %s %v", response.Status, body, err)
	}
	for status, want := range map[string]float64{"200": 7, "400": 1, "401": 2, "405": 1, "409": 1, "413": 1, "503": 1} {
		if got := testutil.ToFloat64(r.firehose.answers.WithLabelValues(status)); got != want {
			t.Errorf("%v answers of %s counted, want %v", got, status, want)
		}
	}
}

func TestADeliveryUnderWayIsTakenBeforeTheEndAndNoOtherIs(t *testing.T) {
	a := newAuthority(t)
	r := newRig(t, firehoseTLS(t, a, t.TempDir()), "")
	stop := r.start()
	client := r.client(a.trusting())
	h := r.hold(client, "id-1", wafOf("alphaone", "ALLOW", "x"))
	ended := make(chan struct{})
	go func() { defer close(ended); stop() }()
	r.eventually("new connections are refused", func() bool {
		c, err := net.Dial("tcp", r.Addresses()["firehose"])
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	h.finish(t, answerOf(200, "id-1", ""))
	<-ended
	if got := r.names(); got != "alphaone" {
		t.Errorf("%q was judged when Run had ended", got)
	}
}

func TestADeliveryThatBreaksOffIsTakenWholeWhenItIsRepeated(t *testing.T) {
	a := newAuthority(t)
	r := newRig(t, firehoseTLS(t, a, t.TempDir()), "")
	r.start()
	client := r.client(a.trusting())
	h := r.hold(client, "id-1", wafOf("alphaone", "ALLOW", "x"))
	h.body.CloseWithError(io.ErrUnexpectedEOF)
	<-h.answer
	r.eventually("it is forgotten", func() bool {
		r.firehose.mu.Lock()
		defer r.firehose.mu.Unlock()
		return len(r.firehose.seen) == 0
	})
	status, answer, err := r.ask(client, "id-1", firehoseKey, strings.NewReader(string(h.whole)))
	if status != http.StatusOK || err != nil {
		t.Errorf("%d %s %v", status, answer, err)
	}
	r.want("alphaone")
}

func TestASenderThatLeavesBeforeTheAnswerHasDeliveredOnce(t *testing.T) {
	a := newAuthority(t)
	r := newRig(t, firehoseTLS(t, a, t.TempDir()), "")
	r.start()
	const lines = 3*pieceLines + 1
	body := delivery("id-1", slices.Repeat([]string{wafOf("alphaone", "ALLOW", "x")}, lines)...)
	conn, err := tls.Dial("tcp", r.Addresses()["firehose"], a.trusting())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: firehose.example.com\r\nX-Amz-Firehose-Request-Id: id-1\r\n"+
		"X-Amz-Firehose-Access-Key: %s\r\nContent-Length: %d\r\n\r\n", firehoseKey, len(body))
	if _, err := conn.Write(body); err != nil {
		t.Fatal(err)
	}
	r.eventually("judging has begun", func() bool { return r.count(fromFirehose, judged) > 0 })
	conn.Close()
	r.eventually("it is over", func() bool {
		status, _, err := r.ask(r.client(a.trusting()), "id-1", firehoseKey, strings.NewReader(string(body)))
		return status == http.StatusOK && err == nil
	})
	if n := r.count(fromFirehose, judged); n != lines {
		t.Errorf("%d lines judged, want %d", n, lines)
	}
}

func TestNoMoreConnectionsThanAFewAreServedAtATime(t *testing.T) {
	a := newAuthority(t)
	r := newRig(t, firehoseTLS(t, a, t.TempDir()), "")
	r.start()
	connect := func(within time.Duration) (net.Conn, error) {
		return tls.DialWithDialer(&net.Dialer{Timeout: within}, "tcp", r.Addresses()["firehose"], a.trusting())
	}
	var conns []net.Conn
	for range maxFirehose {
		c, err := connect(10 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns = append(conns, c)
	}
	if _, err := connect(500 * time.Millisecond); err == nil {
		t.Error("one more connection was served")
	}
	conns[0].Close()
	r.eventually("there is a place again", func() bool {
		c, err := connect(time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}
