package intercept

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// landingWait bounds how long Own waits for kanmon's own dials. A connection that was accepted here was answered here, so its
// dial is over within moments, if it was kanmon's.
const landingWait = time.Second

// Loops knows kanmon's own connections toward MXs, so that one which the firewall hands back to kanmon is refused after one
// hop. That happens where the rules lack the exclusion of kanmon's own traffic. The zero value is ready to use.
//
// The dialler calls Dialling, the listener calls Own. A connection is known by both its ends: kanmon and a local MSA may at
// the same time use the same local address and port toward different MXs.
type Loops struct {
	host hostAddresses

	mu    sync.Mutex
	seed  maphash.Seed                 // set with open
	open  map[uint64]struct{}          // hashes of ends: a fifth of their size, and ten thousand of them are usual
	air   map[netip.AddrPort]*airspace // by destination
	begun uint64                       // dials so far
}

// ends are the two ends of one of kanmon's own connections.
type ends struct{ local, remote netip.AddrPort }

// An airspace holds the dials toward one destination that have not landed, and who waits for them.
type airspace struct {
	flights map[*flight]struct{}
	waiting map[*waiter]struct{}
}

type flight struct {
	source netip.Addr // zero: the kernel chooses
	number uint64     // of begun
}

// A waiter is an accepted connection that may turn out to be one of the flights that were in the air when it came.
type waiter struct {
	peer    netip.AddrPort
	here    bool      // the peer has an address of this host
	before  uint64    // flights from this number on are too late to be it
	flights int       // that may be it and have not landed
	own     chan bool // capacity 1
}

// Dialling notes that kanmon is about to connect to the destination, from the source or, if that is the zero Addr, from an
// address of the kernel's choice. The caller calls landed exactly once: with the local address of the open connection, or
// with the zero AddrPort if there is none. For an open connection it then calls closed exactly once, after it has closed it.
func (l *Loops) Dialling(source netip.Addr, destination netip.AddrPort) (landed func(local netip.AddrPort) (closed func())) {
	destination = unmapAddrPort(destination)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.air == nil {
		l.air = make(map[netip.AddrPort]*airspace)
		l.seed = maphash.MakeSeed()
		l.open = make(map[uint64]struct{})
	}
	air := l.air[destination]
	if air == nil {
		air = &airspace{flights: make(map[*flight]struct{})}
		l.air[destination] = air
	}
	f := &flight{source: source.Unmap(), number: l.begun}
	l.begun++
	air.flights[f] = struct{}{}
	return func(local netip.AddrPort) func() { return l.land(f, unmapAddrPort(local), destination) }
}

func (l *Loops) land(f *flight, local, destination netip.AddrPort) (closed func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	air := l.air[destination]
	delete(air.flights, f)
	if len(air.flights) == 0 {
		delete(l.air, destination)
	}
	for w := range air.waiting {
		w.landed(f, local)
	}
	if !local.IsValid() {
		return nil
	}
	connection := maphash.Comparable(l.seed, ends{local, destination})
	l.open[connection] = struct{}{}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.open, connection)
	}
}

// Own reports whether an accepted connection from the peer to the original destination is one that kanmon opened. If
// kanmon is dialling the same destination and the peer may be that very dial, Own waits until it is known: normally for
// microseconds, at most for a second.
func (l *Loops) Own(peer, destination netip.AddrPort) bool {
	connection := ends{unmapAddrPort(peer), unmapAddrPort(destination)}
	own, w := l.look(connection)
	if w == nil {
		return own
	}
	timeout := time.NewTimer(landingWait)
	defer timeout.Stop()
	select {
	case own = <-w.own:
	case <-timeout.C:
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if air := l.air[connection.remote]; air != nil {
		delete(air.waiting, w)
	}
	return own
}

// IsOwnAddress reports whether an MSA with this address is on this host.
func (l *Loops) IsOwnAddress(a netip.Addr) bool { return !a.IsLoopback() && l.host.has(a) }

// look gives the answer, or a waiter for it.
func (l *Loops) look(connection ends) (own bool, w *waiter) {
	here := l.host.has(connection.local.Addr())
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == nil {
		return false, nil // nothing was ever dialled
	}
	if _, own = l.open[maphash.Comparable(l.seed, connection)]; own {
		return true, nil
	}
	air := l.air[connection.remote]
	if air == nil {
		return false, nil
	}
	w = &waiter{peer: connection.local, here: here, before: l.begun, own: make(chan bool, 1)}
	for f := range air.flights {
		if w.mayBe(f) {
			w.flights++
		}
	}
	if w.flights == 0 {
		return false, nil
	}
	if air.waiting == nil {
		air.waiting = make(map[*waiter]struct{})
	}
	air.waiting[w] = struct{}{}
	return false, w
}

func (w *waiter) mayBe(f *flight) bool {
	if f.number >= w.before {
		return false
	}
	if f.source.IsValid() {
		return f.source == w.peer.Addr()
	}
	return w.here
}

// landed is told of every landing toward the waiter's destination.
func (w *waiter) landed(f *flight, local netip.AddrPort) {
	if !w.mayBe(f) {
		return
	}
	w.flights--
	own := local == w.peer
	if !own && w.flights > 0 {
		return
	}
	select {
	case w.own <- own:
	default: // it has its answer
	}
}

func unmapAddrPort(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
