package waf

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"
	"github.com/aws/smithy-go/logging"
)

// API is what is called of AWS. *wafv2.Client satisfies it.
type API interface {
	GetIPSet(context.Context, *wafv2.GetIPSetInput, ...func(*wafv2.Options)) (*wafv2.GetIPSetOutput, error)
	UpdateIPSet(context.Context, *wafv2.UpdateIPSetInput, ...func(*wafv2.Options)) (*wafv2.UpdateIPSetOutput, error)
	GetRegexPatternSet(context.Context, *wafv2.GetRegexPatternSetInput, ...func(*wafv2.Options)) (*wafv2.GetRegexPatternSetOutput, error)
	UpdateRegexPatternSet(context.Context, *wafv2.UpdateRegexPatternSetInput, ...func(*wafv2.Options)) (*wafv2.UpdateRegexPatternSetOutput, error)
	ListTagsForResource(context.Context, *wafv2.ListTagsForResourceInput, ...func(*wafv2.Options)) (*wafv2.ListTagsForResourceOutput, error)
}

// NewAPI returns a client for cfg's Region and endpoint, with the credentials that the AWS environment gives: variables,
// profile, web identity, container or instance role. It makes no call; credentials are looked for at the first one.
//
// The SDK's standard retryer repeats throttled, failed and unanswered calls up to three times. It waits a second at
// least, for the quota is one update a second.
func NewAPI(ctx context.Context, cfg Config) (*wafv2.Client, error) {
	region, err := cfg.region()
	if err != nil {
		return nil, err
	}
	options := []func(*config.LoadOptions) error{
		config.WithLogger(logging.Nop{}), // what it would warn of comes back as an error of a call
		config.WithHTTPClient(awshttp.NewBuildableClient().WithTimeout(10 * time.Second)),
		config.WithRetryer(func() aws.Retryer {
			standard := retry.NewStandard(func(o *retry.StandardOptions) {
				o.MaxAttempts = 4
				o.Backoff = retry.BackoffDelayerFunc(backoff)
			})
			return retry.AddWithErrorCodes(standard, (*types.WAFInternalErrorException)(nil).ErrorCode(),
				(*types.WAFUnavailableEntityException)(nil).ErrorCode())
		}),
	}
	if region != "" {
		options = append(options, config.WithRegion(region))
	}
	if cfg.Credentials != nil {
		options = append(options, config.WithCredentialsProvider(cfg.Credentials))
	}
	loaded, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("AWS configuration: %w", err)
	}
	if loaded.Region == "" {
		return nil, errors.New("waf.region: no Region is known: set it, or AWS_REGION, or give the sets as ARNs")
	}
	loaded.Credentials = credentials{loaded.Credentials}
	return wafv2.NewFromConfig(loaded, func(o *wafv2.Options) {
		if cfg.Endpoint != "" {
			o.BaseEndpoint = aws.String(cfg.Endpoint)
		}
	}), nil
}

// backoff is 1 to 2 s before the first repetition, doubling to 8 to 16 s.
func backoff(attempt int, _ error) (time.Duration, error) {
	least := time.Second << min(attempt-1, 3)
	return least + rand.N(least), nil
}

// credentials marks the errors of a provider, which the SDK leaves untyped.
type credentials struct{ aws.CredentialsProvider }

type credentialsError struct{ error }

func (e credentialsError) Unwrap() error { return e.error }

func (c credentials) Retrieve(ctx context.Context) (aws.Credentials, error) {
	got, err := c.CredentialsProvider.Retrieve(ctx)
	if err != nil {
		return got, credentialsError{err}
	}
	return got, nil
}

// remote is one set in AWS.
type remote struct {
	api   API
	kind  SetKind
	ref   ref
	scope types.Scope
}

func (r remote) get(ctx context.Context, opts ...func(*wafv2.Options)) (part, error) {
	if r.kind == SetNames {
		out, err := r.api.GetRegexPatternSet(ctx, &wafv2.GetRegexPatternSetInput{
			Name: &r.ref.name, Id: &r.ref.id, Scope: r.scope,
		}, opts...)
		if err != nil {
			return part{}, err
		}
		set := out.RegexPatternSet
		items := make([]string, len(set.RegularExpressionList))
		for i, e := range set.RegularExpressionList {
			items[i] = aws.ToString(e.RegexString)
		}
		return part{items, set.Description, out.LockToken, aws.ToString(set.ARN)}, nil
	}
	out, err := r.api.GetIPSet(ctx, &wafv2.GetIPSetInput{Name: &r.ref.name, Id: &r.ref.id, Scope: r.scope}, opts...)
	if err != nil {
		return part{}, err
	}
	items := make([]string, len(out.IPSet.Addresses))
	for i, a := range out.IPSet.Addresses {
		items[i] = canonical(a)
	}
	return part{items, out.IPSet.Description, out.LockToken, aws.ToString(out.IPSet.ARN)}, nil
}

// put replaces the set's items. The description is sent again, for an update replaces that too; one that was read as
// empty is left out, for AWS refuses it.
func (r remote) put(ctx context.Context, was part, items []string, opts ...func(*wafv2.Options)) error {
	if aws.ToString(was.description) == "" {
		was.description = nil
	}
	if r.kind == SetNames {
		list := make([]types.Regex, len(items))
		for i := range items {
			list[i].RegexString = &items[i]
		}
		_, err := r.api.UpdateRegexPatternSet(ctx, &wafv2.UpdateRegexPatternSetInput{
			Name: &r.ref.name, Id: &r.ref.id, Scope: r.scope,
			Description: was.description, LockToken: was.token, RegularExpressionList: list,
		}, opts...)
		return err
	}
	_, err := r.api.UpdateIPSet(ctx, &wafv2.UpdateIPSetInput{
		Name: &r.ref.name, Id: &r.ref.id, Scope: r.scope,
		Description: was.description, LockToken: was.token, Addresses: items,
	}, opts...)
	return err
}

// canonical writes a CIDR in one form: AWS gives IPv6 addresses back written out in full.
func canonical(cidr string) string {
	p, err := netip.ParsePrefix(cidr)
	if err != nil {
		return cidr
	}
	return p.Masked().String()
}
