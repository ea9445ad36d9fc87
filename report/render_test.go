package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"referee/waf"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s (-want +got; go test -update if it is meant):\n%s", name, d)
	}
}

func rendered(t *testing.T, r *Report) (text, data, page []byte) {
	t.Helper()
	var b [3]bytes.Buffer
	for i, err := range []error{r.Text(&b[0]), r.JSON(&b[1]), r.HTML(&b[2])} {
		if err != nil {
			t.Fatalf("format %d: %v", i, err)
		}
	}
	return b[0].Bytes(), b[1].Bytes(), b[2].Bytes()
}

func enforced() *Report {
	r := sample()
	r.Mode = Enforce
	r.Totals.Dropped, r.Totals.Blocked = 0, 77
	for i := range r.Sets {
		r.Sets[i].Outcome = waf.Written
	}
	r.Sets[1].Outcome = waf.Planned
	return r
}

// quiet is the report of a sidecar that nothing has reached yet.
func quiet() *Report {
	s := sample()
	return &Report{
		Generated: s.Generated, Since: s.Since, Mode: Shadow, Settings: s.Settings,
		Totals: Totals{Verdicts: map[string]uint64{"dga": 0}, NoName: map[string]uint64{}, Saved: map[string]uint64{}},
		Names:  Hits{List: []Hit{}}, Clients: Hits{List: []Hit{}}, Saved: Saved{List: []SavedName{}},
		Sets: []Set{}, Generations: []Generation{}, Labels: Labels{List: []Label{}}, Candidates: []Comparison{},
		Ready: Readiness{Checks: []Check{}}, WhatIf: WhatIf{Rows: []Row{}}, Attacks: Attacks{List: []Attack{}}, Near: Near{List: []NearMiss{}},
		Series: Series{Step: 1, Points: []Point{}, Tails: []TailBin{}, Names: []Top{}, Networks: []Top{}, Capacity: []Capacity{}},
		Spared: []Spared{}, Orders: []Order{}, Troubles: []Trouble{}, Alerts: []Alert{},
	}
}

// hostile is a report in which everything that a client can choose, and everything that AWS or a file says, attacks the reader.
func hostile() *Report {
	const evil = "<script>alert(1)</script>\x1b[2J\r\n\u202Egnp.exe\x00\xff\"' onload=x {{.}} \u2028🏴"
	r := sample()
	for _, list := range []*Hits{&r.Names, &r.Clients} {
		for i := range list.List {
			h := &list.List[i]
			h.Why, h.Reasons, h.FlaggedNames = evil, []string{evil, evil}, []string{evil}
			if h.Name != "" {
				h.Name = evil + strings.Repeat("long.", 200)
			}
		}
	}
	r.Saved.List[0].Name, r.Saved.List[0].Exemption = evil, evil
	r.Labels.List[0] = Label{Name: evil, Label: evil, Who: evil, Reason: evil, Exemption: evil}
	for i := range r.Names.List {
		h := &r.Names.List[i]
		h.Examples = []Example{{Time: noon, Name: evil, Client: "203.0.113.7", Referer: "https://x.com/" + evil, Agent: evil, Path: evil}}
		h.Explanation = &Explanation{Form: evil, Parts: []Part{{What: evil, Effect: 1}}}
		h.Label = evil
	}
	r.Near.List[1].Name, r.Near.List[1].Rule, r.Near.List[1].Why = evil, evil, evil
	r.Spared[0].Why, r.Series.Names[0].What = evil, evil
	r.Orders[0] = Order{Time: noon, Verb: evil, Values: []string{evil}, Why: evil}
	r.Alerts[0] = Alert{Time: noon, Kind: evil, Text: evil}
	r.Troubles[0] = Trouble{Set: evil, Since: noon, Class: evil, Error: evil}
	c := &r.Candidates[0]
	c.Live, c.Candidate, c.New.List[0].Name, c.Lost.List[0].Name = evil, evil, evil, evil
	r.Sets[0].Sample = []string{evil}
	r.Generations[2].Error, r.Generations[2].Why = evil, evil
	r.Generations[1].Outcome, r.Generations[1].Set = evil, evil
	return r
}

func TestTheTextIsReadable(t *testing.T) {
	f := func(name string, r *Report) {
		t.Helper()
		text, _, _ := rendered(t, r)
		golden(t, name, text)
	}
	f("shadow.txt", sample())
	f("enforce.txt", enforced())
	f("quiet.txt", quiet())
	f("hostile.txt", hostile())
}

func TestTheTextIsASCIIAndFitsATerminal(t *testing.T) {
	f := func(r *Report, columns int) {
		t.Helper()
		text, _, _ := rendered(t, r)
		for line := range strings.Lines(string(text)) {
			line = strings.TrimSuffix(line, "\n")
			for _, c := range []byte(line) {
				if c < ' ' || c > '~' {
					t.Errorf("byte %#x in %q", c, line)
				}
			}
			if len(line) > columns {
				t.Errorf("%d columns: %q", len(line), line)
			}
		}
	}
	f(sample(), 100)
	f(enforced(), 100)
	f(quiet(), 100)
	f(hostile(), 600)
}

func TestTheJSONIsTheContract(t *testing.T) {
	f := func(name string, r *Report) {
		t.Helper()
		_, data, _ := rendered(t, r)
		golden(t, name, data)
		if bytes.Contains(data, []byte("null")) {
			t.Errorf("%s: a list is null", name)
		}
		var again Report
		if err := json.Unmarshal(data, &again); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(r, &again); d != "" {
			t.Errorf("%s does not read back (-want +got):\n%s", name, d)
		}
	}
	f("shadow.json", sample())
	f("quiet.json", quiet())
}

// walk calls f for each element of a page.
func walk(t *testing.T, page []byte, f func(n *html.Node, attributes map[string]string)) {
	t.Helper()
	root, err := html.Parse(bytes.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		attributes := map[string]string{}
		for _, a := range n.Attr {
			attributes[a.Key] = a.Val
		}
		f(n, attributes)
	}
}

func TestThePageNeedsNothingElseAndRunsItsOwnScriptAlone(t *testing.T) {
	for _, r := range []*Report{sample(), enforced(), quiet(), hostile()} {
		_, _, page := rendered(t, r)
		styles, scripts := 0, 0
		walk(t, page, func(n *html.Node, attributes map[string]string) {
			switch n.Data {
			case "script":
				scripts++
				sum := sha256.Sum256([]byte(n.FirstChild.Data))
				if hash := base64.StdEncoding.EncodeToString(sum[:]); !strings.Contains(ContentSecurityPolicy(), "script-src 'sha256-"+hash+"';") {
					t.Errorf("the policy does not allow the page's script: %s has no %s", ContentSecurityPolicy(), hash)
				}
			case "link", "img", "iframe", "object", "form", "base":
				t.Errorf("the page has a %s", n.Data)
			case "style":
				styles++
				sum := sha256.Sum256([]byte(n.FirstChild.Data))
				if hash := base64.StdEncoding.EncodeToString(sum[:]); !strings.Contains(ContentSecurityPolicy(), "'sha256-"+hash+"'") {
					t.Errorf("the policy does not allow the page's style: %s has no %s", ContentSecurityPolicy(), hash)
				}
			case "meta":
				if policy := attributes["content"]; attributes["http-equiv"] != "" && policy+"; frame-ancestors 'none'" != ContentSecurityPolicy() {
					t.Errorf("the page's own policy is %q", policy)
				}
			}
			for key, value := range attributes {
				if key == "style" || key == "src" || strings.HasPrefix(key, "on") || key == "href" && !strings.HasPrefix(value, "#") {
					t.Errorf("<%s %s=%q>", n.Data, key, value)
				}
			}
		})
		if styles != 1 || scripts != 1 {
			t.Errorf("%d styles and %d scripts", styles, scripts)
		}
	}
}

func TestThePageHasLandmarksAndLabels(t *testing.T) {
	_, _, page := rendered(t, sample())
	seen := map[string]int{}
	ids, targets := map[string]bool{}, []string{}
	walk(t, page, func(n *html.Node, attributes map[string]string) {
		seen[n.Data]++
		if id := attributes["id"]; id != "" {
			if ids[id] {
				t.Errorf("id %q stands twice", id)
			}
			ids[id] = true
		}
		for _, key := range []string{"href", "aria-labelledby"} {
			if v := attributes[key]; v != "" {
				targets = append(targets, strings.TrimPrefix(v, "#"))
			}
		}
		if n.Data == "th" && attributes["scope"] == "" {
			t.Error("a header cell does not say of what it is the header")
		}
		if n.Data == "html" && attributes["lang"] != "en" {
			t.Error("the page does not say its language")
		}
	})
	for _, target := range targets {
		if !ids[target] {
			t.Errorf("nothing has the id %q", target)
		}
	}
	for _, landmark := range []string{"header", "main", "nav", "footer", "h1"} {
		if seen[landmark] != 1 {
			t.Errorf("the page has %d of %s", seen[landmark], landmark)
		}
	}
}

func TestHostileStringsAreShownAsText(t *testing.T) {
	_, data, page := rendered(t, hostile())
	for what, b := range map[string][]byte{"page": page, "JSON": data} {
		if bytes.Contains(bytes.Replace(b, []byte("<script>\"use strict\";"), nil, 1), []byte("<script")) {
			t.Errorf("the %s holds a script", what)
		}
	}
	for _, c := range string(page) {
		if c != '\n' && (c < ' ' || c > '~') {
			t.Fatalf("the page holds %U", c)
		}
	}
	for _, c := range data {
		if c != '\n' && (c < ' ' || c > '~') {
			t.Fatalf("the JSON holds %#x", c)
		}
	}
	if !json.Valid(data) {
		t.Error("the JSON is not valid")
	}
	if !bytes.Contains(page, []byte(`&lt;script&gt;alert(1)&lt;/script&gt;\x1b[2J\r\n\u202egnp.exe\x00\xff`)) {
		t.Error("the page does not show what was sent")
	}
}

func TestAThousandHitsAreListedOnThePageAndSummedUpInText(t *testing.T) {
	r := sample()
	r.Attacks = Attacks{List: []Attack{}} // a part of its own
	for len(r.Names.List) < 1000 {
		r.Names.List = append([]Hit{r.Names.List[0]}, r.Names.List...)
		r.Names.Active++
	}
	text, _, page := rendered(t, r)
	if n := bytes.Count(page, []byte("<code>kq3v9zx7wq.com</code> <span")); n < 990 {
		t.Errorf("the page lists %d", n)
	}
	if !bytes.Contains(text, []byte("and 975 more: --format json or html")) || bytes.Count(text, []byte("\n")) > 180 {
		t.Errorf("the text is long, or does not say that there is more:\n%s", text)
	}
}

func TestNumbersInWords(t *testing.T) {
	f := func(tail float64, want uint64) {
		t.Helper()
		if got := oneIn(tail); got != want {
			t.Errorf("oneIn(%v) = %d, want %d", tail, got, want)
		}
	}
	f(1e-4, 10_000)
	f(float64(float32(1e-4)), 10_000)
	f(4.3e-5, 23_000)
	f(0.5, 2)
	f(1, 1)
	f(0.13, 7)
	f(0, 0)
	f(-1, 0)

	g := func(part, whole uint64, want string) {
		t.Helper()
		if got := share(part, whole); got != want {
			t.Errorf("share(%d, %d) = %q, want %q", part, whole, got, want)
		}
	}
	g(0, 0, "0 %")
	g(0, 10, "0 %")
	g(10, 10, "100 %")
	g(1, 1_000_000, "< 0.01 %")
	g(999_999, 1_000_000, "> 99.99 %")
	g(1, 300, "0.33 %")
	g(1, 3, "33.3 %")
}

func TestALengthOfTimeIsSaidAsItWasAskedFor(t *testing.T) {
	f := func(period, want string) {
		t.Helper()
		d, err := ParsePeriod(period)
		if err != nil {
			t.Fatal(err)
		}
		if got := span(d); got != want {
			t.Errorf("%s is %q, want %q", period, got, want)
		}
	}
	f("30s", "30 seconds")
	f("1m", "1 minute")
	f("90s", "1 minute 30 seconds")
	f("90m", "1 hour 30 minutes")
	f("24h", "24 hours")
	f("2d", "2 days")
	f("84h", "3 days 12 hours")
}

func TestThePeriodSaysFromWhenRequestsAreCounted(t *testing.T) {
	f := func(since, first time.Time, want string) {
		t.Helper()
		r := sample()
		r.Since, r.Totals.First = since, first
		text, _, page := rendered(t, r)
		const said = "Requests are counted in whole hours"
		for _, out := range [][]byte{text, page} {
			if _, rest, found := strings.Cut(string(out), said); found != (want != "") || !strings.Contains(rest, want) {
				t.Errorf("since %v, first %v: %q was looked for in\n%.500s", since, first, want, out)
			}
		}
	}
	f(noon.Add(-time.Hour), noon, "")
	f(noon.Add(-90*time.Minute), noon, "from 2026-03-08 10:00 UTC")
	f(noon.Add(-time.Minute), noon, "from 2026-03-08 11:00 UTC")
	f(noon.Add(-time.Minute), time.Time{}, "from 2026-03-08 11:00 UTC")                                 // no request
	f(noon.Add(-90*24*time.Hour), noon.Add(-90*24*time.Hour-12*time.Hour), "from 2025-12-08 00:00 UTC") // a day of the ledger
}

// The answer counts the checks that are required; the table says of the others that they are not.
func TestEveryFormatSaysWhichChecksAreForTheOwnerToWeigh(t *testing.T) {
	text, _, page := rendered(t, sample())
	for _, out := range [][]byte{text, page} {
		if n := strings.Count(string(out), "(for you to weigh)"); n != 1 {
			t.Errorf("it is said %d times in\n%s", n, out)
		}
	}
}
