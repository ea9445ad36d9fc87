package training

import (
	"context"
	"fmt"
	"hash/fnv"
	"math"
	"slices"

	"referee/classifier"
)

// learned is a model and what it is judged by.
type learned struct {
	model  *classifier.Cascade
	benign []Labelled // what it learned
	clean  []float32  // scores of the clean names that it is calibrated with, by models that did not learn them
}

// part is clean names and a model that did not learn them.
type part struct {
	names []string
	model classifier.Cascade
}

// learn trains a model. The clean names are held back from it; or they are divided into parts, of which each is scored by
// a model that learned all the others, and the model itself learns them all (cross-conformal: Vovk, Annals of
// Mathematics and Artificial Intelligence 74, 2015). Where the first stage ends, and where the second head's scores lie,
// follows from the same scores.
func learn(ctx context.Context, c *Corpus, families []Family, r Recipe, progress func(done, total int)) (*learned, error) {
	judged := r.judged(c)
	trainings := 1
	if r.CrossFit > 1 {
		trainings += r.CrossFit
	}
	turn := 0
	train := func(benign []Labelled) (classifier.Cascade, error) {
		model, err := trainHeads(ctx, labelsOf(benign), families, c.LeftOut, r, func(done, total int) {
			progress(turn*total+done, trainings*total)
		})
		turn++
		return model, err
	}
	var parts []part
	benign := c.Benign
	for i := range trainings - 1 {
		others := slices.DeleteFunc(slices.Clone(c.Calibration), func(l Labelled) bool { return partOf(l.Label, r.CrossFit) == i })
		model, err := train(slices.Concat(c.Benign, others))
		if err != nil {
			return nil, fmt.Errorf("part %d of %d: %w", i+1, r.CrossFit, err)
		}
		names := slices.DeleteFunc(labelsOf(judged), func(label string) bool { return partOf(label, r.CrossFit) != i })
		parts = append(parts, part{names, model})
		benign = slices.Concat(c.Benign, c.Calibration)
	}
	model, err := train(benign)
	if err != nil {
		return nil, err
	}
	if len(parts) == 0 {
		parts = []part{{labelsOf(judged), model}}
	}
	model.Stages = stages(parts, r)
	for i := range parts {
		parts[i].model.Stages = model.Stages
	}
	clean := scoreParts(parts, func(m *classifier.Cascade, label string) (float32, bool) { return m.Score(label), true })
	return &learned{model: &model, benign: benign, clean: clean}, nil
}

// partOf is in which part a label is, by another hash than heldBack's.
func partOf(label string, parts int) int {
	h := fnv.New64a()
	h.Write([]byte{0xff})
	h.Write([]byte(label))
	sum := h.Sum64()
	return int((sum ^ sum>>32) % uint64(parts))
}

// judged are the clean names that the model gives verdicts on.
func (r Recipe) judged(c *Corpus) []Labelled {
	info := classifier.Info{MinLength: r.MinLength}
	return slices.DeleteFunc(slices.Clone(c.Calibration), func(l Labelled) bool { return info.Abstains(l.Label) })
}

// networkWork is how many times longer a name takes the network's training than the regression's, for progress.
const networkWork = 4

// trainHeads trains the heads and rounds them to integers.
func trainHeads(ctx context.Context, benign []string, families, leftOut []Family, r Recipe, progress func(done, total int)) (classifier.Cascade, error) {
	var model classifier.Cascade
	generated := withShapes(taught(families), benign, r.Synthetic, r.Seed)
	words := taught(slices.DeleteFunc(slices.Clone(leftOut), func(f Family) bool { return f.Kind != Wordlist }))
	perEpoch := newSampler(r.Seed, benign, generated).perEpoch()
	regression := max(1, r.Runs) * r.Epochs * perEpoch
	total, before := regression+networkWork*r.Network.Epochs*perEpoch, 0
	work := func(times int) func(done, _ int) {
		return func(done, _ int) { progress(before+times*done, total) }
	}
	first, err := trainRegression(ctx, r.Schedule, false, benign, generated, work(1))
	if err != nil {
		return model, fmt.Errorf("train the regression: %w", err)
	}
	before = regression
	model.Linear = first.quantise()
	if r.Network.Epochs > 0 {
		second := newNetwork(r.Network)
		if err := second.train(ctx, benign, generated, work(networkWork)); err != nil {
			return model, fmt.Errorf("train the network: %w", err)
		}
		if model.Network, err = second.quantise(); err != nil {
			return model, fmt.Errorf("round the network: %w", err)
		}
	}
	if r.WordBits > 0 && len(words) > 0 {
		third, err := trainRegression(ctx, r.wordSchedule(), true, benign, words, func(int, int) {})
		if err != nil {
			return model, fmt.Errorf("train the head for words: %w", err)
		}
		head := third.quantise()
		model.Words = &head
	}
	return model, nil
}

// scoreParts is what score says of each part's names with its model, where it says something.
func scoreParts(parts []part, score func(m *classifier.Cascade, label string) (float32, bool)) (scores []float32) {
	for i := range parts {
		for _, label := range parts[i].names {
			if s, ok := score(&parts[i].model, label); ok {
				scores = append(scores, s)
			}
		}
	}
	return scores
}

// loosest is the largest benign tail at which a model of two stages may flag: cleared names stay below it.
const loosest = 0.02

// stages are where the first stage clears all but a share of the clean names, the score below which cleared names stay,
// and how the second head's scores are moved: in a straight line, so that at one in 1,000 and at one in 10,000 of the
// clean names it flags its share of them and the first head the rest.
func stages(parts []part, r Recipe) (s classifier.Stages) {
	first := scoreParts(parts, func(m *classifier.Cascade, label string) (float32, bool) { return m.Linear.Score(label), true })
	if len(first) == 0 {
		return s
	}
	random := first
	if r.Network.Epochs > 0 {
		s = classifier.Stages{Share: r.Share, Exit: float32(math.Inf(-1))}
		firstHead := func(m *classifier.Cascade, label string) (float32, bool) {
			head := classifier.Cascade{Linear: m.Linear, Network: m.Network, Stages: s}
			return head.Score(label), true
		}
		s.Top = thresholdAt(scoreParts(parts, firstHead), loosest)
		s.Exit = thresholdAt(first, r.Pass)
		random = scoreParts(parts, firstHead)
	}
	long := scoreParts(parts, func(m *classifier.Cascade, label string) (float32, bool) {
		if m.Words == nil || len(label) < classifier.MinWords {
			return 0, false
		}
		return m.Words.Score(label), true
	})
	if len(long) == 0 {
		return s
	}
	at := func(tail float64) (first, second float32) {
		longer := float64(len(random)) / float64(len(long)+1)
		return thresholdAt(random, tail*(1-r.WordShare)), thresholdAt(long, tail*r.WordShare*longer)
	}
	near, nearWords := at(1e-3)
	far, farWords := at(1e-4)
	s.WordScale = max(far-near, 0.1) / max(farWords-nearWords, 0.1)
	s.WordShift = near - float32(s.WordScale*nearWords)
	return s
}
