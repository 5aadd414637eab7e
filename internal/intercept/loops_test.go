package intercept

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var (
	mxAddr  = netip.MustParseAddrPort("192.0.2.25:25")
	ownAddr = netip.MustParseAddrPort("203.0.113.10:40000")
)

// hostWith gives Loops on a host with the addresses.
func hostWith(addresses ...string) *Loops {
	l := new(Loops)
	l.host.list = func() ([]net.Addr, error) {
		var list []net.Addr
		for _, a := range addresses {
			list = append(list, &net.IPNet{IP: net.ParseIP(a)})
		}
		return list, nil
	}
	return l
}

func TestOwnKnowsOpenConnections(t *testing.T) {
	l := hostWith()
	mapped := netip.AddrPortFrom(netip.AddrFrom16(ownAddr.Addr().As16()), ownAddr.Port())
	closed := l.Dialling(ownAddr.Addr(), mxAddr)(mapped)
	if !l.Own(ownAddr, mxAddr) || !l.Own(mapped, mxAddr) {
		t.Error("an open connection is not known")
	}
	// A local MSA may have the same port toward another MX.
	if l.Own(ownAddr, netip.MustParseAddrPort("192.0.2.26:25")) || l.Own(netip.MustParseAddrPort("203.0.113.10:40001"), mxAddr) {
		t.Error("somebody else's connection is taken for an own one")
	}
	closed()
	if l.Own(ownAddr, mxAddr) {
		t.Error("a closed connection is still known")
	}
	if len(l.open)+len(l.air) != 0 {
		t.Errorf("left behind: %v %v", l.open, l.air)
	}
}

func TestOwnWaitsForDialsThatMayBeIt(t *testing.T) {
	peer := netip.MustParseAddrPort("203.0.113.10:41000")
	for name, tc := range map[string]struct {
		source netip.Addr     // of the dial; zero: observe mode
		lands  netip.AddrPort // zero: the dial fails
		own    bool
		waits  time.Duration
	}{
		"it is":                     {peer.Addr(), peer, true, 20 * time.Millisecond},
		"it is, observe mode":       {netip.Addr{}, peer, true, 20 * time.Millisecond},
		"it is another":             {peer.Addr(), ownAddr, false, 20 * time.Millisecond},
		"the dial fails":            {peer.Addr(), netip.AddrPort{}, false, 20 * time.Millisecond},
		"from another address":      {netip.MustParseAddr("203.0.113.11"), netip.AddrPort{}, false, 0},
		"from another address, v6":  {netip.MustParseAddr("2001:db8::1"), netip.AddrPort{}, false, 0},
		"lands too late to be told": {peer.Addr(), ownAddr, false, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := hostWith("203.0.113.10")
				landed := l.Dialling(tc.source, mxAddr)
				done := make(chan struct{})
				go func() {
					defer close(done)
					if tc.waits == time.Second {
						time.Sleep(30 * time.Second)
					} else {
						time.Sleep(20 * time.Millisecond)
					}
					landed(tc.lands)
				}()
				start := time.Now()
				if own := l.Own(peer, mxAddr); own != tc.own {
					t.Errorf("own: %t", own)
				}
				if waited := time.Since(start); waited != tc.waits {
					t.Errorf("waited %v, want %v", waited, tc.waits)
				}
				<-done
				if len(l.air) != 0 {
					t.Errorf("left behind: %v", l.air)
				}
			})
		})
	}
}

// An MSA elsewhere cannot be kanmon: nobody waits, whatever is being dialled.
func TestOwnDoesNotWaitForStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := hostWith("203.0.113.10")
		landed := l.Dialling(netip.Addr{}, mxAddr)
		start := time.Now()
		if l.Own(netip.MustParseAddrPort("10.20.1.5:40000"), mxAddr) || time.Since(start) != 0 {
			t.Errorf("waited %v for a stranger", time.Since(start))
		}
		landed(netip.AddrPort{})
	})
}

// Dials that began after the connection was accepted cannot be it, and must not prolong the wait.
func TestOwnWaitsOnlyForEarlierDials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := hostWith()
		early := []func(netip.AddrPort) func(){l.Dialling(ownAddr.Addr(), mxAddr), l.Dialling(ownAddr.Addr(), mxAddr)}
		go func() {
			time.Sleep(time.Millisecond)
			late := l.Dialling(ownAddr.Addr(), mxAddr)
			early[0](netip.AddrPort{})
			time.Sleep(time.Millisecond)
			early[1](netip.AddrPort{})
			time.Sleep(time.Hour)
			late(netip.AddrPort{})
		}()
		start := time.Now()
		if l.Own(ownAddr, mxAddr) || time.Since(start) != 2*time.Millisecond {
			t.Errorf("waited %v, want 2ms", time.Since(start))
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if len(l.air) != 0 {
			t.Errorf("left behind: %v", l.air)
		}
	})
}

func TestLoopsConcurrently(t *testing.T) {
	l := hostWith("203.0.113.10")
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 500 {
				local := netip.AddrPortFrom(ownAddr.Addr(), uint16(1024+i*500+n))
				landed := l.Dialling(ownAddr.Addr(), mxAddr)
				found := make(chan bool)
				go func() { found <- l.Own(local, mxAddr) }()
				closed := landed(local)
				if !<-found {
					t.Errorf("%s is not known", local)
				}
				closed()
			}
		})
	}
	all.Wait()
	if len(l.open)+len(l.air) != 0 {
		t.Errorf("left behind: %d open, %d in the air", len(l.open), len(l.air))
	}
}

func TestHostAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reads, addresses, broken := 0, []net.Addr{&net.IPNet{IP: net.ParseIP("203.0.113.10")}}, error(nil)
		h := hostAddresses{list: func() ([]net.Addr, error) { reads++; return addresses, broken }}
		check := func(want bool, wantReads int, address string) {
			t.Helper()
			if got := h.has(netip.MustParseAddr(address)); got != want || reads != wantReads {
				t.Errorf("%s: %t after %d reads, want %t after %d", address, got, reads, want, wantReads)
			}
		}
		check(true, 0, "127.3.2.1")
		check(true, 0, "::1")
		check(true, 0, "0.0.0.0")
		broken = errors.New("no descriptors")
		check(false, 1, "203.0.113.10")
		broken = nil
		check(true, 2, "203.0.113.10") // a failure is not kept
		check(false, 2, "203.0.113.11")
		addresses = append(addresses, &net.IPNet{IP: net.ParseIP("203.0.113.11")}, &net.IPNet{IP: net.ParseIP("fe80::1")})
		check(false, 2, "203.0.113.11")
		if !h.hasNow(netip.MustParseAddr("203.0.113.11")) || reads != 3 {
			t.Errorf("hasNow does not see the new address (%d reads)", reads)
		}
		time.Sleep(hostAddressesAge - time.Second)
		check(true, 3, "fe80::1%eth0")
		time.Sleep(2 * time.Second)
		broken = errors.New("no descriptors")
		check(true, 4, "203.0.113.11") // better old than none
		check(false, 5, "203.0.113.12")
	})
}

func BenchmarkLoops(b *testing.B) {
	for _, open := range []int{0, 10_000} {
		b.Run(fmt.Sprint("session/open=", open), func(b *testing.B) {
			l := hostWith("203.0.113.10")
			for i := range open {
				l.Dialling(ownAddr.Addr(), mxAddr)(netip.AddrPortFrom(ownAddr.Addr(), uint16(i)))
			}
			peer := netip.MustParseAddrPort("10.20.1.5:40000")
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if l.Own(peer, mxAddr) {
						b.Error("a loop")
					}
					l.Dialling(ownAddr.Addr(), mxAddr)(netip.AddrPortFrom(ownAddr.Addr(), 50000))()
				}
			})
		})
	}
}
