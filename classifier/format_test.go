package classifier_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"referee/classifier"
	"referee/features"
)

// parts are those of a small model: weights that repeat, a thousand calibration scores.
func parts() classifier.Parts {
	const bits = 8
	weights := make([]int8, features.NumBins+1<<bits)
	for i := range weights {
		weights[i] = int8(i * 37 % 255)
	}
	clean := make([]float32, 1000)
	for i := range clean {
		clean[i] = float32(i%500) / 10
	}
	return classifier.Parts{
		Info:   classifier.Info{Scorer: "test", Seed: 7, MinLength: 5, Benign: []classifier.Source{{Name: "list", Names: 3}}},
		Linear: classifier.Linear{Bits: bits, Scale: 0.01, Bias: -5, Weights: weights},
		Clean:  clean,
		Golden: []string{"", "google", "kq3v9z", strings.Repeat("a", 63)},
	}
}

func encode(tb testing.TB, p classifier.Parts) []byte {
	tb.Helper()
	data, err := classifier.Encode(p)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// sealed gives data a right checksum, as an attacker or a careless editor would.
func sealed(data []byte) []byte {
	body := data[:len(data)-sha256.Size]
	sum := sha256.Sum256(body)
	return append(bytes.Clone(body), sum[:]...)
}

func TestAModelFileReadsBackAsItWasMade(t *testing.T) {
	p := parts()
	data := encode(t, p)
	if !bytes.Equal(data, encode(t, parts())) {
		t.Error("equal parts gave different bytes")
	}
	m, err := classifier.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	p.Info.Calibrated = 1000
	if diff := cmp.Diff(p.Info, m.Info()); diff != "" {
		t.Errorf("info (-want +got)\n%s", diff)
	}
	for _, label := range []string{"", "a", "kq3v9z", "stackoverflow"} {
		if got, want := m.Score(name(label+".com", label)), p.Linear.Score(label); got != want {
			t.Errorf("%s scores %v, want %v", label, got, want)
		}
	}
	if sum := sha256.Sum256(data); m.ID() != hex.EncodeToString(sum[:6]) {
		t.Errorf("ID %s is not what sha256sum begins with", m.ID())
	}
}

func TestADamagedOrForeignFileIsRefusedWithItsReason(t *testing.T) {
	good := encode(t, parts())
	f := func(what string, data []byte, want string) {
		t.Helper()
		_, err := classifier.Parse(data)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", what, err, want)
		}
	}
	change := func(at int, with ...byte) []byte {
		data := bytes.Clone(good)
		copy(data[at:], with)
		return data
	}
	f("nothing", nil, "not a Referee model")
	f("text", []byte("domain,family\nkq3v9z.com,x\n"), "not a Referee model")
	f("only the magic number", good[:8], "cut short")
	f("cut in the middle", good[:len(good)/2], "damaged")
	f("one byte lost", good[:len(good)-1], "damaged")
	f("one bit turned", change(len(good)/2, good[len(good)/2]^1), "damaged")
	f("an older version", change(8, 1), "format version 1, this program reads 2")
	f("a newer version", change(8, 3), "format version 3, this program reads 2")
	f("carried as text", bytes.ReplaceAll(good, []byte("\r\n"), []byte("\n")), "not a Referee model")

	length := binary.LittleEndian.AppendUint32(nil, math.MaxUint32)
	f("a section name without end", sealed(change(12, length...)), "section 1: a length of")
	f("a section without end", sealed(change(20, length...)), `section "info": a length of`)
	f("another section", sealed(change(16, 'x')), `no section "info"`)
	info := bytes.Index(good, []byte(`{"scorer"`))
	f("no JSON", sealed(change(info, 'x')), "section info")
	linear := bytes.Index(good, []byte("linear")) + len("linear") + 4
	f("too many hash bits", sealed(change(linear, 30)), "section linear: 30 hash bits")
	f("hash bits of another table", sealed(change(linear, 9)), "section linear: 796 weights, want 1052")
	f("no scale", sealed(change(linear+4, 0, 0, 0xc0, 0x7f)), "section linear: scale NaN")
	f("a bias that overflows", sealed(change(linear+8, 0xff, 0xff, 0xff, 0x7f)), "section linear: bias")
	f("other weights", sealed(change(linear+12, bytes.Repeat([]byte{9}, 600)...)), "golden name")
	tails := bytes.Index(good, []byte("tails")) + len("tails") + 4
	f("more names than the steps hold", sealed(change(tails, 0xff)), "section tails: the first step")
	f("a step that is no number", sealed(change(tails+4, 0, 0, 0xc0, 0x7f)), "section tails: step 0")
	f("steps out of order", sealed(change(tails+12, 0, 0, 0, 0xc4)), "section tails: step 1 is out of order")
	golden := bytes.Index(good, []byte("golden")) + len("golden") + 4
	f("golden names without end", sealed(change(golden, length...)), "golden names: cut short")
}

func TestPartsThatMakeNoModelAreRefused(t *testing.T) {
	f := func(change func(*classifier.Parts), want string) {
		t.Helper()
		p := parts()
		change(&p)
		if _, err := classifier.Encode(p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want an error with %q", err, want)
		}
	}
	f(func(p *classifier.Parts) { p.Clean = nil }, "no clean benign names")
	f(func(p *classifier.Parts) { p.Clean[3] = float32(math.NaN()) }, "not a number")
	f(func(p *classifier.Parts) { p.Linear.Scale = 0 }, "scale")
	f(func(p *classifier.Parts) { p.Linear.Weights = p.Linear.Weights[1:] }, "weights")
}

func TestOpenNamesTheFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "my.model")
	if _, err := classifier.Open(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a missing file: %v", err)
	}
	if err := os.WriteFile(path, []byte("no model"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := classifier.Open(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a foreign file: %v", err)
	}
	if err := os.WriteFile(path, encode(t, parts()), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := classifier.Open(path); err != nil {
		t.Errorf("a good file: %v", err)
	}
}

func TestTheDefaultModelIsSmall(t *testing.T) {
	info, err := os.Stat("default.model")
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > 8<<20 {
		t.Errorf("%d bytes, want at most 8 MiB", info.Size())
	}
}

// Reading and checking the embedded model, which must take 50 ms at most.
func BenchmarkLoad(b *testing.B) {
	began := processorTime(b)
	for b.Loop() {
		load(b)
	}
	b.ReportMetric(float64(processorTime(b)-began)/1e6/float64(b.N), "cpu-ms/op")
}

func FuzzParse(f *testing.F) {
	good := encode(f, parts())
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add(encode(f, twoStages()))
	f.Add([]byte("\x89RFM\r\n\x1a\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, candidate := range [][]byte{data, reseal(data)} {
			m, err := classifier.Parse(candidate)
			if err != nil {
				continue
			}
			r := m.Judge(name("kq3v9z.com", "kq3v9z"))
			if !(r.Tail > 0 && r.Tail <= 1) || math.IsNaN(float64(r.Score)) {
				t.Errorf("a model that was accepted judges %+v", r)
			}
		}
	})
}

// reseal lets the fuzzer see behind the checksum.
func reseal(data []byte) []byte {
	if len(data) < sha256.Size {
		return data
	}
	return sealed(data)
}
