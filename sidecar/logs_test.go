package sidecar

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"referee/intake/logs"
)

func TestAnAccessLogAloneMakesHits(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "access.log")
	cfg := testConfig(filepath.Join(dir, "data"))
	cfg.Logs = logs.Config{Listen: "127.0.0.1:0", Files: []string{file}, Fields: logs.DefaultFields()}
	s, _ := start(t, cfg)
	line := func(client string) string {
		return fmt.Sprintf("%s - - [%s] \"GET / HTTP/1.1\" 200 5 %q \"curl/8\"\n", client, time.Now().Format("02/Jan/2006:15:04:05 -0700"), generated)
	}
	syslog, err := net.Dial("udp", s.Addresses()["logs"])
	if err != nil {
		t.Fatal(err)
	}
	defer syslog.Close()
	fmt.Fprintf(syslog, "<190>Nov 23 03:12:41 web1 referee: %s", line("81.2.3.4"))
	if err := os.WriteFile(file, []byte(line("82.2.3.4")+line("83.2.3.4")), 0o600); err != nil {
		t.Fatal(err)
	}
	admin, health := "http://"+s.Addresses()["admin"], "http://"+s.Addresses()["health"]
	waitFor(t, "the name is a hit", func() bool {
		status, body := get(t, admin+"/report.json")
		return status == http.StatusOK && strings.Contains(body, `"name": "hvijsn1y3mlu012cnec114yq312.com"`)
	})
	_, metrics := get(t, health+"/metrics")
	for _, want := range []string{
		`referee_requests_total{intake="log",verdict="dga"} 3`,
		`referee_log_lines_total{result="judged",source="syslog"} 1`, `referee_log_lines_total{result="judged",source="file"} 2`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s in the metrics", want)
		}
	}
}

func TestWhatWasReadOfALogIsEvidenceWhenTheSidecarHasStopped(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "access.log")
	cfg := testConfig(filepath.Join(dir, "data"))
	cfg.Logs = logs.Config{Listen: "127.0.0.1:0", Files: []string{file}, Fields: logs.DefaultFields()}
	s, err := New(t.Context(), cfg, slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	syslog, err := net.Dial("udp", s.Addresses()["logs"])
	if err != nil {
		t.Fatal(err)
	}
	defer syslog.Close()
	line := fmt.Sprintf("81.2.3.4 - - [%s] \"GET / HTTP/1.1\" 200 5 %q \"curl/8\"\n", time.Now().Format("02/Jan/2006:15:04:05 -0700"), generated)
	if err := os.WriteFile(file, []byte(strings.Repeat(line, 100_000)), 0o600); err != nil {
		t.Fatal(err)
	}
	counted := func(name, label string) (n float64) {
		families, err := s.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range families {
			for _, one := range family.GetMetric() {
				if family.GetName() == name && strings.Contains(one.String(), label) {
					n += one.GetCounter().GetValue()
				}
			}
		}
		return n
	}
	waitFor(t, "the file is being read", func() bool { return counted("referee_log_lines_total", "") > 0 })
	for range 100 { // these wait in the kernel, or are read at once
		fmt.Fprintf(syslog, "<190>Nov 23 03:12:41 web1 referee: %s", line)
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	read := counted("referee_log_lines_total", "")
	taken, dropped := counted("referee_sightings_total", ""), counted("referee_sightings_dropped_total", "")
	if read != taken+dropped {
		t.Errorf("%.0f lines were read, %.0f became evidence, %.0f found the queue full", read, taken, dropped)
	}
	if n := counted("referee_log_lines_total", "syslog"); n != 100 {
		t.Errorf("%.0f of 100 datagrams were read that arrived before the stop", n)
	}
}

func TestALogPortInUseEndsTheStart(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	cfg := testConfig("")
	cfg.Logs = logs.Config{Listen: busy.Addr().String()}
	if _, err := New(t.Context(), cfg, slog.New(slog.DiscardHandler), time.Now); err == nil || !strings.Contains(err.Error(), "logs.listen") {
		t.Errorf("the error %v does not name the key", err)
	}
}
