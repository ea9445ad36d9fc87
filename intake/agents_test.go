package intake

import (
	"fmt"
	"hash/maphash"
	"testing"

	"referee/evidence"
)

func TestARememberedAgentHasItsShape(t *testing.T) {
	a := agents{seed: maphash.MakeSeed()}
	for range 3 {
		for i := range 3 * agentSlots {
			agent := []byte(fmt.Sprintf("Mozilla/5.0 (%c%c%c) Chrome/%d.0", 'a'+i%26, 'a'+i/26%26, 'a'+i/676, i))
			if got, want := a.shape(agent), evidence.AgentShape(agent); got != want {
				t.Fatalf("%s: %d, want %d", agent, got, want)
			}
		}
	}
	if got := a.shape(nil); got != 0 {
		t.Errorf("no agent has the shape %d", got)
	}
}

func BenchmarkAgentShape(b *testing.B) {
	agent := []byte("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36")
	b.Run("remembered", func(b *testing.B) {
		a := agents{seed: maphash.MakeSeed()}
		for b.Loop() {
			a.shape(agent)
		}
	})
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			evidence.AgentShape(agent)
		}
	})
}
