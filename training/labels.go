package training

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"referee/features"
)

// Own is what an owner knows from own traffic: names confirmed as generated, and names flagged by mistake. It goes before every
// list: a label in it is taught as it says and is taken out of the lists, and so out of the names to calibrate with,
// which would else be chosen by a model's mistakes.
type Own struct {
	labels map[string]ownLabel
	weight int
	drops  Drops
}

type ownLabel struct {
	generated bool
	at        time.Time // zero: unknown
	Place
}

// maxOwnWeight bounds how often a label may be taught in each pass.
const maxOwnWeight = 1000

// ReadOwn reads an owner's labels: a name, a tab and dga or benign, then, if it is known, a tab and when that was said (RFC
// 3339). Of two that differ the later counts: by time where both have one, else by line. Each label is taught weight
// times as often as one of a list, 1 to 1000. An unknown word, or a time that is none, is an error with its line.
func ReadOwn(files []string, weight int) (Own, error) {
	o := Own{labels: map[string]ownLabel{}, weight: weight}
	if weight < 1 || weight > maxOwnWeight {
		return o, fmt.Errorf("label weight %d: want 1 to %d", weight, maxOwnWeight)
	}
	var parser features.Parser
	for _, path := range files {
		err := eachLine(path, func(number int, line []byte) error {
			return o.read(line, Place{path, number}, &parser)
		})
		if err != nil {
			return o, fmt.Errorf("labels: %w", err)
		}
	}
	return o, nil
}

func (o *Own) read(line []byte, at Place, parser *features.Parser) error {
	cells := bytes.Split(line, []byte("\t"))
	if len(cells) < 2 || len(cells) > 3 {
		return errors.New("want a name, a tab and dga or benign, and perhaps a tab and a time")
	}
	for i := range cells {
		cells[i] = bytes.TrimSpace(cells[i])
	}
	word := string(bytes.ToLower(cells[1]))
	if string(cells[0]) == "name" && word == "label" {
		return nil // a header
	}
	l := ownLabel{generated: word == "dga", Place: at}
	if word != "dga" && word != "benign" {
		return fmt.Errorf("%.40q is neither dga nor benign", word)
	}
	if len(cells) == 3 && len(cells[2]) > 0 {
		var err error
		if l.at, err = time.Parse(time.RFC3339, string(cells[2])); err != nil {
			return fmt.Errorf("%.40q is no time like 2026-11-23T04:05:06Z", cells[2])
		}
	}
	name, reason := parser.Bare(cells[0])
	if reason != features.Named {
		o.drops.Add("no registrable name ("+reason.String()+")", at)
		return nil
	}
	before, twice := o.labels[name.Label]
	switch {
	case twice && before.generated == l.generated:
		o.drops.Add("owner's label twice", at)
		return nil
	case twice && !l.at.IsZero() && l.at.Before(before.at):
		o.drops.Add("owner's label that a later one contradicts", at)
		return nil
	case twice:
		o.drops.Add("owner's label that a later one contradicts", before.Place)
	}
	o.labels[strings.Clone(name.Label)] = l
	return nil
}

func (o *Own) knows(label string) bool {
	_, known := o.labels[label]
	return known
}

// Count is how many labels there are of each kind.
func (o *Own) Count() (generated, benign int) {
	for _, l := range o.labels {
		if l.generated {
			generated++
		}
	}
	return generated, len(o.labels) - generated
}

// teach adds the labels, each as often as its weight: an epoch has each benign label once for each time it stands in the corpus, and draws from
// a family of few names in proportion to their number, so that to repeat is to weigh.
func (o *Own) teach(c *Corpus) {
	if len(o.labels) == 0 {
		return
	}
	c.own = "the owner's labels"
	if o.weight > 1 {
		c.own = fmt.Sprintf("the owner's labels, each %d times", o.weight)
	}
	own := Family{Name: c.own}
	for _, label := range slices.Sorted(maps.Keys(o.labels)) {
		for range o.weight {
			if o.labels[label].generated {
				own.Labels = append(own.Labels, label)
			} else {
				c.Benign = append(c.Benign, Labelled{label, c.own})
			}
		}
	}
	if len(own.Labels) > 0 {
		c.Families = append(c.Families, own)
	}
}
