package intake

import (
	"math"
	"net/netip"
	"testing"
	"time"
)

func TestTrafficOfManyClientsIsRightInSum(t *testing.T) {
	counts := newTraffic()
	address := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{81, byte(i >> 16), byte(i >> 8), byte(i)}) }
	for i := range 300_000 { // five clients a slot
		counts.add(address(i))
	}
	for range 5000 {
		counts.add(address(7))
	}
	var sum float64
	for i := range 1000 {
		n, all := counts.of(address(i))
		if sum += n; all != 305_000 {
			t.Fatalf("%v requests in all", all)
		}
	}
	if math.Abs(sum-6000) > 300 {
		t.Errorf("1,000 clients sent 6,000 requests, estimated are %.0f", sum)
	}
}

func TestTrafficIsForgottenAfterAnHour(t *testing.T) {
	counts := newTraffic()
	a, now := netip.MustParseAddr("81.2.69.142"), time.Unix(1e9, 0)
	f := func(after time.Duration, want float64) {
		t.Helper()
		counts.turn(now.Add(after))
		if got, all := counts.of(a); math.Round(got) != want || all != want {
			t.Errorf("after %v: %v of %v, want %v", after, got, all, want)
		}
	}
	counts.turn(now)
	counts.add(a)
	f(14*time.Minute, 1)
	f(15*time.Minute, 1)
	counts.add(a)
	f(59*time.Minute, 2)
	f(60*time.Minute, 1)
	f(75*time.Minute, 0)
	counts.add(a)
	f(30*24*time.Hour, 0)
}

func TestCountingTrafficDoesNotAllocate(t *testing.T) {
	counts := newTraffic()
	a := netip.MustParseAddr("2a02:1234:5678:9abc::1")
	if n := testing.AllocsPerRun(100, func() { counts.add(a) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCountingTraffic(b *testing.B) {
	counts := newTraffic()
	a := netip.MustParseAddr("81.2.69.142")
	b.ReportAllocs()
	for b.Loop() {
		counts.add(a)
	}
}
