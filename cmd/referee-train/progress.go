package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress shows how far long work is: a bar on a terminal, a line now and then elsewhere.
type progress struct {
	out      io.Writer
	terminal bool
	stage    string
	bar      *progressbar.ProgressBar
	started  time.Time
	told     time.Time
}

const between = 10 * time.Second // two lines

func newProgress(out io.Writer) *progress {
	file, ok := out.(*os.File)
	return &progress{out: out, terminal: ok && term.IsTerminal(int(file.Fd()))}
}

// note says what begins.
func (p *progress) note(what string) { fmt.Fprintln(p.out, what) }

// show says that done of total steps of a stage are done. A new stage begins a new bar.
func (p *progress) show(stage string, done, total int) {
	now := time.Now()
	if stage != p.stage {
		p.stage, p.started, p.told = stage, now, now
		if p.terminal {
			p.bar = progressbar.NewOptions(total,
				progressbar.OptionSetWriter(p.out),
				progressbar.OptionSetDescription(stage),
				progressbar.OptionSetPredictTime(true),
				progressbar.OptionShowCount(),
				progressbar.OptionThrottle(100*time.Millisecond),
				progressbar.OptionOnCompletion(func() { fmt.Fprintln(p.out) }),
			)
		} else {
			fmt.Fprintf(p.out, "%s: %d in all\n", stage, total)
		}
	}
	switch {
	case p.terminal:
		p.bar.Set(done) //nolint:errcheck // a bar that cannot be drawn stops nothing
	case done == total:
		fmt.Fprintf(p.out, "%s: done in %s\n", stage, now.Sub(p.started).Round(100*time.Millisecond))
	case now.Sub(p.told) >= between:
		p.told = now
		left := time.Duration(float64(now.Sub(p.started)) / float64(done) * float64(total-done))
		fmt.Fprintf(p.out, "%s: %d %%, about %s left\n", stage, 100*done/total, left.Round(time.Second))
	}
}

// bytes says that done of total bytes of a download are there; total is below 0 where the server does not tell.
func (p *progress) bytes(what string, done, total int64) {
	now := time.Now()
	if what != p.stage {
		p.stage, p.started, p.told = what, now, now
		if p.terminal {
			p.bar = progressbar.NewOptions64(total,
				progressbar.OptionSetWriter(p.out),
				progressbar.OptionSetDescription(what),
				progressbar.OptionShowBytes(true),
				progressbar.OptionThrottle(100*time.Millisecond),
				progressbar.OptionOnCompletion(func() { fmt.Fprintln(p.out) }),
			)
		}
	}
	switch {
	case p.terminal:
		p.bar.Set64(done) //nolint:errcheck // a bar that cannot be drawn stops nothing
	case done == total:
		fmt.Fprintf(p.out, "%s: %.1f MB in %s\n", what, float64(done)/1e6, now.Sub(p.started).Round(100*time.Millisecond))
	case now.Sub(p.told) >= between:
		p.told = now
		of := ""
		if total > 0 {
			of = fmt.Sprintf(" of %.1f", float64(total)/1e6)
		}
		fmt.Fprintf(p.out, "%s: %.1f%s MB\n", what, float64(done)/1e6, of)
	}
}
