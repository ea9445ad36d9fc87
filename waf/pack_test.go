package waf

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestWordsShareTheirBeginningsWhereThatIsShorter(t *testing.T) {
	f := func(want string, words ...string) {
		t.Helper()
		n := newNode("", false)
		for _, w := range words {
			n = n.with(w)
		}
		if got := strings.Join(n.branches(), "|"); got != want {
			t.Errorf("%q became %q, want %q", words, got, want)
		}
	}
	f("kq", "kq")
	f("ab|cd", "ab", "cd")
	f("[abc]", "a", "b", "c")
	f("[-0a]", "-", "0", "a")
	f("kq3[ab]", "kq3a", "kq3b")
	f("kq3a?", "kq3", "kq3a")
	f("kq3|kq3ab", "kq3", "kq3ab") // kq3(?:ab)? would be longer
	f("longer(?:er)?", "longer", "longerer")
	f("kq3[ab]?", "kq3", "kq3a", "kq3b")
	f("kaa|kbb", "kaa", "kbb") // a group would be longer
	f("kqxyz(?:aa|bb)", "kqxyzaa", "kqxyzbb")
	f("ab123[45]|axx", "ab1234", "ab1235", "axx")
	f("longer(?:cd|[ab])", "longera", "longerb", "longercd")
}

// TestWhatWordsTakeIsKnownBeforeTheyAreWritten compares the sizes that names are packed by with what is written in the end.
func TestWhatWordsTakeIsKnownBeforeTheyAreWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := newNode("", false)
		for _, w := range rapid.SliceOfNDistinct(rapid.StringMatching(`[a-c]{1,6}|kq3[a-z]{0,3}|[0-9-]`), 1, 40, rapid.ID).Draw(t, "words") {
			grown, fits := n.grown(w, len(w))
			if n = n.with(w); !fits || grown != n.inner {
				t.Fatalf("with %q it is %+v, %v, and was to be %+v", w, n.inner, fits, grown)
			}
			term := group(n.branches(), false)
			if length, bars := n.inner.group(false); length != len(term) || bars != strings.Count(term, "|") {
				t.Fatalf("%q takes %d with %d bars", term, length, bars)
			}
		}
	})
}

// TestAPatternFindsExactlyItsNamesHoweverMuchTheyShare draws names that share much, as those of one family do.
func TestAPatternFindsExactlyItsNamesHoweverMuchTheyShare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		label := rapid.StringMatching(`[ab]{1,3}[ab-]{0,2}[ab]|kq3[ab_0]{0,4}`)
		names := rapid.Map(rapid.SliceOfNDistinct(label, 1, 30, rapid.ID), func(labels []string) (names []string) {
			for i, l := range labels {
				names = append(names, l+[]string{".com", ".co.uk"}[i%3/2])
			}
			return names
		}).Draw(t, "names")
		p := packer{rapid.IntRange(1, 3).Draw(t, "patterns"), rapid.IntRange(2, maxBranches).Draw(t, "branches"), map[string]int{}}
		for _, refused := range rapid.SliceOfN(rapid.SampledFrom(names), 0, 3).Draw(t, "refused") {
			p.together[refused] = rapid.IntRange(1, 4).Draw(t, "together")
		}
		pack := func(names []string, current [][]string) [][]string {
			layout, waiting := p.pack(names, current)
			for _, group := range layout {
				if text := render(group); verify(text, group) != nil || strings.Count(text, "|") > p.branches {
					t.Errorf("%q for %q: %v", text, group, verify(text, group))
				}
			}
			again, waitingAgain := p.pack(names, layout)
			if !slices.EqualFunc(layout, again, slices.Equal) || !slices.Equal(waiting, waitingAgain) {
				t.Errorf("packed again, %q became %q", layout, again)
			}
			return layout
		}
		layout := pack(names, nil)
		pack(slices.DeleteFunc(names, func(string) bool { return rapid.Bool().Draw(t, "gone") }), layout)
	})
}

func TestNamesOfOneFamilyTakeLessRoom(t *testing.T) {
	var names []string
	for i := range 2000 {
		names = append(names, fmt.Sprintf("update-host%04d.info", i))
	}
	layout, _ := packer{patterns: maxPatterns, branches: 8}.pack(names, nil)
	n := 0
	for _, group := range layout {
		n += len(group)
	}
	t.Logf("%d names in a set", n)
	if n < 160 {
		t.Errorf("%d names in a set, no more than unrelated ones", n)
	}
}

func TestNewNamesOfARankThatNoSetCouldHoldWaitAndOldOnesStay(t *testing.T) {
	names := make([]string, bodyRoom, bodyRoom+1)
	for i := range names {
		names[i] = fmt.Sprintf("%c%03d%s.com", 'b'+i%20, i, strings.Repeat("x", 55))
	}
	names = append(names, "ab.com") // two of the others leave room for it
	p := packer{patterns: 1, branches: 8}
	f := func(in bool, names []string, current [][]string) [][]string {
		t.Helper()
		layout, waiting := p.pack(names, current)
		if got := slices.Contains(layout[0], "ab.com"); got != in || len(layout[0])+len(waiting) != len(names) {
			t.Errorf("it is in: %v; %d have a place and %d of %d wait", got, len(layout[0]), len(waiting), len(names))
		}
		return layout
	}
	f(true, names[1:], nil)
	f(false, names, nil)
	f(true, names, f(true, names, [][]string{{"ab.com"}}))
}

func TestInAFullSetANameOfHigherRankOutdoesTheLowestInOnePattern(t *testing.T) {
	var names []string
	for i := range 100 {
		names = append(names, fmt.Sprintf("%c%dx%dkq.com", 'a'+i%26, i, i*7))
	}
	p := packer{patterns: maxPatterns, branches: 8}
	before, waiting := p.pack(names, nil)
	if len(waiting) == 0 {
		t.Fatal("the set is not full")
	}
	placed := slices.Concat(before...)
	after, _ := p.pack(append([]string{"newcomer.com"}, names...), before)
	now := slices.Concat(after...)
	if !slices.Contains(now, "newcomer.com") {
		t.Error("the highest rank is not in")
	}
	changed := 0
	for i := range after {
		if render(after[i]) != render(before[i]) {
			changed++
		}
	}
	if changed != 1 {
		t.Errorf("%d patterns changed", changed)
	}
	for i, n := range slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !slices.Contains(placed, n) }) {
		if !slices.Contains(now, n) && i < len(placed)-2 {
			t.Errorf("%s, of rank %d of %d, gave way", n, i, len(placed))
		}
	}
}

func TestNamesSpreadOverSeveralSetsStayWhereTheyAre(t *testing.T) {
	items := func(n int, prefix string) (out []string) {
		for i := range n {
			out = append(out, fmt.Sprint(prefix, i))
		}
		return out
	}
	f := func(want [][]string, items []string, parts ...part) {
		t.Helper()
		if got := spread(parts, items); !slices.EqualFunc(got, want, slices.Equal) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	a, b := part{items: []string{"a", "b"}}, part{items: []string{"c"}}
	f([][]string{{"a", "b"}, {"c"}}, []string{"a", "b", "c"}, a, b)
	f([][]string{{"a"}, {"c"}}, []string{"a", "c"}, a, b)
	f([][]string{{"a", "b"}, {"c", "d"}}, []string{"a", "b", "c", "d"}, a, b)        // where most room is
	f([][]string{{"a", "d", "e"}, {"c"}}, []string{"a", "c", "d", "e"}, a, b)        // where one has left
	f([][]string{{"a", "b"}, {}}, []string{"a", "b"}, a, part{items: []string{"a"}}) // never twice
	f([][]string{items(10, "x"), {"y"}}, append(items(10, "x"), "y"), part{items: items(10, "x")}, part{})
}
