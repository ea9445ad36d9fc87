package waf

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func valid(edit func(*Config)) Config {
	c := Config{Scope: "REGIONAL", Branches: 8, Interval: 10 * time.Second}
	edit(&c)
	return c
}

func TestAConfigurationThatCouldNeverWorkIsRefusedWithTheWayOut(t *testing.T) {
	f := func(want string, edit func(*Config)) {
		t.Helper()
		err := valid(edit).Validate()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
	const id = "0d3a6391-aacf-444c-b8b3-296941d1e720"
	f(`mode: "audit" is neither`, func(c *Config) { c.Mode = "audit" })
	f(`waf.scope: "global" is neither`, func(c *Config) { c.Scope = "global" })
	f("waf.region: \"eu-west-1\" cannot hold", func(c *Config) { c.Scope, c.Region = "CLOUDFRONT", "eu-west-1" })
	f("waf.endpoint: \"localhost:4566\" is not", func(c *Config) { c.Endpoint = "localhost:4566" })
	f("waf.interval: 100ms is too short", func(c *Config) { c.Interval = 100 * time.Millisecond })
	f("waf.names-set: \"names\" is neither NAME/ID", func(c *Config) { c.NamesSet = SetList{"names"} })
	f("waf.ipv4-set: \"/x\" is neither NAME/ID", func(c *Config) { c.IPv4Set = "/x" })
	f("waf.ipv6-set: it is a set of waf.ipv4-set already", func(c *Config) { c.IPv4Set, c.IPv6Set = "a/"+id, "a/"+id })
	f("is not the ARN of a WAFv2 set", func(c *Config) { c.NamesSet = SetList{"arn:aws:iam::1:role/x"} })
	f("does not end in", func(c *Config) { c.NamesSet = SetList{"arn:aws:wafv2:eu-west-1:1:regional/x"} })
	f("is of scope \"global\", but waf.scope is REGIONAL", func(c *Config) {
		c.NamesSet = SetList{"arn:aws:wafv2:us-east-1:1:global/regexpatternset/n/" + id}
	})
	f("is of type \"ipset\": a regexpatternset is needed", func(c *Config) {
		c.NamesSet = SetList{"arn:aws:wafv2:us-east-1:1:regional/ipset/n/" + id}
	})
	f("is of type \"regexpatternset\": a ipset is needed", func(c *Config) {
		c.IPv4Set = "arn:aws:wafv2:us-east-1:1:regional/regexpatternset/n/" + id
	})
	f("is in Region us-east-1, but waf.region is eu-west-1", func(c *Config) {
		c.Region, c.IPv4Set = "eu-west-1", "arn:aws:wafv2:us-east-1:1:regional/ipset/n/"+id
	})
	f("waf.branches: 11 is not between", func(c *Config) { c.Branches = 11 })
	f("waf.names-set: 11 sets are more", func(c *Config) {
		for i := range 11 {
			c.NamesSet = append(c.NamesSet, fmt.Sprintf("n%d/%s", i, id))
		}
	})
	f("waf.names-set: it is a set of waf.names-set already", func(c *Config) { c.NamesSet = SetList{"a/" + id, "a/" + id} })
	f("waf.writer: there is no set to write", func(c *Config) { c.Mode, c.Writer = ModeEnforce, true })
}

func TestASetIsNamedByNameAndIDOrByARN(t *testing.T) {
	f := func(want []ref, kind SetKind, edit func(*Config)) {
		t.Helper()
		c := valid(edit)
		if err := c.Validate(); err != nil {
			t.Error(err)
		}
		got, err := c.refs(kind)
		if err != nil || len(got) != len(want) || len(got) == 1 && got[0] != want[0] {
			t.Errorf("got %+v, %v; want %+v", got, err, want)
		}
	}
	f(nil, SetNames, func(*Config) {})
	f([]ref{{name: "n", id: "1"}}, SetNames, func(c *Config) { c.NamesSet = SetList{"n/1"} })
	f([]ref{{"n", "1", "eu-west-1"}}, SetIPv6, func(c *Config) { c.IPv6Set = "arn:aws:wafv2:eu-west-1:42:regional/ipset/n/1" })
	f([]ref{{"n", "1", "us-east-1"}}, SetNames, func(c *Config) {
		c.Scope, c.NamesSet = "CLOUDFRONT", SetList{"arn:aws:wafv2:us-east-1:42:global/regexpatternset/n/1"}
	})
	f([]ref{{"n", "1", "cn-north-1"}}, SetIPv4, func(c *Config) {
		c.IPv4Set = "arn:aws-cn:wafv2:cn-north-1:42:regional/ipset/n/1"
	})
}

func TestTheRegionIsTheKeysOrTheARNsOrTheEnvironments(t *testing.T) {
	f := func(want string, edit func(*Config)) {
		t.Helper()
		got, err := valid(edit).region()
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	f("", func(*Config) {})
	f("eu-west-1", func(c *Config) { c.Region = "eu-west-1" })
	f("us-east-1", func(c *Config) { c.Scope = "CLOUDFRONT" })
	f("sa-east-1", func(c *Config) { c.IPv4Set = "arn:aws:wafv2:sa-east-1:42:regional/ipset/n/1" })
	f("all must be in one", func(c *Config) {
		c.IPv4Set, c.IPv6Set = "arn:aws:wafv2:sa-east-1:42:regional/ipset/n/1", "arn:aws:wafv2:eu-west-1:42:regional/ipset/n/1"
	})
}

func TestAClientNeedsARegion(t *testing.T) {
	credentialsFromEnvironment(t)
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	_, err := NewAPI(t.Context(), valid(func(c *Config) { c.NamesSet = SetList{"n/1"} }))
	if err == nil || !strings.Contains(err.Error(), "waf.region") {
		t.Error(err)
	}
	t.Setenv("AWS_REGION", "eu-west-1")
	api, err := NewAPI(t.Context(), valid(func(c *Config) { c.NamesSet = SetList{"n/1"} }))
	if err != nil || api.Options().Region != "eu-west-1" {
		t.Error(err)
	}
}

func TestAnUpdaterWithASetNeedsAClient(t *testing.T) {
	_, err := New(valid(func(c *Config) { c.NamesSet = SetList{"n/1"} }), nil, &memory{}, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "waf.names-set") {
		t.Error(err)
	}
}
