package training

import (
	"math"
	"math/rand/v2"

	"referee/training/shapes"
)

const (
	shapeList   = 20000 // labels of one list of synthetic names, drawn as often as a family
	shapeFamily = 25    // labels between two draws of a synthetic family's parameters
)

// shapeKinds are drawn in proportion to how often they stand here. Words are not among them: word lists have a head of
// their own.
var shapeKinds = []shapes.Kind{
	shapes.Random, shapes.Random, shapes.Random, shapes.Random, shapes.Hex, shapes.Base32,
	shapes.Pronounceable, shapes.Pronounceable, shapes.Pronounceable, shapes.Chain, shapes.Chain, shapes.Permutation,
}

// withShapes adds lists of synthetic names to the families, so many that an even draw takes the share of them. Chains take
// their pairs of letters from words.
func withShapes(families [][]string, words []string, share float64, seed uint64) [][]string {
	weight := 0.0
	for _, names := range families {
		weight += min(1, float64(len(names))/fullFamily)
	}
	lists := int(math.Round(weight * share / (1 - share)))
	all := append([][]string(nil), families...)
	random := rand.New(rand.NewPCG(seed, 0x736861706573))
	for range lists {
		list := make([]string, 0, shapeList)
		for len(list) < shapeList {
			family := shapes.NewFamily(shapeKinds[random.IntN(len(shapeKinds))], random, words)
			for range shapeFamily {
				list = append(list, family.Label())
			}
		}
		all = append(all, list)
	}
	return all
}
