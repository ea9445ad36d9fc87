//go:build race

package classifier_test

// raceFactor is what the race detector may cost where a test measures time.
const raceFactor = 20
