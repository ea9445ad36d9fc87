package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"referee/evidence"
	"referee/ledger"
)

// ledgerCommand looks after the file that a sidecar keeps in its data directory, also while it runs.
type ledgerCommand struct {
	DataDir string `default:"referee-data" placeholder:"DIR" help:"where the sidecar's ledger lives"`

	Check  ledgerCheckCommand  `cmd:"" help:"Look for damage: every page, row and index of the file."`
	Verify ledgerVerifyCommand `cmd:"" help:"Look for decisions, orders and labels that were changed, removed, inserted or reordered."`
	Backup ledgerBackupCommand `cmd:"" help:"Write a whole copy of this moment's ledger to a new file."`
	Export ledgerExportCommand `cmd:"" help:"Print decisions, hours or active hits, one a line."`
	Forget ledgerForgetCommand `cmd:"" help:"Erase a client's address, and what was kept of its requests."`
}

func (c *ledgerCommand) reading(ctx context.Context) (*ledger.Ledger, error) {
	if c.DataDir == "" {
		return nil, errors.New("data-dir is empty: a ledger in memory cannot be looked at from outside")
	}
	return ledger.OpenReadOnly(ctx, c.DataDir)
}

type ledgerCheckCommand struct {
	Format string `default:"text" enum:"text,json" help:"text for a person, json for a program"`
}

func (k *ledgerCheckCommand) Run(ctx context.Context, std *streams, c *ledgerCommand) error {
	l, err := c.reading(ctx)
	if err != nil {
		return err
	}
	defer l.Close()
	found, err := l.Check(ctx)
	if err != nil {
		return err
	}
	if k.Format == "json" {
		err = writeJSON(std.out, found)
	} else {
		err = k.text(std.out, found)
	}
	if err == nil && len(found.Damage) > 0 {
		fmt.Fprintln(std.err, "referee: the ledger is damaged: stop referee and put a backup in its place, or move the file away to begin a new one")
		return exitCode(exitFailed)
	}
	return err
}

func (*ledgerCheckCommand) text(out io.Writer, found ledger.Checked) error {
	for _, d := range found.Damage {
		fmt.Fprintf(out, "damage: %s\n", printable(d))
	}
	if len(found.Damage) > 0 {
		return nil
	}
	fmt.Fprintf(out, "sound: version %d, %.1f MB, %.1f MB of them free\n", found.Version, float64(found.Bytes)/1e6, float64(found.Free)/1e6)
	for _, name := range slices.Sorted(maps.Keys(found.Rows)) {
		if _, err := fmt.Fprintf(out, "%9d  %s\n", found.Rows[name], name); err != nil {
			return err
		}
	}
	return nil
}

type ledgerVerifyCommand struct {
	Head   []ledger.Head `placeholder:"NUMBER:HASH" help:"a head that an earlier run printed: what is up to it must not have changed since; may be given several times"`
	Format string        `default:"text" enum:"text,json" help:"text for a person, json for a program"`
}

// Help is shown under the flags.
func (*ledgerVerifyCommand) Help() string {
	return "It prints the head of the chain: keep it where whoever can write to the ledger cannot, and give it to a later run. " +
		"Without one, somebody who made the whole chain anew is not found out. Exit code 1 where something was changed."
}

func (v *ledgerVerifyCommand) Run(ctx context.Context, std *streams, c *ledgerCommand) error {
	l, err := c.reading(ctx)
	if err != nil {
		return err
	}
	defer l.Close()
	progress := newProgress(std.err, "verify", "links")
	found, err := l.Verify(ctx, v.Head, progress.show)
	progress.end()
	if err != nil {
		return err
	}
	if v.Format == "json" {
		err = writeJSON(std.out, found)
	} else {
		v.text(std.out, found)
	}
	if err == nil && found.Wrong > 0 {
		return exitCode(exitFailed)
	}
	return err
}

func (*ledgerVerifyCommand) text(out io.Writer, found ledger.Verified) {
	for _, f := range found.Findings {
		fmt.Fprintln(out, printable(f))
	}
	if more := found.Wrong - len(found.Findings); more > 0 {
		fmt.Fprintf(out, "and %d more\n", more)
	}
	verdict := "nothing was changed"
	if found.Wrong > 0 {
		verdict = fmt.Sprintf("%d found wrong", found.Wrong)
	}
	fmt.Fprintf(out, "%s: %d links, %d decisions, %d orders, %d labels", verdict, found.Links, found.Decisions, found.Orders, found.Labels)
	if found.Aged+found.Forgotten > 0 {
		fmt.Fprintf(out, "; %d with less of an address, %d forgotten", found.Aged, found.Forgotten)
	}
	if found.Pruned > 0 {
		fmt.Fprintf(out, "; up to link %d pruned for their age", found.Pruned)
	}
	fmt.Fprintf(out, "\nhead %s\n", found.Head)
}

type ledgerBackupCommand struct {
	To string `arg:"" help:"the file to write, which must not be there yet; readable by its owner alone, for it holds client addresses"`
}

func (b *ledgerBackupCommand) Run(ctx context.Context, std *streams, c *ledgerCommand) error {
	l, err := c.reading(ctx)
	if err != nil {
		return err
	}
	defer l.Close()
	progress := newProgress(std.err, "backup", "bytes")
	err = l.Backup(ctx, b.To, progress.show)
	progress.end()
	if err != nil {
		return err
	}
	info, err := os.Stat(b.To)
	if err != nil {
		return err
	}
	fmt.Fprintf(std.out, "%s: %.1f MB; to restore it, stop referee and put it into a data-dir as %s, without the -wal and -shm files\n",
		b.To, float64(info.Size())/1e6, ledger.FileName)
	return nil
}

type ledgerForgetCommand struct {
	Client string        `arg:"" help:"an address: 81.2.69.142, 2a02:1234::1; of IPv6 the whole /64 is one client"`
	Wait   time.Duration `default:"2m" help:"how long to wait for a running sidecar; one that blocks the client has to take it out of the WAF set first"`
	Format string        `default:"text" enum:"text,json" help:"text for a person, json for a program"`
}

// Help is shown under the flags.
func (*ledgerForgetCommand) Help() string {
	return "Decisions about it stay, without saying about whom, and `referee ledger verify` still finds whether they were changed. " +
		"Backups and exports made before keep the address: see docs/ledger.md."
}

func (f *ledgerForgetCommand) Run(ctx context.Context, std *streams, c *ledgerCommand) error {
	client, err := clientOf(f.Client)
	if err != nil {
		return err
	}
	probe, err := c.reading(ctx) // Open would make a ledger where there is none
	if err != nil {
		return err
	}
	if err := probe.Close(); err != nil {
		return err
	}
	l, err := ledger.Open(ctx, c.DataDir)
	if errors.Is(err, ledger.ErrInUse) {
		return f.ask(ctx, std, c, client)
	}
	if err != nil {
		return err
	}
	defer l.Close()
	erased, err := l.Forget(ctx, client, currentUser(), time.Now())
	if err != nil {
		return err
	}
	if f.Format == "json" {
		return writeJSON(std.out, erased)
	}
	fmt.Fprintf(std.out, "%s is forgotten: erased from %d decisions, %d orders, %d flagged sightings, %d rows of evidence, %d generations, %d alerts\n",
		client, erased.Decisions, erased.Orders, erased.Flagged, erased.Evidence, erased.Generations, erased.Alerts)
	return nil
}

// ask leaves it to the running sidecar, which has evidence in memory.
func (f *ledgerForgetCommand) ask(ctx context.Context, std *streams, c *ledgerCommand, client netip.Prefix) error {
	l, err := ledger.OpenAppend(ctx, c.DataDir)
	if err != nil {
		return err
	}
	defer l.Close()
	if err := l.RequestForget(ctx, client, currentUser()); err != nil {
		return err
	}
	progress := newProgress(std.err, "forget", "steps")
	defer progress.end()
	deadline := time.Now().Add(f.Wait)
	for began := time.Now(); ; {
		waiting, err := l.ForgetRequests(ctx)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(waiting, func(r ledger.ForgetRequest) bool { return r.Client == client }) {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: the running sidecar has not forgotten it within %s, and goes on trying: it may still stand in a WAF set "+
				"(`referee waf why %s`), or the sidecar may be in trouble (see its log)", client, f.Wait, client.Addr())
		}
		progress.show(int64(time.Since(began)), 0)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
	if f.Format == "json" {
		return writeJSON(std.out, struct {
			Client netip.Prefix `json:"client"`
		}{client})
	}
	fmt.Fprintf(std.out, "%s is forgotten by the running sidecar\n", client)
	return nil
}

// clientOf is a client as evidence has it, from an address or a prefix that is one client.
func clientOf(s string) (netip.Prefix, error) {
	s = strings.TrimSpace(s)
	a, err := netip.ParseAddr(s)
	if p, e := netip.ParsePrefix(s); e == nil && evidence.ClientPrefix(p.Addr()).Bits() <= p.Bits() {
		a, err = p.Addr(), nil
	}
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is no client: write an address such as 81.2.69.142 or 2a02:1234::1, or its /32 or /64", s)
	}
	return evidence.ClientPrefix(a.Unmap().WithZone("")), nil
}

// progress shows how far long work is: a bar on a terminal, a line now and then elsewhere.
type progress struct {
	out        io.Writer
	what, unit string
	tty        bool
	bar        *progressbar.ProgressBar
	told       time.Time
}

func newProgress(out io.Writer, what, unit string) *progress {
	file, ok := out.(*os.File)
	return &progress{out: out, what: what, unit: unit, tty: ok && term.IsTerminal(int(file.Fd())), told: time.Now()}
}

// show is told how much is done of how much; 0: nobody knows.
func (p *progress) show(done, all int64) {
	switch {
	case p.tty:
		if p.bar == nil {
			if all == 0 {
				all = -1 // a spinner
			}
			p.bar = progressbar.NewOptions64(all, progressbar.OptionSetWriter(p.out), progressbar.OptionSetDescription(p.what),
				progressbar.OptionShowBytes(p.unit == "bytes"), progressbar.OptionSetPredictTime(true),
				progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
		}
		_ = p.bar.Set64(done) // a bar that cannot be drawn stops nothing
	case time.Since(p.told) >= 10*time.Second:
		p.told = time.Now()
		if all > 0 {
			fmt.Fprintf(p.out, "%s: %d of %d %s, %d %%\n", p.what, done, all, p.unit, 100*done/all)
		} else {
			fmt.Fprintf(p.out, "%s: waiting\n", p.what)
		}
	}
}

func (p *progress) end() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}
