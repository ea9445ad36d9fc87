package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"strings"
	"text/tabwriter"
	"time"

	"referee/features"
	"referee/ledger"
	"referee/policy"
	"referee/sidecar"
)

type labelCommand struct {
	DataDir string              `default:"referee-data" placeholder:"DIR" help:"where the sidecar's ledger lives"`
	Model   sidecar.ModelConfig `embed:"" prefix:"classifier-" group:"Configuration"`
	Policy  policy.Config       `embed:"" group:"Configuration"`

	Reason  string `placeholder:"TEXT" help:"why: kept with the label, and shown wherever it decides"`
	Remove  bool   `help:"take back what was said of the name"`
	List    bool   `help:"print the labels that stand"`
	History bool   `help:"print every label that was ever given or taken back, the newest first"`
	Format  string `default:"text" enum:"text,json" help:"of a list: text for a person, json for a program"`

	Name string `arg:"" optional:"" help:"a name or a whole Referer: kq3v9z.com"`
	Says string `arg:"" optional:"" name:"label" help:"benign: never block it, and release a hit on it. dga: flag it whatever its score; never-block lists still win, and evidence is still needed"`
}

// maxReason bounds what is kept, in bytes: some sentences.
const maxReason = 500

// Help is shown under the flags.
func (*labelCommand) Help() string {
	return "A running sidecar follows within two seconds. Labels are only ever added to the ledger, with who, when and why; " +
		"`referee report --export-labels` prints them for training."
}

// Validate is kong's hook after parsing: what it refuses is wrong usage.
func (c *labelCommand) Validate() error {
	listing := c.List || c.History
	switch {
	case listing && (c.Name != "" || c.Remove || c.Reason != ""), c.List && c.History:
		return errors.New("--list and --history print alone; leave out the rest")
	case listing:
		return nil
	case c.Name == "":
		return errors.New("name what to label: referee label kq3v9z.com benign, or see --list")
	case c.Remove && c.Says != "":
		return errors.New("--remove takes back whatever was said; leave out the label")
	case !c.Remove && c.Says != string(policy.SaysDGA) && c.Says != string(policy.SaysBenign):
		return fmt.Errorf("%q is no label: say dga or benign", c.Says)
	case len(c.Reason) > maxReason:
		return fmt.Errorf("the reason has %d bytes; %d are kept at most", len(c.Reason), maxReason)
	}
	return nil
}

func (c *labelCommand) Run(ctx context.Context, std *streams) error {
	if c.List || c.History {
		return c.list(ctx, std.out)
	}
	domain, err := domainOf(c.Name)
	if err != nil {
		return err
	}
	_, rules, err := openPolicy(c.Model, c.Policy)
	if err != nil {
		return err
	}
	l, err := ledger.OpenAppend(ctx, c.DataDir)
	if err != nil {
		return err
	}
	defer l.Close()
	label := policy.Label{Name: domain, Says: policy.Says(c.Says), Time: time.Now().UTC(), Who: currentUser(), Reason: c.Reason}
	if c.Remove {
		standing, err := l.Labels(ctx)
		if err != nil {
			return err
		}
		if _, found := rules.With(standing).Labelled(domain); !found {
			return fmt.Errorf("%s has no label: `referee label --list` shows those that stand", domain)
		}
	}
	id, err := l.Label(ctx, label)
	if err != nil {
		return err
	}
	fmt.Fprintf(std.out, "label %d: %s\n", id, c.effect(rules, label))
	return nil
}

// effect says what comes of a label that was given.
func (c *labelCommand) effect(rules *policy.Policy, l policy.Label) string {
	switch l.Says {
	case policy.SaysNothing:
		return l.Name + " is judged by its score again; what was blocked for its label alone is released"
	case policy.SaysBenign:
		return l.Name + " is never blocked, and a hit on it is released"
	}
	if e := rules.NeverBlocks(l.Name); e != policy.NotExempt {
		return fmt.Sprintf("%s is labelled dga, and will not be blocked: %s, and never-block wins (%s)", l.Name, e.Words(), exemptBy(e))
	}
	return fmt.Sprintf("%s is flagged whatever its score; it is blocked once %s from %s brought it. "+
		"Earlier ones count too where they are remembered: where its benign tail was at most evidence.interest", l.Name,
		counted(c.Policy.Name.MinSightings, "request", "requests"), counted(c.Policy.Name.MinNetworks, "network", "networks"))
}

// exemptBy is the key of the configuration that exempts a name.
func exemptBy(e policy.Exemption) string {
	switch e {
	case policy.Own:
		return "never-block.hosts"
	case policy.ClosedRegistry:
		return "never-block.closed-registries"
	case policy.Popular:
		return "never-block.popular"
	}
	return "never-block.suffixes, domains-file or hosts"
}

func (c *labelCommand) list(ctx context.Context, out io.Writer) error {
	l, err := ledger.OpenReadOnly(ctx, c.DataDir)
	if err != nil {
		return err
	}
	defer l.Close()
	read := l.Labels
	if c.History {
		read = l.LabelHistory
	}
	labels, err := read(ctx)
	if err != nil {
		return err
	}
	if c.Format == "json" {
		if labels == nil {
			labels = []policy.Label{}
		}
		return writeJSON(out, labels)
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, l := range labels {
		says := string(l.Says)
		if l.Says == policy.SaysNothing {
			says = "taken back"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", printable(l.Name), says, at(l.Time), printable(l.Who), printable(l.Reason))
	}
	return table.Flush()
}

// domainOf is the name that is judged, from what a person pastes.
func domainOf(s string) (string, error) {
	var parser features.Parser
	name, reason := parser.Bare([]byte(strings.TrimSpace(s)))
	if reason != features.Named {
		return "", fmt.Errorf("%q holds no public name (%s): write one like kq3v9z.com, or a whole Referer", s, reason)
	}
	return strings.Clone(name.Domain), nil
}

// currentUser is whom the operating system says the process belongs to, and who called sudo.
func currentUser() string {
	who := fmt.Sprintf("uid %d", os.Getuid())
	if u, err := user.Current(); err == nil && u.Username != "" {
		who = u.Username
	}
	if by := os.Getenv("SUDO_USER"); by != "" && by != who {
		who = fmt.Sprintf("%s (sudo by %s)", who, by)
	}
	return who
}

// exportLabels writes the labels that stand as referee-train train --labels reads them.
func exportLabels(ctx context.Context, l *ledger.Ledger, out io.Writer) error {
	labels, err := l.Labels(ctx)
	if err != nil {
		return err
	}
	for _, label := range labels {
		if _, err := fmt.Fprintf(out, "%s\t%s\t%s\n", label.Name, label.Says, label.Time.Format(time.RFC3339)); err != nil {
			return err
		}
	}
	return nil
}

// labelled is a policy that follows the labels that stand in the ledger, as a running sidecar's does.
func labelled(ctx context.Context, l *ledger.Ledger, rules *policy.Policy) (*policy.Policy, error) {
	labels, err := l.Labels(ctx)
	if err != nil {
		return nil, err
	}
	return rules.With(labels), nil
}
