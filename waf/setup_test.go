package waf

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"referee/waf/waftest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"
)

// TestTheRulesThatInitPrintsStopTheAttackAndNothingElse fills the sets that init makes and sends traffic against its
// rules.
func TestTheRulesThatInitPrintsStopTheAttackAndNothingElse(t *testing.T) {
	credentialsFromEnvironment(t)
	for _, forwarded := range []bool{false, true} {
		server := serve(t)
		r := newRig(t, server.URL())
		made, err := Init(t.Context(), r.client, r.cfg, Setup{Prefix: "ref", Owner: "me", NameSets: 2, Action: "captcha", Forwarded: forwarded, unpaced: true})
		must(t, err)
		if made.Capacity != 2+2*35 || made.Existed != 0 {
			t.Errorf("%d WCU, %d sets existed", made.Capacity, made.Existed)
		}
		r.cfg.NamesSet, r.cfg.IPv4Set, r.cfg.IPv6Set = made.Names, made.IPv4, made.IPv6
		r.restart()
		r.tick(start, nameHit("kq3v9z.com", 1, day), clientHit("198.51.100.7/32", 1, day), clientHit("2001:db8:1:2::/64", 1, day))
		rules, err := RulesJSON(made.Rules)
		must(t, err)
		f := func(label, peer, xff, referer string) {
			t.Helper()
			headers := map[string][]string{"Host": {"example.org"}}
			if xff != "" {
				headers["x-forwarded-for"] = []string{xff}
			}
			if referer != "" {
				headers["REFERER"] = []string{referer}
			}
			got, err := server.Evaluate(rules, waftest.HTTPRequest{Peer: netip.MustParseAddr(peer), Headers: headers})
			must(t, err)
			if (label == "") != (got.Action == "") || label != "" && (got.Action != "Captcha" || !slices.Equal(got.Labels, []string{label})) {
				t.Errorf("forwarded=%v %s %q %q: %+v, want %q", forwarded, peer, xff, referer, got, label)
			}
		}
		const edge = "130.176.0.1"
		f("", edge, "192.0.2.1", "https://example.net/")
		f("referee:name", edge, "192.0.2.1", "HTTPS://www.KQ3V9Z.com:443/x")
		f("", edge, "192.0.2.1", "https://google.com/search?q=http://kq3v9z.com/")
		if forwarded {
			f("referee:client", edge, "10.0.0.1, 198.51.100.7", "")
			f("referee:client", edge, "2001:db8:1:2:3:4:5:6", "")
			f("", edge, "198.51.100.7, 192.0.2.1", "") // the first is the client's own invention
			f("", edge, "nonsense", "")
			f("", "198.51.100.7", "", "")
		} else {
			f("referee:client", "198.51.100.7", "", "")
			f("referee:client", "2001:db8:1:2:3:4:5:6", "", "")
			f("", edge, "198.51.100.7", "")
		}
	}
}

func TestInitMakesNothingTwiceAndLeavesOthersSetsAlone(t *testing.T) {
	credentialsFromEnvironment(t)
	server := serve(t)
	r := newRig(t, server.URL())
	setup := Setup{Prefix: "ref", Owner: "me", unpaced: true}
	first, err := Init(t.Context(), r.client, r.cfg, setup)
	must(t, err)
	again, err := Init(t.Context(), r.client, r.cfg, setup)
	must(t, err)
	if again.Existed != 3 || again.IPv4 != first.IPv4 || !slices.Equal(again.Names, first.Names) {
		t.Errorf("%+v, then %+v", first, again)
	}
	setup.Owner = "somebody"
	if _, err = Init(t.Context(), r.client, r.cfg, setup); err == nil || !strings.Contains(err.Error(), `"me"`) {
		t.Errorf("a set of another owner was taken: %v", err)
	}
	_, err = r.client.CreateIPSet(t.Context(), &wafv2.CreateIPSetInput{
		Name: aws.String("mine-clients-v4"), Scope: types.ScopeRegional, IPAddressVersion: types.IPAddressVersionIpv4, Addresses: []string{},
	})
	must(t, err)
	if _, err = Init(t.Context(), r.client, r.cfg, Setup{Prefix: "mine", Owner: "me", unpaced: true}); err == nil {
		t.Error("a set without an owner was taken")
	}
}

func TestTheIAMPolicyAllowsTheSetsAndNothingElse(t *testing.T) {
	const id = "0d3a6391-aacf-444c-b8b3-296941d1e720"
	c := valid(func(c *Config) {
		c.Mode, c.Region = ModeEnforce, "eu-west-1"
		c.NamesSet = SetList{"arn:aws:wafv2:eu-west-1:42:regional/regexpatternset/n/" + id, "m/" + id}
		c.IPv4Set = "v4/" + id
	})
	const topic = "arn:aws:sns:eu-west-1:42:oncall"
	f := func(c Config, topic string, want ...string) {
		t.Helper()
		text, err := c.Policy(topic)
		must(t, err)
		var policy struct {
			Statement []struct{ Action, Resource []string }
		}
		must(t, json.Unmarshal(text, &policy))
		var got []string
		for _, s := range policy.Statement {
			got = append(got, strings.Join(s.Action, " ")+" on "+strings.Join(s.Resource, " "))
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	names := "arn:aws:wafv2:eu-west-1:42:regional/regexpatternset/n/" + id + " arn:aws:wafv2:eu-west-1:*:regional/regexpatternset/m/" + id
	clients := "arn:aws:wafv2:eu-west-1:*:regional/ipset/v4/" + id
	f(c, "", "wafv2:GetRegexPatternSet wafv2:UpdateRegexPatternSet wafv2:ListTagsForResource on "+names,
		"wafv2:GetIPSet wafv2:UpdateIPSet wafv2:ListTagsForResource on "+clients)
	c.Mode = ModeShadow
	f(c, topic, "wafv2:GetRegexPatternSet on "+names, "wafv2:GetIPSet on "+clients, "sns:Publish on "+topic)
	f(valid(func(c *Config) { c.NamesSet, c.IPv4Set, c.IPv6Set = nil, "", "" }), topic, "sns:Publish on "+topic)
}

func TestAReadThatLagsBehindAWriteIsLeftToTheNextTick(t *testing.T) {
	credentialsFromEnvironment(t)
	clock := &now{at: start}
	r := newRig(t, serve(t, waftest.WithDelay(60e9), waftest.WithClock(clock.now)).URL())
	hits := hitsOf("kq3v9z.com", "xw81tt.com")
	r.tick(start, hits[:1]...)
	for range 3 { // AWS shows the set as it was, empty
		plan := r.tick(in(10e9), hits...)
		if len(plan.Changes) != 2 {
			t.Errorf("it was planned upon: %+v", plan.Changes)
		}
	}
	r.ended(SetNames, Written)
	clock.set(in(61e9))
	r.tick(in(61e9), hits...)
	r.ended(SetNames, Written, Written)
	clock.set(in(130e9))
	r.holds(SetNames, pattern("kq3v9z.com", "xw81tt.com"))
}
