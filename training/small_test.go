package training

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"referee/training/shapes"
)

// smallCorpus is a corpus of the usual form in small: names of words for benign, families of random letters, hexadecimal
// digits and syllables for generated ones.
func smallCorpus() *Corpus {
	words := strings.Fields(`the time year people way day man thing woman life child world school state family student
		group country problem hand part place case week company system program question work night point home water room
		mother area money story fact month lot right study book eye job word business issue side kind head house service
		friend father power hour game line end member law car city community name president team minute idea body
		information back parent face others level office door health person art war history party result change morning
		reason research girl guy moment air teacher force education garden travel shop music news photo design online`)
	random := rand.New(rand.NewPCG(5, 5))
	c := &Corpus{}
	for range 6000 {
		label := words[random.IntN(len(words))] + words[random.IntN(len(words))]
		if random.IntN(3) == 0 {
			label += words[random.IntN(len(words))]
		}
		if l := (Labelled{label, "words"}); heldBack(label, 30) {
			c.Calibration = append(c.Calibration, l)
		} else {
			c.Benign = append(c.Benign, l)
		}
	}
	for i, kind := range []shapes.Kind{shapes.Random, shapes.Hex, shapes.Pronounceable, shapes.Random, shapes.Hex, shapes.Random} {
		made := shapes.NewFamily(kind, random, nil)
		f := Family{Name: fmt.Sprintf("family%d", i), Kind: string(kind)}
		for range 600 {
			if label := made.Label(); heldBack(label, heldBackOfFamilies) {
				f.HeldBack = append(f.HeldBack, label)
			} else {
				f.Labels = append(f.Labels, label)
			}
		}
		slices.Sort(f.Labels)
		f.Labels = slices.Compact(f.Labels)
		c.Families = append(c.Families, f)
	}
	c.LeftOut = []Family{{Name: "words", Kind: Wordlist, Labels: []string{"timeyear"}}}
	c.Drops = Drops{{"no registrable name (relative)", 3, Place{"list.tsv", 7}}}
	return c
}

// smallSchedule trains in a blink.
var smallSchedule = Schedule{Seed: 1, Bits: 14, Epochs: 2, Rate: 0.1, Batch: 64}

func noProgress(int, int) {}
