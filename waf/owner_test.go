package waf

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"
	"github.com/aws/smithy-go"
)

func TestASetOfAnotherOwnerIsNotWritten(t *testing.T) {
	credentialsFromEnvironment(t)
	r := newRig(t, serve(t).URL(), func(c *Config) { c.Owner = "edge-1" })
	tag := func(owner string) {
		t.Helper()
		set, err := r.remote(SetIPv4).get(t.Context())
		must(t, err)
		_, err = r.client.TagResource(t.Context(), &wafv2.TagResourceInput{
			ResourceARN: &set.arn, Tags: []types.Tag{{Key: aws.String("team"), Value: aws.String("x")}, {Key: aws.String(ownerTag), Value: &owner}},
		})
		must(t, err)
	}
	hits := append(hitsOf("kq3v9z.com"), clientHit("198.51.100.7/32", 1, day))
	tag("edge-2")
	var told []Notice
	r.updater.Notify(func(n Notice) { told = append(told, n) })
	_, err := r.fails(ClassOwner, start, hits...)
	if text := err.Error(); !strings.Contains(text, `"edge-2"`) || !strings.Contains(text, `waf.owner is "edge-1"`) {
		t.Errorf("%v", err)
	}
	r.holds(SetIPv4)
	r.holds(SetNames, pattern("kq3v9z.com")) // it has no tag, and the others go on
	if len(told) != 1 || told[0].About != AboutBreaker || r.journal.troubles[SetIPv4] == nil {
		t.Errorf("told %+v, trouble %+v", told, r.journal.troubles)
	}
	tag("edge-1")
	r.tick(in(2*time.Minute), hits...)
	r.holds(SetIPv4, "198.51.100.7/32")

	tag("edge-2") // in shared sets anybody writes
	r.cfg.SharedSets = true
	r.restart()
	r.tick(in(time.Hour), append(hits, clientHit("198.51.100.8/32", 1, day))...)
	r.holds(SetIPv4, "198.51.100.7/32", "198.51.100.8/32")
}

// tagless may not read tags.
type tagless struct{ API }

func (tagless) ListTagsForResource(context.Context, *wafv2.ListTagsForResourceInput, ...func(*wafv2.Options)) (*wafv2.ListTagsForResourceOutput, error) {
	return nil, &smithy.GenericAPIError{Code: "AccessDeniedException", Message: "not allowed to perform wafv2:ListTagsForResource"}
}

func TestARoleThatMayNotReadTagsStillWrites(t *testing.T) {
	credentialsFromEnvironment(t)
	r := newRig(t, serve(t).URL(), func(c *Config) { c.Owner = "edge-1" })
	r.api = tagless{r.client}
	r.restart()
	r.tick(start, hitsOf("kq3v9z.com")...)
	r.holds(SetNames, pattern("kq3v9z.com"))
}
