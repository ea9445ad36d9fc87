package waf

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"referee/waf/waftest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// faulty returns an option that makes the nth call of an action, counted from 1, end in a fault.
func faulty(action string, nth int32, fault waftest.Fault) waftest.Option {
	var n atomic.Int32
	return waftest.WithFaults(func(c waftest.Call) waftest.Fault {
		if c.Action == action && n.Add(1) == nth {
			return fault
		}
		return waftest.Fault{}
	})
}

// failing returns an option that makes every call of an action end in an error.
func failing(action, code string) waftest.Option {
	return waftest.WithFaults(func(c waftest.Call) waftest.Fault {
		if c.Action == action {
			return waftest.Fault{Code: code}
		}
		return waftest.Fault{}
	})
}

// answered lists how the calls of an action were answered: an error type, or "ok".
func answered(s *waftest.Server, action string) string {
	var out []string
	for _, c := range s.Calls() {
		if c.Action == action {
			out = append(out, map[bool]string{true: "ok", false: c.Err}[c.Err == ""])
		}
	}
	return strings.Join(out, " ")
}

func TestShadowMakesNoCallThatWrites(t *testing.T) {
	credentialsFromEnvironment(t)
	server := serve(t)
	r := newRig(t, server.URL(), func(c *Config) { c.Mode = ModeShadow })
	made := len(server.Calls()) // the rig's own sets
	for i := range 5 {
		r.tick(in(time.Duration(i)*time.Hour), nameHit("kq3v9z.com", 1, 3*time.Hour), clientHit("198.51.100.7/32", 1, 2*time.Hour))
	}
	calls := server.Calls()[made:]
	if len(calls) != 15 {
		t.Errorf("%d calls, want 5 reads of 3 sets", len(calls))
	}
	for _, c := range calls {
		if c.Writes() {
			t.Errorf("shadow called %s", c.Action)
		}
	}
}

func TestWithNothingConfiguredShadowPlansWithoutAWS(t *testing.T) {
	journal := &memory{}
	cfg := Config{Scope: "REGIONAL", Branches: 8, Interval: 10 * time.Second}
	u, err := New(cfg, nil, journal, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	must(t, err)
	plan, err := u.RunOnce(t.Context(), hitsOf("kq3v9z.com"), nil, start)
	must(t, err)
	if c := plan.Changes[0]; len(c.Add) != 1 || c.Outcome != Shadow || len(plan.Changes) != 3 {
		t.Errorf("%+v", plan)
	}
	if got := journal.outcomes(SetNames); len(got) != 1 || got[0] != Shadow {
		t.Errorf("journaled %q", got)
	}
}

func TestCallsKeepAWSsPace(t *testing.T) {
	credentialsFromEnvironment(t)
	server := waftest.New() // with AWS's throttling
	must(t, server.Start())
	t.Cleanup(func() { must(t, server.Close()) })
	names, err := server.CreateRegexPatternSet("names")
	must(t, err)
	four, err := server.CreateIPSet("four", "IPV4")
	must(t, err)
	six, err := server.CreateIPSet("six", "IPV6")
	must(t, err)
	cfg := Config{
		Mode: ModeEnforce, Writer: true, Scope: "REGIONAL", Endpoint: server.URL(), Interval: time.Second,
		NamesSet: SetList{names.ARN}, Branches: 8, IPv4Set: four.ARN, IPv6Set: six.ARN,
	}
	api, err := NewAPI(t.Context(), cfg)
	must(t, err)
	u, err := New(cfg, api, &memory{}, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	must(t, err)
	hits := append(hitsOf("kq3v9z.com"), clientHit("198.51.100.7/32", 1, day), clientHit("2001:db8:1:2::/64", 1, day))
	_, err = u.RunOnce(t.Context(), hits, nil, start)
	must(t, err)
	_, err = u.RunOnce(t.Context(), hitsOf("kq3v9z.com", "xw81tt.com"), nil, in(2*day)) // all have expired
	must(t, err)

	var last time.Time
	writes := 0
	for _, c := range server.Calls() {
		if c.Err != "" {
			t.Errorf("%s was answered with %s", c.Action, c.Err)
		}
		if !c.Writes() {
			continue
		}
		if gap := c.Time.Sub(last); gap < time.Second {
			t.Errorf("%s came %v after the write before", c.Action, gap)
		}
		last = c.Time
		writes++
	}
	if writes != 6 {
		t.Errorf("%d writes, want 6", writes)
	}
}

func TestARepeatableFailureIsRepeatedWithinTheTick(t *testing.T) {
	credentialsFromEnvironment(t)
	f := func(name, calls string, generations []Outcome, fault waftest.Fault) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serve(t, faulty("UpdateRegexPatternSet", 1, fault))
			r := newRig(t, server.URL())
			r.tick(start, nameHit("kq3v9z.com", 1, day))
			r.holds(SetNames, pattern("kq3v9z.com"))
			r.ended(SetNames, generations...)
			if got := answered(server, "UpdateRegexPatternSet"); got != calls {
				t.Errorf("calls were answered %q, want %q", got, calls)
			}
		})
	}
	f("throttled", "ThrottlingException ok", []Outcome{Written}, waftest.Fault{Code: "ThrottlingException"})
	f("failed inside AWS", "WAFInternalErrorException ok", []Outcome{Written}, waftest.Fault{Code: "WAFInternalErrorException"})
	f("not yet there", "WAFUnavailableEntityException ok", []Outcome{Written}, waftest.Fault{Code: "WAFUnavailableEntityException"})
	// The SDK repeats with the old token; that the set holds what was sent shows that the first call had arrived.
	f("answer lost", "ok WAFOptimisticLockException", []Outcome{Written}, waftest.Fault{Lost: true})
}

func TestAFailureThatRepetitionDoesNotMendNamesTheWayOut(t *testing.T) {
	credentialsFromEnvironment(t)
	f := func(action, code string, class Class, fix string, ended ...Outcome) {
		t.Run(code, func(t *testing.T) {
			server := serve(t, failing(action, code))
			r := newRig(t, server.URL())
			r.api = wafv2.New(r.client.Options(), func(o *wafv2.Options) { o.Retryer = aws.NopRetryer{} })
			r.restart()
			_, err := r.fails(class, start, nameHit("kq3v9z.com", 1, day), clientHit("198.51.100.7/32", 1, day))
			if err.Set != SetNames || !strings.Contains(err.Error(), fix) {
				t.Errorf("%v: want %q in it", err, fix)
			}
			r.ended(SetNames, ended...)
			r.holds(SetIPv4, "198.51.100.7/32") // the other sets go on
		})
	}
	const get, update = "GetRegexPatternSet", "UpdateRegexPatternSet"
	f(get+"", "AccessDeniedException", ClassDenied, "wafv2:GetRegexPatternSet")
	f(update, "AccessDeniedException", ClassDenied, "wafv2:UpdateRegexPatternSet", Planned)
	f(update, "WAFNonexistentItemException", ClassMissing, "waf.names-set", Planned)
	f(update, "WAFLimitsExceededException", ClassLimits, "quotas", Planned)
	f(update, "ThrottlingException", ClassThrottled, "next interval", Planned)
	f(update, "UnrecognizedClientException", ClassCredentials, "AWS_ACCESS_KEY_ID", Planned)
	f(update, "WAFInternalErrorException", ClassUnavailable, "waf.endpoint", Planned)
	f(update, "WAFOptimisticLockException", ClassConflict, "a set of its own", Planned)
}

func TestAPatternThatAWSRefusesIsSplitAndGoesThroughInTheSameTick(t *testing.T) {
	credentialsFromEnvironment(t)
	limits := waftest.AWSLimits()
	limits.Updates, limits.Reads, limits.Branches = 1000, 1000, 4
	r := newRig(t, serve(t, waftest.WithLimits(limits)).URL())
	hits := hitsOf("kq3v9z.com", "a1.net", "b2.net", "c3.net", "d4.net", "e5.net") // five branches and the tail's
	r.tick(start, hits[:4]...)
	r.holds(SetNames, pattern("kq3v9z.com"), pattern("a1.net", "b2.net", "c3.net"))
	plan := r.tick(in(time.Minute), hits...)
	if c := plan.Changes[0]; len(c.Dropped) > 0 || len(c.Entries) != 6 {
		t.Errorf("%d entries, dropped: %v", len(c.Entries), c.Dropped)
	}
	for _, p := range r.items(SetNames) {
		if strings.Count(p, "|") > 4 {
			t.Errorf("%s has too many branches", p)
		}
	}
	before := len(r.journal.generations)
	r.tick(in(2*time.Minute), hits...)
	if len(r.journal.generations) > before {
		t.Error("it was packed anew")
	}
}

func TestANameWhosePatternAWSRefusesAloneIsQuarantined(t *testing.T) {
	credentialsFromEnvironment(t)
	server := serve(t)
	r := newRig(t, server.URL())
	r.api = pickyAbout{r.client, "xw81tt"}
	r.restart()
	hits := hitsOf("kq3v9z.com", "xw81tt.com", "zz98pp.com")
	plan := r.tick(start, hits...)
	if d := plan.Changes[0].Dropped; len(d) != 1 || d[0].Value != "xw81tt.com" {
		t.Errorf("dropped: %v", d)
	}
	var names []string
	for _, found := range contents(State{Set: SetNames, Items: r.items(SetNames)}) {
		names = append(names, found.Value)
	}
	if slices.Sort(names); !slices.Equal(names, []string{"kq3v9z.com", "zz98pp.com"}) {
		t.Errorf("the set finds %q", names)
	}
}

// pickyAbout refuses patterns that hold a word, and names the first.
type pickyAbout struct {
	API
	word string
}

func (a pickyAbout) UpdateRegexPatternSet(ctx context.Context, in *wafv2.UpdateRegexPatternSetInput, o ...func(*wafv2.Options)) (*wafv2.UpdateRegexPatternSetOutput, error) {
	for _, p := range in.RegularExpressionList {
		if strings.Contains(*p.RegexString, a.word) {
			return nil, &types.WAFInvalidParameterException{Parameter: p.RegexString, Message: aws.String("Error reason: The regular expression is not valid.")}
		}
	}
	return a.API.UpdateRegexPatternSet(ctx, in, o...)
}

func TestTheEntryThatAWSNamesIsFoundExactly(t *testing.T) {
	f := func(parameter, want string, items ...string) {
		t.Helper()
		reason := "The parameter contains formatting that is not valid."
		got, words, ok := refusedItem(fmt.Errorf("operation error: %w", &types.WAFInvalidParameterException{
			Parameter: &parameter, Message: aws.String("Error reason: " + reason + ", field: X, parameter: " + parameter),
		}), nil, items)
		if got != want || ok != (want != "") || ok && !strings.Contains(words, reason) {
			t.Errorf("%q of %q is %q", parameter, items, got)
		}
	}
	f("11.2.3.4/32", "11.2.3.4/32", "1.2.3.4/32", "11.2.3.4/32")
	f("2001:0db8:0000:0001:0000:0000:0000:0000/64", "2001:db8:0:1::/64", "2001:db8::/64", "2001:db8:0:1::/64")
	f("[RegexString="+pattern("a.com")+"]", pattern("a.com"), pattern("b.com"), pattern("a.com"))
	f("Addresses", "", "1.2.3.5/32", "1.2.3.4/32")
}

func TestWithoutCredentialsTheErrorSaysWhatToSet(t *testing.T) {
	credentialsFromEnvironment(t)
	server := serve(t)
	r := newRig(t, server.URL())
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	api, err := NewAPI(t.Context(), r.cfg)
	must(t, err)
	r.api = api
	r.restart()
	_, fail := r.fails(ClassCredentials, start, nameHit("kq3v9z.com", 1, day))
	if !strings.Contains(fail.Error(), "AWS_ACCESS_KEY_ID") {
		t.Error(fail)
	}
}

func TestAnEndpointThatIsNotThereIsUnavailable(t *testing.T) {
	credentialsFromEnvironment(t)
	server := serve(t)
	r := newRig(t, server.URL())
	must(t, server.Close())
	r.api = wafv2.New(r.client.Options(), func(o *wafv2.Options) { o.Retryer = aws.NopRetryer{} })
	r.restart()
	r.fails(ClassUnavailable, start, nameHit("kq3v9z.com", 1, day))
}

func TestTheSetsOfADistributionAreInUsEast1(t *testing.T) {
	credentialsFromEnvironment(t)
	server := serve(t)
	r := newRig(t, server.URL(), func(c *Config) { c.Scope, c.Region = "CLOUDFRONT", "" })
	r.tick(start, nameHit("kq3v9z.com", 1, day))
	r.holds(SetNames, pattern("kq3v9z.com"))
	if set := server.Sets()[0]; !strings.HasPrefix(set.ARN, "arn:aws:wafv2:us-east-1:123456789012:global/regexpatternset/") {
		t.Error(set.ARN)
	}
}

func TestMetricsTellTheStateOfEachSet(t *testing.T) {
	credentialsFromEnvironment(t)
	r := newRig(t, serve(t).URL())
	reg := prometheus.NewRegistry()
	for range 2 { // a reload makes a second Updater on the same registry
		u, err := New(r.cfg, r.api, r.journal, reg, slog.New(slog.DiscardHandler))
		must(t, err)
		u.reads.gap = 0
		u.updates.gap = 0
		r.updater = u
	}
	r.tick(start, hitsOf("kq3v9z.com", "xw81tt.com")...)
	r.fails(ClassRefused, in(time.Hour))
	want := `
		# HELP referee_waf_entries Entries of a WAF set: planned for it, applied: in it after the tick, waiting for room, postponed by a limit or the owner, dropped as not acceptable.
		# TYPE referee_waf_entries gauge
		referee_waf_entries{set="ipv4",state="applied"} 0
		referee_waf_entries{set="ipv4",state="dropped"} 0
		referee_waf_entries{set="ipv4",state="planned"} 0
		referee_waf_entries{set="ipv4",state="postponed"} 0
		referee_waf_entries{set="ipv4",state="waiting"} 0
		referee_waf_entries{set="ipv6",state="applied"} 0
		referee_waf_entries{set="ipv6",state="dropped"} 0
		referee_waf_entries{set="ipv6",state="planned"} 0
		referee_waf_entries{set="ipv6",state="postponed"} 0
		referee_waf_entries{set="ipv6",state="waiting"} 0
		referee_waf_entries{set="names",state="applied"} 2
		referee_waf_entries{set="names",state="dropped"} 0
		referee_waf_entries{set="names",state="planned"} 2
		referee_waf_entries{set="names",state="postponed"} 0
		referee_waf_entries{set="names",state="waiting"} 0
		# HELP referee_waf_generations_total Generations of a WAF set, by how they ended.
		# TYPE referee_waf_generations_total counter
		referee_waf_generations_total{outcome="failed",set="ipv4"} 0
		referee_waf_generations_total{outcome="failed",set="ipv6"} 0
		referee_waf_generations_total{outcome="failed",set="names"} 0
		referee_waf_generations_total{outcome="shadow",set="ipv4"} 0
		referee_waf_generations_total{outcome="shadow",set="ipv6"} 0
		referee_waf_generations_total{outcome="shadow",set="names"} 0
		referee_waf_generations_total{outcome="written",set="ipv4"} 0
		referee_waf_generations_total{outcome="written",set="ipv6"} 0
		referee_waf_generations_total{outcome="written",set="names"} 1
		# HELP referee_waf_last_success_timestamp_seconds Unix time of the last tick without an error in any set.
		# TYPE referee_waf_last_success_timestamp_seconds gauge
		referee_waf_last_success_timestamp_seconds 1.7723664e+09
		# HELP referee_waf_set_used_ratio Items planned for a WAF set over the number that AWS allows in it.
		# TYPE referee_waf_set_used_ratio gauge
		referee_waf_set_used_ratio{set="ipv4"} 0
		referee_waf_set_used_ratio{set="ipv6"} 0
		referee_waf_set_used_ratio{set="names"} 0.1
	`
	err := testutil.GatherAndCompare(reg, strings.NewReader(want), "referee_waf_entries", "referee_waf_generations_total",
		"referee_waf_last_success_timestamp_seconds", "referee_waf_set_used_ratio")
	if err != nil {
		t.Error(err)
	}
	if got := testutil.ToFloat64(r.updater.metrics.errors.WithLabelValues("refused")); got != 1 {
		t.Errorf("%v refused", got)
	}
}
