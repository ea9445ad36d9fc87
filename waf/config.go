package waf

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Mode says what becomes of a plan.
type Mode string

const (
	ModeShadow  Mode = "shadow"  // it is journaled and shown: nothing is written to AWS
	ModeEnforce Mode = "enforce" // it is written
)

// Config is the waf section of the configuration.
type Config struct {
	// Mode is the sidecar's own key, "mode", and given by it. The zero Mode is shadow.
	Mode Mode `yaml:"-" kong:"-"`

	// Credentials replace those of the AWS environment, for an emulator that wants some and looks at none.
	Credentials aws.CredentialsProvider `yaml:"-" kong:"-"`

	Writer     bool          `yaml:"writer" default:"false" help:"Let this process write the sets in enforce mode: opt-in, because two writers with evidence of their own would undo each other's work."`
	Scope      string        `yaml:"scope" default:"REGIONAL" help:"REGIONAL for a web ACL on a load balancer, CLOUDFRONT for one on a distribution, because AWS keeps their sets apart."`
	Region     string        `yaml:"region" help:"Region of the sets; by default that of their ARNs, else what the AWS environment says."`
	Endpoint   string        `yaml:"endpoint" help:"Base URL of another WAFv2 endpoint, because emulators and VPC endpoints have addresses of their own."`
	NamesSet   SetList       `yaml:"names-set" placeholder:"NAME/ID" help:"Regex pattern sets for flagged names, 1 to 10, as NAME/ID or ARN: each holds about 80 names, and Referee owns what is in them."`
	IPv4Set    string        `yaml:"ipv4-set" name:"ipv4-set" placeholder:"NAME/ID" help:"IP set for flagged IPv4 clients, as NAME/ID or ARN: Referee owns what is in it."`
	IPv6Set    string        `yaml:"ipv6-set" name:"ipv6-set" placeholder:"NAME/ID" help:"IP set for flagged IPv6 clients, as NAME/ID or ARN: Referee owns what is in it."`
	Owner      string        `yaml:"owner" default:"referee" help:"Whose the sets are, as their tag referee:owner says: sets tagged for somebody else are not written, because two owners would undo each other's work. Sets without the tag, and shared ones, are anybody's."`
	Branches   int           `yaml:"branches" default:"8" help:"Alternation branches in a pattern, up to 10: AWS refuses a large number and does not say which, so 8 is on the safe side and 10 holds a tenth more names."`
	SharedSets bool          `yaml:"shared-sets" default:"false" help:"Keep entries of other writers in the sets for ever, for sets that several tools fill: then a lost ledger leaves Referee's own entries there too."`
	MaxAdds    int           `yaml:"max-adds" default:"1000" help:"Entries that may be added within an hour, over all sets, those of the highest rank first; 0 is no limit. Whatever goes wrong here goes wrong slowly."`
	MaxShare   float64       `yaml:"max-share" default:"0.005" help:"Share of the last hour's requests without a flagged Referer that may come from the clients to be blocked: above it, no client is added and an alert is raised. 0 is no limit."`
	Approve    string        `yaml:"approve" default:"auto" enum:"auto,manual" help:"manual adds nothing before referee waf approve; what stands leaves when it expires all the same."`
	Webhook    string        `yaml:"webhook" help:"Older name of alert.webhook, for configurations that have it; alert.webhook goes before it."`
	Batch      int           `yaml:"batch" default:"100" help:"New decisions that are worth a look at the sets before the interval is over."`
	Interval   time.Duration `yaml:"interval" default:"10s" help:"Time between two looks at the sets, because AWS allows one update a second to a whole account."`
}

// SetList is one set or several.
type SetList []string

// UnmarshalYAML takes a single value for a list of one.
func (l *SetList) UnmarshalYAML(unmarshal func(any) error) error {
	var one string
	if err := unmarshal(&one); err == nil {
		*l = SetList{one}
		return nil
	}
	return unmarshal((*[]string)(l))
}

// maxNameSets is AWS's quota of regex pattern sets in an account and Region (adjustable; limits.html).
const maxNameSets = 10

// defaultBranches is what the zero Config means, too.
const defaultBranches = 8

// globalRegion is the only one that knows scope CLOUDFRONT (docs.aws.amazon.com/waf/latest/APIReference, Scope).
const globalRegion = "us-east-1"

// Validate refuses what could never work, before any call.
func (c Config) Validate() error {
	var errs []error
	refuse := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	switch c.Mode {
	case "", ModeShadow, ModeEnforce:
	default:
		refuse("mode: %q is neither shadow nor enforce", c.Mode)
	}
	if c.Scope != "REGIONAL" && c.Scope != "CLOUDFRONT" {
		refuse("waf.scope: %q is neither REGIONAL nor CLOUDFRONT", c.Scope)
	}
	if c.Scope == "CLOUDFRONT" && c.Region != "" && c.Region != globalRegion {
		refuse("waf.region: %q cannot hold sets of scope CLOUDFRONT: leave it empty or set %s", c.Region, globalRegion)
	}
	if u, err := url.Parse(c.Endpoint); c.Endpoint != "" && (err != nil || u.Host == "" || !strings.HasPrefix(u.Scheme, "http")) {
		refuse("waf.endpoint: %q is not a URL such as https://host:port", c.Endpoint)
	}
	if c.Interval < time.Second {
		refuse("waf.interval: %v is too short: AWS allows one update a second, so 1s is the least", c.Interval)
	}
	if c.Branches != 0 && (c.Branches < 2 || c.Branches > maxBranches) {
		refuse("waf.branches: %d is not between 2 and %d; the default is 8", c.Branches, maxBranches)
	}
	switch c.Approve {
	case "", "auto", "manual":
	default:
		refuse("waf.approve: %q is neither auto nor manual", c.Approve)
	}
	if c.MaxAdds < 0 {
		refuse("waf.max-adds: %d is no number of entries; 0 is no limit", c.MaxAdds)
	}
	if !(c.MaxShare >= 0 && c.MaxShare <= 1) {
		refuse("waf.max-share: %v is not a share from 0 to 1; 0 is no limit", c.MaxShare)
	}
	if u, err := url.Parse(c.Webhook); c.Webhook != "" && (err != nil || u.Host == "" || !strings.HasPrefix(u.Scheme, "http")) {
		refuse("waf.webhook: it is not a URL such as https://hooks.slack.com/services/…") // not shown: it is a secret
	}
	if n := len(c.NamesSet); n > maxNameSets {
		refuse("waf.names-set: %d sets are more than the %d that AWS allows an account", n, maxNameSets)
	}
	seen := map[ref]string{}
	for _, kind := range kinds() {
		refs, err := c.refs(kind)
		if err != nil {
			errs = append(errs, err)
		}
		for _, r := range refs {
			if other := seen[r]; other != "" {
				refuse("%s: it is a set of %s already: give each its own", key(kind), other)
			}
			seen[r] = key(kind)
		}
	}
	if c.Mode == ModeEnforce && c.Writer && !c.Configured() {
		refuse("waf.writer: there is no set to write: set waf.names-set, waf.ipv4-set or waf.ipv6-set, or take writer out")
	}
	return errors.Join(errs...)
}

// Configured says whether any set is named, so that AWS is needed at all.
func (c Config) Configured() bool { return len(c.NamesSet) > 0 || c.IPv4Set != "" || c.IPv6Set != "" }

// ref names one set to the API.
type ref struct{ name, id, region string }

// kinds are all sets, in the order in which they are planned.
func kinds() []SetKind { return []SetKind{SetNames, SetIPv4, SetIPv6} }

func key(kind SetKind) string { return "waf." + string(kind) + "-set" }

// refs reads the key of a set; none when it is not configured.
func (c Config) refs(kind SetKind) ([]ref, error) {
	values := c.NamesSet
	if kind != SetNames {
		values = nil
		if v := map[SetKind]string{SetIPv4: c.IPv4Set, SetIPv6: c.IPv6Set}[kind]; v != "" {
			values = SetList{v}
		}
	}
	refs := make([]ref, 0, len(values))
	for _, v := range values {
		r, err := c.ref(kind, v)
		if err != nil {
			return nil, err
		}
		refs = append(refs, r)
	}
	return refs, nil
}

func (c Config) ref(kind SetKind, value string) (ref, error) {
	if strings.HasPrefix(value, "arn:") {
		return c.arn(kind, value)
	}
	name, id, ok := strings.Cut(value, "/")
	if !ok || name == "" || id == "" || strings.Contains(id, "/") {
		return ref{}, fmt.Errorf("%s: %q is neither NAME/ID nor an ARN: copy the ARN from the console, or NAME/ID from `aws wafv2 list-ip-sets` or `list-regex-pattern-sets`, or let `referee waf init` make it", key(kind), value)
	}
	return ref{name: name, id: id}, nil
}

// arn reads arn:aws:wafv2:REGION:ACCOUNT:regional|global/ipset|regexpatternset/NAME/ID.
func (c Config) arn(kind SetKind, value string) (ref, error) {
	refuse := func(why string, args ...any) (ref, error) {
		return ref{}, fmt.Errorf("%s: %q %s", key(kind), value, fmt.Sprintf(why, args...))
	}
	part := strings.SplitN(value, ":", 6)
	if len(part) != 6 || part[2] != "wafv2" || part[3] == "" {
		return refuse("is not the ARN of a WAFv2 set")
	}
	path := strings.Split(part[5], "/")
	if len(path) != 4 || path[2] == "" || path[3] == "" {
		return refuse("does not end in regional|global/ipset|regexpatternset/NAME/ID")
	}
	wantScope, wantType := "regional", "ipset"
	if c.Scope == "CLOUDFRONT" {
		wantScope = "global"
	}
	if kind == SetNames {
		wantType = "regexpatternset"
	}
	switch {
	case path[0] != wantScope:
		return refuse("is of scope %q, but waf.scope is %s", path[0], c.Scope)
	case path[1] != wantType:
		return refuse("is of type %q: a %s is needed here", path[1], wantType)
	case c.Region != "" && part[3] != c.Region:
		return refuse("is in Region %s, but waf.region is %s", part[3], c.Region)
	}
	return ref{name: path[2], id: path[3], region: part[3]}, nil
}

// region is the Region to call; empty means that the AWS environment decides.
func (c Config) region() (string, error) {
	if c.Scope == "CLOUDFRONT" {
		return globalRegion, nil
	}
	region := c.Region
	for _, kind := range kinds() {
		refs, err := c.refs(kind)
		if err != nil {
			return "", err
		}
		for _, r := range refs {
			if region != "" && r.region != "" && r.region != region {
				return "", fmt.Errorf("%s: it is in Region %s and another set in %s: all must be in one", key(kind), r.region, region)
			}
			region = cmp.Or(r.region, region)
		}
	}
	return region, nil
}
