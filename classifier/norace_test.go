//go:build !race

package classifier_test

const raceFactor = 1
