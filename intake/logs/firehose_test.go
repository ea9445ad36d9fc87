package logs

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const firehoseKey = "0123456789abcdef0123"

func firehoseRig(t *testing.T) *rig {
	t.Helper()
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(firehoseKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, Config{Firehose: FirehoseConfig{Listen: "127.0.0.1:0", KeyFile: key, MaxBody: 1 << 20}, WAF: WAFConfig{Evidence: true}}, "")
	r.start()
	return r
}

// delivery is a request body as Firehose sends it.
func delivery(id string, records ...string) []byte {
	var list []string
	for _, r := range records {
		list = append(list, fmt.Sprintf(`{"data":%q}`, base64.StdEncoding.EncodeToString([]byte(r))))
	}
	return fmt.Appendf(nil, `{"requestId":%q,"timestamp":1795402799000,"records":[%s]}`, id, strings.Join(list, ","))
}

func (r *rig) post(id, key, encoding string, body []byte) (status int, answer string) {
	r.t.Helper()
	request, err := http.NewRequest(http.MethodPost, "http://"+r.Addresses()["firehose"]+"/any", bytes.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	request.Header.Set("X-Amz-Firehose-Protocol-Version", "1.0")
	request.Header.Set("X-Amz-Firehose-Request-Id", id)
	request.Header.Set("X-Amz-Firehose-Access-Key", key)
	request.Header.Set("Content-Type", "application/json")
	if encoding != "" {
		request.Header.Set("Content-Encoding", encoding)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if err != nil || response.Header.Get("Content-Type") != "application/json" || response.Header.Get("Content-Length") != strconv.Itoa(len(got)) {
		r.t.Errorf("%v, headers %v", err, response.Header)
	}
	return response.StatusCode, string(got)
}

func zipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

func TestFirehoseIsAnsweredAsItsSpecificationAsks(t *testing.T) {
	r := firehoseRig(t)
	f := func(id, key, encoding string, body []byte, wantStatus int, want string) {
		t.Helper()
		status, answer := r.post(id, key, encoding, body)
		if status != wantStatus || !strings.Contains(answer, want) {
			t.Errorf("%d %s; want %d and %s", status, answer, wantStatus, want)
		}
	}
	a, b := wafOf("alphaone", "ALLOW", "x"), wafOf("betatwo", "ALLOW", "x")+"\n"+wafOf("gammathree", "ALLOW", "x")+"\n"
	f("id-1", firehoseKey, "", delivery("id-1", a, b), 200, fmt.Sprintf(`{"requestId":"id-1","timestamp":%d}`, rigNow.UnixMilli()))
	r.want("alphaone", "betatwo", "gammathree")
	// A repetition is answered alike, and counts nothing.
	f("id-1", firehoseKey, "", delivery("id-1", a, b), 200, `"requestId":"id-1"`)
	f("id-2", firehoseKey, "gzip", zipped(delivery("id-2", wafOf("deltafour", "ALLOW", "x"))), 200, `"requestId":"id-2"`)
	r.want("alphaone", "betatwo", "gammathree", "deltafour")

	f("id-3", "wrong", "", delivery("id-3", a), 401, "access key")
	f("id-3", "", "", delivery("id-3", a), 401, "access key")
	f("", firehoseKey, "", delivery("", a), 400, "Request-Id")
	f("id-3", firehoseKey, "", delivery("id-4", a), 400, "requestId is not that")
	f("id-3", firehoseKey, "", []byte(`{"requestId":"id-3","records":[{"data":"%%"}]}`), 400, "no base64")
	f("id-3", firehoseKey, "", []byte(`{`), 400, "no delivery")
	f("id-3", firehoseKey, "gzip", []byte(`{}`), 400, "cannot be read")
	f("id-3", firehoseKey, "br", []byte(`{}`), 400, "cannot be read")
	// 413 is final: too large as it comes, and when it is inflated.
	f("id-3", firehoseKey, "", delivery("id-3", strings.Repeat("x", 1<<20)), 413, "larger than")
	f("id-3", firehoseKey, "gzip", zipped(bytes.Repeat([]byte(" "), 64<<20)), 413, "larger than")
	// What was refused may come again.
	f("id-3", firehoseKey, "", delivery("id-3", wafOf("epsilonfive", "ALLOW", "x")), 200, `"requestId":"id-3"`)
	r.want("alphaone", "betatwo", "gammathree", "deltafour", "epsilonfive")
	if response, err := http.Get("http://" + r.Addresses()["firehose"]); err != nil || response.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: %v, %v", response, err)
	}
}

func FuzzFirehose(f *testing.F) {
	f.Add(delivery("id-1", wafOf("alphaone", "ALLOW", "x"), "a\nb\n"), "id-1")
	f.Add([]byte(`{"requestId":"x","records":[{"data":null},null]}`), "x")
	f.Add([]byte(`{"records":[{"data":"%%"}]}`), "")
	f.Fuzz(func(t *testing.T, body []byte, id string) {
		lines, err := Delivery(body, id)
		if err != nil {
			if len(lines) > 0 {
				t.Fatal("lines beside an error")
			}
			return
		}
		var whole map[string]any
		if json.Unmarshal(body, &whole) != nil {
			t.Fatalf("%q was taken and is no JSON object", body)
		}
		p := NewParser(WAF, nil)
		var line Line
		for _, l := range lines {
			if len(l) == 0 || bytes.IndexByte(l, '\n') >= 0 {
				t.Fatalf("%q is no line", l)
			}
			_, _ = p.Parse(l, &line)
		}
		if _, err := inflate(bytes.NewReader(body), "gzip", 1<<16); err == nil && len(body) > 0 && body[0] != 0x1f {
			t.Fatal("what is no gzip was inflated")
		}
	})
}
