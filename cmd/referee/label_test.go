package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"referee/classifier"
)

// command runs one beside a running sidecar and returns what it printed.
func command(t *testing.T, args ...string) string {
	t.Helper()
	var out, errs strings.Builder
	if code := run(context.Background(), &streams{out: &out, err: &errs, args: args}); code != exitDone {
		t.Fatalf("%q: exit %d: %s", args, code, errs.String())
	}
	return out.String()
}

// TestARunningSidecarFollowsLabels labels beside the process that owns the data directory, in enforce mode: what is in the
// sets follows too.
func TestARunningSidecarFollowsLabels(t *testing.T) {
	t.Parallel()
	sets, data := startWaftest(t), t.TempDir()
	p := serve(t, fmt.Sprintf(`
listen: 127.0.0.1:0
health: {listen: 127.0.0.1:0}
admin: {listen: 127.0.0.1:0}
mode: enforce
data-dir: %s
shutdown: {delay: 0s}
waf: {writer: true, region: us-east-1, endpoint: %s, interval: 1s, max-share: 0, names-set: %s, ipv4-set: %s, ipv6-set: %s}
`, data, sets.endpoint, sets.names, sets.ipv4, sets.ipv6), awsEnv...)
	sendTraffic(t, p)
	pushed := func(name string) bool {
		patterns, _ := sets.items(t)
		return slices.ContainsFunc(patterns, func(pattern string) bool { return regexp.MustCompile(pattern).MatchString("http://" + name + "/") })
	}
	hit := attackNames[0]
	eventually(t, "the attack is in the set", func() bool { return pushed(hit) })

	command(t, "label", hit, "benign", "--reason", "our own tracker", "--data-dir", data)
	eventually(t, "the verdict follows", func() bool { return p.check("8.8.8.8", "http://"+hit+"/").Header.Get("X-Referee-Verdict") == "exempt" })
	eventually(t, "it leaves the set", func() bool { return !pushed(hit) })
	released := func(why string) func() bool {
		return func() bool {
			_, body := p.get("admin", "/report.json")
			var r struct {
				Names struct {
					List []struct{ Name, State, Why string }
				}
			}
			if err := json.Unmarshal([]byte(body), &r); err != nil {
				t.Fatal(err)
			}
			return slices.ContainsFunc(r.Names.List, func(h struct{ Name, State, Why string }) bool {
				return h.State == "released" && strings.Contains(h.Why, why)
			})
		}
	}
	eventually(t, "the report says why", released("now exempt: it is labelled benign by"))

	// A name that no model flags is blocked by its label and the usual evidence, and leaves when the label is taken back.
	const name = "bakkerijvanderberg.nl"
	bring := func() {
		for _, client := range []string{"81.2.69.142", "89.160.20.112", "91.198.174.1"} {
			p.check(client, "https://"+name+"/")
		}
	}
	bring()
	if got := p.check("8.8.8.8", "https://"+name+"/").Header.Get("X-Referee-Verdict"); got != "benign" {
		t.Fatalf("%s is %s without a label", name, got)
	}
	command(t, "label", name, "dga", "--data-dir", data)
	eventually(t, "the verdict follows", func() bool { return p.check("8.8.8.8", "https://"+name+"/").Header.Get("X-Referee-Verdict") == "dga" })
	bring()
	eventually(t, "it is in the set", func() bool { return pushed(name) })
	command(t, "label", name, "--remove", "--data-dir", data)
	eventually(t, "it leaves the set", func() bool { return !pushed(name) })
	eventually(t, "the report says why", released("label alone, which was taken back"))
	if _, page := p.get("admin", "/report"); !strings.Contains(page, "our own tracker") {
		t.Error("the page does not list the label")
	}
}

// TestACandidateIsComparedOnLiveTrafficAndDecidesNothing runs two models of random weights side by side.
func TestACandidateIsComparedOnLiveTrafficAndDecidesNothing(t *testing.T) {
	t.Parallel()
	names := randomNames(300)
	dir, data := t.TempDir(), t.TempDir()
	flagged := func(seed uint64) (id string, by map[string]bool) {
		encoded := smallModel(t, seed)
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(seed)), encoded, 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := classifier.Parse(encoded)
		if err != nil {
			t.Fatal(err)
		}
		by = map[string]bool{}
		for _, name := range names {
			by[name] = judged(m, name).Tail <= float32(classifier.Balanced)
		}
		return m.ID(), by
	}
	live, byLive := flagged(1)
	other, byOther := flagged(2)
	config := strings.Replace(swapConfig(filepath.Join(dir, "1"), "watch: 20ms\n  candidate: "+filepath.Join(dir, "2")), `data-dir: ""`, "data-dir: "+data, 1)
	p := serve(t, config)
	if c := p.model().Candidate; c == nil || c.ID != other {
		t.Fatalf("/model shows the candidate %+v, want %s", c, other)
	}
	verdicts := func(client string) (said []string) {
		for _, name := range names {
			said = append(said, p.check(client, "https://"+name+"/").Header.Get("X-Referee-Verdict"))
		}
		return said
	}
	eventually(t, "a first name is compared", func() bool {
		p.check("81.2.69.142", "https://"+names[0]+"/")
		return p.metric("referee_candidate_names_total") > 0
	})
	before := p.metric("referee_candidate_requests_total")
	for i, v := range verdicts("8.8.8.8") {
		if (v == "dga") != byLive[names[i]] {
			t.Errorf("%s: %s, which the live model does not say", names[i], v)
		}
	}
	eventually(t, "all names are compared", func() bool {
		return p.metric("referee_candidate_names_total") == float64(len(names)) && p.metric("referee_candidate_requests_total") >= before+float64(len(names))
	})
	type counts struct{ Both, Neither, Candidate, Live int }
	var want counts
	var fresh, lost []string
	for _, name := range names {
		switch {
		case byLive[name] && byOther[name]:
			want.Both++
		case byOther[name]:
			want.Candidate++
			fresh = append(fresh, name)
		case byLive[name]:
			want.Live++
			lost = append(lost, name)
		default:
			want.Neither++
		}
	}
	type listed struct {
		List []struct{ Name string }
	}
	var r struct {
		Candidates []struct {
			Live, Candidate string
			Names           counts
			New, Lost       listed
		}
	}
	// The command reads what the sidecar committed, beside it.
	eventually(t, "referee report has it", func() bool {
		out := command(t, "report", "--format", "json", "--data-dir", data, "--classifier-model", filepath.Join(dir, "1"))
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatal(err)
		}
		return len(r.Candidates) == 1 && r.Candidates[0].Names == want
	})
	sorted := func(l listed) (names []string) {
		for _, n := range l.List {
			names = append(names, n.Name)
		}
		slices.Sort(names)
		return names
	}
	slices.Sort(fresh)
	slices.Sort(lost)
	if c := r.Candidates[0]; c.Live != live || c.Candidate != other || !slices.Equal(sorted(c.New), fresh) || !slices.Equal(sorted(c.Lost), lost) {
		t.Errorf("%+v, want new hits %v and lost hits %v", c, fresh, lost)
	}
	if out := command(t, "report", "--data-dir", data, "--classifier-model", filepath.Join(dir, "1")); !strings.Contains(out, "Candidate model "+other+" beside "+live) {
		t.Errorf("the text does not tell:\n%s", out)
	}

	// A damaged candidate leaves the one before, and the live model is well.
	if err := os.WriteFile(filepath.Join(dir, "2"), []byte("not a model"), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the candidate is refused", func() bool { c := p.model().Candidate; return c.Refused != nil && c.ID == other })
	if status, body := p.get("health", "/readyz"); status != http.StatusOK || !strings.Contains(body, `["candidate"]`) {
		t.Errorf("/readyz: %d %s; want 200 and the candidate degraded", status, body)
	}
}

// TestACandidateThatIsMissingAtTheStartIsTakenUpWhenItComes starts without one: it decides nothing, so nothing waits for it.
func TestACandidateThatIsMissingAtTheStartIsTakenUpWhenItComes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	live, other := filepath.Join(dir, "live"), filepath.Join(dir, "candidate")
	if err := os.WriteFile(live, smallModel(t, 1), 0o600); err != nil {
		t.Fatal(err)
	}
	p := serve(t, swapConfig(live, "watch: 20ms\n  candidate: "+other))
	if c := p.model().Candidate; c == nil || c.ID != "" || c.Refused == nil || !strings.Contains(c.Refused.Error, "no such file") {
		t.Errorf("/model shows %+v, want why there is no candidate", c)
	}
	if err := os.WriteFile(other, smallModel(t, 2), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the candidate is taken up", func() bool { c := p.model().Candidate; return c != nil && c.ID != "" && c.Refused == nil })
}
