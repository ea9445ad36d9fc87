package waf

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"
)

// SetupAPI is what is called of AWS to make the sets. *wafv2.Client satisfies it.
type SetupAPI interface {
	CreateIPSet(context.Context, *wafv2.CreateIPSetInput, ...func(*wafv2.Options)) (*wafv2.CreateIPSetOutput, error)
	CreateRegexPatternSet(context.Context, *wafv2.CreateRegexPatternSetInput, ...func(*wafv2.Options)) (*wafv2.CreateRegexPatternSetOutput, error)
	ListIPSets(context.Context, *wafv2.ListIPSetsInput, ...func(*wafv2.Options)) (*wafv2.ListIPSetsOutput, error)
	ListRegexPatternSets(context.Context, *wafv2.ListRegexPatternSetsInput, ...func(*wafv2.Options)) (*wafv2.ListRegexPatternSetsOutput, error)
	ListTagsForResource(context.Context, *wafv2.ListTagsForResourceInput, ...func(*wafv2.Options)) (*wafv2.ListTagsForResourceOutput, error)
	CheckCapacity(context.Context, *wafv2.CheckCapacityInput, ...func(*wafv2.Options)) (*wafv2.CheckCapacityOutput, error)
}

// Setup says what sets to make, and what the rules over them do.
type Setup struct {
	Prefix    string // of the sets' names
	Owner     string // the tag's value
	NameSets  int    // 1 to 10
	Action    string // Count, Block, Captcha or Challenge
	Forwarded bool   // the web ACL stands behind CloudFront or another proxy: look at X-Forwarded-For
	Priority  int    // of the first rule; the second has the next

	unpaced bool // at an endpoint that does not throttle
}

// Made is what Init made or found.
type Made struct {
	Names      []string // ARNs
	IPv4, IPv6 string
	Rules      []types.Rule
	Capacity   int64 // WCU, as AWS counts them; 0 when it did not say
	Existed    int   // sets that were there already
}

// Init makes the sets that are not there yet, empty and tagged with their owner, and the rules that refer to them. It
// changes no set that is there, and refuses one that is tagged for somebody else or for nobody.
func Init(ctx context.Context, api SetupAPI, cfg Config, s Setup) (Made, error) {
	reads, updates := pace{gap: readPace}, pace{gap: updatePace}
	if s.unpaced {
		reads.gap, updates.gap = 0, 0
	}
	i := initialiser{api: api, scope: types.Scope(cfg.Scope), setup: s, read: reads.paced(always), update: updates.paced(always)}
	there, err := i.list(ctx)
	if err != nil {
		return Made{}, errorOf("", cfg.Scope, fmt.Errorf("listing sets: %w", err))
	}
	var made Made
	make := func(kind SetKind, name string) string {
		if err != nil {
			return ""
		}
		arn, found := there[string(kind)+" "+name]
		if found {
			made.Existed++
			err = i.mine(ctx, name, arn)
		} else {
			arn, err = i.create(ctx, kind, name)
		}
		return arn
	}
	for n := range max(1, s.NameSets) {
		name := s.Prefix + "-names"
		if n > 0 {
			name = fmt.Sprintf("%s-%d", name, n+1)
		}
		made.Names = append(made.Names, make(SetNames, name))
	}
	made.IPv4 = make(SetIPv4, s.Prefix+"-clients-v4")
	made.IPv6 = make(SetIPv6, s.Prefix+"-clients-v6")
	if err != nil {
		return made, err
	}
	made.Rules = s.rules(made)
	out, err := api.CheckCapacity(ctx, &wafv2.CheckCapacityInput{Scope: i.scope, Rules: made.Rules})
	if err != nil {
		return made, fmt.Errorf("the sets are made; their rules' capacity is not known: %w", err)
	}
	made.Capacity = out.Capacity
	return made, nil
}

type initialiser struct {
	api          SetupAPI
	scope        types.Scope
	setup        Setup
	read, update func(*wafv2.Options)
}

// list finds the sets there are, by kind and name, over all pages.
func (i initialiser) list(ctx context.Context) (map[string]string, error) {
	all := map[string]string{}
	for marker, more := (*string)(nil), true; more; {
		out, err := i.api.ListRegexPatternSets(ctx, &wafv2.ListRegexPatternSetsInput{Scope: i.scope, NextMarker: marker}, i.read)
		if err != nil {
			return nil, err
		}
		for _, s := range out.RegexPatternSets {
			all[string(SetNames)+" "+aws.ToString(s.Name)] = aws.ToString(s.ARN)
		}
		marker, more = out.NextMarker, aws.ToString(out.NextMarker) != "" && len(out.RegexPatternSets) > 0
	}
	for marker, more := (*string)(nil), true; more; {
		out, err := i.api.ListIPSets(ctx, &wafv2.ListIPSetsInput{Scope: i.scope, NextMarker: marker}, i.read)
		if err != nil {
			return nil, err
		}
		for _, s := range out.IPSets { // names are distinct over both families
			all[string(SetIPv4)+" "+aws.ToString(s.Name)] = aws.ToString(s.ARN)
			all[string(SetIPv6)+" "+aws.ToString(s.Name)] = aws.ToString(s.ARN)
		}
		marker, more = out.NextMarker, aws.ToString(out.NextMarker) != "" && len(out.IPSets) > 0
	}
	return all, nil
}

// mine refuses a set that is not tagged for this owner.
func (i initialiser) mine(ctx context.Context, name, arn string) error {
	owner, err := ownerOf(ctx, i.api, arn, i.read)
	if err != nil {
		return fmt.Errorf("the tags of the set %s: %w", name, err)
	}
	if owner != i.setup.Owner {
		return fmt.Errorf("a set %s exists and is tagged %s=%q, not %q: choose another --prefix, or waf.owner %s if it is yours",
			name, ownerTag, owner, i.setup.Owner, cmp.Or(owner, "…"))
	}
	return nil
}

func (i initialiser) create(ctx context.Context, kind SetKind, name string) (arn string, err error) {
	tags := []types.Tag{{Key: aws.String(ownerTag), Value: &i.setup.Owner}}
	description := aws.String("Filled by Referee. Changes made by hand are undone.")
	fail := func(err error) error {
		return errorOf(kind, string(i.scope), fmt.Errorf("creating %s: %w", name, err))
	}
	if kind == SetNames {
		out, err := i.api.CreateRegexPatternSet(ctx, &wafv2.CreateRegexPatternSetInput{
			Name: &name, Scope: i.scope, Description: description, Tags: tags, RegularExpressionList: []types.Regex{},
		}, i.update)
		if err != nil {
			return "", fail(err)
		}
		return aws.ToString(out.Summary.ARN), nil
	}
	version := types.IPAddressVersionIpv4
	if kind == SetIPv6 {
		version = types.IPAddressVersionIpv6
	}
	out, err := i.api.CreateIPSet(ctx, &wafv2.CreateIPSetInput{
		Name: &name, Scope: i.scope, Description: description, Tags: tags, IPAddressVersion: version, Addresses: []string{},
	}, i.update)
	if err != nil {
		return "", fail(err)
	}
	return aws.ToString(out.Summary.ARN), nil
}

// rules are one over the clients and one over the names. Behind CloudFront the last address of X-Forwarded-For counts: the
// first is whatever the client wrote there.
func (s Setup) rules(m Made) []types.Rule {
	var forwarded *types.IPSetForwardedIPConfig
	if s.Forwarded {
		forwarded = &types.IPSetForwardedIPConfig{
			HeaderName: aws.String("X-Forwarded-For"), Position: types.ForwardedIPPositionLast, FallbackBehavior: types.FallbackBehaviorNoMatch,
		}
	}
	var clients, names []types.Statement
	for _, arn := range []string{m.IPv4, m.IPv6} {
		clients = append(clients, types.Statement{IPSetReferenceStatement: &types.IPSetReferenceStatement{ARN: &arn, IPSetForwardedIPConfig: forwarded}})
	}
	for _, arn := range m.Names {
		names = append(names, types.Statement{RegexPatternSetReferenceStatement: &types.RegexPatternSetReferenceStatement{
			ARN: &arn, FieldToMatch: &types.FieldToMatch{SingleHeader: &types.SingleHeader{Name: aws.String("referer")}},
			TextTransformations: []types.TextTransformation{{Priority: 0, Type: types.TextTransformationTypeLowercase}},
		}})
	}
	rule := func(what string, n int, any []types.Statement) types.Rule {
		statement := &any[0]
		if len(any) > 1 {
			statement = &types.Statement{OrStatement: &types.OrStatement{Statements: any}}
		}
		name := s.Prefix + "-" + what
		return types.Rule{
			Name: &name, Priority: int32(s.Priority + n), Statement: statement, Action: s.action(),
			RuleLabels:       []types.Label{{Name: aws.String("referee:" + what)}},
			VisibilityConfig: &types.VisibilityConfig{SampledRequestsEnabled: true, CloudWatchMetricsEnabled: true, MetricName: &name},
		}
	}
	return []types.Rule{rule("client", 0, clients), rule("name", 1, names)}
}

func (s Setup) action() *types.RuleAction {
	switch s.Action {
	case "block":
		return &types.RuleAction{Block: &types.BlockAction{}}
	case "captcha":
		return &types.RuleAction{Captcha: &types.CaptchaAction{}}
	case "challenge":
		return &types.RuleAction{Challenge: &types.ChallengeAction{}}
	}
	return &types.RuleAction{Count: &types.CountAction{}}
}

// RulesJSON writes rules as a web ACL takes them: what is unset is left out.
func RulesJSON(rules []types.Rule) ([]byte, error) {
	text, err := json.Marshal(rules)
	if err != nil {
		return nil, err
	}
	var tree any
	if err := json.Unmarshal(text, &tree); err != nil {
		return nil, err
	}
	return json.MarshalIndent(prune(tree), "", "  ")
}

// prune takes the nulls out, which the SDK's types have one of for each thing that a rule is not.
func prune(tree any) any {
	switch tree := tree.(type) {
	case map[string]any:
		for k, v := range tree {
			if v == nil {
				delete(tree, k)
			} else {
				tree[k] = prune(v)
			}
		}
	case []any:
		for i := range tree {
			tree[i] = prune(tree[i])
		}
	}
	return tree
}

// Policy is the least IAM policy that a configuration needs: to read and, for a writer, to update its own sets; and to
// publish to a topic of alerts, unless that is "". With NAME/ID in place of ARNs, account and Region are not known, and stand
// as *.
func (c Config) Policy(topic string) ([]byte, error) {
	type statement struct {
		Sid      string
		Effect   string
		Action   []string
		Resource []string
	}
	where := "regional"
	region, err := c.region()
	if err != nil {
		return nil, err
	}
	if c.Scope == "CLOUDFRONT" {
		where = "global"
	}
	arn := func(kind SetKind, value string, r ref) string {
		if strings.HasPrefix(value, "arn:") {
			return value
		}
		what := "ipset"
		if kind == SetNames {
			what = "regexpatternset"
		}
		return fmt.Sprintf("arn:aws:wafv2:%s:*:%s/%s/%s/%s", cmp.Or(r.region, region, "*"), where, what, r.name, r.id)
	}
	var statements []statement
	add := func(sid, noun string, kinds ...SetKind) error {
		s := statement{Sid: sid, Effect: "Allow", Action: []string{"wafv2:Get" + noun, "wafv2:Update" + noun, "wafv2:ListTagsForResource"}}
		if c.Mode == ModeShadow {
			s.Action = s.Action[:1]
		}
		for _, kind := range kinds {
			refs, err := c.refs(kind)
			if err != nil {
				return err
			}
			for n, r := range refs {
				value := map[SetKind]string{SetIPv4: c.IPv4Set, SetIPv6: c.IPv6Set}[kind]
				if kind == SetNames {
					value = c.NamesSet[n]
				}
				s.Resource = append(s.Resource, arn(kind, value, r))
			}
		}
		if len(s.Resource) > 0 {
			statements = append(statements, s)
		}
		return nil
	}
	if err := errors.Join(add("RefereeNames", "RegexPatternSet", SetNames), add("RefereeClients", "IPSet", SetIPv4, SetIPv6)); err != nil {
		return nil, err
	}
	if topic != "" {
		statements = append(statements, statement{"RefereeAlerts", "Allow", []string{"sns:Publish"}, []string{topic}})
	}
	if len(statements) == 0 {
		return nil, errors.New("no set is configured: set waf.names-set, waf.ipv4-set or waf.ipv6-set first; `referee waf init` makes them")
	}
	return json.MarshalIndent(struct {
		Version   string
		Statement []statement
	}{"2012-10-17", statements}, "", "  ")
}
