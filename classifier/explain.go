package classifier

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"referee/features"
)

// Explanation says what made a score: Score is Base and the effects of all parts together.
type Explanation struct {
	Result
	Kind  Kind    // likely form, of a name that scores as one in 1,000 benign ones or fewer do
	Base  float32 // log-odds before anything is read
	Parts []Part  // strongest first, whichever way they push
}

// Part is one reason, in words, and the log-odds it added: above 0 towards generated, below 0 towards benign.
type Part struct {
	What   string
	Effect float32
}

// Explain takes a score apart. It allocates: it is for people.
func (m *Model) Explain(n features.Name) Explanation {
	effects := map[string]float64{}
	base := m.cascade.explain(n.Label, func(what string, effect float64) { effects[what] += effect })
	e := Explanation{Result: m.Judge(n), Base: float32(base)}
	if Confidence(e.Tail) <= Sensitive && !e.Abstain {
		e.Kind = m.cascade.kind(n.Label)
	}
	for what, effect := range effects {
		if effect != 0 {
			e.Parts = append(e.Parts, Part{what, float32(effect)})
		}
	}
	slices.SortFunc(e.Parts, func(a, b Part) int {
		return cmp.Or(cmp.Compare(math.Abs(float64(b.Effect)), math.Abs(float64(a.Effect))), cmp.Compare(a.What, b.What))
	})
	return e
}

// explain yields what each part of a label adds to its score, and returns the log-odds before anything is read. Where the
// second head decides, only its parts count.
func (c *Cascade) explain(label string, yield func(what string, effect float64)) (base float64) {
	scaled := func(by float64, of func(func(string, float64)) float64) float64 {
		return by * of(func(what string, effect float64) { yield(what, by*effect) })
	}
	linear := func(y func(string, float64)) float64 { return c.Linear.explain(label, y) }
	bins := readBins(label)
	switch {
	case c.Words != nil && len(label) >= MinWords && c.words(label, &bins) > c.random(label, &bins):
		words := func(y func(string, float64)) float64 { return c.Words.explain(label, y) }
		return float64(c.WordShift) + scaled(float64(c.WordScale), words)
	case c.Network == nil:
		return scaled(1, linear)
	case c.Clears(label):
		return float64(c.Top) - float64(c.Exit) + scaled(1, linear)
	}
	network := func(y func(string, float64)) float64 {
		return c.Network.explain(label, func(window string, effect float64) { y(gramWords(window), effect) })
	}
	share := float64(c.Share)
	return scaled(share, linear) + scaled(1-share, network)
}

// explain yields what each part of a label adds, and returns the log-odds before anything is read.
func (l *Linear) explain(label string, yield func(what string, effect float64)) (base float64) {
	scale := float64(l.Scale)
	x := features.Lex(label)
	words := x.Words()
	for i, bin := range x.AppendBins(nil) {
		yield(words[i], scale*float64(l.Weights[bin]))
	}
	each := features.EachGram
	if l.Long {
		each = features.EachLongGram
	}
	each(label, l.Bits, func(gram string, bucket uint32) {
		yield(gramWords(gram), scale*float64(l.Weights[features.NumBins+int(bucket)]))
	})
	return scale * float64(l.Bias)
}

// gramWords says in words what an n-gram with boundary marks stands for.
func gramWords(gram string) string {
	inner := strings.Trim(gram, string(features.Boundary))
	starts, ends := strings.HasPrefix(gram, string(features.Boundary)), strings.HasSuffix(gram, string(features.Boundary))
	switch {
	case starts && ends:
		return fmt.Sprintf("%q is all of it", inner)
	case starts:
		return fmt.Sprintf("begins with %q", inner)
	case ends:
		return fmt.Sprintf("ends with %q", inner)
	}
	return fmt.Sprintf("contains %q", inner)
}

// String lists the ten strongest parts, one a line, and what the rest adds up to.
func (e Explanation) String() string {
	const most = 10
	var b strings.Builder
	fmt.Fprintf(&b, "%s: score %+.2f, benign tail %.2g", e.Domain, e.Score, e.Tail)
	if e.Abstain {
		b.WriteString(", of a kind that the model cannot tell")
	}
	if e.Kind != "" {
		b.WriteString(", of the form " + string(e.Kind))
	}
	rest := e.Base
	for i, p := range e.Parts {
		if i < most {
			fmt.Fprintf(&b, "\n%+7.2f  %s", p.Effect, p.What)
		} else {
			rest += p.Effect
		}
	}
	fmt.Fprintf(&b, "\n%+7.2f  %d weaker parts and the base rate\n", rest, max(0, len(e.Parts)-most))
	return b.String()
}
