package training

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"runtime"
	"slices"
	"testing"
)

// trainedSum is the checksum of the model of smallCorpus. It changes with the features, the trainer and the file's
// format; a change of it that nobody meant is a fault. (Other architectures round the exponential otherwise.)
const trainedSum = "3cbf6d76e05b2d64302d07432487c7e33eff4605d7b66078bcfcd54e78416478"

func TestTrainingHasTheSameBytesWhateverGOMAXPROCS(t *testing.T) {
	train := func(procs int) string {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
		data, err := Train(context.Background(), smallCorpus(), Recipe{Schedule: smallSchedule, MinLength: 7}, noProgress)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(data)
		return hex.EncodeToString(sum[:])
	}
	one := train(1)
	if four := train(4); one != four {
		t.Errorf("one processor makes %s, four %s", one, four)
	}
	if runtime.GOARCH == "amd64" && one != trainedSum {
		t.Errorf("the small model is %s, want %s", one, trainedSum)
	}
}

func TestTrainingEndsWhenItsContextDoes(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	_, err := Train(ctx, smallCorpus(), Recipe{Schedule: smallSchedule}, func(done, total int) {
		if done > total/2 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want %v", err, context.Canceled)
	}
}

func TestAScheduleThatCannotBeTrainedIsRefused(t *testing.T) {
	f := func(change func(*Schedule)) {
		t.Helper()
		s := smallSchedule
		change(&s)
		if err := s.Validate(); err == nil {
			t.Errorf("%+v was accepted", s)
		}
	}
	f(func(s *Schedule) { s.Bits = 0 })
	f(func(s *Schedule) { s.Bits = 30 })
	f(func(s *Schedule) { s.Epochs = 0 })
	f(func(s *Schedule) { s.Rate = 0 })
	f(func(s *Schedule) { s.Batch = 0 })
	if err := smallSchedule.Validate(); err != nil {
		t.Error(err)
	}
}

func TestFamiliesAreDrawnEvenlyAndSmallOnesLess(t *testing.T) {
	benign := slices.Repeat([]string{"benign"}, 9000)
	large, larger := slices.Repeat([]string{"large"}, 2000), slices.Repeat([]string{"larger"}, 20000)
	small := slices.Repeat([]string{"small"}, 500)
	s := newSampler(1, benign, [][]string{large, larger, small})
	for range 2 {
		counts := map[string]int{}
		for batch := range s.epoch(100) {
			for _, e := range batch {
				counts[e.label]++
				if e.generated != (e.label != "benign") {
					t.Fatalf("%+v", e)
				}
			}
		}
		f := func(label string, want int) {
			t.Helper()
			if counts[label] != want {
				t.Errorf("%d times %s, want %d", counts[label], label, want)
			}
		}
		f("benign", 9000)
		f("large", 4000)
		f("larger", 4000)
		f("small", 1000) // a quarter of a full family's names, a quarter of the draws
	}
}

func TestAFamilyIsDealtOutBeforeANameComesAgain(t *testing.T) {
	names := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	s := newSampler(1, slices.Repeat([]string{"x"}, len(names)), [][]string{names})
	for range 3 {
		var dealt []string
		for batch := range s.epoch(1000) {
			for _, e := range batch {
				if e.generated {
					dealt = append(dealt, e.label)
				}
			}
		}
		slices.Sort(dealt)
		if !slices.Equal(dealt, names) {
			t.Errorf("an epoch dealt %v", dealt)
		}
	}
}

func TestRunsAreAveraged(t *testing.T) {
	c := smallCorpus()
	train := func(s Schedule) *regression {
		r, err := trainRegression(context.Background(), s, false, labelsOf(c.Benign), taught(c.Families), noProgress)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	one, other, both := smallSchedule, smallSchedule, smallSchedule
	other.Seed += 1 << 32
	both.Runs = 2
	a, b, mean := train(one), train(other), train(both)
	differ := 0
	for i, w := range mean.weights {
		if want := (a.weights[i] + b.weights[i]) / 2; w != want {
			t.Fatalf("weight %d is %v, want the mean of the runs, %v", i, w, want)
		}
		if a.weights[i] != b.weights[i] {
			differ++
		}
	}
	if differ == 0 {
		t.Error("both runs made the same draws")
	}
}
