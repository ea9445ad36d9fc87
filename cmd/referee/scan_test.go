package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAScanTellsTheWebhookWhatIsRatedHigh(t *testing.T) {
	told := make(chan string, 10)
	webhook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		told <- string(body)
	}))
	defer webhook.Close()
	var log strings.Builder
	for i, name := range []string{"kq3v9zx81hwq7.com", "xkqzvwpjthgf.com", "hvijsn1y3mlu012cnec114yq312.com", "lbvkjijhuwwkdulfcuxsutvwuoob.org"} {
		fmt.Fprintf(&log, "81.2.3.7 - - [23/Nov/2026:03:12:%02d +0000] \"GET / HTTP/1.1\" 200 5 \"http://%s/\" \"curl/8\"\n", i, name)
	}
	file := filepath.Join(t.TempDir(), "access.log")
	if err := os.WriteFile(file, []byte(log.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	code := run(t.Context(), &streams{out: &out, err: &errs, args: []string{"scan", "--alert-above", "medium", "--alert-webhook", webhook.URL, file}})
	if code != int(exitAlert) {
		t.Fatalf("status %d, want %d\n%s", code, exitAlert, &errs)
	}
	select {
	case message := <-told:
		if !strings.Contains(message, "medium: 81.2.3.7/32") || !strings.Contains(message, "access.log") {
			t.Errorf("told %s", message)
		}
	default:
		t.Error("the webhook was told nothing before the command ended")
	}
}
