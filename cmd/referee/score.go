package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	"referee/classifier"
	"referee/features"
	"referee/policy"
	"referee/sidecar"
)

type scoreCommand struct {
	Model  sidecar.ModelConfig `embed:"" prefix:"classifier-"`
	Policy policy.Config       `embed:""`

	Format  string   `default:"text" enum:"text,json,tsv" help:"tsv: input, name, score, benign tail, verdict, without a header; json: one object a line"`
	Explain bool     `help:"say which parts of each name pushed its score (text and json)"`
	Files   []string `arg:"" optional:"" name:"file" help:"lists to read; - or none is standard input"`
}

// maxLine is the longest line that score reads: 64 KiB is what an ALB lets through in all headers together.
const maxLine = 1 << 20

// scored is one line of output.
type scored struct {
	Input   string                  `json:"input"`
	Name    string                  `json:"name,omitempty"`
	Score   *float32                `json:"score,omitempty"`
	Tail    *float32                `json:"benign_tail,omitempty"`
	Verdict string                  `json:"verdict"`
	Reason  string                  `json:"reason,omitempty"` // why there is no name, or which list exempts it
	Explain *classifier.Explanation `json:"explanation,omitempty"`
}

func (c *scoreCommand) Run(ctx context.Context, std *streams) (err error) {
	model, rules, err := openPolicy(c.Model, c.Policy)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(std.out)
	defer func() { err = errors.Join(err, out.Flush()) }() // what was scored before an error counts
	s := &scorer{model: model, policy: rules, explain: c.Explain, write: c.writer(out)}
	files := c.Files
	if len(files) == 0 {
		files = []string{"-"}
	}
	for _, file := range files {
		if err := s.file(ctx, file, std.in); err != nil {
			return err
		}
	}
	return nil
}

func (c *scoreCommand) writer(out *bufio.Writer) func(scored) error {
	switch c.Format {
	case "json":
		return func(s scored) error { return json.NewEncoder(out).Encode(s) }
	case "tsv":
		return func(s scored) error {
			_, err := fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\n", printable(s.Input), s.Name, digits(s.Score), digits(s.Tail), s.Verdict)
			return err
		}
	default:
		return func(s scored) error { return writeText(out, s) }
	}
}

func writeText(out io.Writer, s scored) error {
	if s.Score == nil {
		_, err := fmt.Fprintf(out, "%-8s %-40s no name: %s\n", s.Verdict, printable(s.Input), s.Reason)
		return err
	}
	exempt := ""
	if s.Reason != "" {
		exempt = " (" + s.Reason + ")"
	}
	_, err := fmt.Fprintf(out, "%-8s %-40s score %s, %s%s\n", s.Verdict, s.Name, digits(s.Score), oneIn(*s.Tail), exempt)
	if err == nil && s.Explain != nil {
		_, err = fmt.Fprintf(out, "%s\n", s.Explain)
	}
	return err
}

// oneIn puts a benign tail in words.
func oneIn(tail float32) string {
	if tail >= 0.5 {
		return "as most benign names"
	}
	return fmt.Sprintf("at most 1 in %.0f benign names scores so high", 1/tail)
}

// digits gives six significant digits, or nothing where there is no name.
func digits(x *float32) string {
	if x == nil {
		return ""
	}
	return strconv.FormatFloat(float64(*x), 'g', 6, 32)
}

// scorer turns lines into verdicts.
type scorer struct {
	model   *classifier.Model
	policy  *policy.Policy
	parser  features.Parser
	explain bool
	write   func(scored) error
}

func (s *scorer) file(ctx context.Context, name string, stdin io.Reader) error {
	in := stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return fmt.Errorf("score: %w", err)
		}
		defer f.Close()
		in = f
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	number := 0
	for lines.Scan() {
		number++
		if ctx.Err() != nil {
			return fmt.Errorf("score: %s, line %d: %w", name, number, ctx.Err())
		}
		if err := s.write(s.line(lines.Bytes())); err != nil {
			return err
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return fmt.Errorf("score: %s, line %d: longer than %d bytes; no header is", name, number+1, maxLine)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("score: %s, line %d: %w", name, number+1, err)
	}
	return nil
}

func (s *scorer) line(raw []byte) scored {
	line := scored{Input: string(raw), Verdict: policy.Invalid.String()}
	name, reason := s.parser.Bare(raw)
	if reason != features.Named {
		line.Reason = reason.String()
		return line
	}
	result := s.model.Judge(name)
	verdict, exemption := s.policy.Judge(name, result)
	line.Name, line.Score, line.Tail, line.Verdict = result.Domain, &result.Score, &result.Tail, verdict.String()
	if verdict == policy.Exempt {
		line.Reason = exemption.String()
	}
	if s.explain {
		explanation := s.model.Explain(name)
		line.Explain = &explanation
	}
	return line
}

// printable makes a client's bytes safe for a terminal and for one TSV column: what is not printable becomes a Go escape.
func printable(s string) string {
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		quoted := strconv.Quote(s)
		return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
	}
	return s
}
