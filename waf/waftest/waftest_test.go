package waftest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"referee/waf/waftest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"
	"github.com/aws/smithy-go"
)

// dial starts an endpoint and returns it with the real client, which repeats nothing.
func dial(t *testing.T, options ...waftest.Option) (*waftest.Server, *wafv2.Client) {
	t.Helper()
	s := waftest.New(options...)
	must(t, s.Start())
	t.Cleanup(func() { must(t, s.Close()) })
	return s, client(s, "us-east-1")
}

func client(s *waftest.Server, region string) *wafv2.Client {
	return wafv2.New(wafv2.Options{
		Region: region, BaseEndpoint: aws.String(s.URL()), Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
	})
}

// fast are AWS's limits without its pace.
func fast(edit ...func(*waftest.Limits)) waftest.Option {
	l := waftest.AWSLimits()
	l.Updates, l.Reads = 1e6, 1e6
	for _, e := range edit {
		e(&l)
	}
	return waftest.WithLimits(l)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wants fails unless err is of this type of the service.
func wants(t testing.TB, err error, code string) {
	t.Helper()
	api, ok := errors.AsType[smithy.APIError](err)
	if code == "" && err != nil || code != "" && (!ok || api.ErrorCode() != code) {
		t.Errorf("got %v, want %q", err, code)
	}
}

func createIPs(c *wafv2.Client, name string, version types.IPAddressVersion, addresses ...string) (*types.IPSetSummary, error) {
	out, err := c.CreateIPSet(context.Background(), &wafv2.CreateIPSetInput{
		Name: &name, Scope: types.ScopeRegional, IPAddressVersion: version, Addresses: append([]string{}, addresses...),
		Description: aws.String("made by a test"),
	})
	if err != nil {
		return nil, err
	}
	return out.Summary, nil
}

func createPatterns(c *wafv2.Client, name string, patterns ...string) (*types.RegexPatternSetSummary, error) {
	list := make([]types.Regex, len(patterns))
	for i := range patterns {
		list[i].RegexString = &patterns[i]
	}
	out, err := c.CreateRegexPatternSet(context.Background(), &wafv2.CreateRegexPatternSetInput{
		Name: &name, Scope: types.ScopeRegional, RegularExpressionList: list,
	})
	if err != nil {
		return nil, err
	}
	return out.Summary, nil
}

func TestAddressesAreCIDRsOfTheSetsFamilyWithoutHostBits(t *testing.T) {
	_, c := dial(t, fast(func(l *waftest.Limits) { l.IPSets = 1000 }))
	n := 0
	f := func(version types.IPAddressVersion, address, code string) {
		t.Helper()
		n++
		_, err := createIPs(c, fmt.Sprintf("set-%d", n), version, "192.0.2.1/32", address)
		if version == types.IPAddressVersionIpv6 {
			_, err = createIPs(c, fmt.Sprintf("six-%d", n), version, "2001:db8::/64", address)
		}
		wants(t, err, code)
		var invalid *types.WAFInvalidParameterException
		if errors.As(err, &invalid) {
			if invalid.Field != types.ParameterExceptionFieldIpAddress || *invalid.Parameter != address ||
				!strings.Contains(invalid.ErrorMessage(), "field: IP_ADDRESS, parameter: "+address) {
				t.Errorf("%q: %v", address, err)
			}
		}
	}
	const invalid, front = "WAFInvalidParameterException", "ValidationException"
	four, six := types.IPAddressVersionIpv4, types.IPAddressVersionIpv6
	f(four, "198.51.100.7/32", "")
	f(four, "198.51.100.0/24", "")
	f(four, "0.0.0.0/1", "")
	f(four, "198.51.100.7", invalid)
	f(four, "198.51.100.7/24", invalid)
	f(four, "0.0.0.0/0", invalid)
	f(four, "198.51.100.7/33", invalid)
	f(four, "2001:db8::/64", invalid)
	f(four, "nonsense", invalid)
	f(four, " ", front)
	f(four, strings.Repeat("1", 51), front)
	f(six, "2001:db8:1::/64", "")
	f(six, "2001:db8::1/128", "")
	f(six, "2001:db8::1/64", invalid)
	f(six, "::/0", invalid)
	f(six, "198.51.100.7/32", invalid)
	f(six, "::ffff:198.51.100.7/128", invalid)
}

func TestPatternsAreTheSubsetThatAWSTakes(t *testing.T) {
	_, c := dial(t, fast(func(l *waftest.Limits) { l.PatternSets = 1000 }))
	n := 0
	f := func(pattern, code string) {
		t.Helper()
		n++
		_, err := createPatterns(c, fmt.Sprintf("set-%d", n), "fine", pattern)
		wants(t, err, code)
		var invalid *types.WAFInvalidParameterException
		if errors.As(err, &invalid) && (invalid.Field != types.ParameterExceptionFieldRegexPatternSet || *invalid.Parameter != pattern) {
			t.Errorf("%q: %v", pattern, err)
		}
	}
	const invalid = "WAFInvalidParameterException"
	f(`^https?://(?:[^/?#]*[.@])?(?:(?:kq3v9z|xw81tt)\.com|a\.net)\.?(?:[:/?#]|$)`, "")
	f(`I[a@]mAB[a@]dRequest`, "")
	f(strings.Repeat("a", 200), "")
	f(strings.Repeat("a", 201), "WAFLimitsExceededException")
	f(strings.Repeat("a", 513), "ValidationException")
	f("", "ValidationException")
	f(`(a)`, invalid)
	f(`(?P<name>a)`, invalid)
	f(`(a)\1`, invalid)
	f(`(?>a)`, invalid)
	f(`a++`, invalid)
	f(`(?R)`, invalid)
	f(`(?(1)a|b)`, invalid)
	f(`(*FAIL)`, invalid)
	f(`a\Kb`, invalid)
	f(`a\Rb`, invalid)
	f(`a\Cb`, invalid)
	f(`(?:a`, invalid)
	f(strings.Repeat("a|", 10)+"a", "")
	f(strings.Repeat("a|", 11)+"a", invalid)
	f(`[|||||||||||||||]\|\|\|`, "") // no branches
}

func TestQuotas(t *testing.T) {
	_, c := dial(t, fast())
	var many []string
	for i := range 10_001 {
		many = append(many, fmt.Sprintf("198.%d.%d.0/24", i/250, i%250))
	}
	_, err := createIPs(c, "full", types.IPAddressVersionIpv4, many[:10_000]...)
	wants(t, err, "")
	_, err = createIPs(c, "over", types.IPAddressVersionIpv4, many...)
	wants(t, err, "WAFLimitsExceededException")
	for i := range 11 {
		_, err = createPatterns(c, fmt.Sprintf("p%d", i), strings.Split(strings.Repeat("a ", i)+"a", " ")...)
		wants(t, err, map[bool]string{true: "WAFLimitsExceededException"}[i >= 10]) // eleven patterns, and the eleventh set
	}
	for i := range 100 {
		_, err = createIPs(c, fmt.Sprintf("i%d", i), types.IPAddressVersionIpv4)
		wants(t, err, map[bool]string{true: "WAFLimitsExceededException"}[i == 99])
	}
}

func TestNamesDescriptionsAndScopesFollowTheAPIModel(t *testing.T) {
	s, c := dial(t, fast())
	f := func(code string, edit func(*wafv2.CreateIPSetInput)) {
		t.Helper()
		in := &wafv2.CreateIPSetInput{
			Name: aws.String("set"), Scope: types.ScopeRegional, IPAddressVersion: types.IPAddressVersionIpv4, Addresses: []string{},
		}
		edit(in)
		_, err := c.CreateIPSet(t.Context(), in)
		wants(t, err, code)
	}
	f("", func(*wafv2.CreateIPSetInput) {})
	f("WAFDuplicateItemException", func(*wafv2.CreateIPSetInput) {})
	f("", func(in *wafv2.CreateIPSetInput) { in.Scope = types.ScopeCloudfront })
	f("ValidationException", func(in *wafv2.CreateIPSetInput) { in.Scope = "GLOBAL" })
	f("ValidationException", func(in *wafv2.CreateIPSetInput) { in.Name = aws.String("a b") })
	f("ValidationException", func(in *wafv2.CreateIPSetInput) { in.Name = aws.String(strings.Repeat("a", 129)) })
	f("ValidationException", func(in *wafv2.CreateIPSetInput) { in.Description = aws.String("") })
	f("ValidationException", func(in *wafv2.CreateIPSetInput) { in.Description = aws.String("(brackets)") })
	f("ValidationException", func(in *wafv2.CreateIPSetInput) { in.Description = aws.String(strings.Repeat("a", 257)) })
	f("ValidationException", func(in *wafv2.CreateIPSetInput) { in.IPAddressVersion = "IPV5" })
	_, err := client(s, "eu-west-1").ListIPSets(t.Context(), &wafv2.ListIPSetsInput{Scope: types.ScopeCloudfront})
	wants(t, err, "WAFInvalidParameterException")
}

func TestAnUpdateNeedsTheTokenOfTheLastRead(t *testing.T) {
	s, c := dial(t, fast())
	set, err := createIPs(c, "set", types.IPAddressVersionIpv4)
	must(t, err)
	update := func(token *string, address string) (*string, error) {
		out, err := c.UpdateIPSet(t.Context(), &wafv2.UpdateIPSetInput{
			Name: set.Name, Id: set.Id, Scope: types.ScopeRegional, LockToken: token, Addresses: []string{address},
		})
		if err != nil {
			return nil, err
		}
		return out.NextLockToken, nil
	}
	next, err := update(set.LockToken, "192.0.2.1/32")
	must(t, err)
	_, err = update(set.LockToken, "192.0.2.2/32")
	wants(t, err, "WAFOptimisticLockException")
	next, err = update(next, "192.0.2.3/32") // NextLockToken chains without a read
	must(t, err)
	_, err = update(next, "192.0.2.3/24")
	wants(t, err, "WAFInvalidParameterException")
	next, err = update(next, "192.0.2.4/32") // a refused update changes nothing, the token included
	must(t, err)
	must(t, s.Replace("set", "192.0.2.5/32"))
	_, err = update(next, "192.0.2.6/32")
	wants(t, err, "WAFOptimisticLockException")
	if got := s.Items("set"); !slices.Equal(got, []string{"192.0.2.5/32"}) {
		t.Error(got)
	}
	_, err = update(aws.String("not-a-token"), "192.0.2.6/32")
	wants(t, err, "ValidationException")
}

func TestAnUpdateReplacesTheDescriptionToo(t *testing.T) {
	_, c := dial(t, fast())
	set, err := createPatterns(c, "set")
	must(t, err)
	in := &wafv2.UpdateRegexPatternSetInput{
		Name: set.Name, Id: set.Id, Scope: types.ScopeRegional, LockToken: set.LockToken,
		Description: aws.String("said again"), RegularExpressionList: []types.Regex{},
	}
	get := func() *types.RegexPatternSet {
		out, err := c.GetRegexPatternSet(t.Context(), &wafv2.GetRegexPatternSetInput{Name: set.Name, Id: set.Id, Scope: types.ScopeRegional})
		must(t, err)
		return out.RegexPatternSet
	}
	out, err := c.UpdateRegexPatternSet(t.Context(), in)
	must(t, err)
	if got := get().Description; got == nil || *got != "said again" {
		t.Error(got)
	}
	in.LockToken, in.Description = out.NextLockToken, nil
	_, err = c.UpdateRegexPatternSet(t.Context(), in)
	must(t, err)
	if got := get(); got.Description != nil || *got.ARN != *set.ARN {
		t.Error("the description is still there, or the ARN another")
	}
}

func TestASetIsFoundByNameIDAndScopeTogetherUntilItIsDeleted(t *testing.T) {
	s, c := dial(t, fast())
	set, err := createIPs(c, "set", types.IPAddressVersionIpv6, "2001:db8::/64")
	must(t, err)
	get := func(c *wafv2.Client, name, id string, scope types.Scope) (*wafv2.GetIPSetOutput, error) {
		return c.GetIPSet(t.Context(), &wafv2.GetIPSetInput{Name: &name, Id: &id, Scope: scope})
	}
	const missing = "WAFNonexistentItemException"
	out, err := get(c, "set", *set.Id, types.ScopeRegional)
	must(t, err)
	if got := out.IPSet.Addresses[0]; got != "2001:0db8:0000:0000:0000:0000:0000:0000/64" {
		t.Errorf("AWS writes IPv6 out in full; got %s", got)
	}
	_, err = get(c, "other", *set.Id, types.ScopeRegional)
	wants(t, err, missing)
	_, err = get(c, "set", "00000000-0000-0000-0000-000000000000", types.ScopeRegional)
	wants(t, err, missing)
	_, err = get(c, "set", *set.Id, types.ScopeCloudfront)
	wants(t, err, missing)
	_, err = get(client(s, "eu-west-1"), "set", *set.Id, types.ScopeRegional)
	wants(t, err, missing)
	_, err = c.DeleteIPSet(t.Context(), &wafv2.DeleteIPSetInput{
		Name: set.Name, Id: set.Id, Scope: types.ScopeRegional, LockToken: out.LockToken,
	})
	must(t, err)
	_, err = get(c, "set", *set.Id, types.ScopeRegional)
	wants(t, err, missing)
	patterns, err := createPatterns(c, "set", "a")
	must(t, err)
	_, err = c.DeleteRegexPatternSet(t.Context(), &wafv2.DeleteRegexPatternSetInput{
		Name: patterns.Name, Id: patterns.Id, Scope: types.ScopeRegional, LockToken: set.LockToken,
	})
	wants(t, err, "WAFOptimisticLockException")
}

func TestListsArePaged(t *testing.T) {
	_, c := dial(t, fast(func(l *waftest.Limits) { l.IPSets = 250 }))
	for i := range 205 {
		_, err := createIPs(c, fmt.Sprintf("set-%d", i), types.IPAddressVersionIpv4)
		must(t, err)
	}
	seen := map[string]bool{}
	var marker *string
	var pages []int
	for {
		// Repeated, as the SDK does by default: it closes the body of a request that net/http may still be sending, and then
		// now and then a long answer ends in "use of closed network connection".
		out, err := c.ListIPSets(t.Context(), &wafv2.ListIPSetsInput{Scope: types.ScopeRegional, NextMarker: marker},
			func(o *wafv2.Options) { o.Retryer = retry.NewStandard() })
		must(t, err)
		pages = append(pages, len(out.IPSets))
		for _, set := range out.IPSets {
			seen[*set.Id] = true
		}
		if marker = out.NextMarker; marker == nil {
			break
		}
	}
	if !slices.Equal(pages, []int{100, 100, 5}) || len(seen) != 205 {
		t.Errorf("pages of %v, %d sets", pages, len(seen))
	}
	_, err := c.ListRegexPatternSets(t.Context(), &wafv2.ListRegexPatternSetsInput{Scope: types.ScopeRegional, Limit: aws.Int32(101)})
	wants(t, err, "ValidationException")
}

func TestEachActionHasItsOwnPace(t *testing.T) {
	var mu sync.Mutex
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	pass := func(d time.Duration) { mu.Lock(); defer mu.Unlock(); now = now.Add(d) }
	s, c := dial(t, waftest.WithClock(clock))
	n := 0
	create := func(code string) {
		t.Helper()
		n++
		_, err := createIPs(c, fmt.Sprintf("set-%d", n), types.IPAddressVersionIpv4)
		wants(t, err, code)
	}
	list := func(code string) {
		t.Helper()
		_, err := c.ListIPSets(t.Context(), &wafv2.ListIPSetsInput{Scope: types.ScopeRegional})
		wants(t, err, code)
	}
	create("")
	create("ThrottlingException")
	_, err := createPatterns(c, "another-action")
	wants(t, err, "")
	pass(999 * time.Millisecond)
	create("ThrottlingException")
	pass(time.Millisecond)
	create("")
	for range 5 {
		list("")
		pass(100 * time.Millisecond)
	}
	list("ThrottlingException")
	pass(500 * time.Millisecond)
	list("")
	list("ThrottlingException")

	writes, refused := 0, 0
	for _, call := range s.Calls() {
		if call.Writes() {
			writes++
		}
		if call.Err == "ThrottlingException" {
			refused++
		}
	}
	if writes != 5 || refused != 4 || s.Calls()[0].Set != "set-1" || !s.Calls()[0].Time.Equal(s.Calls()[1].Time) {
		t.Errorf("%d writes and %d refused in %v", writes, refused, s.Calls())
	}
}

func TestFaultsAreWhatTheHookAsksFor(t *testing.T) {
	faults := map[string]waftest.Fault{
		"failed": {Code: "WAFInternalErrorException"}, "cut": {Reset: true}, "lost": {Lost: true}, "slow": {Delay: time.Minute},
	}
	s, c := dial(t, fast(), waftest.WithFaults(func(c waftest.Call) waftest.Fault { return faults[c.Set] }))
	_, err := createPatterns(c, "failed")
	wants(t, err, "WAFInternalErrorException")
	if _, err = createPatterns(c, "cut"); err == nil {
		t.Error("a cut connection is no error")
	}
	if _, err = createPatterns(c, "lost"); err == nil {
		t.Error("a lost answer is no error")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err = c.GetIPSet(ctx, &wafv2.GetIPSetInput{Name: aws.String("slow"), Id: aws.String("1"), Scope: types.ScopeRegional})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if got := s.Sets(); len(got) != 1 || got[0].Name != "lost" {
		t.Errorf("%+v", got)
	}
}

func TestWhatIsNoCallIsRefused(t *testing.T) {
	s, _ := dial(t)
	f := func(target, authorization, body string, code string) {
		t.Helper()
		req, err := http.NewRequest(http.MethodPost, s.URL(), strings.NewReader(body))
		must(t, err)
		req.Header.Set("X-Amz-Target", target)
		req.Header.Set("Authorization", authorization)
		resp, err := http.DefaultClient.Do(req)
		must(t, err)
		must(t, resp.Body.Close())
		if got := resp.Header.Get("x-amzn-ErrorType"); got != code {
			t.Errorf("%s: %s %q, want %q", target, resp.Status, got, code)
		}
	}
	const signed = "AWS4-HMAC-SHA256 Credential=AKID/20260301/us-east-1/wafv2/aws4_request, SignedHeaders=host, Signature=00"
	f("AWSWAF_20190729.ListIPSets", signed, `{"Scope":"REGIONAL"}`, "")
	f("AWSWAF_20190729.ListIPSets", "", `{"Scope":"REGIONAL"}`, "MissingAuthenticationTokenException")
	f("AWSWAF_20190729.ListIPSets", signed, `{`, "SerializationException")
	f("AWSWAF_20190729.ListIPSet", signed, `{}`, "UnknownOperationException")
	f("AWSWAF_20190729.GetIPSets", signed, `{}`, "UnknownOperationException")
	f("AWSWAF_20190729.DropIPSet", signed, `{}`, "UnknownOperationException")
	f("AWSWAF_20150824.ListIPSets", signed, `{}`, "UnknownOperationException")
	f("AWSWAF_20190729.UpdateIPSet", signed, `{"Scope":"REGIONAL","Name":"a"}`, "ValidationException")
}

func TestMatchSaysWhichSetsARequestMatches(t *testing.T) {
	s := waftest.New()
	create := func(_ waftest.Set, err error) { t.Helper(); must(t, err) }
	create(s.CreateIPSet("four", "IPV4", "198.51.100.7/32", "203.0.113.0/24"))
	create(s.CreateIPSet("six", "IPV6", "2001:db8:1:2::/64"))
	create(s.CreateRegexPatternSet("names", `^https?://(?:[^/?#]*[.@])?(?:kq3v9z\.com)\.?(?:[:/?#]|$)`, `^ftp:`))
	f := func(client, referer string, want ...string) {
		t.Helper()
		if got := s.Match(waftest.Request{Client: netip.MustParseAddr(client), Referer: referer}); !slices.Equal(got, want) {
			t.Errorf("%s %q matches %q, want %q", client, referer, got, want)
		}
	}
	f("192.0.2.1", "")
	f("198.51.100.7", "", "four")
	f("::ffff:198.51.100.7", "", "four")
	f("198.51.100.8", "")
	f("203.0.113.255", "", "four")
	f("2001:db8:1:2:3:4:5:6", "", "six")
	f("2001:db8:1:3::", "")
	f("192.0.2.1", "https://WWW.KQ3V9Z.com/x", "names") // the transformation is LOWERCASE
	f("192.0.2.1", "https://google.com/?q=https://kq3v9z.com/")
	f("198.51.100.7", "ftp://x", "four", "names")
	if got := s.Match(waftest.Request{Referer: "https://kq3v9z.com"}); !slices.Equal(got, []string{"names"}) {
		t.Errorf("without an address: %q", got)
	}
}
