package features

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/idna"
	"pgregory.net/rapid"
)

// urlTests is the data of the web platform's URL tests (https://github.com/web-platform-tests/wpt, url/resources),
// which lies beside a checkout of this project and is no part of it.
const urlTests = "../../shared/conformance/urltestdata.json"

var (
	dottedQuad = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+$`)
	publicHost = regexp.MustCompile(`^[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*$`)
)

// beyondNode matches what Node 20 lets pass against the standard: it does not hold right-to-left scripts to the Bidi
// rule (RFC 5893), and does not know all marks with which no label may start; and it knows a newer Unicode than Go.
var beyondNode = regexp.MustCompile(`[\x{590}-\x{8ff}\x{fb1d}-\x{fdff}\x{fe70}-\x{fefc}\x{10800}-\x{10fff}]` +
	`|[\x{1e800}-\x{1efff}]|(^|\.)\pM|[^\pL\pM\pN\pP\pS\pZ\pC]`)

func unicodeOf(hostname string) string {
	u, _ := idna.Punycode.ToUnicode(hostname)
	return u
}

// compare holds Referer's answer against that of a parser of http and https URLs, by which input fails or has a
// hostname.
func compare(t *testing.T, input string, fails bool, hostname string) {
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
		if reason != Malformed {
			bad("malformed")
		}
	case reason == Malformed && strings.Contains(input, "\u00ad"):
		// A soft hyphen behind the last dot, which UTS 46 takes out: for us an empty label.
	case strings.HasPrefix(hostname, "[") || dottedQuad.MatchString(hostname):
		if reason != Address {
			bad("an address, " + hostname)
		}
	case !publicHost.MatchString(hostname) || len(hostname) > 253:
		if reason != Malformed {
			bad("malformed: no name in the DNS is " + hostname)
		}
	case reason == Malformed && strings.Contains("."+hostname, ".xn--") && strings.Contains(strings.ToLower(input), "xn--"):
		// The standard lets an ASCII host pass with xn-- labels that are none (since 2025). A Name is made of A-labels,
		// so we do not.
	case reason == Malformed && beyondNode.MatchString(unicodeOf(hostname)):
	case reason == NotPublic:
		if startOfSuffix(hostname) > 0 && !isSpecialUse(hostname[strings.LastIndexByte(hostname, '.')+1:]) {
			bad(hostname)
		}
	case reason != Named || name.Host != hostname:
		bad(hostname)
	}
}

func TestHostsAreThoseOfTheURLStandard(t *testing.T) {
	data, err := os.ReadFile(urlTests)
	if err != nil {
		t.Skip("the web platform's URL tests are not here: ", err)
	}
	var entries []json.RawMessage // tests, and comments between them
	if err := json.Unmarshal(data, &entries); err != nil {
		t.Fatal(err)
	}
	// With a base, http:x and http:/x are relative to it; a Referer has none.
	absolute := regexp.MustCompile(`(?i)^[\x00- ]*https?:[/\\][/\\]`)
	web := regexp.MustCompile(`(?i)^[\x00- ]*https?:`)
	tests, failures := 0, 0
	for _, entry := range entries {
		var test struct {
			Input    string
			Base     *string
			Failure  bool
			Hostname string
		}
		if json.Unmarshal(entry, &test) != nil ||
			!web.MatchString(test.Input) || test.Base != nil && !absolute.MatchString(test.Input) {
			continue
		}
		compare(t, test.Input, test.Failure, test.Hostname)
		tests++
		if test.Failure {
			failures++
		}
	}
	if tests < 300 || failures < 150 {
		t.Errorf("only %d tests, %d of failures: the data is not what it was", tests, failures)
	}
	t.Logf("%d tests, of which %d must fail", tests, failures)
}

// hostnames reads URLs, one JSON string a line, and answers each with its hostname, or null.
const hostnames = `
require('readline').createInterface({input: process.stdin}).on('line', line => {
	let u = null
	try { u = new URL(JSON.parse(line)) } catch {}
	console.log(JSON.stringify(u && u.hostname))
})`

func TestHostsAreThoseOfNode(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("Node is not installed: ", err)
	}
	var inputs []string
	var stdin strings.Builder
	for i := range 20_000 {
		input := webURLs().Example(i)
		line, err := json.Marshal(input)
		if err != nil {
			t.Fatal(err)
		}
		inputs = append(inputs, input)
		stdin.Write(append(line, '\n'))
	}
	cmd := exec.Command(node, "-e", hostnames)
	cmd.Stdin, cmd.Stderr = strings.NewReader(stdin.String()), os.Stderr
	stdout, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	answers := strings.Split(strings.TrimSpace(string(stdout)), "\n")
	if len(answers) != len(inputs) {
		t.Fatalf("%d answers to %d inputs", len(answers), len(inputs))
	}
	failures := 0
	for i, answer := range answers {
		var hostname *string
		if err := json.Unmarshal([]byte(answer), &hostname); err != nil {
			t.Fatal(err)
		}
		if hostname == nil {
			failures++
			compare(t, inputs[i], true, "")
		} else {
			compare(t, inputs[i], false, *hostname)
		}
	}
	t.Logf("%d URLs, of which Node refuses %d", len(inputs), failures)
}

// webURLs generates what clients might send as the URL of a page: mostly readable, often wrong.
func webURLs() *rapid.Generator[string] {
	scheme := rapid.SampledFrom([]string{"http:", "https:", "HTTP:", "hTtPs:", "ht\ttp:", " https:", "\x01http:"})
	slashes := rapid.SampledFrom([]string{"//", "//", "//", "//", "//", "", "/", "///", `\\`, `/\`, "/\n/"})
	userinfo := rapid.SampledFrom([]string{"", "", "", "", "u@", "u:p@", "u@evil.com@", "a:80@", ":@", "@", "%40@", "[@"})
	port := rapid.SampledFrom([]string{
		"", "", "", "", "", ":", ":80", ":8080", ":65535", ":65536", ":000000080", ":x", ":8\t0",
		":-1", ": 80",
	})
	tail := rapid.SampledFrom([]string{"", "/", "/a?b#c", "?q", "#f", `\x`, " ", "/ \t", "/é", "\r\n", "/@x", "?http://x.com"})
	return rapid.Custom(func(t *rapid.T) string {
		return scheme.Draw(t, "scheme") + slashes.Draw(t, "slashes") + userinfo.Draw(t, "userinfo") +
			urlHosts().Draw(t, "host") + port.Draw(t, "port") + tail.Draw(t, "tail")
	})
}

// urlHosts generates hosts: names, addresses, and what is neither.
func urlHosts() *rapid.Generator[string] {
	label := rapid.OneOf(
		rapid.StringMatching(`[a-z]{1,8}`),
		rapid.StringMatching(`[A-Za-z0-9_-]{1,8}`),
		rapid.SampledFrom([]string{
			"com", "co", "uk", "org", "jp", "www", "duckdns", "localhost", "local", "onion", "bazar", "xn--p1ai", "рф", "중국",
			"xn--mnchen-3ya", "XN--MNCHEN-3YA", "xn--a", "xn--", "xn--a-", "xn--0", "xn--fa-hia", "r3---sn-abc", "-a", "a-", "--",
			"münchen", "faß", "ﬁ", "ÅB", "e\u0301", "\u0301a", "\u00ad", "a\u00adb", "a\u200db", "ا\u200cب", "क्\u200dष", "١٢",
			"אa", "аbc", "☃", "💩", "％41", "Ⅷ", "①", "Σς", "İ", "ẞ", "\ufeffa", "\ufffd", "\u3000", "\u2260", "=\u0338",
			"%41", "%c3%bc", "%C3%BC", "%e2%98%83", "%ff", "%00", "%2e", "%2E%2E", "%", "%4", "%zz", "%25", "%5B",
			"a b", "a\tb", "a\x7f", "a<", "a^", "a|", "a*", "a+b", "a,b", "a'b", "a!b", "a{", "a~", "a&b", "a;b", "a=b", `a"b`,
			"a`", "(a)", "$",
			"", "", strings.Repeat("a", 63), strings.Repeat("b", 64), strings.Repeat("ü", 40),
		}),
	)
	dot := rapid.SampledFrom([]string{".", ".", ".", ".", ".", ".", "。", "．", "｡", "%2e", ".."})
	name := rapid.Custom(func(t *rapid.T) string {
		var b strings.Builder
		for i := range rapid.IntRange(1, 4).Draw(t, "labels") {
			if i > 0 {
				b.WriteString(dot.Draw(t, "dot"))
			}
			b.WriteString(label.Draw(t, "label"))
		}
		return b.String() + rapid.SampledFrom([]string{"", "", "", "", ".", ".."}).Draw(t, "root")
	})
	number := rapid.OneOf(
		rapid.SampledFrom([]string{
			"0", "1", "127", "255", "256", "0x", "0x7f", "0XFF", "0xg", "010", "08", "65535", "65536",
			"16777215", "16777216", "4294967295", "4294967296", "99999999999999999999", "00000000000000000000001", "１", "0x%31",
		}),
		label,
	)
	address := rapid.Custom(func(t *rapid.T) string {
		numbers := rapid.SliceOfN(number, 1, 5).Draw(t, "numbers")
		return strings.Join(numbers, ".") + rapid.SampledFrom([]string{"", "", "."}).Draw(t, "root")
	})
	bracketed := rapid.OneOf(
		rapid.SampledFrom([]string{
			"[::1]", "[::]", "[2001:db8::1]", "[::ffff:1.2.3.4]", "[::1.2.3]", "[1:2:3:4:5:6:7:8]", "[1:2:3:4::5:6:7:8]",
			"[1:2:3:4:5:6:7:8:9]", "[fe80::1%25eth0]", "[fe80::1%eth0]", "[::1", "::1]", "[]", "[x]", "[::1]x", "x[::1]", "[::01.2.3.4]",
			"[0:0:0:0:0:0:13.1.68.3]", "[00001::]", "[::1.2.3.4:5]", "[1.2.3.4]",
		}),
		rapid.StringMatching(`\[[0-9a-fA-F:]{0,12}(\.[0-9]{1,3}){0,3}\]`),
	)
	anything := rapid.StringN(0, 12, 40)
	return rapid.OneOf(name, name, name, name, address, bracketed, anything)
}
