package features

import "testing"

func BenchmarkLex(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Lex("nationalgeographic")
	}
}

func BenchmarkAppendGrams(b *testing.B) {
	var buffer [MaxGrams]uint32
	b.ReportAllocs()
	for b.Loop() {
		AppendGrams(buffer[:0], "nationalgeographic", 20)
	}
}

func BenchmarkAppendBins(b *testing.B) {
	var buffer [BinsPerLabel]uint32
	x := Lex("nationalgeographic")
	b.ReportAllocs()
	for b.Loop() {
		x.AppendBins(buffer[:0])
	}
}
