package session

import (
	"container/list"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/smtp"
)

// What the TLS of an MX cannot do is remembered: an MX counts connections, and a session that finds out anew what the one before it
// has found out costs one or two more, and perhaps a minute of its MSA's patience. What is remembered is a fact about an address, so
// it serves all tenants. It decides only how TLS is tried, and whether an opportunistic session tries it at all: where TLS must be
// it is always tried, and there is never plain text.

// How long things are remembered. When the time is over one session tries the better form again, and the others go on with what is
// known until it has its answer.
const (
	ticketsFor   = 24 * time.Hour // an MX that breaks a connection whose hello carries a ticket is shown none
	classicalFor = 24 * time.Hour // an MX without a post-quantum key exchange, or that breaks on one, is offered none: making the share is a third of a handshake
	plainFor     = 6 * time.Hour  // plain text at once; twice as long after each test that fails
	plainForMost = 24 * time.Hour
	strikesFor   = 24 * time.Hour   // failures older than this do not count any more
	strikesApart = time.Minute      // several failures within this time are one: a restart of the MX, an attack that lasts as long as its packets
	strikesOut   = 3                // so many failures, and no success between them, mean plain text at once
	testFor      = 2 * time.Minute  // how long a session has for a test before another one may take it over
	countedFor   = 10 * time.Minute // how long an MX may count our second connections against us
	hungPatience = 10 * time.Second // what a handshake gets where one has hung, and where another session is finding out whether it does
)

// Bounds of the memory. Whoever has an address range can fill it with MXs of his own: a network never takes more than its share.
const (
	maxRememberedMXs        = 8192
	maxRememberedPerNetwork = 64 // of a /24 or, for IPv6, a /48
	maxShownFailures        = 5  // of one MX
	maxShownCause           = 200
)

// A tlsWay is how TLS is tried on the connections of one MX leg, and what came of it there.
type tlsWay uint16

const (
	wayChosen       tlsWay = 1 << iota // the memory has been asked
	wayPlain                           // no TLS on this connection
	wayClassical                       // no post-quantum key share in the hello
	wayNoTicket                        // no ticket in the hello
	wayImpatient                       // the handshake has hungPatience
	wayTicket                          // the hello of this connection carried a ticket
	wayTicketFailed                    // that of the connection before it did, and failed
	wayAgain                           // TLS has failed on a connection before this one
	wayNamed                           // the hello of this connection showed a name
	wayNoName                          // that of one before it did, and failed
)

// A TLSFailure is one that is remembered of an MX.
type TLSFailure struct {
	At    time.Time
	Phase event.Phase
	Cause string // sanitised
	Why   event.TLSCause
}

// MXTLS is what is remembered of the TLS of an MX. A time that is zero, or over, says nothing.
type MXTLS struct {
	Worked         time.Time // when an EHLO was last answered inside TLS
	NoTicketsUntil time.Time // resumption fails
	ClassicalUntil time.Time // no post-quantum key share is offered
	Broke          bool      // with ClassicalUntil: because the handshake failed with one; false: the MX just has none
	Hung           time.Time // when a handshake last got no answer
	Strikes        int       // failures that count, since TLS last worked
	PlainUntil     time.Time // an opportunistic session does not try
	Failures       []TLSFailure
	Tester         event.ID // the session that tries the better form now; 0: none
	TestEnds       time.Time
}

// tlsMemory is bounded: the MX that was asked for the longest time ago is forgotten first. The zero tlsMemory is ready.
type tlsMemory struct {
	mu       sync.Mutex
	known    map[netip.Addr]*rememberedMX
	used     list.List                   // of *rememberedMX, the last used in front
	networks map[netip.Prefix]*list.List // likewise, of each network
}

type rememberedMX struct {
	MXTLS
	plainFor   time.Duration // of the last decision for plain text
	lastStrike time.Time

	mx               netip.Addr
	network          netip.Prefix
	inAll, inNetwork *list.Element
}

// choose returns the way in which a session tries TLS with an MX, or with wayPlain why it does not. Where TLS must be it is always tried.
func (m *tlsMemory) choose(mx netip.Addr, who event.ID, now time.Time, must bool) (way tlsWay, why string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.entry(mx)
	k.forgetOldStrikes(now)
	tested := k.Tester != 0 && k.Tester != who && now.Before(k.TestEnds)
	test := false
	if !k.PlainUntil.IsZero() {
		if !must && (tested || now.Before(k.PlainUntil)) {
			return wayPlain, k.whyPlain()
		}
		test = true
	}
	if now.Before(k.NoTicketsUntil) {
		way |= wayNoTicket
	}
	again := !k.ClassicalUntil.IsZero() && !now.Before(k.ClassicalUntil) && !tested // the full hello, after a day
	if !k.ClassicalUntil.IsZero() && !again {
		way |= wayClassical
	}
	unknown := k.Worked.IsZero() && len(k.Failures) == 0
	if test = (test || again || unknown) && !tested; test {
		k.Tester, k.TestEnds = who, now.Add(testFor)
	}
	if test && !unknown {
		way |= wayNoTicket // one thing at a time
	}
	if !must && (k.Hung.After(k.Worked) || again && !k.Hung.IsZero() || unknown && tested) {
		way |= wayImpatient
	}
	return way, ""
}

// worked notes that an MX has answered inside TLS, with a key exchange that is post-quantum or not.
func (m *tlsMemory) worked(mx netip.Addr, way tlsWay, postQuantum bool, now time.Time) (again bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.entry(mx)
	again = !k.PlainUntil.IsZero()
	k.Worked, k.Strikes, k.PlainUntil, k.plainFor = now, 0, time.Time{}, 0
	k.Tester, k.TestEnds = 0, time.Time{}
	switch {
	case way&wayTicketFailed != 0:
		k.NoTicketsUntil = now.Add(ticketsFor)
	case way&wayTicket != 0:
		k.NoTicketsUntil = time.Time{}
	}
	if way&wayClassical == 0 {
		k.ClassicalUntil, k.Broke, k.Hung = time.Time{}, false, time.Time{}
		if !postQuantum {
			k.ClassicalUntil = now.Add(classicalFor)
		}
	}
	return again
}

// failed notes that TLS has failed, and says until when no opportunistic session tries it, if that is new.
func (m *tlsMemory) failed(mx netip.Addr, way tlsWay, why *tlsFailure, now time.Time) (plainUntil time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.entry(mx)
	cause := smtp.AppendSanitised(nil, []byte(why.cause.Error()), false)
	k.Failures = append(k.Failures, TLSFailure{now, why.phase, string(cause[:min(len(cause), maxShownCause)]), why.why()})
	if len(k.Failures) > maxShownFailures {
		k.Failures = slices.Delete(k.Failures, 0, 1)
	}
	if why.hung && now.After(k.Hung) && !k.Worked.After(why.begun) {
		k.Hung = now
	}
	if way&(wayTicket|wayNamed) != 0 {
		return plainUntil // it is tried without, and that counts
	}
	k.Tester, k.TestEnds = 0, time.Time{}
	if why.ofHello(way) {
		k.ClassicalUntil, k.Broke = now.Add(classicalFor), true
	}
	if k.Worked.After(why.begun) {
		return plainUntil // another session has shown meanwhile that it can be done
	}
	return k.strike(now)
}

// strike counts a failure toward plain text.
func (k *rememberedMX) strike(now time.Time) (plainUntil time.Time) {
	k.forgetOldStrikes(now)
	if k.Strikes > 0 && now.Sub(k.lastStrike) < strikesApart {
		return plainUntil
	}
	k.Strikes++
	k.lastStrike = now
	if k.Strikes < strikesOut {
		return plainUntil
	}
	k.plainFor = min(max(plainFor, 2*k.plainFor), plainForMost)
	k.PlainUntil = now.Add(k.plainFor)
	return k.PlainUntil
}

// forgetOldStrikes lets failures that are long past count no more. A decision for plain text stays until a test ends it.
func (k *rememberedMX) forgetOldStrikes(now time.Time) {
	if k.PlainUntil.IsZero() && now.Sub(k.lastStrike) > strikesFor {
		k.Strikes = 0
	}
}

// abandon ends the test of a session that has not come to an answer.
func (m *tlsMemory) abandon(mx netip.Addr, who event.ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if k := m.known[mx]; k != nil && k.Tester == who {
		k.Tester, k.TestEnds = 0, time.Time{}
	}
}

// insists notes that an MX takes no mail in plain text: then the next session tries TLS again, whatever has failed before.
func (m *tlsMemory) insists(mx netip.Addr) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if k := m.known[mx]; k != nil {
		k.Strikes, k.PlainUntil, k.plainFor = 0, time.Time{}, 0
	}
}

// workedSince reports whether a handshake that has lasted for a while may last longer: somebody has seen that this MX can do it. Of an MX
// that is taken to break on the full hello only the classical one has been seen, which says nothing of the other.
func (m *tlsMemory) workedSince(mx netip.Addr, way tlsWay, begun time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.known[mx]
	return k != nil && k.Worked.After(begun) && (way&wayClassical != 0 || !k.Broke)
}

// failedLately reports whether some session has lately had to connect a second time to an MX.
func (m *tlsMemory) failedLately(mx netip.Addr, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.known[mx]
	return k != nil && len(k.Failures) > 0 && now.Sub(k.Failures[len(k.Failures)-1].At) < countedFor
}

// whyPlain is for the record of a session that does not try.
func (k *rememberedMX) whyPlain() string {
	why := "not tried: TLS has failed " + strconv.Itoa(k.Strikes) + " times"
	if n := len(k.Failures); n > 0 {
		last := k.Failures[n-1]
		why += ", the last time at " + last.Phase.String() + ": " + last.Cause
	}
	return why
}

// entry returns what is known of an MX, and makes room for one that is new.
func (m *tlsMemory) entry(mx netip.Addr) *rememberedMX {
	if k := m.known[mx]; k != nil {
		m.used.MoveToFront(k.inAll)
		m.networks[k.network].MoveToFront(k.inNetwork)
		return k
	}
	if m.known == nil {
		m.known, m.networks = make(map[netip.Addr]*rememberedMX), make(map[netip.Prefix]*list.List)
	}
	k := &rememberedMX{mx: mx, network: networkOf(mx)}
	if near := m.networks[k.network]; near != nil && near.Len() >= maxRememberedPerNetwork {
		m.forget(near.Back())
	} else if len(m.known) >= maxRememberedMXs {
		m.forget(m.used.Back())
	}
	near := m.networks[k.network]
	if near == nil {
		near = new(list.List)
		m.networks[k.network] = near
	}
	k.inAll, k.inNetwork = m.used.PushFront(k), near.PushFront(k)
	m.known[mx] = k
	return k
}

func (m *tlsMemory) forget(e *list.Element) {
	k, ok := e.Value.(*rememberedMX)
	if !ok {
		return
	}
	delete(m.known, k.mx)
	m.used.Remove(k.inAll)
	near := m.networks[k.network]
	if near.Remove(k.inNetwork); near.Len() == 0 {
		delete(m.networks, k.network)
	}
}

// networkOf is what one owner has, as a rule.
func networkOf(mx netip.Addr) netip.Prefix {
	bits := 48
	if mx.Unmap().Is4() {
		mx, bits = mx.Unmap(), 24
	}
	network, _ := mx.Prefix(bits) // fails only for lengths that the family does not have, and the zero Addr
	return network
}

// TLSOf returns what is remembered of the TLS of an MX. known is false if nothing is.
func (l *Live) TLSOf(mx netip.Addr) (of MXTLS, known bool) {
	l.tls.mu.Lock()
	defer l.tls.mu.Unlock()
	k := l.tls.known[mx.Unmap()]
	if k == nil {
		return of, false
	}
	return k.clone(), true
}
