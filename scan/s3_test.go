package scan

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"referee/intake/logs"
)

// moto starts moto's S3 endpoint and returns its URL and a client.
func moto(t *testing.T) (string, *s3.Client) {
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
	cfg, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return url, s3.NewFromConfig(cfg, func(o *s3.Options) { o.BaseEndpoint, o.UsePathStyle = aws.String(url), true })
}

func TestObjectsInS3AreScannedInTheOrderOfTheirDatesAndOnce(t *testing.T) {
	url, client := moto(t)
	bucket := "logs-of-the-site"
	if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &bucket}); err != nil {
		t.Fatal(err)
	}
	put := func(key string, data []byte) {
		t.Helper()
		if _, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(data)}); err != nil {
			t.Fatal(err)
		}
	}
	zipped := func(b []byte) []byte {
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		w.Write(b)
		w.Close()
		return out.Bytes()
	}
	log := bytes.SplitAfter(lines(11, 12_000), []byte("\n"))
	log = log[:12_000]
	want := whole(run(t, options(t), write(t, t.TempDir(), "whole.log", bytes.Join(log, nil))))

	// Twelve objects of two streams, whose dates take turns.
	key := func(i int) string {
		return fmt.Sprintf("AWSLogs/1/WAFLogs/eu/acl%d/2026/11/20/00/%02d/x.log.gz", i%2, i)
	}
	const each = 1000
	for i := range 6 {
		put(key(i), zipped(bytes.Join(log[i*each:(i+1)*each], nil)))
	}
	o := options(t)
	o.S3 = logs.S3Config{Endpoint: url}
	o.State = filepath.Join(t.TempDir(), "state")
	before := run(t, o, "s3://"+bucket+"/AWSLogs/")
	if before.Lines != 6*each || before.Sources != 6 {
		t.Errorf("%d lines of %d objects, want 6,000 of 6", before.Lines, before.Sources)
	}
	for i := 6; i < 12; i++ {
		put(key(i), zipped(bytes.Join(log[i*each:(i+1)*each], nil)))
	}
	after := run(t, o, "s3://"+bucket+"/AWSLogs/")
	if after.Skipped != 6 || after.Sources != 6 {
		t.Errorf("%d objects read and %d left out, want 6 and 6", after.Sources, after.Skipped)
	}
	got := whole(after)
	got.Lines, got.Requests = before.Lines+after.Lines, before.Requests+after.Requests
	same(t, "two scans of a bucket", got, want)

	if _, err := Run(t.Context(), o, []string{"s3://" + bucket + "/nothing/"}); err == nil || !strings.Contains(err.Error(), "no objects") {
		t.Errorf("an empty prefix: %v", err)
	}
	if _, err := Run(t.Context(), o, []string{"s3://no-such-bucket/"}); err == nil || !strings.Contains(err.Error(), "NoSuchBucket") {
		t.Errorf("a bucket that is not there: %v", err)
	}
}
