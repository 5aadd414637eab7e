package session

import (
	"net/netip"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kanmon/internal/event"
)

// BenchmarkLookAtAll is one look at a hundred thousand sessions, of as many accounts. It says how much
// of a processor that takes, and for how long sessions that come or go had to wait at most.
func BenchmarkLookAtAll(b *testing.B) {
	const sessions = 100_000
	l := new(Live)
	e := &Engine{Live: l}
	way := &event.Way{Tenant: "acme", Pool: "main", Provider: "docomo"}
	for i := range sessions {
		s := &session{e: e}
		s.info.ID = l.newID(time.Now())
		s.info.Source = netip.MustParseAddrPort("192.0.2.1:40000")
		s.mx.info.Way, s.mx.info.SendingIP = way, netip.MustParseAddr("203.0.113.10")
		s.showsLeg()
		s.showsMail("acme", strconv.Itoa(i)+"@example.jp")
		s.shown.waits(event.SpentOnMX, event.PhaseRcpt, time.Duration(i)*time.Millisecond)
		l.running.add(s)
	}
	var longest time.Duration
	var some []*session
	busy := processorTime()
	for b.Loop() {
		n := 0
		for seen := range l.All() {
			if seen.Doing == event.SpentOnMX && seen.Tenant == "acme" {
				n++
			}
		}
		if n != sessions {
			b.Fatalf("saw %d", n)
		}
	}
	busy = processorTime() - busy
	for i := range l.running {
		shortest := time.Hour // of some: the others were interrupted
		for range 5 {
			began := time.Now()
			some = l.running.copied(some[:0], i)
			shortest = min(shortest, time.Since(began))
		}
		longest = max(longest, shortest)
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/look")
	b.ReportMetric(float64(busy.Microseconds())/1000/float64(b.N), "processor-ms/look")
	b.ReportMetric(float64(longest.Microseconds()), "µs-locked-at-most")
}

func processorTime() time.Duration {
	var used unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &used)
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
