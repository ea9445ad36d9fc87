package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"

	"referee/training"
	"referee/training/fetch"
)

type fetchCommand struct {
	Source  string    `arg:"" enum:"tranco,umbrella,majestic,crux" help:"tranco (an average of the others over 30 days), umbrella (names that Cisco's resolvers are asked for), majestic (by links) or crux (sites that Chrome's users visit, by month)."`
	Out     string    `required:"" placeholder:"FILE" help:"Where the names go: a name a line, after a tab its source, as train reads it; packed if it ends in .gz."`
	DGA     []string  `name:"dga" sep:"none" placeholder:"FILE" help:"A list of generated names, which are taken out. Repeatable."`
	Days    int       `default:"1" help:"Keep the names that the lists of so many days (of crux months) have in common: names that a botnet asks for do not last."`
	Apart   int       `default:"1" help:"Days (of crux months) between two of these lists: neighbouring days of tranco share 29 of their 30 days."`
	Date    time.Time `format:"2006-01-02" placeholder:"YYYY-MM-DD" help:"The newest day wanted; today by default. Majestic has no other."`
	Top     int       `default:"0" help:"Keep only so many names from the head of the newest list; 0 for all. Generated names stand in the tail."`
	Cache   string    `placeholder:"DIR" help:"Where downloads are kept, with their dates and SHA-256; referee/lists in your cache directory by default."`
	BaseURL string    `name:"base-url" placeholder:"URL" help:"A mirror that has the lists under the publishers' paths, in place of the publishers."`
}

// Validate is kong's hook after parsing: what it refuses is wrong usage.
func (c *fetchCommand) Validate() error {
	switch {
	case c.Top < 0:
		return fmt.Errorf("top %d: want 0 for all, or 1 and more", c.Top)
	case c.Days < 1 || c.Apart < 1:
		return fmt.Errorf("%d days, %d apart: want 1 or more", c.Days, c.Apart)
	}
	return nil
}

func (c *fetchCommand) Run(ctx context.Context, s streams) error {
	bar := newProgress(s.err)
	f := &fetch.Fetcher{
		Client: fetch.NewClient(), Cache: c.Cache, Mirror: c.BaseURL, Agent: "referee-train/" + programVersion(),
		Now: time.Now, Wait: fetch.Sleep, Progress: bar.bytes, Note: bar.note, Limits: fetch.DefaultLimits(),
	}
	if f.Cache == "" {
		var err error
		if f.Cache, err = fetch.CacheDir(); err != nil {
			return err
		}
	}
	lists, err := f.Lists(ctx, c.Source, fetch.Select{Date: c.Date, Lists: c.Days, Apart: c.Apart})
	if errors.Is(err, context.Canceled) {
		bar.note("what came of the list is kept: run the command again to go on")
	}
	if err != nil {
		return err
	}
	for _, l := range lists {
		bar.note(describe(l))
	}
	names, err := fetch.Clean(lists, c.DGA, c.Top)
	if err != nil {
		return err
	}
	tellDrops(s.err, names.Drops)
	err = writeList(ctx, c.Out, func(line func(name, group string)) {
		for _, name := range names.Names {
			line(name, names.Source)
		}
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "%s: %d names of %d rows\n", names.Source, len(names.Names), names.Rows)
	return err
}

// describe is a list in a line.
func describe(l fetch.List) string {
	how, checked := "in the cache", "no published checksum"
	if l.New {
		how = "downloaded"
	}
	if l.Checked != "" {
		checked = "held against " + l.Checked
	}
	return fmt.Sprintf("%s %s: %s, %.1f MB, SHA-256 %s, %s", l.Source, l.Date.Format(time.DateOnly), how, float64(l.Bytes)/1e6, l.SHA256, checked)
}

// writeList writes a list whole or not at all, packed if it is called .gz.
func writeList(ctx context.Context, path string, write func(line func(name, group string))) error {
	var b bytes.Buffer
	var out io.Writer = &b
	pack := strings.HasSuffix(path, ".gz")
	z := gzip.NewWriter(&b)
	if pack {
		out = z
	}
	lines := bufio.NewWriter(out) // keeps the first error for Flush
	write(func(name, group string) { fmt.Fprintf(lines, "%s\t%s\n", name, group) })
	if err := lines.Flush(); err != nil {
		return err
	}
	if pack {
		if err := z.Close(); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return training.WriteFile(path, b.Bytes())
}
