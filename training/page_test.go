package training

import (
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// pageOf evaluates the small corpus and renders it.
func pageOf(t *testing.T) (*Evaluation, string) {
	t.Helper()
	c := smallCorpus()
	m := trainSmall(t, c)
	sets := append(smallSets(c), Set{Name: "hard_small", Role: Benign, Names: []Entry{{Domain: "kq3v9zx1w.com", Label: "kq3v9zx1w", Group: "odd"}}})
	e, err := EvaluateModel(m, sets, Kinds{"family1": "hex"}, Bootstrap{100, 1})
	if err != nil {
		t.Fatal(err)
	}
	e.CompareTargets()
	e.Speed = Time(sets, time.Now, m)[0]
	var b strings.Builder
	if err := e.HTML(&b); err != nil {
		t.Fatal(err)
	}
	return e, b.String()
}

func TestThePageNeedsNothingElseAndIsWellFormed(t *testing.T) {
	e, page := pageOf(t)
	for _, unwanted := range []string{"<script", " style=", "http://", "https://", "@import", "url(", "NaN", "%!", "<nil>"} {
		if strings.Contains(page, unwanted) {
			t.Errorf("%q in the page", unwanted)
		}
	}
	for _, want := range []string{"default-src ", e.Model, "Highest-scored benign names: all clean", "<polyline class=\"line s0\"", "family1", "Targets"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in the page", want)
		}
	}
	// What a browser would have to repair: elements that do not match.
	body := regexp.MustCompile(`<meta [^>]*>|<!doctype html>`).ReplaceAllString(page, "")
	d := xml.NewDecoder(strings.NewReader(body))
	d.Entity = xml.HTMLEntity
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestNamesOfListsAreEscapedOnThePageAndInText(t *testing.T) {
	e, _ := pageOf(t)
	hostile := "</td><script>alert(1)</script>\x1b[31m\u202e&\"'"
	e.Benign[1].Source, e.Calibration[1].Source, e.Families[0].Family, e.Families[0].Kind = hostile, hostile, hostile, hostile
	e.Top[0].Set, e.Top[0].Names[0].Source, e.Top[0].Names[0].Name = hostile, hostile, hostile
	var page, text strings.Builder
	if err := e.HTML(&page); err != nil {
		t.Fatal(err)
	}
	if err := e.Text(&text); err != nil {
		t.Fatal(err)
	}
	for where, s := range map[string]string{"page": page.String(), "text": text.String(), "card": e.markdown()} {
		if strings.ContainsAny(s, "\x1b\u202e") {
			t.Errorf("a control character in the %s", where)
		}
	}
	if strings.Contains(page.String(), "<script") || !strings.Contains(page.String(), "&lt;script&gt;") {
		t.Error("an element of a list's text is one of the page")
	}
}

func TestAPlotStaysWithinItsFrame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		share := rapid.Float64Range(0, 1).Draw(t, "share")
		if y := measuredAt(share); y < plotTop || y > plotBottom {
			t.Fatalf("%v is drawn at %v", share, y)
		}
		for _, rate := range curveRates(rapid.IntRange(1, 1<<20).Draw(t, "n")) {
			if x := across(decades(rate, 0, 5)); x < plotLeft || x > plotRight {
				t.Fatalf("%v is drawn at %v", rate, x)
			}
		}
	})
	if x := powers(0, 5, across); x[0].Label != "0.001 %" || x[5].Label != "100 %" || x[5].At != plotRight {
		t.Errorf("%v", x)
	}
}
