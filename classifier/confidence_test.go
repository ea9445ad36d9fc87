package classifier_test

import (
	"strconv"
	"strings"
	"testing"

	"referee/classifier"
)

func TestAConfidenceIsAPresetATailOrItsComplement(t *testing.T) {
	f := func(text string, want classifier.Confidence) {
		t.Helper()
		var got classifier.Confidence
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q is %v, %v, want %v", text, float64(got), err, float64(want))
		}
	}
	f("sensitive", 1e-3)
	f("balanced", 1e-4)
	f("strict", 1e-5)
	f("1e-4", 1e-4)
	f("0.0001", 1e-4)
	f("0.9999", 1e-4)
	f("0.99999", 1e-5)
	f("0.2", 0.2)

	refused := func(text string) {
		t.Helper()
		c, err := classifier.ParseConfidence(text)
		if err == nil {
			t.Errorf("%q was read as %v", text, float64(c))
		} else if quoted := strconv.Quote(text); !strings.Contains(err.Error(), quoted) {
			t.Errorf("%q does not name %s as it was given", err, quoted)
		}
	}
	refused("")
	refused("very")
	refused("0")
	refused("0.5")
	refused("1")
	refused("2")
	refused("-1e-4")
	refused("99.99")
	refused("NaN")
	refused("1e-400")
}

func TestAConfidenceIsWrittenAsItIsRead(t *testing.T) {
	for _, c := range []classifier.Confidence{1e-3, 1e-4, 1e-5, 2e-4, 0.125} {
		text, err := c.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := classifier.ParseConfidence(string(text)); err != nil || back != c {
			t.Errorf("%v was written as %q and read as %v, %v", float64(c), text, float64(back), err)
		}
	}
}
