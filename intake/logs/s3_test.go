package logs

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"
)

// moto starts moto's S3 endpoint, the second opinion on what S3 says, and returns its URL.
func moto(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("moto_server")
	if err != nil {
		t.Skip("moto_server is not installed: pip install 'moto[server]'")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, "-H", "127.0.0.1", "-p", port)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(); _ = cmd.Wait() })
	url := "http://127.0.0.1:" + port
	for deadline := time.Now().Add(60 * time.Second); ; <-time.After(100 * time.Millisecond) {
		response, err := http.Get(url + "/moto-api/")
		if err == nil {
			response.Body.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("moto_server does not answer: %v", err)
		}
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	t.Setenv("AWS_REGION", "us-east-1")
	return url
}

// bucket makes a bucket at an endpoint.
func makeBucket(t *testing.T, url, name string) *Bucket {
	t.Helper()
	b, err := OpenBucket(t.Context(), S3Config{Endpoint: url}, name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name}); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *Bucket) put(t *testing.T, key string, data []byte) {
	t.Helper()
	if _, err := b.client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &b.name, Key: &key, Body: bytes.NewReader(data)}); err != nil {
		t.Fatal(err)
	}
}

func TestWAFLogsInS3AreReadOnceEachAcrossRestarts(t *testing.T) {
	url := moto(t)
	b := makeBucket(t, url, "aws-waf-logs-site")
	const acl1 = "AWSLogs/111122223333/WAFLogs/eu-central-1/site/"
	const acl2 = "AWSLogs/111122223333/WAFLogs/us-east-1/shop/"
	object := func(acl, at, id string, lines ...string) {
		t.Helper()
		var text string
		for _, l := range lines {
			text += l + "\n"
		}
		b.put(t, acl+at+"/111122223333_waflogs_"+id+".log.gz", zipped([]byte(text)))
	}
	object(acl1, "2026/11/22/03/00", "old", wafOf("beforetime", "ALLOW", "x"))
	object(acl1, "2026/11/23/02/55", "a", wafOf("alphaone", "ALLOW", "x"), wafOf("hvijsn1y3mlu012cnec114yq312", "BLOCK", ourLabel))
	object(acl2, "2026/11/23/02/50", "b", wafOf("betatwo", "ALLOW", "x"), wafOf("elsewhere", "BLOCK", "y"))
	b.put(t, acl2+"2026/11/23/02/51/damaged.log.gz", []byte{0x1f, 0x8b, 1, 2, 3})

	dir := t.TempDir()
	cfg := Config{WAF: WAFConfig{S3: "s3://aws-waf-logs-site/AWSLogs", Endpoint: url, Interval: time.Second, Evidence: true}}
	first := newRig(t, cfg, dir)
	stop := first.start()
	first.want("alphaone", "betatwo", "hvijsn1y3mlu012cnec114yq312")
	// What comes late, with a key before the last one read, is still seen.
	object(acl1, "2026/11/23/02/50", "late", wafOf("gammathree", "ALLOW", "x"))
	first.want("alphaone", "betatwo", "hvijsn1y3mlu012cnec114yq312", "gammathree")
	stop()

	object(acl2, "2026/11/23/02/59", "c", wafOf("deltafour", "ALLOW", "x"))
	second := newRig(t, cfg, dir)
	second.start()
	second.want("deltafour")

	// Without a permission, or a bucket, it says so and the rest goes on.
	cfg.WAF.S3 = "s3://no-such-bucket/"
	third := newRig(t, cfg, "")
	third.start()
	third.eventually("the trouble is named", func() bool { third.mu.Lock(); defer third.mu.Unlock(); return third.trouble["logs-s3"] != nil })
}

func TestListingIsPaged(t *testing.T) {
	url := moto(t)
	b := makeBucket(t, url, "many")
	const n = 1050 // a page holds 1,000
	want := map[string]bool{}
	for i := range n {
		key := fmt.Sprintf("logs/E1.2026-11-23-%02d.%04d.gz", i%24, i)
		b.put(t, key, []byte("x"))
		want[key] = true
	}
	all, _, err := b.ListAll(t.Context(), "logs/", 10_000, nil)
	if err != nil || len(all) != n {
		t.Fatalf("%d objects, %v; want %d", len(all), err, n)
	}
	for i, o := range all {
		if !want[o.Key] || i > 0 && o.Key < all[i-1].Key {
			t.Fatalf("%s: out of order, or not there", o.Key)
		}
	}
	if _, _, err := b.ListAll(t.Context(), "logs/", 100, nil); err == nil {
		t.Error("more objects than the limit are no error")
	}
}

func TestTheStreamAndTheDateOfAKey(t *testing.T) {
	f := func(key, stream, date string) {
		t.Helper()
		if s, d := StreamOf(key); s != stream || d != date {
			t.Errorf("%s: %q %q, want %q %q", key, s, d, stream, date)
		}
	}
	f("AWSLogs/111122223333/WAFLogs/eu-central-1/site/2026/11/23/03/10/x.gz", "AWSLogs/111122223333/WAFLogs/eu-central-1/site/", "2026-11-23-03-10-x.gz")
	f("cf/E2ABC.2026-11-23-03.9f2b.gz", "cf/E2ABC.", "2026-11-23-03.9f2b.gz")
	f("2026/11/23/x", "", "2026-11-23-x")
	f("logs/access.log", "logs/", "")
	f("access.log", "", "")
	f("v1234/99/x", "v1234/99/", "")
}

func TestACursorForgetsWhatIsOldAndMissesNothingThatComesLate(t *testing.T) {
	at := func(minute int) Object {
		return Object{Key: fmt.Sprintf("acl/2026/11/23/%02d/%02d/x.gz", minute/60, minute%60), Modified: rigNow.Add(time.Duration(minute) * time.Minute)}
	}
	var c Cursor
	for minute := 0; minute < 180; minute += 5 {
		if minute == 60 {
			continue // comes late
		}
		c.Add(at(minute))
		c.Trim("")
	}
	if len(c.Done) > 13 || c.Has(at(175+5).Key) || !c.Has(at(0).Key) || !c.Has(at(175).Key) {
		t.Errorf("%d keys kept after %s", len(c.Done), c.After)
	}
	c = Cursor{}
	c.Add(at(0))
	c.Add(at(120))
	c.Trim(at(5).Key) // still to be read
	if diff := cmp.Diff(at(0).Key, c.After); diff != "" || c.Has(at(5).Key) {
		t.Error(diff)
	}
}
