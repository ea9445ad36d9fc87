package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"referee/waf"
	"referee/waf/waftest"
)

// wafConfig points cfg at the emulated AWS and at the sets there.
func (d *demo) wafConfig(cfg waf.Config) waf.Config {
	cfg.Writer = true
	cfg.Endpoint, cfg.Region = d.aws.URL(), "us-east-1"
	cfg.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "demo", SecretAccessKey: "demo"}, nil
	})
	cfg.Interval = time.Second
	cfg.MaxShare = 0 // half a minute in which every fifth request is an attack is no hour of traffic
	cfg.NamesSet = waf.SetList{d.names.Name + "/" + d.names.ID}
	cfg.IPv4Set = d.ipv4.Name + "/" + d.ipv4.ID
	cfg.IPv6Set = d.ipv6.Name + "/" + d.ipv6.ID
	return cfg
}

// filled waits until every set has been written and nothing has changed for a while, and tells what is in them.
func (d *demo) filled(ctx context.Context) error {
	deadline, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	writes, quiet := -1, 0
	for quiet < 6 {
		select {
		case <-tick.C:
		case <-deadline.Done():
			return fmt.Errorf("the sets were not filled: %w", deadline.Err())
		}
		now := 0
		for _, call := range d.aws.Calls() {
			if call.Writes() && call.Err == "" {
				now++
			}
		}
		if quiet++; now != writes || now < 3 {
			quiet = 0
		}
		writes = now
	}
	for _, set := range d.aws.Sets() {
		d.say("  %-20s %3d of %d places, for example %s", set.Name, len(set.Items), capacity(set), set.Items[0])
	}
	return nil
}

func capacity(set waftest.Set) int {
	limits := waftest.AWSLimits()
	if set.Version == "" {
		return limits.Patterns
	}
	return limits.Addresses
}

// replay puts the same requests in front of the sets, as AWS WAF would evaluate rules over them.
func (d *demo) replay() error {
	var sent, blocked struct{ attack, ordinary int }
	for _, r := range d.requests {
		hit := len(d.aws.Match(waftest.Request{Client: r.client, Referer: r.referer})) > 0
		count := func(n *int, yes bool) {
			if yes {
				*n++
			}
		}
		count(&sent.attack, r.attack)
		count(&sent.ordinary, !r.attack)
		count(&blocked.attack, r.attack && hit)
		count(&blocked.ordinary, !r.attack && hit)
	}
	d.say("\nThe same traffic against these sets: %d of %d attack requests blocked (%.1f %%), %d of %d ordinary ones.",
		blocked.attack, sent.attack, 100*float64(blocked.attack)/float64(sent.attack), blocked.ordinary, sent.ordinary)
	if blocked.ordinary > 0 {
		return errors.New("an ordinary request would be blocked")
	}
	if blocked.attack*10 < sent.attack*9 {
		return errors.New("less than nine tenths of the attack would be blocked")
	}
	return nil
}
