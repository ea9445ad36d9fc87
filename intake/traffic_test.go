package intake

import (
	"math"
	"net/netip"
	"testing"
	"time"
)

func TestTrafficOfManyClientsIsRightInSum(t *testing.T) {
	counts := newTraffic()
	counts.seed = 1 // one in 65 seeds has another client of the thousand share the slot of the busy one
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
	f(30*24*time.Hour, 1) // nobody knows when in all that time
	f(30*24*time.Hour+trafficSlice, 0)
}

func TestTrafficIsTheLastHoursHoweverLongNobodyHasAsked(t *testing.T) {
	fix := newFixture(t)
	odd, usual := netip.MustParseAddr("81.2.69.142"), netip.MustParseAddr("9.9.9.9")
	visit := func(a netip.Addr, n int) {
		for range n {
			fix.Judge.Judge(ViaCheck, Request{Referer: []byte("https://" + benignDomain + "/"), Client: a})
		}
		fix.sightings()
	}
	f := func(client, all float64) {
		t.Helper()
		if n, of := fix.Traffic(netip.PrefixFrom(odd, 32)); math.Abs(n-client) > 1 || of != all {
			t.Errorf("%v of %v, want %v of %v", n, of, client, all)
		}
	}
	pass := func(d time.Duration) {
		for end := fix.now.Add(d); fix.now.Before(end); fix.now = fix.now.Add(time.Minute) {
			fix.Tick()
		}
	}
	for range 10 {
		visit(usual, 2000)
		pass(24 * time.Hour)
	}
	visit(usual, 900)
	visit(odd, 100)
	fix.Tick()
	f(100, 1000)
	pass(40 * time.Minute)
	f(100, 1000)

	fix.now = fix.now.Add(2 * time.Hour) // the process stood still
	visit(usual, 100)
	visit(odd, 200)
	fix.Tick()
	f(200, 300)
}

func TestRequestsWithoutAClientAreNobodysShare(t *testing.T) {
	counts := newTraffic()
	address := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{81, 0, byte(i >> 8), byte(i)}) }
	for i := range 1000 {
		for range 10 {
			counts.add(address(i))
		}
	}
	for range 990_000 { // health checks, offices, no X-Forwarded-For
		counts.add(netip.Addr{})
	}
	var sum, all float64
	for i := range 1000 {
		n, of := counts.of(address(i))
		sum, all = sum+n, of
	}
	if math.Abs(sum-10_000) > 500 || all != 1_000_000 {
		t.Errorf("1,000 clients sent 10,000 of 1,000,000 requests, estimated are %.0f of %.0f", sum, all)
	}
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
