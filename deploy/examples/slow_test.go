package examples

import (
	"flag"
	"net/http"
	"os/exec"
	"regexp"
	"strconv"
	"testing"
	"time"
)

var slowFor = flag.Duration("slow.for", 14*time.Second, "how long slowhttptest keeps on")

var (
	openGauge  = regexp.MustCompile(`(?m)^referee_open_connections\{listener="proxy"\} (\d+)`)
	badCounter = regexp.MustCompile(`(?m)^referee_bad_requests_total\{listener="proxy"\} (\d+)`)
)

// Who sends a header byte by byte is cut off after ten seconds; meanwhile, and while bodies crawl and answers are not read,
// others are served as ever.
func TestSlowClientsHoldNobodyUp(t *testing.T) {
	slowhttptest := program(t, "slowhttptest")
	app, address := newApplication(t), freeAddress(t)
	sidecar := newReferee(t, "--proxy-listen", address, "--proxy-upstream", app.address)
	figure := func(metric *regexp.Regexp) int {
		m := metric.FindStringSubmatch(sidecar.metrics())
		if m == nil {
			t.Fatalf("no metric %s", metric)
		}
		n, _ := strconv.Atoi(m[1])
		return n
	}
	open := func() int { return figure(openGauge) }
	seconds := strconv.Itoa(int(slowFor.Seconds()))
	var attacks []*exec.Cmd
	for _, attack := range [][]string{
		{"-H", "-i", "1"},                                   // slow headers
		{"-B", "-i", "5", "-s", "8192"},                     // slow bodies
		{"-X", "-w", "1", "-y", "2", "-n", "5", "-z", "32"}, // slow readers
	} {
		cmd := exec.Command(slowhttptest, append(attack, "-c", "200", "-r", "200", "-l", seconds, "-p", "3", "-u", "http://"+address+"/")...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		attacks = append(attacks, cmd)
	}
	eventually(t, "the attack has begun", func() bool { return open() > 300 })
	s := newSite(t, address)
	most := 0
	for end := time.Now().Add(*slowFor - 2*time.Second); time.Now().Before(end); <-time.After(200 * time.Millisecond) {
		status, _, took, err := s.get("/", ordinary)
		if status != http.StatusOK || err != nil || took > 5*time.Second {
			t.Errorf("another client: %d after %s, %v", status, took, err)
		}
		most = max(most, open())
	}
	for _, cmd := range attacks {
		_ = cmd.Wait() // it says by its status that the service withstood, or not; that was seen here
	}
	eventually(t, "its connections are gone", func() bool { return open() <= 10 })
	cut := figure(badCounter)
	if cut < 150 {
		t.Errorf("%d of 200 slow headers were cut off", cut)
	}
	t.Logf("at most %d connections were open; %d slow headers were cut off", most, cut)
}
