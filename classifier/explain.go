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
	e := Explanation{Result: m.Judge(n), Base: float32(m.linear.Bias) * m.linear.Scale}
	effects := map[string]int32{}
	x := features.Lex(n.Label)
	words := x.Words()
	for i, bin := range x.AppendBins(nil) {
		effects[words[i]] += int32(m.linear.Weights[bin])
	}
	features.EachGram(n.Label, m.linear.Bits, func(gram string, bucket uint32) {
		effects[gramWords(gram)] += int32(m.linear.Weights[features.NumBins+int(bucket)])
	})
	for what, effect := range effects {
		if effect != 0 {
			e.Parts = append(e.Parts, Part{what, float32(effect) * m.linear.Scale})
		}
	}
	slices.SortFunc(e.Parts, func(a, b Part) int {
		return cmp.Or(cmp.Compare(math.Abs(float64(b.Effect)), math.Abs(float64(a.Effect))), cmp.Compare(a.What, b.What))
	})
	return e
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
