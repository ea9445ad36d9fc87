package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"referee/waf"
)

type wafInitCommand struct {
	Prefix   string `default:"referee" help:"of the sets' and the rules' names"`
	Owner    string `placeholder:"ID" help:"value of the tag referee:owner, by default waf.owner: sets of another owner are left alone"`
	NameSets int    `default:"1" placeholder:"N" help:"regex pattern sets for names, 1 to 10, about 80 names each: AWS allows an account 10 by default"`
	Action   string `default:"count" enum:"count,block,captcha,challenge" help:"what the printed rules do; begin with count"`
	// ForwardedIP is not guessed: without a proxy in front, anybody could write the header.
	ForwardedIP bool `name:"forwarded-ip" help:"the web ACL stands behind CloudFront or another proxy: look at the last address of X-Forwarded-For"`
	Priority    int  `default:"0" help:"of the first of the two rules in the web ACL"`
}

func (i *wafInitCommand) Validate() error {
	if i.NameSets < 1 || i.NameSets > 10 {
		return fmt.Errorf("--name-sets: %d is not between 1 and 10", i.NameSets)
	}
	return nil
}

// Run makes the sets and prints what the owner adds elsewhere: it edits no web ACL and no file.
func (i *wafInitCommand) Run(ctx context.Context, std *streams, c *wafCommand) error {
	api, err := waf.NewAPI(ctx, c.WAF)
	if err != nil {
		return err
	}
	made, err := waf.Init(ctx, api, c.WAF, waf.Setup{
		Prefix: i.Prefix, Owner: cmp.Or(i.Owner, c.WAF.Owner), NameSets: i.NameSets, Action: i.Action, Forwarded: i.ForwardedIP, Priority: i.Priority,
	})
	if len(made.Rules) == 0 {
		return err
	}
	rules, fail := waf.RulesJSON(made.Rules)
	if fail != nil {
		return fail
	}
	fmt.Fprintf(std.err, "Sets: %d made, %d there already.\n", len(made.Names)+2-made.Existed, made.Existed)
	if made.Capacity > 0 {
		fmt.Fprintf(std.err, "The rules take %d WCU of the web ACL's 5,000 (1,500 are in its base price).\n", made.Capacity)
	}
	fmt.Fprintf(std.err, "Add these rules to the web ACL (nothing was changed there), and these lines to the configuration:\n\n"+
		"waf:\n  scope: %s\n  owner: %s\n  names-set: [%s]\n  ipv4-set: %s\n  ipv6-set: %s\n\n",
		c.WAF.Scope, cmp.Or(i.Owner, c.WAF.Owner), strings.Join(made.Names, ", "), made.IPv4, made.IPv6)
	fmt.Fprintln(std.out, string(rules))
	return err
}

type wafExportIAMCommand struct{}

func (*wafExportIAMCommand) Run(std *streams, c *wafCommand) error {
	cfg := c.WAF
	cfg.Mode = c.Mode
	text, err := cfg.Policy(c.Alert.SNSTopic)
	if err != nil {
		return err
	}
	fmt.Fprintln(std.out, string(text))
	return nil
}
