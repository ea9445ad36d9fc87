//go:build linux

package main

import (
	"fmt"
	"time"
)

const (
	// As many connections as nginx is told to keep to the sidecar in deploy/examples/nginx-auth-request.
	connections = 64
	loopOf      = 8192
	// A window is cut into pieces that are taken in turns: what else the machine does comes and goes within seconds, and is to hit the
	// servers of one round alike. They are as long as the sidecar's time between two commits: with shorter ones a commit would
	// be there for each few requests, and they would be charged with it.
	piece = time.Second
	// What the sidecar does in the background for requests that were answered (their evidence, the ledger's commit each second) it
	// has begun, and mostly ended, after this time.
	afterwards = 1500 * time.Millisecond
)

// contestant is a server with requests of its own, all of them the same as those of the other contestants of its row.
type contestant struct {
	name    string
	server  *process
	next    func([]byte) []byte
	load    *generator    // kept while in turns
	perCall []float64     // nanoseconds of processor time a request, of each round
	rates   []float64     // requests a second by the clock, of each piece
	since   time.Duration // processor time at the beginning of the last round
	count   int           // requests since then
}

// window applies a load.
func (b *bench) window(c *contestant, l load) (outcome, error) {
	if err := c.connect(); err != nil {
		return outcome{}, err
	}
	defer c.disconnect()
	return b.piece(c, l)
}

func (c *contestant) connect() (err error) {
	if c.load, err = newGenerator(c.server.addr, connections, c.next); err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	return nil
}

func (c *contestant) disconnect() { c.load.close() }

func (b *bench) piece(c *contestant, l load) (outcome, error) {
	o, err := c.load.run(b.ctx, l)
	if err == nil && o.lost() > 0 {
		err = fmt.Errorf("%d of %d requests without a good answer", o.lost(), o.sent)
	}
	if err != nil {
		return o, fmt.Errorf("%s: %w", c.name, err)
	}
	c.rates = append(c.rates, float64(o.answered)/o.took.Seconds())
	c.count += o.answered
	return o, nil
}

// account notes the processor time that a request of the last round took: all that the process has used since that round began, so that
// the background work that its requests leave behind counts too.
func (c *contestant) account() error {
	now, err := c.server.cpu()
	if err != nil {
		return err
	}
	if c.count > 0 {
		c.perCall = append(c.perCall, float64(now-c.since)/float64(c.count))
	}
	c.since, c.count = now, 0
	return nil
}

// inTurns measures all contestants in turns, after a first time that does not count. also is called in each round.
func (b *bench) inTurns(row string, contestants []*contestant, also func() error) error {
	for _, c := range contestants {
		if err := c.connect(); err != nil {
			return err
		}
		defer c.disconnect()
	}
	for round := range b.Pairs + 1 {
		fmt.Fprintf(b.log, "%s: round %d of %d\n", row, round, b.Pairs)
		for _, c := range contestants {
			if err := c.account(); err != nil {
				return err
			}
		}
		for left := b.Window; left > 0; left -= piece {
			for _, c := range contestants {
				if _, err := b.piece(c, load{lasts: min(left, piece)}); err != nil {
					return err
				}
			}
		}
		if err := also(); err != nil {
			return err
		}
	}
	if err := b.pause(afterwards); err != nil {
		return err
	}
	for _, c := range contestants {
		if err := c.account(); err != nil {
			return err
		}
		c.perCall = c.perCall[1:]
	}
	return nil
}

func (b *bench) pause(d time.Duration) error {
	select {
	case <-b.ctx.Done():
		return b.ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// ratios of each measurement to that of another in the same round; less is taken off it first.
func ratios(of, to []float64, less []float64) []float64 {
	r := make([]float64, len(of))
	for i := range of {
		r[i] = of[i] / to[i]
		if less != nil {
			r[i] = (of[i] - less[i]) / to[i]
		}
	}
	return r
}
