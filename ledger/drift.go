package ledger

import (
	"strconv"
	"strings"

	"referee/classifier"
)

// driftCounts begins the names of the counts of distinct names by benign tail.
const driftCounts = "drift."

// DriftCount is the name of a count of distinct names in a bin of classifier.TailCounts, by a model's id, for Batch.Counts.
// A name is counted once a day, so that the hours of a day add up to its names.
func DriftCount(model string, bin int) string { return driftCounts + model + "." + strconv.Itoa(bin) }

// TailCounts are the distinct names of an hour, by their tails under a model.
func (h *Hour) TailCounts(model string) (c classifier.TailCounts) {
	for counter, n := range h.Counts {
		rest, is := strings.CutPrefix(counter, driftCounts+model+".")
		if bin, err := strconv.Atoi(rest); is && err == nil && bin >= 0 && bin < classifier.TailBins {
			c[bin] += n
		}
	}
	return c
}
