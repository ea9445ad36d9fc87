package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"

	"referee/waf/waftest"
)

// awsEnv are the credentials that an endpoint on loopback does not look at.
var awsEnv = []string{"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_EC2_METADATA_DISABLED=true"}

// attackNames are generated names; each of the attack's clients sends all of them.
var attackNames = []string{
	"kpqejvnusacc.com", "ykdfjtmathdqxz.org", "ihsnwksqedhbvrt.com", "wbocvdsgcyoqsqaocb.eu", "2q635z19iaygjohfyd31931w61.net",
	"lbvkjijhuwwkdulfcuxsutvwuoob.org", "hnztkrkmarqrshihixsctonvo.ru", "ddmbplvukxfwcfvpjyje.info",
}

var attackClients = []string{"81.2.69.142", "89.160.20.112", "2a02:1234:5678:9abc::1"}

var ordinaryReferers = []string{
	"https://www.google.com/", "https://news.ycombinator.com/", "https://www.bakkerijvanderberg.nl/", "https://wysokieobcasy.pl/",
}

// wafSets is an endpoint that holds one set of each kind: waftest or moto.
type wafSets struct {
	endpoint          string
	names, ipv4, ipv6 string // NAME/ID
	items             func(t *testing.T) (patterns, cidrs []string)
	writes            func() (int, bool) // false where the endpoint does not count
}

func TestFromShadowToEnforceAndThroughAKill(t *testing.T) {
	t.Run("against waftest, with AWS's limits", func(t *testing.T) { wholeWay(t, startWaftest(t)) })
	t.Run("against moto_server", func(t *testing.T) { wholeWay(t, startMoto(t)) })
}

func wholeWay(t *testing.T, sets wafSets) {
	data := t.TempDir()
	config := func(mode string) string {
		return fmt.Sprintf(`
listen: 127.0.0.1:0
health: {listen: 127.0.0.1:0}
admin: {listen: 127.0.0.1:0}
mode: %s
data-dir: %s
shutdown: {delay: 0s}
waf:
  writer: true
  region: us-east-1
  endpoint: %s
  interval: 1s
  names-set: %s
  ipv4-set: %s
  ipv6-set: %s
`, mode, data, sets.endpoint, sets.names, sets.ipv4, sets.ipv6)
	}

	// Shadow: everything is judged and nothing is written.
	shadow := serve(t, config("shadow"), awsEnv...)
	sent := sendTraffic(t, shadow)
	eventually(t, "the report has every request and the attack", func() bool {
		r := shadow.report()
		return r.Totals.Requests == uint64(sent) && r.Names.Active == len(attackNames) && r.Clients.Active == len(attackClients)
	})
	<-time.After(2 * time.Second) // two more ticks of the updater
	if writes, counted := sets.writes(); counted && writes != 0 {
		t.Fatalf("%d writes in shadow mode", writes)
	}
	if patterns, cidrs := sets.items(t); len(patterns)+len(cidrs) != 0 {
		t.Fatalf("shadow mode filled the sets: %q %q", patterns, cidrs)
	}
	if err := shadow.stop(syscall.SIGTERM); err != nil {
		t.Fatalf("after SIGTERM: %v", err)
	}

	// Enforce: the same evidence, now in the sets.
	enforce := serve(t, config("enforce"), awsEnv...)
	var patterns, cidrs []string
	eventually(t, "the sets hold the attack", func() bool {
		patterns, cidrs = sets.items(t)
		return len(patterns) > 0 && len(cidrs) == len(attackClients)
	})
	want := []string{"2a02:1234:5678:9abc::/64", "81.2.69.142/32", "89.160.20.112/32"}
	if slices.Sort(cidrs); !slices.Equal(canonical(cidrs), want) {
		t.Errorf("the IP sets hold %q, want %q", cidrs, want)
	}
	matchesTheAttackAndNothingElse(t, patterns)
	before := enforce.report()
	if writes, counted := sets.writes(); counted && writes != 3 {
		t.Errorf("%d writes for three sets", writes)
	}

	// kill -9, and the next process knows and holds the same.
	if err := enforce.stop(syscall.SIGKILL); err == nil {
		t.Error("a killed process ended well")
	}
	again := serve(t, config("enforce"), awsEnv...)
	eventually(t, "the report is as before", func() bool {
		after := again.report()
		return slices.Equal(before.Names.List, after.Names.List) && slices.Equal(before.Clients.List, after.Clients.List) &&
			after.Totals.Requests == before.Totals.Requests
	})
	<-time.After(2 * time.Second)
	patternsAgain, cidrsAgain := sets.items(t)
	if slices.Sort(cidrsAgain); !slices.Equal(patterns, patternsAgain) || !slices.Equal(cidrs, cidrsAgain) {
		t.Errorf("after kill -9 the sets hold %q %q, before %q %q", patternsAgain, cidrsAgain, patterns, cidrs)
	}
	if writes, counted := sets.writes(); counted && writes != 3 {
		t.Errorf("%d writes after the restart, though nothing changed", writes)
	}
}

// sendTraffic sends the attack and some ordinary requests, and returns how many there were.
func sendTraffic(t *testing.T, p *process) (sent int) {
	t.Helper()
	send := func(client, referer, verdict string) {
		t.Helper()
		sent++
		response := p.check(client, referer)
		if got := response.Header.Get("X-Referee-Verdict"); response.StatusCode != http.StatusOK || (verdict != "" && got != verdict) {
			t.Errorf("%s: %d %s, want 200 %s", referer, response.StatusCode, got, verdict)
		}
	}
	for _, client := range attackClients {
		for _, name := range attackNames {
			send(client, "http://"+name+"/", "dga")
		}
		send(client, "https://www.google.com/", "exempt")
	}
	for i := range 20 {
		for _, referer := range ordinaryReferers {
			send(fmt.Sprintf("91.198.174.%d", i+1), referer, "")
		}
	}
	return sent
}

// matchesTheAttackAndNothingElse holds the patterns against every usual form of a Referer, by Go's regexp on the
// lower-cased header as AWS's transformation leaves it.
func matchesTheAttackAndNothingElse(t *testing.T, patterns []string) {
	t.Helper()
	var compiled []*regexp.Regexp
	for _, pattern := range patterns {
		compiled = append(compiled, regexp.MustCompile(pattern))
	}
	match := func(referer string) bool {
		return slices.ContainsFunc(compiled, func(r *regexp.Regexp) bool { return r.MatchString(strings.ToLower(referer)) })
	}
	forms := []string{"http://%s", "https://%s/", "HTTP://WWW.%s/a", "https://a.b.%s:8443/x?y=z#f", "http://user:pw@%s/", "http://%s./", "https://%s?q", "https://%s#f"}
	for _, name := range attackNames {
		for _, form := range forms {
			if referer := fmt.Sprintf(form, name); !match(referer) {
				t.Errorf("no pattern matches %q", referer)
			}
		}
	}
	elsewhere := []string{"https://%s/", "https://www.%s/?u=http://" + attackNames[0] + "/", "https://%s/" + attackNames[0], "https://%s/@" + attackNames[0] + "/"}
	for _, name := range benignNames(t) {
		for _, form := range elsewhere {
			if referer := fmt.Sprintf(form, name); match(referer) {
				t.Errorf("a pattern matches %q", referer)
			}
		}
	}
}

// benignNames is the list of popular names where it is there, and a few names besides.
func benignNames(t *testing.T) []string {
	t.Helper()
	names := []string{"google.com", "example.org", "x" + attackNames[0], attackNames[0] + ".example.com"}
	if _, err := os.Stat(corpora); errors.Is(err, fs.ErrNotExist) {
		t.Log("the list of popular names is not there: a few names stand for it")
		return names
	}
	return append(names, readLines(t, "../popular_stable.txt.gz")...)
}

// canonical writes CIDRs as Go does: moto gives them back as they were sent, AWS in full.
func canonical(cidrs []string) []string {
	var all []string
	for _, cidr := range cidrs {
		all = append(all, netipPrefix(cidr))
	}
	slices.Sort(all)
	return all
}

func startWaftest(t *testing.T) wafSets {
	t.Helper()
	server := waftest.New()
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	made := func(set waftest.Set, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		return set.Name + "/" + set.ID
	}
	return wafSets{
		endpoint: server.URL(),
		names:    made(server.CreateRegexPatternSet("names")),
		ipv4:     made(server.CreateIPSet("v4", "IPV4")),
		ipv6:     made(server.CreateIPSet("v6", "IPV6")),
		items: func(*testing.T) (patterns, cidrs []string) {
			return server.Items("names"), slices.Concat(server.Items("v4"), server.Items("v6"))
		},
		writes: func() (n int, counted bool) {
			for _, call := range server.Calls() {
				if call.Writes() {
					n++
				}
			}
			return n, true
		},
	}
}

func startMoto(t *testing.T) wafSets {
	t.Helper()
	if _, err := exec.LookPath("moto_server"); err != nil {
		t.Skip("moto_server is not installed")
	}
	address := freeAddress(t)
	_, port, _ := strings.Cut(address, ":")
	moto := exec.Command("moto_server", "-H", "127.0.0.1", "-p", port)
	if err := moto.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = moto.Process.Kill(); _ = moto.Wait() })
	endpoint := "http://" + address
	eventually(t, "moto_server answers", func() bool {
		response, err := http.Get(endpoint + "/moto-api/")
		if err == nil {
			response.Body.Close()
		}
		return err == nil
	})
	api := wafv2.New(wafv2.Options{Region: "us-east-1", BaseEndpoint: &endpoint, Credentials: credentials.NewStaticCredentialsProvider("test", "test", "")})
	ctx := context.Background()
	ids := map[string]string{}
	for name, version := range map[string]types.IPAddressVersion{"v4": types.IPAddressVersionIpv4, "v6": types.IPAddressVersionIpv6} {
		made, err := api.CreateIPSet(ctx, &wafv2.CreateIPSetInput{Name: &name, Scope: types.ScopeRegional, IPAddressVersion: version, Addresses: []string{}})
		if err != nil {
			t.Fatal(err)
		}
		ids[name] = *made.Summary.Id
	}
	made, err := api.CreateRegexPatternSet(ctx, &wafv2.CreateRegexPatternSetInput{Name: aws.String("names"), Scope: types.ScopeRegional, RegularExpressionList: []types.Regex{}})
	if err != nil {
		t.Fatal(err)
	}
	ids["names"] = *made.Summary.Id
	return wafSets{
		endpoint: endpoint,
		names:    "names/" + ids["names"], ipv4: "v4/" + ids["v4"], ipv6: "v6/" + ids["v6"],
		items: func(t *testing.T) (patterns, cidrs []string) {
			for _, name := range []string{"v4", "v6"} {
				got, err := api.GetIPSet(ctx, &wafv2.GetIPSetInput{Name: &name, Id: aws.String(ids[name]), Scope: types.ScopeRegional})
				if err != nil {
					t.Fatal(err)
				}
				cidrs = append(cidrs, got.IPSet.Addresses...)
			}
			got, err := api.GetRegexPatternSet(ctx, &wafv2.GetRegexPatternSetInput{Name: aws.String("names"), Id: aws.String(ids["names"]), Scope: types.ScopeRegional})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range got.RegexPatternSet.RegularExpressionList {
				patterns = append(patterns, *r.RegexString)
			}
			return patterns, cidrs
		},
		writes: func() (int, bool) { return 0, false },
	}
}
