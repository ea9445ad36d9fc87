package training

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/sjwhitworth/golearn/base"
	"github.com/sjwhitworth/golearn/trees"

	"referee/features"
)

// Forest is the baseline beside which a model is shown: ID3 trees of golearn over the lexical features alone, as most of
// the published work on generated names begins. Each tree sees a sample of the rows and of the features (Ho, The random
// subspace method, 1998). golearn's own forest gives another answer each time it is asked, so the sampling is ours.
type Forest struct {
	trees [][]node
}

// node is a question, or, where child is 0, an answer.
type node struct {
	attribute int
	threshold float64
	child     int     // of a value up to the threshold; the other is the one after it
	share     float32 // of generated names among the rows that came here
}

// ForestTrees is the size of the baseline in a model card.
const ForestTrees = 30

const (
	forestRows   = 20_000 // golearn copies and sorts a lot: more rows take minutes and gain little
	treeRows     = 4_000
	treeFeatures = 8
	leastToSplit = 20 // rows
)

// lexicalNames are the features of the forest; lexicalRow has the values in the same order.
var lexicalNames = []string{
	"length", "digits", "vowels", "hyphens", "distinct", "changes",
	"consonant-run", "vowel-run", "digit-run", "evenness", "hex",
}

func lexicalRow(label string) [11]float64 {
	x := features.Lex(label)
	n := float64(max(x.Length, 1))
	hex := 0.0
	if x.Hex {
		hex = 1
	}
	return [11]float64{
		float64(x.Length), float64(x.Digits) / n, float64(x.Vowels) / n, float64(x.Hyphens), float64(x.Distinct) / n,
		float64(x.Changes), float64(x.ConsonantRun), float64(x.VowelRun), float64(x.DigitRun), float64(x.Evenness), hex,
	}
}

// TrainForest grows a baseline of size trees on a sample of the corpus, half benign, half from the families, evenly.
func TrainForest(c *Corpus, seed uint64, size int) (*Forest, error) {
	random := rand.New(rand.NewPCG(seed, 2))
	grid, attributes, err := forestRowsOf(c, random)
	if err != nil {
		return nil, fmt.Errorf("baseline: %w", err)
	}
	_, rows := grid.Size()
	f := &Forest{}
	for range size {
		picked := random.Perm(rows)[:min(treeRows, rows)]
		slices.Sort(picked)
		seen := []base.Attribute{grid.AllClassAttributes()[0]}
		for _, i := range random.Perm(len(attributes))[:treeFeatures] {
			seen = append(seen, attributes[i])
		}
		tree := trees.NewID3DecisionTreeFromRule(0, sortedGain{})
		if err := tree.Fit(base.NewInstancesViewFromVisible(grid, picked, seen)); err != nil {
			return nil, fmt.Errorf("baseline: %w", err)
		}
		f.trees = append(f.trees, flatten(tree.Root))
	}
	return f, nil
}

// forestRowsOf makes golearn's dataset: a column for each feature and one for the class.
func forestRowsOf(c *Corpus, random *rand.Rand) (*base.DenseInstances, []base.Attribute, error) {
	examples := sampleExamples(c, random, forestRows)
	grid := base.NewDenseInstances()
	var attributes []base.Attribute
	var columns []base.AttributeSpec
	for _, name := range lexicalNames {
		a := base.NewFloatAttribute(name)
		attributes, columns = append(attributes, a), append(columns, grid.AddAttribute(a))
	}
	class, classColumn, err := addClass(grid)
	if err != nil {
		return nil, nil, err
	}
	if err := grid.Extend(len(examples)); err != nil {
		return nil, nil, err
	}
	for row, e := range examples {
		for i, value := range lexicalRow(e.label) {
			grid.Set(columns[i], row, base.PackFloatToBytes(value))
		}
		grid.Set(classColumn, row, class.GetSysValFromString(classWord(e.generated)))
	}
	return grid, attributes, nil
}

func sampleExamples(c *Corpus, random *rand.Rand, n int) []example {
	var examples []example
	for _, i := range random.Perm(len(c.Benign))[:min(n/2, len(c.Benign))] {
		examples = append(examples, example{c.Benign[i].Label, false})
	}
	for i := range n / 2 {
		f := c.Families[i%len(c.Families)]
		if len(f.Labels) > 0 {
			examples = append(examples, example{f.Labels[random.IntN(len(f.Labels))], true})
		}
	}
	return examples
}

// sortedGain splits by information gain, as golearn's own rule does, but takes features and classes in a fixed order:
// golearn's order changes from run to run, and with it the last bits of the gains and which of two equals wins.
type sortedGain struct{}

func (sortedGain) GenerateSplitRule(f base.FixedDataGrid) *trees.DecisionTreeRule {
	_, rows := f.Size()
	if rows < leastToSplit {
		return nil
	}
	attributes := base.AttributeDifferenceReferences(f.AllAttributes(), f.AllClassAttributes())
	slices.SortFunc(attributes, func(a, b base.Attribute) int { return strings.Compare(a.GetName(), b.GetName()) })
	generated := make([]bool, rows)
	for row := range rows {
		generated[row] = base.GetClass(f, row) == generatedWord
	}
	best, rule := math.Inf(1), (*trees.DecisionTreeRule)(nil)
	for _, a := range attributes {
		column, err := f.GetAttribute(a)
		if err != nil {
			return nil
		}
		values := make([]observed, rows)
		for row := range rows {
			values[row] = observed{base.UnpackBytesToFloat(f.Get(column, row)), generated[row]}
		}
		if entropy, threshold := bestSplit(values); entropy < best {
			best, rule = entropy, &trees.DecisionTreeRule{SplitAttr: a, SplitVal: threshold}
		}
	}
	return rule
}

type observed struct {
	value     float64
	generated bool
}

// bestSplit returns the threshold that leaves the least entropy, and how much that is; infinity where all values are equal.
func bestSplit(values []observed) (entropy, threshold float64) {
	slices.SortFunc(values, func(a, b observed) int { return cmp.Compare(a.value, b.value) })
	var below, above [2]int
	for _, v := range values {
		above[index(v.generated)]++
	}
	entropy = math.Inf(1)
	for i, v := range values[:len(values)-1] {
		below[index(v.generated)]++
		above[index(v.generated)]--
		if next := values[i+1].value; next > v.value {
			if e := bits(below) + bits(above); e < entropy {
				entropy, threshold = e, (v.value+next)/2
			}
		}
	}
	return entropy, threshold
}

func index(generated bool) int {
	if generated {
		return 1
	}
	return 0
}

// bits is the entropy of the classes of a set of rows, times the number of rows.
func bits(counts [2]int) float64 {
	n, sum := float64(counts[0]+counts[1]), 0.0
	for _, c := range counts {
		if c > 0 {
			sum += float64(c) * math.Log2(n/float64(c))
		}
	}
	return sum
}

// flatten turns golearn's tree of maps into a slice; the root is first.
func flatten(root *trees.DecisionTreeNode) []node {
	flat := []node{{}}
	var place func(at int, d *trees.DecisionTreeNode)
	place = func(at int, d *trees.DecisionTreeNode) {
		flat[at].share = float32(d.ClassDist[generatedWord]) / float32(d.ClassDist[generatedWord]+d.ClassDist[benignWord])
		if d.Children["0"] == nil || d.Children["1"] == nil {
			return
		}
		flat[at].attribute = slices.Index(lexicalNames, d.SplitRule.SplitAttr.GetName())
		flat[at].threshold = d.SplitRule.SplitVal
		flat[at].child = len(flat)
		flat = append(flat, node{}, node{})
		place(flat[at].child, d.Children["0"])
		place(flat[at].child+1, d.Children["1"])
	}
	place(0, root)
	return flat
}

// Score is the mean share of generated names in the leaves that a label falls into.
func (f *Forest) Score(label string) float32 {
	row := lexicalRow(label)
	var sum float32
	for _, tree := range f.trees {
		at := 0
		for tree[at].child != 0 {
			next := tree[at].child
			if row[tree[at].attribute] > tree[at].threshold {
				next++
			}
			at = next
		}
		sum += tree[at].share
	}
	return sum / float32(len(f.trees))
}
