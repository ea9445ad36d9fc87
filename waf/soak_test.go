package waf

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"referee/policy"
	"referee/waf/waftest"

	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

var soakDays = flag.Int("soak.days", 1, "how many days the soak lasts, of 6,667 hits each: 30 for the whole")

// TestSoak runs days of traffic through kills, faults and other writers in compressed time, and holds the sets against a
// naive oracle: the list of hits, and the list of what others put there.
func TestSoak(t *testing.T) {
	credentialsFromEnvironment(t)
	benign := append([]string{"google.com", "example.org", "wikipedia.org", "bbc.co.uk", "kernel.org", "debian.org"}, benignNames(t)...)
	synctest.Test(t, func(t *testing.T) {
		s := newSoak(t, benign)
		for day := range *soakDays {
			s.day(day)
		}
		s.report()
	})
}

// benignNames are some thousands of real ones where the corpora are at hand: popular ones, those of the long tail, and
// kinds that look generated.
func benignNames(t *testing.T) (names []string) {
	t.Helper()
	for file, most := range map[string]int{
		"benign_stable_multi_year": 2000, "benign_tranco_2026-08_sample": 1000, "benign_tail_com_net_org": 500, "hard_consonant_or_digit_mix": 300,
		"hard_chinese_numeric": 200, "hard_adtech": 200, "hard_cdn_cloud_fullhost": 100, "hard_idn_punycode": 100,
	} {
		if _, err := os.Stat("../../shared/corpora/dev/" + file + ".tsv.gz"); err != nil {
			t.Log("without the corpora the check of benign names is a short one: ", err)
			return nil
		}
		all := column(t, "dev/"+file+".tsv.gz")
		for i := range min(most, len(all)) {
			names = append(names, all[i*len(all)/min(most, len(all))])
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

const (
	soakTick = 10 * time.Minute
	soakHits = 6667 // a day: 200,000 in 30
)

type soak struct {
	*testing.T
	rand    *rand.Rand
	server  *waftest.Server
	client  *wafv2.Client
	cfg     Config
	journal *soakJournal
	updater *Updater
	life    *life

	faults  float64 // share of calls that end in one
	hits    []policy.Hit
	exempt  map[string]bool
	foreign map[string][]string // by set
	gone    []string            // names that were blocked once
	ticked  time.Time           // when the newest tick began: what expired since is not for it to know
	benign  []string
	n       struct{ hits, ticks, failed, faults, kills, foreign, throttled, benign int }
}

// soakJournal keeps the lists of the newest generations alone.
type soakJournal struct{ *memory }

func (j soakJournal) Propose(ctx context.Context, g Generation) (int64, error) {
	id, err := j.memory.Propose(ctx, g)
	if old := len(j.generations) - 12; old >= 0 {
		j.generations[old].Before, j.generations[old].Entries, j.generations[old].After = nil, nil, nil
	}
	return id, err
}

// life is one process: it dies after some calls of any kind, and then nothing that it does arrives anywhere.
type life struct {
	API
	Journal
	soak *soak
	left int // calls until it dies; negative: it does not
}

var errKilled = errors.New("killed")

// next says whether a call is carried out and whether its answer is heard.
func (l *life) next() (done, heard bool) {
	switch l.left--; {
	case l.left == 0: // in the middle of it
		return l.soak.rand.IntN(2) == 0, false
	case l.left < 0 && l.left > -1e6:
		return false, false
	}
	return true, true
}

func call[T any](l *life, f func() (T, error)) (out T, err error) {
	done, heard := l.next()
	if done {
		out, err = f()
	}
	if !heard {
		return *new(T), errKilled
	}
	return out, err
}

func (l *life) GetIPSet(ctx context.Context, in *wafv2.GetIPSetInput, o ...func(*wafv2.Options)) (*wafv2.GetIPSetOutput, error) {
	return call(l, func() (*wafv2.GetIPSetOutput, error) { return l.API.GetIPSet(ctx, in, o...) })
}

func (l *life) GetRegexPatternSet(ctx context.Context, in *wafv2.GetRegexPatternSetInput, o ...func(*wafv2.Options)) (*wafv2.GetRegexPatternSetOutput, error) {
	return call(l, func() (*wafv2.GetRegexPatternSetOutput, error) { return l.API.GetRegexPatternSet(ctx, in, o...) })
}

func (l *life) UpdateIPSet(ctx context.Context, in *wafv2.UpdateIPSetInput, o ...func(*wafv2.Options)) (*wafv2.UpdateIPSetOutput, error) {
	kind := SetIPv4
	if strings.HasPrefix(*in.Name, "v6") {
		kind = SetIPv6
	}
	l.soak.journaled(kind, in.Addresses)
	return call(l, func() (*wafv2.UpdateIPSetOutput, error) { return l.API.UpdateIPSet(ctx, in, o...) })
}

func (l *life) UpdateRegexPatternSet(ctx context.Context, in *wafv2.UpdateRegexPatternSetInput, o ...func(*wafv2.Options)) (*wafv2.UpdateRegexPatternSetOutput, error) {
	var items []string
	for _, p := range in.RegularExpressionList {
		items = append(items, *p.RegexString)
	}
	l.soak.journaled(SetNames, items)
	return call(l, func() (*wafv2.UpdateRegexPatternSetOutput, error) { return l.API.UpdateRegexPatternSet(ctx, in, o...) })
}

func (l *life) Propose(ctx context.Context, g Generation) (int64, error) {
	return call(l, func() (int64, error) { return l.Journal.Propose(ctx, g) })
}

func (l *life) Settle(ctx context.Context, id int64, out Outcome, message string) error {
	_, err := call(l, func() (int, error) { return 0, l.Journal.Settle(ctx, id, out, message) })
	return err
}

// journaled fails unless what is about to be sent is in a generation of the journal.
func (s *soak) journaled(kind SetKind, items []string) {
	for _, g := range slices.Backward(s.journal.generations) {
		if g.Set == kind && g.Outcome == Planned {
			missing := slices.DeleteFunc(slices.Clone(items), func(item string) bool { return slices.Contains(g.After, item) })
			if len(missing) == 0 {
				return
			}
		}
	}
	s.Errorf("%s: %d items are sent that no planned generation has", kind, len(items))
}

// inProcess carries requests to the endpoint without a socket, so that time can be compressed.
type inProcess struct{ http.Handler }

func (h inProcess) Do(r *http.Request) (resp *http.Response, err error) {
	defer func() {
		if recover() != nil { // the endpoint cuts a connection so
			resp, err = nil, syscall.ECONNRESET
		}
	}()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result(), nil
}

func newSoak(t *testing.T, benign []string) *soak {
	s := &soak{
		T: t, rand: rand.New(rand.NewPCG(4, 2)), journal: &soakJournal{&memory{}}, exempt: map[string]bool{},
		foreign: map[string][]string{}, benign: benign, faults: 0.2,
	}
	s.server = waftest.New(waftest.WithClock(time.Now), waftest.WithFaults(s.fault)) // with AWS's throttling
	s.cfg = Config{
		Mode: ModeEnforce, Writer: true, Scope: "REGIONAL", Region: "us-east-1", Endpoint: "http://waf.test", Interval: soakTick,
		SharedSets: true, MaxAdds: 1000, Branches: 8,
	}
	for i := range 3 {
		set, err := s.server.CreateRegexPatternSet(fmt.Sprintf("names%d", i))
		must(t, err)
		s.cfg.NamesSet = append(s.cfg.NamesSet, set.ARN)
	}
	four, err := s.server.CreateIPSet("v4", "IPV4")
	must(t, err)
	six, err := s.server.CreateIPSet("v6", "IPV6")
	must(t, err)
	s.cfg.IPv4Set, s.cfg.IPv6Set = four.ARN, six.ARN
	client, err := NewAPI(t.Context(), s.cfg)
	must(t, err)
	s.client = wafv2.New(client.Options(), func(o *wafv2.Options) { o.HTTPClient = inProcess{s.server} })
	s.start(-1)
	return s
}

// start is a new process, to die after so many calls.
func (s *soak) start(calls int) {
	if calls < 0 {
		calls = -1e6
	}
	s.life = &life{API: s.client, Journal: s.journal, soak: s, left: calls}
	u, err := New(s.cfg, s.life, s.life, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	must(s, err)
	s.updater = u
}

// fault spoils a share of the calls, and lets another writer in before some.
func (s *soak) fault(c waftest.Call) waftest.Fault {
	if s.rand.Float64() < 0.1 {
		s.otherWriter()
	}
	if s.rand.Float64() >= s.faults {
		return waftest.Fault{}
	}
	s.n.faults++
	return []waftest.Fault{
		{Code: "ThrottlingException"},
		{Code: "WAFInternalErrorException"},
		{Code: "WAFUnavailableEntityException"},
		{Lost: true},
		{Reset: true},
		{Delay: 3 * time.Second},
		{Delay: 30 * time.Second, Lost: true},
	}[s.rand.IntN(7)]
}

// otherWriter adds an entry of one of three others to a set, or takes one of theirs out, beside what else is there.
func (s *soak) otherWriter() {
	writer := s.rand.IntN(3)
	set := []string{"names0", "v4", "v6"}[s.rand.IntN(3)]
	value := map[string]string{
		"names0": fmt.Sprintf("^foreign%d\\.(?:a|b)$", writer),
		"v4":     fmt.Sprintf("203.0.113.%d/32", writer*50+s.rand.IntN(50)),
		"v6":     fmt.Sprintf("2a00:0000:0000:%04x:0000:0000:0000:0000/64", writer*50+s.rand.IntN(50)),
	}[set]
	items := slices.DeleteFunc(s.server.Items(set), func(item string) bool { return item == value })
	mine := slices.DeleteFunc(s.foreign[set], func(item string) bool { return item == value })
	if s.rand.IntN(2) == 0 && (set != "names0" || len(items) < maxPatterns) {
		items, mine = append(items, value), append(mine, value)
	}
	must(s, s.server.Replace(set, compact(items)...))
	s.foreign[set] = mine
	s.n.foreign++
}

// compact writes addresses as they are sent.
func compact(items []string) []string {
	out := make([]string, len(items))
	for i, item := range items {
		out[i] = canonical(item)
	}
	return out
}

func (s *soak) day(day int) {
	perTick := soakHits / int(24*time.Hour/soakTick)
	kill := map[int]bool{}
	for range 2 { // 60 in 30 days
		kill[s.rand.IntN(int(24*time.Hour/soakTick))] = true
	}
	for tick := range int(24 * time.Hour / soakTick) {
		for range perTick + min(1, max(0, soakHits%144-tick)) {
			s.hit()
		}
		if kill[tick] {
			s.start(1 + s.rand.IntN(25))
			s.n.kills++
		}
		s.tick()
		time.Sleep(soakTick) //nolint:forbidigo // of a compressed clock
	}
	faults := s.faults
	s.faults = 0
	s.start(-1)
	for range 4 { // the day's backlog, past any other writer in between
		s.tick()
		time.Sleep(soakTick) //nolint:forbidigo // of a compressed clock
	}
	s.tick()
	s.compare(day)
	s.faults = faults
}

// hit is a new one: mostly a client for some hours, now and then a name.
func (s *soak) hit() {
	s.n.hits++
	now := time.Now()
	h := policy.Hit{
		Kind: policy.KindClient, Rank: float64(s.rand.IntN(100)), Last: now, Model: "m", Config: "c",
		Expires: now.Add(time.Hour + time.Duration(s.rand.IntN(120))*time.Minute),
	}
	n := s.n.hits
	switch s.rand.IntN(30) {
	case 0:
		h.Kind, h.Domain = policy.KindName, fmt.Sprintf("k%dq%dv9z.%s", s.rand.IntN(1e6), n, []string{"com", "net", "co.uk"}[n%3])
		s.gone = append(s.gone, h.Domain)
	case 1, 2, 3, 4, 5:
		h.Client = netip.PrefixFrom(netip.AddrFrom16([16]byte{0x2a, 2, 0x12, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}), 64).Masked()
	default:
		h.Client = netip.PrefixFrom(netip.AddrFrom4([4]byte{81, byte(n >> 16), byte(n >> 8), byte(n)}), 32)
	}
	s.hits = append(s.hits, h)
	if s.rand.IntN(200) == 0 {
		s.exempt[s.hits[s.rand.IntN(len(s.hits))].Key()] = true
	}
}

func (s *soak) tick() {
	s.n.ticks++
	now := time.Now()
	s.ticked = now
	s.hits = slices.DeleteFunc(s.hits, func(h policy.Hit) bool { return now.Sub(h.Expires) > time.Hour })
	ctx, cancel := context.WithTimeout(s.Context(), 5*time.Minute)
	defer cancel()
	_, err := s.updater.RunOnce(ctx, s.hits, func(h policy.Hit) bool { return s.exempt[h.Key()] }, now)
	if err != nil {
		s.n.failed++
	}
	if s.life.left < 0 && s.life.left > -1e6 {
		s.start(-1)
	}
	s.noneIsBlocked(benignPerTick)
}

// benignPerTick names are looked up at each tick, one after the other, and all of them at the end of each day.
const benignPerTick = 40

func (s *soak) noneIsBlocked(n int) {
	s.Helper()
	for range n {
		name := s.benign[s.n.benign%len(s.benign)]
		s.n.benign++
		for _, referer := range []string{"https://" + name + "/", "https://www." + name + "/?u=https://" + s.lastName() + "/"} {
			if sets := s.server.Match(waftest.Request{Referer: referer, Client: netip.MustParseAddr("91.198.174.192")}); len(sets) > 0 {
				s.Fatalf("%s is blocked by %q", referer, sets)
			}
		}
	}
}

func (s *soak) lastName() string {
	if len(s.gone) == 0 {
		return "none.com"
	}
	return s.gone[len(s.gone)-1]
}

// compare holds the sets against the oracle, which knows nothing of plans: what is wanted, and what others put there.
func (s *soak) compare(day int) {
	s.Helper()
	s.noneIsBlocked(len(s.benign))
	want := map[string][]string{"v4": slices.Clone(s.foreign["v4"]), "v6": slices.Clone(s.foreign["v6"])}
	active := map[string]bool{}
	for _, h := range s.hits {
		switch {
		case !s.ticked.Before(h.Expires) || s.exempt[h.Key()]:
		case h.Kind == policy.KindName:
			active[h.Domain] = true
		case h.Client.Addr().Is4():
			want["v4"] = append(want["v4"], h.Client.String())
		default:
			want["v6"] = append(want["v6"], h.Client.String())
		}
	}
	for set, items := range want {
		got, want := compact(s.server.Items(set)), compact(items)
		slices.Sort(got)
		if slices.Sort(want); !slices.Equal(got, want) {
			s.Fatalf("day %d: %s holds %d, want %d:\n%s", day, set, len(got), len(want), cmp.Diff(want, got))
		}
	}
	blocked := func(name string) bool {
		return len(s.server.Match(waftest.Request{Referer: "https://www." + name + ":443/x"})) > 0
	}
	for name := range active {
		if !blocked(name) {
			s.Fatalf("day %d: %s is a hit and not blocked", day, name)
		}
	}
	for _, name := range s.gone[max(0, len(s.gone)-3000):] {
		if !active[name] && blocked(name) {
			s.Fatalf("day %d: %s is blocked and no hit", day, name)
		}
	}
	for _, item := range s.foreign["names0"] {
		if !slices.Contains(s.server.Items("names0"), item) {
			s.Fatalf("day %d: a foreign pattern is gone", day)
		}
	}
}

// report checks the journal and the pace of all days.
func (s *soak) report() {
	for i, g := range s.journal.generations {
		if g.ID != int64(i+1) || g.Outcome == Planned && i < len(s.journal.generations)-12 {
			s.Errorf("generation %d is %s", g.ID, g.Outcome)
		}
	}
	byAction := map[string][]time.Time{}
	calls := s.server.Calls()
	for _, c := range calls {
		byAction[c.Action] = append(byAction[c.Action], c.Time)
	}
	for action, times := range byAction {
		most := 5
		if strings.HasPrefix(action, "Update") {
			most = 1
		}
		for i := most; i < len(times); i++ {
			if times[i].Sub(times[i-most]) < time.Second {
				s.n.throttled++
			}
		}
	}
	if s.n.throttled > 0 {
		s.Errorf("%d calls broke AWS's pace", s.n.throttled)
	}
	s.Logf("%d days: %d hits, %d ticks (%d with an error), %d calls, %d faults, %d kills, %d writes of others, %d generations, %d look-ups of %d benign names",
		*soakDays, s.n.hits, s.n.ticks, s.n.failed, len(calls), s.n.faults, s.n.kills, s.n.foreign, len(s.journal.generations),
		s.n.benign, len(s.benign))
}
