package logs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

const (
	combinedLine = `203.0.113.7 - alice [23/Nov/2026:03:12:41 +0100] "GET /a?b=c HTTP/1.1" 200 5 "https://kq3v9z.com/x" "Mozilla/5.0 (X11)"`
	combinedTime = 1795399961 // date -u -d '2026-11-23T02:12:41Z' +%s
)

// shown is a Line as a test compares it.
func shown(l *Line) string {
	t := ""
	if l.Time != 0 {
		t = time.Unix(0, l.Time).UTC().Format("2006-01-02T15:04:05.999999999")
	}
	return fmt.Sprintf("%s|%v|%s|%s|%s|%s|%s|%v %v", t, l.Client, bytes.Join(l.Forwarded, []byte(" + ")), l.Referer, l.Host, l.Path, l.Agent, l.Ended, l.Ours)
}

// parses checks what a Parser makes of a line; want is an error where it is none of shown's.
func parses(t *testing.T, p *Parser, line, want string) {
	t.Helper()
	var out Line
	ok, err := p.Parse([]byte(line), &out)
	got := shown(&out)
	switch {
	case err != nil:
		got = err.Error()
	case !ok:
		got = "no request"
	}
	if got != want && (err == nil || !strings.Contains(got, want)) {
		t.Errorf("%.200s\n got %s\nwant %s", line, got, want)
	}
}

func TestCombinedLinesOfNginxAndApacheAreRead(t *testing.T) {
	f := func(line, want string) { t.Helper(); parses(t, NewParser(Combined, nil), line, want) }
	const at = "2026-11-23T02:12:41"
	f(combinedLine, at+"|203.0.113.7||https://kq3v9z.com/x||/a?b=c|Mozilla/5.0 (X11)|false false")
	f(combinedLine+"\r", at+"|203.0.113.7||https://kq3v9z.com/x||/a?b=c|Mozilla/5.0 (X11)|false false")
	// nginx "main": X-Forwarded-For behind it.
	f(combinedLine+` "198.51.100.1, 10.0.0.1"`, at+"|203.0.113.7|198.51.100.1, 10.0.0.1|https://kq3v9z.com/x||/a?b=c|Mozilla/5.0 (X11)|false false")
	f(combinedLine+` "-"`, at+"|203.0.113.7||https://kq3v9z.com/x||/a?b=c|Mozilla/5.0 (X11)|false false")
	f(combinedLine+` "some cookie"`, at+"|203.0.113.7||https://kq3v9z.com/x||/a?b=c|Mozilla/5.0 (X11)|false false")
	// Apache vhost_combined, and X-Forwarded-For in the client's place.
	f("shop.example.com:443 "+combinedLine, at+"|203.0.113.7||https://kq3v9z.com/x|shop.example.com:443|/a?b=c|Mozilla/5.0 (X11)|false false")
	f("198.51.100.1, 192.0.2.9, "+combinedLine, at+"|203.0.113.7|198.51.100.1, 192.0.2.9|https://kq3v9z.com/x||/a?b=c|Mozilla/5.0 (X11)|false false")
	f(strings.Replace(combinedLine, "203.0.113.7", "2001:db8::1", 1), at+"|2001:db8::1||https://kq3v9z.com/x||/a?b=c|Mozilla/5.0 (X11)|false false")
	f(strings.Replace(combinedLine, "203.0.113.7", "crawl-1.example.net", 1), at+"|invalid IP||https://kq3v9z.com/x|crawl-1.example.net|/a?b=c|Mozilla/5.0 (X11)|false false")
	// No Referer, no agent, no request line (a TLS handshake on a plain port).
	f(`203.0.113.7 - - [23/Nov/2026:03:12:41 +0100] "\x16\x03\x01" 400 226 "-" "-"`, at+"|203.0.113.7|||||"+"|false false")
	f(`203.0.113.7 - - [23/Nov/2026:03:12:41 +0100] "" 408 - "" ""`, at+"|203.0.113.7||||||false false")
	// Escapes are undone in the Referer.
	f(strings.Replace(combinedLine, "kq3v9z.com/x", `kq3v9z.com/\x22\x5C\"\\\t`, 1), at+"|203.0.113.7||https://kq3v9z.com/\"\\\"\\\t||/a?b=c|Mozilla/5.0 (X11)|false false")
	// A user's name may look like a time; only the server writes quotes.
	f(strings.Replace(combinedLine, "alice", `a [b] [01/Jan/2001:00:00:00 +0000] GET`, 1), at+"|203.0.113.7||https://kq3v9z.com/x||/a?b=c|Mozilla/5.0 (X11)|false false")
	// What is not in this format.
	f(`203.0.113.7 - - [23/Nov/2026:03:12:41 +0100] "GET / HTTP/1.1" 200 5`, "common format")
	f(`203.0.113.7 - - [23/Xov/2026:03:12:41 +0100] "GET / HTTP/1.1" 200 5 "-" "-"`, "time cannot be read")
	f(`203.0.113.7 - - [29/Feb/2026:03:12:41 +0100] "GET / HTTP/1.1" 200 5 "-" "-"`, "time cannot be read")
	f("", "no request")
	f("hello", "not in combined format")
	f(`203.0.113.7 - - [23/Nov/2026:03:12:41 +0100] "GET / HTTP`, "not in combined format")
	f(strings.Repeat("[", 1000), "not in combined format")
	f(strings.Repeat("x", MaxLine+1), "longer than 1 MiB")
}

func TestJSONLinesOfNginxHAProxyCaddyAndTraefikAreRead(t *testing.T) {
	f := func(line, want string) { t.Helper(); parses(t, NewParser(JSON, nil), line, want) }
	f(`{"time_iso8601":"2026-11-23T03:12:41+01:00","remote_addr":"203.0.113.7","http_referer":"https://kq3v9z.com/\"\u00e9","host":"shop.example.com","request_uri":"/a","http_user_agent":"curl","http_x_forwarded_for":""}`,
		`2026-11-23T02:12:41|203.0.113.7||https://kq3v9z.com/"é|shop.example.com|/a|curl|false false`)
	f(`{"msec":1795399961.5,"client":"203.0.113.7","referer":"-"}`, "2026-11-23T02:12:41.5|203.0.113.7||||||false false")
	f(`{"date":"23/Nov/2026:02:12:41.250","client_ip":"203.0.113.7:4711","Referer":"x"}`, "2026-11-23T02:12:41.25|203.0.113.7||x||||false false")
	// Caddy
	f(`{"level":"info","ts":1795399961.25,"logger":"http.log.access","msg":"handled request","request":{"remote_ip":"10.0.0.9","remote_port":"1","client_ip":"10.0.0.9","proto":"HTTP/2.0","method":"GET","host":"shop.example.com","uri":"/a?b","headers":{"User-Agent":["curl/8"],"Referer":["https://kq3v9z.com/","https://second.example/"],"X-Forwarded-For":["198.51.100.7","203.0.113.1"]},"tls":{"resumed":false}},"bytes_read":0,"status":200}`,
		"2026-11-23T02:12:41.25|10.0.0.9|198.51.100.7 + 203.0.113.1|https://kq3v9z.com/|shop.example.com|/a?b|curl/8|false false")
	// Traefik
	f(`{"ClientAddr":"203.0.113.7:53","ClientHost":"203.0.113.7","RequestHost":"shop","RequestPath":"/p","StartUTC":"2026-11-23T02:12:41.123456789Z","request_Referer":"https://kq3v9z.com/","request_User-Agent":"x"}`,
		"2026-11-23T02:12:41.123456789|203.0.113.7||https://kq3v9z.com/|shop|/p|x|false false")
	// The first path that is there counts, wherever it stands; of a key that stands twice the last.
	f(`{"http_referer":"b","referer":"a","remote_addr":"192.0.2.1","remote_addr":"192.0.2.2"}`, "|192.0.2.2||a||||false false")
	f(`{"referer":null,"remote_addr":"192.0.2.1"}`, "|192.0.2.1||||||false false")
	// nginx without escape=json.
	f(`{"referer":"https://kq3v9z.com/\x22","remote_addr":"192.0.2.1"}`, `|192.0.2.1||https://kq3v9z.com/"||||false false`)
	f(`{"a":1}`, "no field of it is known")
	f(`{}`, "no field of it is known")
	f(`[1]`, "not a JSON object")
	f(`{"referer":"a"`, "not a JSON object")
	f(`{"referer":"a"} x`, "not a JSON object")
	f(`{"referer":"\u12"}`, "not a JSON object")
	f(`{"a":`+strings.Repeat("[", 100_000), "not a JSON object")
}

func TestLinesOfContainersAreReadBehindWhatTheKubeletPutsBeforeThem(t *testing.T) {
	const cri, at = "2026-11-23T03:12:41.123456789+01:00 ", "2026-11-23T02:12:41"
	combined := at + "|203.0.113.7||https://kq3v9z.com/x||/a?b=c|Mozilla/5.0 (X11)|false false"
	f := func(f Format, line, want string) {
		t.Helper()
		if got, _ := Detect([]byte(line + "\n")); want == combined && got != f {
			t.Errorf("%q was taken for %q", line, got)
		}
		parses(t, NewParser(f, nil), line, want)
	}
	f(Combined, cri+"stdout F "+combinedLine, combined)
	f(Combined, cri+"stderr F "+combinedLine, combined)
	f(Combined, "2026-11-23T02:12:41Z stdout F "+combinedLine, combined)
	f(JSON, cri+`stdout F {"referer":"https://kq3v9z.com/","remote_addr":"203.0.113.7"}`, "|203.0.113.7||https://kq3v9z.com/||||false false")
	f(JSON, cri+`stdout P {"referer":"https://kq3v9z.com/","remote_addr":"203.0.113.7"}`, "not a JSON object") // a part
	f(JSON, cri+`stdout F`, "not a JSON object")
	f(JSON, cri+`stdout F `, "not a JSON object")
}

func TestFieldsOfJSONLinesCanBeNamed(t *testing.T) {
	names := NewNames(Fields{Referer: []string{"http.ref", "ref.dotted"}, Client: []string{"src"}})
	f := func(line, want string) { t.Helper(); parses(t, NewParser(JSON, names), line, want) }
	f(`{"http":{"ref":"a"},"src":"192.0.2.1","referer":"b"}`, "|192.0.2.1||a||||false false")
	f(`{"ref.dotted":"a","src":["192.0.2.1","192.0.2.2"]}`, "|192.0.2.1||a||||false false")
	f(`{"HTTP":{"REF":"a"}}`, "|invalid IP||a||||false false")
}

const wafLine = `{"timestamp":1795399961123,"formatVersion":1,"webaclId":"arn:aws:wafv2:eu-central-1:111122223333:regional/webacl/site/x","terminatingRuleId":"referee-client","terminatingRuleType":"REGULAR","action":"BLOCK","terminatingRuleMatchDetails":[],"httpSourceName":"ALB","ruleGroupList":[],"httpRequest":{"clientIp":"203.0.113.7","country":"DE","headers":[{"name":"Host","value":"shop.example.com"},{"name":"ReFeReR","value":"https://kq3v9z.com/"},{"name":"referer","value":"https://second.example/"},{"name":"User-Agent","value":"curl/8"},{"name":"X-Forwarded-For","value":"198.51.100.7"}],"uri":"/a","args":"","httpVersion":"HTTP/1.1","httpMethod":"GET","requestId":"1-2"},"labels":[{"name":"awswaf:managed:aws:x"},{"name":"awswaf:111122223333:webacl:site:referee:client"}]}`

func TestLinesOfAWSWAFAreRead(t *testing.T) {
	f := func(line, want string) { t.Helper(); parses(t, NewParser(WAF, nil), line, want) }
	const request = "2026-11-23T02:12:41.123|203.0.113.7|198.51.100.7|https://kq3v9z.com/|shop.example.com|/a|curl/8|"
	f(wafLine, request+"true true")
	f(strings.Replace(wafLine, "BLOCK", "ALLOW", 1), request+"false true")
	f(strings.Replace(wafLine, "BLOCK", "CAPTCHA", 1), request+"true true")
	f(strings.Replace(wafLine, "referee:client", "referee:name", 1), request+"true true")
	f(strings.Replace(wafLine, "referee:client", "referee:client:x", 1), request+"true false")
	f(strings.Replace(wafLine, "awswaf:111122223333:webacl:site:referee:client", "other:referee:client", 1), request+"true false")
	f(strings.Replace(wafLine, `"https://kq3v9z.com/"`, `"REDACTED"`, 1), "redacted")
	f(`{"timestamp":1795399961123,"action":"ALLOW","httpRequest":{"clientIp":"2001:db8::7","headers":null},"labels":null}`,
		"2026-11-23T02:12:41.123|2001:db8::7||||||false false")
	f(`{"action":"ALLOW"}`, "no httpRequest")
	f(`{"timestamp":"soon","httpRequest":{}}`, "not a line of AWS WAF")
	f(wafLine[:len(wafLine)-1], "not a line of AWS WAF")
	f(wafLine+"x", "not a line of AWS WAF")
}

const cloudFrontFields = "#Fields: date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer) cs(User-Agent) cs-uri-query cs(Cookie) x-edge-result-type x-edge-request-id x-host-header cs-protocol cs-bytes time-taken x-forwarded-for ssl-protocol"

const cloudFrontLine = "2026-11-23\t02:12:41\tFRA2\t2390\t203.0.113.7\tGET\td111.cloudfront.net\t/a\t200\thttps://kq3v9z.com/%2520%22\tMozilla/5.0%20(X11)\t-\t-\tHit\tSOX4==\tshop.example.com\thttps\t23\t0.001\t198.51.100.1,%2010.0.0.1\tTLSv1.3"

func TestCloudFrontLinesFollowTheirFieldsLine(t *testing.T) {
	p := NewParser(CloudFront, nil)
	f := func(line, want string) { t.Helper(); parses(t, p, line, want) }
	f(cloudFrontLine, "no #Fields line came before it")
	f("#Version: 1.0", "no request")
	f(cloudFrontFields, "no request")
	f(cloudFrontLine, `2026-11-23T02:12:41|203.0.113.7|198.51.100.1, 10.0.0.1|https://kq3v9z.com/%20"|shop.example.com|/a|Mozilla/5.0%20(X11)|false false`)
	f("2026-11-23\t02:12:41\tFRA2", "fewer columns than #Fields names")
	f(strings.Replace(cloudFrontLine, "2026-11-23", "yesterday", 1), "time cannot be read")
	f("#Fields: cs(Referer) c-ip", "no request")
	f("-\t203.0.113.7", "|203.0.113.7||||||false false")
	f("#Fields: date time", "no request")
	f("2026-11-23\t02:12:41", "no cs(Referer)")
}

func TestTheFormatIsFoundByTheFirstLines(t *testing.T) {
	f := func(start string, want Format) {
		t.Helper()
		if got, err := Detect([]byte(start)); got != want || (err != nil) != (want == "") {
			t.Errorf("%.60q: %q, %v; want %q", start, got, err, want)
		}
	}
	f(combinedLine+"\n", Combined)
	f("\n\nlogrotate was here\n"+combinedLine+"\n", Combined)
	f(`203.0.113.7 - - [23/Nov/2026:03:12:41 +0100] "GET / HTTP/1.1" 200 5`, Combined) // to be refused by its reason
	f(wafLine+"\n", WAF)
	f(`{"referer":"x"}`, JSON)
	f("#Version: 1.0\n"+cloudFrontFields, CloudFront)
	f("https://example.com/\nkq3v9z.com\n-\n", List)
	f("This is prose.\nAnd more of it.\n", "")
	f("", "")
}

// As the oracle: encoding/json's tokens, walked with the same paths.
type oracle struct {
	values map[string][]string // by path in lower case
}

func newOracle(line []byte) (o oracle, ok bool) {
	o.values = map[string][]string{}
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return o, false
	}
	return o, o.object(d, "") && !d.More()
}

func (o *oracle) object(d *json.Decoder, prefix string) bool {
	for d.More() {
		key, err := d.Token()
		if err != nil || !o.value(d, prefix+lower(key.(string)), false) {
			return false
		}
	}
	_, err := d.Token()
	return err == nil
}

func (o *oracle) value(d *json.Decoder, path string, more bool) bool {
	t, err := d.Token()
	if err != nil {
		return false
	}
	switch t := t.(type) {
	case json.Delim:
		if t == '{' {
			if more {
				path = "\x00"
			}
			return o.object(d, path+".")
		}
		for i := 0; d.More(); i++ {
			inner := path
			if more {
				inner = "\x00"
			}
			if !o.value(d, inner, i > 0) {
				return false
			}
		}
		_, err := d.Token()
		return err == nil
	case string:
		o.add(path, t, more)
	case json.Number:
		o.add(path, t.String(), more)
	}
	return true
}

func (o *oracle) add(path, v string, more bool) {
	if !more {
		o.values[path] = nil
	}
	o.values[path] = append(o.values[path], v)
}

func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c | 0x20
		}
	}
	return string(b)
}

func FuzzJSON(f *testing.F) {
	f.Add([]byte(`{"referer":"https://kq3v9z.com/","time":"2026-11-23T03:12:41+01:00","remote_addr":"203.0.113.7"}`))
	f.Add([]byte(`{"referer":"\ud83d\ude00\ud800","a":{"b":[1,{"c":null}]},"remote_addr":"x"}`))
	f.Add([]byte(`{"request":{"headers":{"Referer":["a","b"]}}}`))
	f.Add([]byte(" { \"referer\" : \"\\u0041\\n\" , \"x\":-1.5e3}\t"))
	names := NewNames(Fields{Referer: []string{"referer", "r"}})
	f.Fuzz(func(t *testing.T, line []byte) {
		if len(line) > MaxLine || bytes.ContainsAny(line, "\r\n") {
			return
		}
		var out Line
		p := NewParser(JSON, names)
		_, err := p.Parse(line, &out)
		o, ok := newOracle(line)
		if !json.Valid(line) || !ok || !utf8.Valid(line) {
			return // it need not be read, only survived
		}
		var want string
		found := false
		for _, path := range []string{"referer", "r"} {
			if v, there := o.values[path]; there && !found {
				want, found = v[0], true
			}
		}
		if want == "-" {
			want = ""
		}
		switch {
		case !found && !errors.Is(err, errNoFields):
			t.Fatalf("%q: error %v, want %v", line, err, errNoFields)
		case found && err != nil:
			t.Fatalf("%q: error %v", line, err)
		case found && string(out.Referer) != want:
			t.Fatalf("%q: Referer %q, want %q", line, out.Referer, want)
		}
	})
}

func FuzzWAF(f *testing.F) {
	f.Add([]byte(wafLine))
	f.Add([]byte(strings.Replace(wafLine, "BLOCK", "ALLOW", 1)))
	f.Add([]byte(`{"httpRequest":{"headers":[{"name":"\u0072eferer","value":"\"x"}]}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		if len(line) > MaxLine || len(line) > 0 && line[len(line)-1] == '\r' || bytes.ContainsAny(line, "\n") {
			return
		}
		var out Line
		_, err := NewParser(WAF, nil).Parse(line, &out)
		// encoding/json folds the case of keys and takes the last of two; AWS writes each once and as documented.
		var keys map[string]json.RawMessage
		if json.Unmarshal(line, &keys) != nil || !utf8.Valid(line) || strings.Count(string(line), `"httpRequest"`) != 1 {
			return
		}
		var want struct {
			HTTPRequest *struct {
				ClientIP string `json:"clientIp"`
				Headers  []struct{ Name, Value string }
			} `json:"httpRequest"`
			Action string
		}
		if json.Unmarshal(line, &want) != nil || want.HTTPRequest == nil || err != nil {
			return
		}
		for _, key := range []string{"headers", "name", "value", "action", "clientip"} { // twice, or in another case
			if lowered := strings.ToLower(string(line)); strings.Count(lowered, `"`+key+`"`) > strings.Count(wafLine, `"`+key+`"`) || strings.Contains(lowered, `\u`) {
				return
			}
		}
		for _, h := range want.HTTPRequest.Headers {
			if lower(h.Name) == "referer" {
				if string(out.Referer) != h.Value {
					t.Fatalf("%q: Referer %q, want %q", line, out.Referer, h.Value)
				}
				break
			}
		}
	})
}

// The grammar of combined lines as a regular expression, for lines that nginx writes.
var combinedPattern = regexp.MustCompile(`^(\S+) - ([^"]*) \[([^\]"]{26})\] "([^"]*)" (\d{3}) (\d+) "([^"]*)" "([^"]*)"$`)

func FuzzCombined(f *testing.F) {
	f.Add([]byte(combinedLine))
	f.Add([]byte(`203.0.113.7 - - [23/Nov/2026:03:12:41 +0100] "\x16\x03\x01" 400 226 "-" "-"`))
	f.Add([]byte(`::1 - x [y] [01/Jan/1970:00:00:00 -1130] "GET /  HTTP/1.1" 200 226 "http://a/\x22" "b\x5C"`))
	f.Add([]byte(`a.example:80 1.2.3.4 - - [29/Feb/2028:23:59:59 +0000] "GET /\" HTTP/1.0" 200 226 "\"\\" "b"`))
	f.Fuzz(func(t *testing.T, line []byte) {
		var out Line
		_, err := NewParser(Combined, nil).Parse(line, &out)
		m := combinedPattern.FindSubmatch(line)
		if m == nil || bytes.IndexByte(line, '\\') >= 0 || bytes.ContainsAny(line, "\r\n") {
			return
		}
		at, timeErr := time.Parse("02/Jan/2006:15:04:05 -0700", string(m[3]))
		if timeErr != nil || at.Year() < 1970 || at.Year() > 2261 || m[5][0] == '0' {
			return // where it errs, in its own way, is TestTimes' matter
		}
		if err != nil {
			if _, offset := at.Zone(); max(offset, -offset) >= 24*3600 || !bytes.Contains(months, m[3][3:6]) {
				return // Go takes any case of a month, and offsets that no place has
			}
			t.Fatalf("%q: %v", line, err)
		}
		client, _ := netip.ParseAddr(string(m[1]))
		if client.Is4() && out.Client != client {
			t.Fatalf("%q: client %v, want %v", line, out.Client, client)
		}
		if want := string(value(m[7])); out.Time != at.UnixNano() || string(out.Referer) != want {
			t.Fatalf("%q: %v %q, want %v %q", line, time.Unix(0, out.Time).UTC(), out.Referer, at, want)
		}
	})
}

func TestTimesAreReadAsTheTimePackageReadsThem(t *testing.T) {
	f := func(in string, want string) {
		t.Helper()
		got := "none"
		if at, ok := anyTime([]byte(in)); ok {
			got = time.Unix(0, at).UTC().Format(time.RFC3339Nano)
		}
		if got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	for at := time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC); at.Year() < 2200; at = at.Add(13*time.Hour + 17*time.Minute + 11*time.Second) {
		zoned := at.In(time.FixedZone("", (at.Day()-15)*1800))
		if zoned.Year() < 1970 {
			continue
		}
		f(zoned.Format(time.RFC3339), at.Format(time.RFC3339Nano))
		f(zoned.Format("02/Jan/2006:15:04:05 -0700"), at.Format(time.RFC3339Nano))
	}
	f("2026-11-23 03:12:41.5Z", "2026-11-23T03:12:41.5Z")
	f("2026-11-23T03:12:41+0130", "2026-11-23T01:42:41Z")
	f("1795399961", "2026-11-23T02:12:41Z")
	f("1795399961.123", "2026-11-23T02:12:41.123Z")
	f("1795399961123", "2026-11-23T02:12:41.123Z")
	f("1795399961123456", "2026-11-23T02:12:41.123456Z")
	f("1795399961123456789", "2026-11-23T02:12:41.123456789Z")
	f("99999999999", "none")
	f("99999999999999999999", "none")
	f("1e9", "none")
	f("-1", "none")
	f("", "none")
	f("2026-11-23T03:12:41", "none")
	f("2026-02-29T03:12:41Z", "none")
	f("2026-11-23T24:00:00Z", "none")
	f("23/Nov/2026:03:12:41 +2460", "none")
}

func TestParsingAllocatesNothing(t *testing.T) {
	f := func(format Format, line string) {
		t.Helper()
		p := NewParser(format, nil)
		if l, ok := ReadLayout([]byte(cloudFrontFields)); ok {
			p.SetLayout(l)
		}
		raw := []byte(line)
		var out Line
		if n := testing.AllocsPerRun(100, func() {
			if _, err := p.Parse(raw, &out); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", format, n)
		}
	}
	f(Combined, combinedLine+` "198.51.100.1, 10.0.0.1"`)
	f(Combined, strings.Replace(combinedLine, "kq3v9z.com/x", `kq3v9z.com/\x22`, 1))
	f(JSON, `{"time":"2026-11-23T03:12:41+01:00","remote_addr":"2001:db8::7","referer":"https://kq3v9z.com/\"","x":[1,2,{}]}`)
	f(WAF, wafLine)
	f(CloudFront, cloudFrontLine)
	f(List, "https://kq3v9z.com/")
}

func BenchmarkParse(b *testing.B) {
	for _, c := range []struct {
		format Format
		line   string
	}{{Combined, combinedLine}, {JSON, `{"time":"2026-11-23T03:12:41+01:00","remote_addr":"203.0.113.7","host":"shop.example.com","request":"GET /a?b=c HTTP/1.1","status":200,"body_bytes_sent":5,"http_referer":"https://kq3v9z.com/x","http_user_agent":"Mozilla/5.0 (X11)"}`}, {WAF, wafLine}, {CloudFront, cloudFrontLine}} {
		b.Run(string(c.format), func(b *testing.B) {
			p := NewParser(c.format, nil)
			l, _ := ReadLayout([]byte(cloudFrontFields))
			p.SetLayout(l)
			line := []byte(c.line)
			b.SetBytes(int64(len(line)))
			b.ReportAllocs()
			var out Line
			for b.Loop() {
				_, _ = p.Parse(line, &out)
			}
		})
	}
	// The yardstick: finding the line's end and nothing else.
	b.Run("newline", func(b *testing.B) {
		line := []byte(combinedLine + "\n")
		b.SetBytes(int64(len(line)))
		for b.Loop() {
			_ = bytes.IndexByte(line, '\n')
		}
	})
}
