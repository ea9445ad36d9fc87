//go:build linux

package main

import (
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"slices"

	"golang.org/x/sys/unix"

	"referee/classifier"
	"referee/features"
)

// cases are the rows, in the order of the table.
var cases = []struct {
	key     string
	measure func(*bench) ([]Row, error)
}{
	{"check", (*bench).check},
	{"new", (*bench).unseen},
	{"proxy", (*bench).proxy},
	{"latency", (*bench).latency},
	{"memory", (*bench).memory},
	{"flood", (*bench).flood},
}

func rowKeys() []string {
	var keys []string
	for _, c := range cases {
		keys = append(keys, c.key)
	}
	return keys
}

func (b *bench) measure() ([]Row, error) {
	var all []Row
	for _, c := range cases {
		if !slices.Contains(b.Rows, c.key) {
			continue
		}
		rows, err := c.measure(b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.key, err)
		}
		all = append(all, rows...)
	}
	return all, nil
}

func (b *bench) check() ([]Row, error) {
	hello, err := b.startYardstick(b.serving, "hello")
	if err != nil {
		return nil, err
	}
	defer hello.stop()
	plain, err := b.startYardstick(b.serving, "lookup")
	if err != nil {
		return nil, err
	}
	defer plain.stop()
	referee, err := b.startReferee("")
	if err != nil {
		return nil, err
	}
	defer referee.stop()
	crowded, err := b.startReferee("")
	if err != nil {
		return nil, err
	}
	defer crowded.stop()
	h := &contestant{name: "fasthttp hello", server: hello, next: looped(usual(checkTarget, fewClients), loopOf)}
	l := &contestant{name: "fasthttp + PSL + LRU", server: plain, next: looped(usual(checkTarget, fewClients), loopOf)}
	r := &contestant{name: "referee", server: referee, next: looped(usual(checkTarget, fewClients), loopOf)}
	m := &contestant{name: "referee", server: crowded, next: looped(usual(checkTarget, manyClients), loopOf)}
	if err := b.inTurns("check", []*contestant{h, l, r, m}, nothing); err != nil {
		return nil, err
	}
	flagged, err := flaggedShare(referee, b)
	if err != nil {
		return nil, err
	}
	few := b.atMost(fmt.Sprintf("/v1/check, cached names, %d clients", fewClients), "1.25 × fasthttp hello", 1.25, ratios(r.perCall, h.perCall, nil))
	few.figures(h, l, r)
	few.Notes = []string{
		fmt.Sprintf("fasthttp + PSL + LRU: %.2f × hello", median(ratios(l.perCall, h.perCall, nil))),
		fmt.Sprintf("%d names; %.1f %% of the requests flagged", usualNames, 100*flagged),
	}
	many := b.atMost(fmt.Sprintf("… %d clients", manyClients), few.Must, 1.25, ratios(m.perCall, h.perCall, nil))
	many.figures(h, m)
	many.Notes = []string{"with evidence of each client that was seen in the ledger's journal, each second"}
	return []Row{few, many}, nil
}

const checkTarget = "/v1/check"

func nothing() error { return nil }

func (b *bench) unseen() ([]Row, error) {
	hello, err := b.startYardstick(b.serving, "hello")
	if err != nil {
		return nil, err
	}
	defer hello.stop()
	scoring, err := b.startYardstick(b.serving, "model")
	if err != nil {
		return nil, err
	}
	defer scoring.stop()
	referee, err := b.startReferee("")
	if err != nil {
		return nil, err
	}
	defer referee.stop()
	h := &contestant{name: "fasthttp hello", server: hello, next: unseen(checkTarget, fewClients).next}
	s := &contestant{name: "fasthttp hello + the model", server: scoring, next: unseen(checkTarget, fewClients).next}
	r := &contestant{name: "referee", server: referee, next: unseen(checkTarget, fewClients).next}
	m, err := classifier.Default()
	if err != nil {
		return nil, err
	}
	names := unseen(checkTarget, fewClients)
	var alone []float64
	if err := b.inTurns("new", []*contestant{h, s, r}, func() error {
		each, err := b.scoreAlone(m, names)
		alone = append(alone, each)
		return err
	}); err != nil {
		return nil, err
	}
	alone = alone[1:]
	flagged, err := flaggedShare(referee, b)
	if err != nil {
		return nil, err
	}
	row := b.atMost("/v1/check, every name new", "1.25 × fasthttp hello, beside the model's time", 1.25, ratios(r.perCall, h.perCall, alone))
	row.figures(h, s, r)
	row.Figures = append(row.Figures, Figure{"the model's time", median(alone) / 1e3, "µs"})
	row.Notes = append(row.Notes,
		fmt.Sprintf("beside the model's time within a server: %.2f ×", median(ratios(r.perCall, s.perCall, nil))),
		fmt.Sprintf("%.1f %% of the requests flagged", 100*flagged))
	return []Row{row}, nil
}

// scoreAlone is the processor time in nanoseconds that the model takes for a name on the servers' core, with nothing between.
func (b *bench) scoreAlone(m *classifier.Model, t *traffic) (each float64, err error) {
	const n = 20_000
	names := make([]features.Name, n)
	var p features.Parser
	for i := range names {
		name, reason := p.Bare([]byte(t.name()))
		if reason != features.Named {
			return 0, errors.New("a made name is none")
		}
		names[i] = name.Clone()
	}
	runtime.GC() // not in between
	err = onCore(b.serving, func() error {
		before, err := clock(unix.CLOCK_THREAD_CPUTIME_ID)
		if err != nil {
			return err
		}
		for _, name := range names {
			m.Judge(name)
		}
		after, err := clock(unix.CLOCK_THREAD_CPUTIME_ID)
		each = float64(after-before) / n
		return err
	})
	return each, err
}

// flaggedShare of all requests that a sidecar has judged.
func flaggedShare(p *process, b *bench) (float64, error) {
	m, err := p.metrics(b)
	if err != nil {
		return 0, err
	}
	all := 0.0
	for _, verdict := range []string{"invalid", "benign", "dga", "abstain", "exempt"} {
		all += m[`referee_requests_total{intake="check",verdict="`+verdict+`"}`]
	}
	return m[`referee_requests_total{intake="check",verdict="dga"}`] / max(all, 1), nil
}

// nginxMissing says that there is no nginx, "" where there is one.
func (b *bench) nginxMissing() string {
	if _, err := exec.LookPath(b.Nginx); err != nil {
		return fmt.Sprintf("skipped: %s is not installed", b.Nginx)
	}
	return ""
}

// inline is what stands in front of the application, each the same for it.
type inline struct {
	application, bare, referee *process
	// nginx proxies, asking asks the sidecar asked besides; nil where there is no nginx.
	nginx, asking, asked *process
}

func (b *bench) startInline() (_ *inline, stop func(), err error) {
	var all []*process
	stop = func() {
		for _, p := range all {
			p.stop()
		}
	}
	started := func(p *process, failed error) *process {
		if failed != nil {
			err = errors.Join(err, failed)
			return &process{}
		}
		all = append(all, p)
		return p
	}
	i := &inline{application: started(b.startYardstick(b.loading, "hello"))}
	if err == nil {
		i.bare = started(b.startYardstick(b.serving, "proxy", i.application.addr))
		i.referee = started(b.startReferee(i.application.addr))
	}
	if err == nil && b.nginxMissing() == "" {
		if i.asked = started(b.startReferee("")); err == nil {
			i.nginx = started(b.startNginx(i.application.addr, i.asked.addr))
			i.asking = started(b.startNginx(i.application.addr, i.asked.addr))
		}
	}
	if err != nil {
		stop()
		return nil, nil, err
	}
	return i, stop, nil
}

func (b *bench) proxy() ([]Row, error) {
	i, stop, err := b.startInline()
	if err != nil {
		return nil, err
	}
	defer stop()
	bare := &contestant{name: "fasthttp HostClient proxy", server: i.bare, next: looped(usual("", fewClients), loopOf)}
	r := &contestant{name: "referee", server: i.referee.at("proxy"), next: looped(usual("", fewClients), loopOf)}
	all := []*contestant{bare, r}
	var plain, auth *contestant
	if i.nginx != nil {
		plain = &contestant{name: "nginx proxy_pass", server: i.nginx, next: looped(usual("", fewClients), loopOf)}
		auth = &contestant{name: "nginx proxy_pass + auth_request", server: i.asking.at("auth"), next: looped(usual("", fewClients), loopOf)}
		all = append(all, plain, auth)
	}
	if err := b.inTurns("proxy", slices.Clone(all), nothing); err != nil {
		return nil, err
	}
	beside := b.atMost("inline proxy", "1.1 × fasthttp HostClient proxy", 1.1, ratios(r.perCall, bare.perCall, nil))
	beside.figures(all...)
	against := Row{Case: "inline proxy", Must: "below nginx proxy_pass + auth_request", Result: b.nginxMissing()}
	if i.nginx != nil {
		against = b.atMost(against.Case, against.Must, 1, ratios(r.perCall, auth.perCall, nil))
		against.Notes = []string{"nginx's own processor time, without that of the sidecar that it asks"}
	}
	return []Row{beside, against}, nil
}

// latency measures what each proxy adds to the time of the application itself, at one rate for all: half of what the slowest of
// them can do.
func (b *bench) latency() ([]Row, error) {
	i, stop, err := b.startInline()
	if err != nil {
		return nil, err
	}
	defer stop()
	direct := &contestant{name: "the application alone", server: i.application, next: looped(usual("", fewClients), loopOf)}
	r := &contestant{name: "referee", server: i.referee.at("proxy"), next: looped(usual("", fewClients), loopOf)}
	bare := &contestant{name: "fasthttp HostClient proxy", server: i.bare, next: looped(usual("", fewClients), loopOf)}
	all := []*contestant{direct, r, bare}
	var plain *contestant
	if i.nginx != nil {
		plain = &contestant{name: "nginx proxy_pass", server: i.nginx, next: looped(usual("", fewClients), loopOf)}
		auth := &contestant{name: "nginx proxy_pass + auth_request", server: i.asking.at("auth"), next: looped(usual("", fewClients), loopOf)}
		all = append(all, plain, auth)
	}
	slowest := 0.0
	for _, c := range all[1:] {
		for range 2 { // the first warms up
			if _, err := b.window(c, load{lasts: b.Window}); err != nil {
				return nil, err
			}
		}
		if rate := c.rates[1]; slowest == 0 || rate < slowest {
			slowest = rate
		}
	}
	quantiles := []struct {
		name string
		q    float64
	}{{"p50", 0.5}, {"p99", 0.99}}
	added := map[*contestant][2][]float64{}
	order := slices.Clone(all)
	for round := range b.Pairs {
		fmt.Fprintf(b.log, "latency: round %d of %d\n", round+1, b.Pairs)
		var alone [2]float64
		for _, c := range order {
			o, err := b.window(c, load{lasts: b.Window, rate: slowest / 2})
			if err != nil {
				return nil, err
			}
			got := added[c]
			for k, quantileOf := range quantiles {
				took := float64(quantile(o.latencies, quantileOf.q))
				if c == direct {
					alone[k] = took
					got[k] = append(got[k], took)
				} else {
					got[k] = append(got[k], took-alone[k])
				}
			}
			added[c] = got
		}
		slices.Reverse(order[1:])
	}
	var rows []Row
	for k, of := range quantiles {
		row := Row{Case: "added latency inline, " + of.name, Must: "not above nginx proxy_pass", Result: b.nginxMissing(), Unit: "µs more"}
		if plain != nil {
			var more []float64
			for n := range added[r][k] {
				more = append(more, (added[r][k][n]-added[plain][k][n])/1e3)
			}
			row = b.atMost(row.Case, row.Must, 0, more)
			row.Unit = "µs more"
		}
		for _, c := range all {
			row.Figures = append(row.Figures, Figure{c.name, median(added[c][k]) / 1e3, "µs"})
		}
		row.Notes = []string{fmt.Sprintf("at %.0f requests a second, half of what the slowest can do, sent when they are due; those of the proxies without the application's own", slowest/2)}
		rows = append(rows, row)
	}
	return rows, nil
}
