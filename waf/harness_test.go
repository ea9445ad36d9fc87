package waf

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"referee/policy"
	"referee/waf/waftest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"
	"github.com/prometheus/client_golang/prometheus"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// in is a moment after the start of a test's history.
func in(d time.Duration) time.Time { return start.Add(d) }

func nameHit(domain string, rank float64, expires time.Duration) policy.Hit {
	return policy.Hit{
		Kind: policy.KindName, Domain: domain, Rank: rank, Expires: in(expires),
		Model: "0123456789ab", Config: "balanced", Last: start,
	}
}

func clientHit(prefix string, rank float64, expires time.Duration) policy.Hit {
	return policy.Hit{
		Kind: policy.KindClient, Client: netip.MustParsePrefix(prefix), Rank: rank, Expires: in(expires),
		Model: "0123456789ab", Config: "balanced", Last: start,
	}
}

// hitsOf are name hits for a day, in falling rank.
func hitsOf(domains ...string) []policy.Hit {
	hits := make([]policy.Hit, len(domains))
	for i, d := range domains {
		hits[i] = nameHit(d, float64(len(domains)-i), day)
	}
	return hits
}

// memory is a Journal that outlives an Updater, as the ledger does.
type memory struct {
	mu          sync.Mutex
	generations []Generation
	orders      []Order
	carried     map[int64]bool
	troubles    map[SetKind]*Trouble
	broken      error // what every call returns
	settling    error // what Settle returns
}

func (m *memory) Propose(_ context.Context, g Generation) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken != nil {
		return 0, m.broken
	}
	g.ID = int64(len(m.generations)) + 1
	m.generations = append(m.generations, g)
	return g.ID, nil
}

func (m *memory) Settle(_ context.Context, id int64, o Outcome, message string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken != nil || m.settling != nil {
		return errors.Join(m.broken, m.settling)
	}
	g := &m.generations[id-1]
	if g.Outcome != Planned {
		return fmt.Errorf("generation %d is %s already", id, g.Outcome)
	}
	g.Outcome, g.Error = o, message
	for i := range m.generations[:id-1] {
		if old := &m.generations[i]; old.Set == g.Set && old.Outcome == Planned && o != Planned {
			old.Outcome = Failed
		}
	}
	return nil
}

func (m *memory) Latest(context.Context) ([]Generation, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	latest := map[SetKind]Generation{}
	for _, g := range m.generations {
		if g.Outcome != Failed {
			latest[g.Set] = g
		}
	}
	var out []Generation
	for _, g := range latest {
		out = append(out, g)
	}
	return out, m.broken
}

func (m *memory) Added(_ context.Context, since time.Time) (n int, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, g := range m.generations {
		if g.Time.After(since) && (g.Outcome == Planned || g.Outcome == Written) {
			n += g.Adds
		}
	}
	return n, m.broken
}

func (m *memory) Orders(_ context.Context, now time.Time) (all []Order, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, o := range m.orders {
		if !m.carried[o.ID] && (o.Until.IsZero() || now.Before(o.Until)) {
			all = append(all, o)
		}
	}
	return all, m.broken
}

func (m *memory) Order(_ context.Context, o Order) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o.ID = int64(len(m.orders)) + 1
	m.orders = append(m.orders, o)
	return o.ID, m.broken
}

func (m *memory) Carried(_ context.Context, id int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.carried == nil {
		m.carried = map[int64]bool{}
	}
	m.carried[id] = true
	return m.broken
}

func (m *memory) Trouble(_ context.Context, kind SetKind, t *Trouble) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.troubles == nil {
		m.troubles = map[SetKind]*Trouble{}
	}
	m.troubles[kind] = t
	return m.broken
}

// outcomes lists how the generations of a set ended, in order.
func (m *memory) outcomes(kind SetKind) []Outcome {
	var out []Outcome
	for _, g := range m.generations {
		if g.Set == kind {
			out = append(out, g.Outcome)
		}
	}
	return out
}

// rig is an Updater with real sets behind the real SDK, at any WAFv2 endpoint.
type rig struct {
	*testing.T
	client  *wafv2.Client
	api     API // the client, or what a test puts before it
	cfg     Config
	journal *memory
	updater *Updater
}

// newRig makes the three sets at the endpoint, each with a description, and an Updater that does not wait for AWS's
// pace.
func newRig(t *testing.T, url string, edit ...func(*Config)) *rig {
	t.Helper()
	r := &rig{T: t, journal: &memory{}, cfg: Config{
		Mode: ModeEnforce, Writer: true, Scope: "REGIONAL", Region: "eu-west-1", Endpoint: url, Branches: 8, Interval: 10 * time.Second,
	}}
	for _, e := range edit {
		e(&r.cfg)
	}
	client, err := NewAPI(t.Context(), r.cfg)
	must(t, err)
	r.client, r.api = client, client

	suffix := strings.ToLower(rand.Text()) // moto keeps the sets of the tests before
	scope := types.Scope(r.cfg.Scope)
	names, err := client.CreateRegexPatternSet(t.Context(), &wafv2.CreateRegexPatternSetInput{
		Name: aws.String("names-" + suffix), Scope: scope, Description: aws.String("kept by Referee"),
		RegularExpressionList: []types.Regex{},
	})
	must(t, err)
	r.cfg.NamesSet = SetList{*names.Summary.Name + "/" + *names.Summary.Id}
	for _, family := range []struct {
		version types.IPAddressVersion
		key     *string
	}{{types.IPAddressVersionIpv4, &r.cfg.IPv4Set}, {types.IPAddressVersionIpv6, &r.cfg.IPv6Set}} {
		ips, err := client.CreateIPSet(t.Context(), &wafv2.CreateIPSetInput{
			Name: aws.String(string(family.version) + "-" + suffix), Scope: scope, IPAddressVersion: family.version,
			Description: aws.String("kept by Referee"), Addresses: []string{},
		})
		must(t, err)
		*family.key = *ips.Summary.ARN
	}
	r.restart()
	return r
}

// restart makes a new Updater, as a new process would: what it knows is the journal.
func (r *rig) restart() {
	r.Helper()
	u, err := New(r.cfg, r.api, r.journal, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	must(r, err)
	u.reads.gap = 0
	u.updates.gap = 0
	u.pause = time.Millisecond
	r.updater = u
}

func (r *rig) tick(now time.Time, hits ...policy.Hit) Plan {
	r.Helper()
	plan, err := r.updater.RunOnce(r.Context(), hits, nil, now)
	must(r, err)
	return plan
}

// fails runs a tick that must end in an error of this class.
func (r *rig) fails(class Class, now time.Time, hits ...policy.Hit) (Plan, *Error) {
	r.Helper()
	plan, err := r.updater.RunOnce(r.Context(), hits, nil, now)
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Class != class {
		r.Fatalf("got error %v, want one of class %s", err, class)
	}
	return plan, e
}

// before has f run before each update, as if another process came first.
func (r *rig) before(f func()) {
	r.api = racing{r.client, f}
	r.restart()
}

type racing struct {
	API
	before func()
}

func (a racing) UpdateIPSet(ctx context.Context, in *wafv2.UpdateIPSetInput, o ...func(*wafv2.Options)) (*wafv2.UpdateIPSetOutput, error) {
	a.before()
	return a.API.UpdateIPSet(ctx, in, o...)
}

func (a racing) UpdateRegexPatternSet(ctx context.Context, in *wafv2.UpdateRegexPatternSetInput, o ...func(*wafv2.Options)) (*wafv2.UpdateRegexPatternSetOutput, error) {
	a.before()
	return a.API.UpdateRegexPatternSet(ctx, in, o...)
}

// dead refuses every write as a process does that is no longer there: nothing arrives and nothing is known.
type dead struct{ API }

var errPowerCut = errors.New("power cut")

func (dead) UpdateIPSet(context.Context, *wafv2.UpdateIPSetInput, ...func(*wafv2.Options)) (*wafv2.UpdateIPSetOutput, error) {
	return nil, errPowerCut
}

func (dead) UpdateRegexPatternSet(context.Context, *wafv2.UpdateRegexPatternSetInput, ...func(*wafv2.Options)) (*wafv2.UpdateRegexPatternSetOutput, error) {
	return nil, errPowerCut
}

// ended fails unless the generations of a set ended so, in order.
func (r *rig) ended(kind SetKind, want ...Outcome) {
	r.Helper()
	if got := r.journal.outcomes(kind); !slices.Equal(got, want) {
		r.Errorf("generations of the %s set ended as %q, want %q", kind, got, want)
	}
}

func (r *rig) remotes(kind SetKind) (all remotes) {
	refs, err := r.cfg.refs(kind)
	must(r, err)
	for _, ref := range refs {
		all = append(all, remote{api: r.client, kind: kind, ref: ref, scope: types.Scope(r.cfg.Scope)})
	}
	return all
}

// remote is the first of them.
func (r *rig) remote(kind SetKind) remote { return r.remotes(kind)[0] }

// items reads the sets of a kind, past the Updater.
func (r *rig) items(kind SetKind) []string {
	r.Helper()
	got, err := r.remotes(kind).get(r.Context())
	must(r, err)
	slices.Sort(got.items)
	return got.items
}

// overwrite puts items into a set, as another writer would.
func (r *rig) overwrite(kind SetKind, items ...string) {
	r.Helper()
	was, err := r.remote(kind).get(r.Context())
	must(r, err)
	must(r, r.remote(kind).put(r.Context(), was, append([]string{}, items...)))
}

// moreNames makes n more sets for names.
func (r *rig) moreNames(n int) {
	r.Helper()
	for range n {
		made, err := r.client.CreateRegexPatternSet(r.Context(), &wafv2.CreateRegexPatternSetInput{
			Name: aws.String("more-" + strings.ToLower(rand.Text())), Scope: types.Scope(r.cfg.Scope), RegularExpressionList: []types.Regex{},
		})
		must(r, err)
		r.cfg.NamesSet = append(r.cfg.NamesSet, *made.Summary.Name+"/"+*made.Summary.Id)
	}
	r.restart()
}

func (r *rig) holds(kind SetKind, want ...string) {
	r.Helper()
	slices.Sort(want)
	if got := r.items(kind); !slices.Equal(got, want) {
		r.Errorf("the %s set holds %q, want %q", kind, got, want)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// credentialsFromEnvironment gives the SDK credentials that any emulator takes, and keeps it from looking elsewhere.
func credentialsFromEnvironment(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_CONFIG_FILE", t.TempDir()+"/none")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", t.TempDir()+"/none")
}

// serve starts an endpoint that never throttles, for tests about something else.
func serve(t *testing.T, options ...waftest.Option) *waftest.Server {
	t.Helper()
	limits := waftest.AWSLimits()
	limits.Updates, limits.Reads = 1000, 1000
	s := waftest.New(append([]waftest.Option{waftest.WithLimits(limits)}, options...)...)
	must(t, s.Start())
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

// fussy refuses updates that hold one address, in AWS's words.
type fussy struct {
	API
	bad string
}

func (a fussy) UpdateIPSet(ctx context.Context, in *wafv2.UpdateIPSetInput, o ...func(*wafv2.Options)) (*wafv2.UpdateIPSetOutput, error) {
	if slices.Contains(in.Addresses, a.bad) {
		reason := "The parameter contains formatting that is not valid."
		return nil, &types.WAFInvalidParameterException{
			Field: types.ParameterExceptionFieldIpAddress, Parameter: &a.bad, Reason: &reason,
			Message: aws.String("Error reason: " + reason + ", field: IP_ADDRESS, parameter: " + a.bad),
		}
	}
	return a.API.UpdateIPSet(ctx, in, o...)
}

// now is a clock that tests set.
type now struct {
	mu sync.Mutex
	at time.Time
}

func (n *now) now() time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.at
}

func (n *now) set(at time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.at = at
}
