package evidence

import "testing"

func TestAgentsThatDifferInNumbersAloneAreOfOneShape(t *testing.T) {
	f := func(a, b string, want bool) {
		t.Helper()
		if got := AgentShape([]byte(a)) == AgentShape([]byte(b)); got != want {
			t.Errorf("%q and %q: %v", a, b, got)
		}
	}
	f("Mozilla/5.0 Chrome/140.0.0.0 Safari/537.36", "Mozilla/5.0 Chrome/99.0.4844.51 Safari/537.36", true)
	f("curl/8.5.0", "curl/7.88.1", true)
	f("curl/8.5.0", "Wget/1.21", false)
	f("Mozilla/5.0 (Windows NT 10.0; Win64; x64)", "Mozilla/5.0 (X11; Linux x86_64)", false)
	f("", "0", false)
}

func TestPathsAreOfOneShapeWhateverTheirQueryAndNumbers(t *testing.T) {
	f := func(a, b string, want bool) {
		t.Helper()
		if got := PathShape([]byte(a)) == PathShape([]byte(b)); got != want {
			t.Errorf("%q and %q: %v", a, b, got)
		}
	}
	f("/items/17?q=1", "/items/4", true)
	f("/items/17", "/items/", false)
	f("/", "/?x", true)
	f("", "/", false)
}

func TestAShapeIsZeroOnlyForNothing(t *testing.T) {
	if AgentShape(nil) != 0 || PathShape(nil) != 0 {
		t.Error("nothing has a shape")
	}
	for i := range 1 << 16 {
		if AgentShape([]byte{'a', byte(i), byte(i >> 8)}) == 0 {
			t.Fatalf("%d has none", i)
		}
	}
}

func TestShapesDoNotAllocate(t *testing.T) {
	agent, target := []byte("Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0.0.0"), []byte("/a/b/17?q=1")
	if n := testing.AllocsPerRun(100, func() { AgentShape(agent); PathShape(target) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
