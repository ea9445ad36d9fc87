package features

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
)

// urlTests is the data of the web platform's URL tests (https://github.com/web-platform-tests/wpt, url/resources), which lies
// beside a checkout of this project and is no part of it.
const urlTests = "../../shared/conformance/urltestdata.json"

// hostOracle says what may come of an input of which a URL parser says that it fails, or that its host is hostname.
func hostOracle(t *testing.T, input string, fails bool, hostname string) {
	t.Helper()
	var p Parser
	name, reason := p.Referer([]byte(input))
	hostname = strings.TrimSuffix(hostname, ".")
	bad := func(want string) {
		t.Helper()
		t.Errorf("%q: got %+v, %v; want %s", input, name, reason, want)
	}
	switch {
	case fails:
		if reason != Malformed && reason != Relative && reason != Empty {
			bad("a failure")
		}
	case strings.HasPrefix(hostname, "[") || dottedQuad.MatchString(hostname):
		if reason != Address {
			bad("an address, " + hostname)
		}
	case !publicHost.MatchString(hostname) || len(hostname) > 253:
		if reason != Malformed {
			bad("malformed: no name in the DNS is " + hostname)
		}
	case reason == Malformed && strings.Contains("."+hostname, ".xn--") && strings.Contains(strings.ToLower(input), "xn--"):
		// The standard lets an ASCII host pass with xn-- labels that are none (since 2025; Node 20 does not yet). A Name is made
		// of A-labels, so we do not.
	case reason == NotPublic:
		if start := suffixStart(rules(), hostname); start > 0 && !isSpecialUse(hostname) {
			bad(hostname)
		}
	case reason != Named || name.Host != hostname:
		bad(hostname)
	}
}

var (
	dottedQuad = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+$`)
	publicHost = regexp.MustCompile(`^[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*$`)
)

func TestHostsAreThoseOfTheURLStandard(t *testing.T) {
	data, err := os.ReadFile(urlTests)
	if err != nil {
		t.Skip("the web platform's URL tests are not here: ", err)
	}
	var entries []json.RawMessage // comments and tests
	if err := json.Unmarshal(data, &entries); err != nil {
		t.Fatal(err)
	}
	// With a base, http:x and http:/x are relative to it, and a Referer has none.
	absolute := regexp.MustCompile(`(?i)^[\x00- ]*https?:[/\\][/\\]`)
	isHTTP := regexp.MustCompile(`(?i)^[\x00- ]*https?:`)
	tests, failures := 0, 0
	for _, entry := range entries {
		var test struct {
			Input    string
			Base     *string
			Failure  bool
			Hostname string
		}
		if json.Unmarshal(entry, &test) != nil {
			continue
		}
		if !isHTTP.MatchString(test.Input) || test.Base != nil && !absolute.MatchString(test.Input) {
			continue
		}
		tests++
		if test.Failure {
			failures++
		}
		hostOracle(t, test.Input, test.Failure, test.Hostname)
	}
	if tests < 300 || failures < 150 {
		t.Errorf("only %d tests, %d failures among them: the data is not what it was", tests, failures)
	}
	t.Logf("%d tests, of which %d must fail", tests, failures)
}
