package waf

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/wafv2"
)

// ownerTag names whose a set is: two owners never fill the same one by accident.
const ownerTag = "referee:owner"

// tagAPI is what tells a set's owner.
type tagAPI interface {
	ListTagsForResource(context.Context, *wafv2.ListTagsForResourceInput, ...func(*wafv2.Options)) (*wafv2.ListTagsForResourceOutput, error)
}

// ownerOf is the value of a set's owner tag; "" where it has none.
func ownerOf(ctx context.Context, api tagAPI, arn string, opts ...func(*wafv2.Options)) (string, error) {
	for marker, more := (*string)(nil), true; more; {
		out, err := api.ListTagsForResource(ctx, &wafv2.ListTagsForResourceInput{ResourceARN: &arn, NextMarker: marker}, opts...)
		if err != nil || out.TagInfoForResource == nil {
			return "", err
		}
		for _, t := range out.TagInfoForResource.TagList {
			if aws.ToString(t.Key) == ownerTag {
				return aws.ToString(t.Value), nil
			}
		}
		marker, more = out.NextMarker, aws.ToString(out.NextMarker) != "" && len(out.TagInfoForResource.TagList) > 0
	}
	return "", nil
}

// owned looks at each set's owner once after a start, before anything is written to it. A role that may not read tags, as
// older policies have it, is told of on the log: it is no reason to stop what worked.
func (r *run) owned(ctx context.Context, was reading) error {
	if r.cfg.Mode != ModeEnforce || !r.cfg.Writer || r.cfg.Owner == "" || r.cfg.SharedSets {
		return nil
	}
	for i, p := range was.parts {
		if p.arn == "" || r.looked[p.arn] {
			continue
		}
		owner, err := ownerOf(ctx, r.remotes[r.kind][i].api, p.arn, r.reads.paced(always))
		switch {
		case err != nil && classify(err) == ClassDenied:
			r.log.Warn("whose the waf set is was not looked at: wafv2:ListTagsForResource is not allowed; `referee waf export-iam` prints the policy",
				"set", r.kind, "arn", p.arn)
		case err != nil:
			return r.fail(err)
		case owner != "" && owner != r.cfg.Owner:
			return &Error{
				Set: r.kind, Class: ClassOwner, Err: fmt.Errorf("%s is tagged %s=%q, and waf.owner is %q", p.arn, ownerTag, owner, r.cfg.Owner),
				Fix: "nothing is written to it; name sets of your own (`referee waf init` makes them), or set waf.owner or the tag if it is yours",
			}
		}
		r.looked[p.arn] = true
	}
	return nil
}
